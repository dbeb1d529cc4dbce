"""Trained networks that come with the package, by name: `NAME.safetensors` and `NAME.json` in this folder.

docs/models.md says what each was trained on and how well it does; `training/weights.py` reads them.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..arguments import path_of
from ..errors import InputError, did_you_mean

SHIPPED = ("base", "research")
"""Their names, the default first."""

SUFFIX = ".safetensors"

_FOLDER = Path(__file__).resolve().parent


def weights_file(name: str | os.PathLike[str]) -> Path:
    """The file of weights: of a name in `SHIPPED`, or a path. Raises InputError for what is neither."""
    text = str(path_of(name, "weights of a network", "weights"))
    if text in SHIPPED:
        if not is_shipped(text):
            raise InputError(f"weights: {text!r} is not in this installation; give a file of weights")
        return _FOLDER / f"{text}{SUFFIX}"
    if os.path.dirname(text) or "." in text or os.path.exists(text):
        return Path(text)
    hint = did_you_mean(text, SHIPPED)
    raise InputError(f"weights: expected {', '.join(SHIPPED)} or a file, got {text!r}{hint}")


def is_shipped(name: str) -> bool:
    """Whether the weights of a name of `SHIPPED` are there: a build may leave them out."""
    return (_FOLDER / f"{name}{SUFFIX}").is_file()
