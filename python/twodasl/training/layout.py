"""What the parts of a checkpoint must be, checked once after it was read; see the list in `checkpoint.py`."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..morphable import Whitening

Check = Callable[[Any], bool]

# Steps, faces, vertices: no run has more.
_MOST = 1 << 53


def check_layout(path: str | os.PathLike[str], contents: dict[str, Any], what: str = "checkpoint") -> None:
    """Raises InputError, naming the file and the part, where one is missing or of another kind or shape.

    Parts that only a training run needs to go on may be missing. what: to call the file.
    """
    missing = [key for key in _NEEDED if key not in contents]
    if missing:
        raise InputError(f"{path}: the {what} lacks {', '.join(missing)}; give a whole one")
    for key, (expected, fits) in {**_NEEDED, **_OTHERS}.items():
        if key in contents and not fits(contents[key]):
            raise InputError(f"{path}: {key}: expected {expected}; give a whole {what}")
    _, shapes, expressions = contents["model_counts"]
    outputs, whitening = 12 + shapes + expressions, contents["whitening"]
    try:
        length = len(Whitening(**whitening).mean)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: whitening: {error}; give a whole {what}") from error
    if length != outputs:
        raise InputError(
            f"{path}: whitening: expected {outputs} numbers for the face model's {shapes} shapes and"
            f" {expressions} expressions, got {length}; give a whole {what}"
        )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _counts(*lengths: int) -> Check:
    return lambda value: isinstance(value, list) and len(value) in lengths and all(map(_is_count, value))


def _is_vector(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim == 1 and value.is_floating_point()


def _has(**parts: Check) -> Check:
    """A dictionary of just these keys."""
    return lambda value: (
        isinstance(value, dict)
        and value.keys() == parts.keys()
        and all(fits(value[key]) for key, fits in parts.items())
    )


def _of(kind: Check) -> Check:
    """A dictionary from names."""
    return lambda value: (
        isinstance(value, dict) and all(type(key) is str and kind(item) for key, item in value.items())
    )


def _entries(needed: set[str]) -> tuple[str, Check]:
    """Numbers by name, of one step or of several; a step is one to count."""

    def fits(value: Any) -> bool:
        return isinstance(value, list) and all(
            _of(_is_number)(entry) and needed <= entry.keys() and _is_count(entry.get("step", 0))
            for entry in value
        )

    return "a list of numbers by name" + ", of a step each" * bool(needed), fits


def _is_state_of_optimizer(value: Any) -> bool:
    """Of Adam or SGD: for each weight its tensors, and how many steps it has made."""
    return isinstance(value, dict) and all(
        _is_count(index)
        and isinstance(parts, dict)
        and all(isinstance(part, Tensor) or _is_number(part) for part in parts.values())
        for index, parts in value.items()
    )


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


_STATE = ("a network's tensors by name", _of(lambda value: isinstance(value, Tensor)))
_OPTIMIZER = _has(state=_is_state_of_optimizer, param_groups=lambda value: isinstance(value, list))
_NEEDED: dict[str, tuple[str, Check]] = {
    "config": ("a table of settings", _is_dict),
    "model_name": ("text", lambda value: isinstance(value, str)),
    "model_identity": (
        "a SHA-256 in hexadecimal digits",
        lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None,
    ),
    "model_counts": ("the numbers of vertices, shapes and expressions", _counts(3)),
    "model_sketch": (
        "(1+K, 8, 3) float64",
        lambda value: isinstance(value, Tensor) and value.ndim == 3 and value.dtype == torch.float64,
    ),
    "whitening": ("mean and std, (12+K,) each", _has(mean=_is_vector, std=_is_vector)),
    "regressor": _STATE,
    "step": ("a number from 0", _is_count),
}
_OTHERS: dict[str, tuple[str, Check]] = {
    "encoder": _STATE,
    "critic": _STATE,
    "average": _STATE,
    "optimizers": ("the states of both optimizers", _has(regressor=_OPTIMIZER, critic=_OPTIMIZER)),
    "scaler": (
        "positive numbers by name",
        _of(lambda value: _is_number(value) and math.isfinite(value) and value >= 0),
    ),
    "epoch": ("a number from 0", _is_count),
    "lengths": ("the numbers of faces and photos", _counts(2, 3)),
    "rng": (
        "torch's generator state",
        lambda value: isinstance(value, Tensor) and value.ndim == 1 and value.dtype == torch.uint8,
    ),
    "history": _entries({"step"}),
    "recent": _entries(set()),
}
