"""Printing: in any encoding, with nothing in it that steers a terminal, to a reader that may be gone."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TextIO

# Control characters but tab and newline, and what turns the direction of writing or starts a line elsewhere.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# What a progress bar writes to stderr: back to the line's start, then itself; or a move up or down alone.
_BAR = re.compile("\r|(?:\n|\x1b\\[A)+\\Z")


def visible(text: str, keep: str = "\n\t") -> str:
    """The text with control characters as escapes (`\\x1b`), so that a file's name cannot steer a terminal.

    keep: newline and tab where the text has lines of its own; "" for a name that stands in a line.
    """
    shown = _STEERING.sub(lambda found: _escape(found[0]), text)
    for character in "\n\t":
        if character not in keep:
            shown = shown.replace(character, _escape(character))
    return shown


def one_line(text: str, most: int) -> str:
    """The text as it can be drawn or printed in a line: `visible`, UTF-8, `most` characters at most."""
    line = visible(" ".join(text[: 4 * most].split()), keep="").encode("utf-8", "backslashreplace")
    return shortened(line.decode(), most)


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and end with dots between them, `most` characters in all."""
    if len(text) <= most:
        return text
    end = (most - 3) // 3
    return f"{text[: most - 3 - end]}...{text[len(text) - end :]}"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


@contextmanager
def safe_streams() -> Iterator[Output]:
    """Let stdout and stderr write as this module says; yields what was lost of stdout by then."""
    with ExitStack() as stack:
        yield Output(*(stack.enter_context(_replaced(name)) for name in ("stdout", "stderr")))


class Output:
    """The streams of a command."""

    def __init__(self, *streams: _Visible | None) -> None:
        self._streams = streams

    def finish(self) -> OSError | None:
        """Write out what is buffered; why stdout was not written (a reader gone, a full disk), or None."""
        for stream in self._streams:
            if stream is not None:
                stream.flush()
        return self._streams[0].lost if self._streams[0] is not None else None


class _Visible(io.TextIOWrapper):
    """A text stream that escapes what steers a terminal and what its encoding lacks.

    An error in writing is kept in `lost` and the rest goes nowhere: a command's files are its results, and
    they are written though nobody reads what it says of them.
    """

    lost: OSError | None = None
    shows_bars = False

    def write(self, text: str, /) -> int:
        bar = _BAR.match(text) if self.shows_bars else None
        head = "" if bar is None else bar[0]
        self._attempt(lambda: super(_Visible, self).write(head + visible(text[len(head) :])))
        return len(text)

    def flush(self) -> None:
        self._attempt(super().flush)

    def _attempt(self, action: Any) -> None:
        try:
            action()
        except OSError as error:
            self.lost = self.lost or error
            # Python flushes what is left once more at exit: give it a place to go.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)


@contextmanager
def _replaced(name: str) -> Iterator[_Visible | None]:
    before: TextIO | None = getattr(sys, name)
    if not isinstance(before, io.TextIOWrapper):  # closed, or a notebook's
        yield None
        return
    before.flush()
    stream = _Visible(
        before.buffer,
        encoding=before.encoding,
        errors="backslashreplace",
        line_buffering=before.line_buffering or name == "stderr",
        write_through=before.write_through,
    )
    stream.shows_bars = name == "stderr"
    setattr(sys, name, stream)
    try:
        yield stream
    finally:
        stream.flush()
        stream.detach()
        if getattr(sys, name) is stream:
            setattr(sys, name, before)
