"""What a command says beside its report: `note` unless --quiet, `detail` with --verbose, `say` above bars."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from ..progress import hidden_bars

_quiet = _verbose = False


@contextmanager
def verbosity(quiet: bool, verbose: bool) -> Iterator[None]:
    """Say less, or more, within the block; a quiet command shows no progress bars either."""
    global _quiet, _verbose
    before = _quiet, _verbose
    _quiet, _verbose = quiet, verbose
    try:
        with hidden_bars(quiet):
            yield
    finally:
        _quiet, _verbose = before


def quiet() -> bool:
    """Whether the command runs with --quiet."""
    return _quiet


def note(text: str) -> None:
    """Print a line to stdout on what was done, such as the name of a written file."""
    if not _quiet:
        print(text)


def detail(text: str) -> None:
    """Print a line to stderr that helps to find out why something is slow or wrong."""
    if _verbose:
        print(f"twodasl: {text}", file=sys.stderr, flush=True)


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line, to stdout unless given, that no progress bar is drawn over."""
    from tqdm import tqdm

    tqdm.write(text, file=file or sys.stdout)
