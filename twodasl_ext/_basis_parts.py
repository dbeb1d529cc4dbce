"""The checks of a basis's tensors: when it is made, after a change, and in a saved state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ._arguments import as_tensor
from ._checks import check_device, check_indices, check_tensor, shape_text
from ._kept import capturing

STORAGES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
HALVES = (torch.bfloat16, torch.float16)


class Watched:
    """Holds the tensors that may need gradients where a compiler checks them in every call.

    torch 2.10 and 2.11 skip the guards of a module's own tensors while its dictionaries are unchanged: a
    graph would not see that one requires a gradient now, and silently return none.
    """

    mean: Tensor
    modes: Tensor


def check_shapes(mean: Tensor, modes: Tensor) -> None:
    """ValueError or TypeError unless these are (N, 3) and (K, N, 3) floating-point tensors of one device."""
    for tensor, name in ((mean, "mean"), (modes, "modes")):
        check_tensor(tensor, name)
        if not tensor.is_floating_point():
            raise TypeError(f"{name}: expected a floating-point tensor, got {tensor.dtype}")
    if mean.dim() != 2 or mean.shape[1] != 3 or mean.shape[0] == 0:
        raise ValueError(f"mean: expected (N, 3) with at least one vertex, got {shape_text(mean)}")
    if modes.dim() != 3 or modes.shape[1:] != mean.shape:
        count = mean.shape[0]
        raise ValueError(
            f"modes: expected (K, {count}, 3) for a mean of {count} vertices, got {shape_text(modes)}"
        )
    if modes.device != mean.device:
        raise ValueError(f"modes: expected device {mean.device} like mean, got {modes.device}")


def check_parts(mean: Tensor, modes: Tensor, indices: Tensor | None) -> None:
    """ValueError or TypeError unless mean, modes and landmarks make a basis."""
    check_shapes(as_tensor(mean, "mean"), as_tensor(modes, "modes"))
    if mean.dtype not in (torch.float32, torch.float64):
        raise TypeError(f"mean: expected float32 or float64, got {mean.dtype}")
    if modes.dtype != mean.dtype and (modes.dtype not in HALVES or mean.dtype != torch.float32):
        raise TypeError(f"modes: expected {mean.dtype} like the mean, got {modes.dtype}")
    if indices is not None:
        check_device(indices, "landmarks", mean.device)
        if torch.compiler.is_compiling() or not capturing(indices):
            check_indices(indices, len(mean), "landmarks")


def wrong_entries(here: Mapping[str, Tensor | None], state: Mapping[str, Any], prefix: str) -> list[str]:
    """One sentence for each entry of a saved state that cannot replace the current tensor."""
    wrong, mean = [], here["mean"]
    assert mean is not None  # every basis has one
    for name, tensor in here.items():
        given = state.get(prefix + name)
        if tensor is None or not isinstance(given, Tensor):
            continue
        if given.shape != tensor.shape:
            wrong.append(f"{prefix}{name}: expected {shape_text(tensor)}, got {shape_text(given)}")
        elif name == "landmarks":
            try:
                check_indices(given, len(mean), prefix + name)
            except (TypeError, ValueError) as error:
                wrong.append(str(error))
    return wrong
