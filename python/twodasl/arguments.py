"""What callers of the Python functions may give: a flag, a whole number, a path; else one sentence."""

from __future__ import annotations

import operator
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from .errors import InputError

_LONGEST = 60


def _plain(value: Any) -> Any:
    """Python's value of a NumPy scalar or of an array or tensor of shape (); anything else as it is."""
    return value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value


def shown(value: object) -> str:
    """A wrong argument for a message: its repr where that is short, else its type, and an array's shape."""
    if isinstance(plain := _plain(value), (bool, int, float, str, bytes, type(None))):
        with suppress(ValueError):  # Python writes no number of more than 4,300 digits
            if len(text := repr(plain)) <= _LONGEST:
                return text
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"a value of type {type(value).__name__}, {value.dtype} of shape {tuple(value.shape)}"
    return f"a value of type {type(value).__name__}"


def on_host(value: Any) -> Any:
    """A tensor as an array, which NumPy alone makes only of one without gradient, and of none in bfloat16."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def flag(value: Any, name: str) -> bool:
    """A flag. InputError for anything but True, False, 0 and 1, of Python or NumPy: a word is no answer."""
    if value is True or value is False:
        return value
    plain = _plain(value)
    if not isinstance(plain, (bool, int)) or plain not in (0, 1):
        raise InputError(f"{name}: expected True or False, got {shown(value)}")
    return bool(plain)


def whole_number(value: Any, name: str, least: int, most: int | None = None) -> int:
    """A whole number of Python or NumPy from `least` to `most`. InputError for anything else, and True."""
    try:
        plain = _plain(value)
        number = least - 1 if isinstance(plain, bool) else operator.index(plain)
    except (TypeError, ValueError):
        number = least - 1
    if number < least or (most is not None and number > most):
        bounds = f"from {least}" if most is None else f"from {least} to {most}"
        raise InputError(f"{name}: expected a whole number {bounds}, got {shown(value)}")
    return number


def path_of(value: Any, expected: str, name: str = "path") -> Path:
    """The path of a str or os.PathLike. InputError for anything else, bytes too: those name no folder."""
    try:
        if isinstance(place := os.fspath(value), str):
            return Path(place)
    except TypeError:
        pass
    raise InputError(f"{name}: expected {expected}, as a str or os.PathLike, got {shown(value)}")
