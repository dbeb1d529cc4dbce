"""Converts what callers may pass for a tensor or a number: NumPy arrays and scalars, lists, 0-d tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_tensor(value: object, name: str) -> Tensor:
    """A tensor from a tensor, NumPy array or list of numbers."""
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, (np.ndarray, list, tuple)):
        raise TypeError(
            f"{name}: expected a torch.Tensor, numpy array or list of numbers, got {type(value).__name__}"
        )
    try:
        if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
            return torch.stack([torch.as_tensor(v) for v in value])
        array = np.asarray(value)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        return torch.from_numpy(np.array(array, order="C"))
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise TypeError(f"{name}: expected numbers, got {type(value).__name__}: {error}") from error


def as_indices(value: object, name: str, device: torch.device | None = None) -> Tensor:
    """The same for integers, even from an empty list, which has no dtype. A list goes to `device`."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, (range, Sequence)) and not isinstance(value, (str, bytes)) and not len(value):
        return torch.zeros(0, dtype=torch.int64, device=device)
    tensor = as_tensor(list(value) if isinstance(value, range) else value, name)
    return tensor if device is None else tensor.to(device)


INTEGERS = (
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64
)  # fmt: skip


def _number(value: Any) -> Any:
    """The Python number of a NumPy scalar or a tensor or array of shape (); anything else as it is."""
    if isinstance(value, (np.generic, np.ndarray, Tensor)) and value.ndim == 0:
        return value.item()
    return value


def shown(value: Any) -> str:
    """A wrong argument for a message: its repr, or its type where that is long or Python refuses it."""
    try:
        text = repr(value)
    except ValueError:  # a number of more than 4,300 digits
        text = ""
    return text if 0 < len(text) <= 200 else f"a value of type {type(value).__name__}"


def is_true(value: Any, name: str) -> bool:
    """A flag. TypeError for anything but True, False, 0 and 1, strings included."""
    if value is True or value is False:
        return value
    plain = _number(value)
    if not isinstance(plain, (bool, int)) or plain not in (0, 1):
        raise TypeError(f"{name}: expected True or False, got {shown(value)}")
    return bool(plain)


def whole_number(value: Any, name: str, expected: str) -> int:
    """An integer of Python or NumPy. TypeError for anything else, including True and 3.0.

    ValueError where it does not fit into the operators' 64 bits.
    """
    plain = _number(value)
    if isinstance(plain, bool) or not isinstance(plain, Integral):
        raise TypeError(f"{name}: expected {expected}, got {shown(value)}")
    if int(plain).bit_length() > 63:
        raise ValueError(f"{name}: expected {expected}, got {shown(value)}")
    return int(plain)


def real_number(value: Any, name: str, expected: str) -> float:
    """A number of Python or NumPy. TypeError for anything else."""
    plain = _number(value)
    if isinstance(plain, bool) or not isinstance(plain, Real):
        raise TypeError(f"{name}: expected {expected}, got {shown(value)}")
    try:
        return float(plain)
    except OverflowError:  # an integer beyond any float
        return math.inf if plain > 0 else -math.inf  # type: ignore[operator]
