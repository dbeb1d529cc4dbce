"""The parser of the command line: argparse's, with advice on misspelled words."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from ..errors import did_you_mean, similar


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that says which command, option or choice a misspelled word may stand for.

    Unknown options are reported by the command that was given them, which knows its own.
    """

    _words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's, but words that are left over are an error."""
        self._words = list(sys.argv[1:] if args is None else args)
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        """Print the message in one line, with what an unknown option may stand for; exit with 2."""
        advice = self._advice() or f"; see `{self.prog} --help`"
        text = " ".join(message.removeprefix("argument ").split())
        self.exit(2, f"{self.prog.split()[0]}: error: {text}{advice}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        known = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), known)
        raise argparse.ArgumentError(action, f"expected one of {', '.join(known)}, got {value!r}{hint}")

    def _advice(self) -> str:
        options = [name for name in self._option_string_actions if name.startswith("--")]
        for word in self._words:
            name = word.partition("=")[0]
            if name == "--":
                break
            # A beginning of an option stands for it.
            if name.startswith("--") and not any(option.startswith(name) for option in options):
                meant = similar(name, options)
                if meant:
                    return f"; did you mean {' or '.join(meant)} instead of {name}?"
        return ""


def leaves(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """The parsers at the ends: those of commands that have no actions of their own."""
    below = [
        child
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for child in action.choices.values()
    ]
    return [leaf for child in below for leaf in leaves(child)] if below else [parser]
