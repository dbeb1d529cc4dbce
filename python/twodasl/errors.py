"""InputError, the guard that turns a reader's other exceptions into it, and installation hints."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """A problem with something the user supplied: a file, an argument, a checkpoint.

    The message is one sentence: what, where, what was expected, what was found, what to do. The command line
    prints it as is and exits with code 2.
    """


@contextmanager
def reading(path: str | os.PathLike[str], what: str, advice: str = "copy it again") -> Iterator[None]:
    """Guard a reader of untrusted bytes: any exception it raises becomes an InputError about this file.

    what: what the file was expected to be, such as "a mesh". advice: what to do about one that is not.
    KeyboardInterrupt passes through.
    """
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}); expected {what}") from error
    except MemoryError as error:
        raise InputError(f"{path}: does not fit into memory; close other programs") from error
    except Exception as error:
        words = " ".join(str(error).split())
        reason = f"{type(error).__name__}: {words[:100]}" if words else type(error).__name__
        raise InputError(f"{path}: is not {what}, or is damaged ({reason}); {advice}") from error


def install_extra(extra: str) -> str:
    """How to install an optional dependency: from the source folder, not from a package index."""
    return f"pip install '.[{extra}]' in the source folder of twodasl"


def similar(word: str, known: Iterable[str], most: int = 1) -> list[str]:
    """The names that a misspelled one may stand for, the likeliest first."""
    return difflib.get_close_matches(word, list(known), most)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'small'?)` for a name that is not a known one; empty where none is like it."""
    found = similar(word, known)
    return f" (did you mean {found[0]!r}?)" if found else ""
