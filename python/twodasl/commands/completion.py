"""Completion of commands and options in the shell, by the package argcomplete (the extra `completion`)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence

VARIABLE = "_ARGCOMPLETE"
"""Set by the shell when it asks which words may come next."""


def answer(parser_for: Callable[[Sequence[str]], argparse.ArgumentParser]) -> None:
    """Where the shell asks, answer it and end the process.

    parser_for: gives the parser for the words of a command line; only the command among them is imported.
    """
    if VARIABLE not in os.environ:
        return
    try:
        import argcomplete
    except ImportError:  # the shell still has the line of an earlier installation: nothing to offer
        raise SystemExit(1) from None
    line = os.environ.get("COMP_LINE", "")
    before = line[: int(os.environ.get("COMP_POINT", len(line)))]
    argcomplete.autocomplete(parser_for(before.split()[1:]))
