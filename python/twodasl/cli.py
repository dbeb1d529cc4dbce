"""The command `twodasl`: finds the subcommand's module, runs it, and turns errors into one line."""

# PYTHON_ARGCOMPLETE_OK

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import FrameType
from typing import Any

from .commands.arguments import add_verbosity
from .commands.completion import answer
from .commands.messages import detail, verbosity
from .commands.parser import Parser, leaves
from .errors import InputError
from .io.terminal import safe_streams

COMMANDS = {
    "demo": "reconstruct a photograph, or train a small network first",
    "reconstruct": "turn photos into 3D faces",
    "fit": "fit a face model to a 3D scan",
    "video": "follow the faces of a video",
    "train": "train a network",
    "evaluate": "measure alignment errors on a data set",
    "weights": "trained networks to use and to give away",
    "export": "a trained network for ONNX and torch.export",
    "models": "show and convert face models",
    "data": "look at data sets and synthetic faces",
    "doctor": "check this installation",
}

INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code.

    0: done. 1: this installation is broken. 2: something the user supplied does not fit; one line on stderr
    says what. 130: interrupted. 141: the reader of stdout went away; the files are written. 143: terminated.
    A second signal ends the process at once, with that code and without temporary files.
    """
    answer(_parser)
    arguments = list(sys.argv[1:] if argv is None else argv)
    with safe_streams() as output, _ended_by_signals(last=argv is None):
        code = _run(arguments)
        lost = output.finish()
        if lost is None:
            return code
        if isinstance(lost, BrokenPipeError):  # the reader of our output (`| head`) has gone
            return code or BROKEN_PIPE
        return _fail(f"standard output: cannot be written ({lost.strerror or lost})")


def _run(arguments: list[str]) -> int:
    try:
        options = _parser(arguments).parse_args(arguments)
        with verbosity(options.quiet, options.verbose):
            return _timed(options)
    except SystemExit as end:  # argparse: 0 after --help, 2 after an error it has already printed; a signal
        return end.code if isinstance(end.code, int) else 2
    except InputError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        print("\ntwodasl: interrupted", file=sys.stderr)
        return INTERRUPTED
    except ImportError as error:
        if not str(error).startswith("twodasl_ext:"):
            raise
        return _fail(str(error), 1)  # the compiled operators; the message says how to repair them
    except OSError as error:  # a folder without permission
        if error.filename is None:
            return _fail(error.strerror or str(error))
        return _fail(f"{error.filename}: {error.strerror}")


def _timed(options: argparse.Namespace) -> int:
    detail(versions())
    began = time.monotonic()
    try:
        code = int(options.run(options) or 0)
    except (InputError, ImportError, OSError):  # of which only one line would be left
        if options.verbose:
            traceback.print_exc()
        raise
    detail(f"{options.command} took {time.monotonic() - began:.1f} s")
    return code


@contextmanager
def _ended_by_signals(last: bool) -> Iterator[None]:
    """End by an exception where a signal would end the process at once, so that temporary files are removed.

    A second signal, of somebody in a hurry, removes them itself and waits for nothing else. last: the process
    ends after the command; what comes while it does is a second signal, too.
    """
    process, signals = os.getpid(), (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before: dict[signal.Signals, Any] = {}
    ended = False

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        ended = True
        for changed in before:
            signal.signal(changed, end_at_once)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    def end_at_once(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:  # not in a fork, whose parent goes on
            from .io.files import remove_passing

            remove_passing()
        os._exit(128 + number)

    if threading.current_thread() is threading.main_thread():
        usual = (signal.SIG_DFL, signal.default_int_handler)
        before = {number: found for number in signals if (found := signal.getsignal(number)) in usual}
    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        if not (last and ended):
            for number, handler in before.items():
                signal.signal(number, handler)


def _fail(message: str, code: int = 2) -> int:
    print(f"twodasl: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """A parser that knows the subcommand asked for; only that one's module is imported."""
    parser = Parser(
        prog="twodasl",
        description="3D face reconstruction and dense alignment from a single photograph.",
        epilog="`twodasl COMMAND --help` describes a command.",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=16),
    )
    parser.add_argument("--version", action=_Version, help="print versions and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    asked = next((word for word in arguments if not word.startswith("-")), None)
    if asked in COMMANDS:
        import_module(f".commands.{asked}", __package__).register(subparsers)
    else:
        for name, text in COMMANDS.items():
            subparsers.add_parser(name, help=text)
    for leaf in leaves(parser):
        add_verbosity(leaf)
    return parser


def versions() -> str:
    """One line on what is installed, without the seconds that an import of torch takes."""
    from . import __version__

    # The operators are part of the same distribution.
    parts = [
        f"twodasl_ext {__version__}",
        f"torch {_installed('torch')}",
        f"Python {platform.python_version()}",
    ]
    return f"twodasl {__version__} ({', '.join(parts)})"


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(versions())
        parser.exit()
