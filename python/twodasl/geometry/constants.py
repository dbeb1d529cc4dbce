"""Small constant tensors, cached on every device that uses them.

A copy from host memory makes the host wait for the device in every step, and cannot be captured in a CUDA
graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

_kept: dict[tuple[tuple[float, ...], torch.device, torch.dtype], Tensor] = {}


def constant(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """(len(values),), read-only; copied to the device once."""
    if torch.compiler.is_compiling():
        return torch.tensor(values, dtype=dtype, device=device)
    key = (values, device, dtype)
    found = _kept.get(key)
    if found is None:
        with torch.inference_mode(False):  # regardless of the caller's mode: later callers may differentiate
            found = torch.tensor(values, dtype=dtype, device=device)
        if type(found) is Tensor and device.type != "meta":  # not created in a mode without values
            _kept[key] = found
    return found
