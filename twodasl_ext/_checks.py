"""What every operator says about a wrong argument: the argument, what was expected, what came."""

from __future__ import annotations

import torch
from torch import Tensor

from . import _load

_FLOATS = (torch.float32, torch.float64)
_HALVES = (torch.float16, torch.bfloat16)


def shape_text(tensor: Tensor) -> str:
    """The shape as one writes it: (4, 62)."""
    return str(tuple(tensor.shape))


def check_tensor(value: object, name: str) -> Tensor:
    """TypeError unless `value` is a strided tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")
    if value.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {value.layout}")
    return value


def check_device(tensor: Tensor, name: str, expected: torch.device | None = None) -> None:
    """ValueError unless the tensor is on `expected` and there are kernels for that device."""
    device = tensor.device
    if expected is not None and device != expected:
        raise ValueError(f"{name}: expected device {expected} like the basis, got {device}")
    if device.type not in _load.DEVICES and device.type != "meta":
        raise ValueError(
            f"{name}: no operators for device {device}; this build has kernels for {', '.join(_load.DEVICES)}"
        )


def as_compute(tensor: Tensor, name: str, dtype: torch.dtype) -> Tensor:
    """The tensor in the basis's compute dtype: half precision is promoted, anything else must fit already."""
    if tensor.dtype == dtype:
        return tensor
    if tensor.dtype in _HALVES:
        return tensor.to(dtype)
    raise TypeError(f"{name}: expected {dtype} like the basis (or float16/bfloat16), got {tensor.dtype}")


def check_coefficients_and_pose(
    coefficients: object, pose: object, modes: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(B, K) and (B, 3, 4) of the basis's dtype and device."""
    c = check_tensor(coefficients, "coefficients")
    p = check_tensor(pose, "pose")
    if c.dim() != 2 or c.shape[1] != modes:
        raise ValueError(
            f"coefficients: expected (B, {modes}) for a basis of {modes} modes, got {shape_text(c)}"
        )
    if p.dim() != 3 or p.shape[1] != 3 or p.shape[2] != 4:
        raise ValueError(f"pose: expected (B, 3, 4), got {shape_text(p)}")
    if p.shape[0] != c.shape[0]:
        raise ValueError(
            f"pose: expected ({c.shape[0]}, 3, 4) for coefficients of {c.shape[0]} faces, got {shape_text(p)}"
        )
    check_device(c, "coefficients", device)
    check_device(p, "pose", device)
    return as_compute(c, "coefficients", dtype), as_compute(p, "pose", dtype)


def check_parameters(
    predicted: object, target: object, modes: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Two (B, 12 + K) parameter vectors of the basis's dtype and device."""
    checked = []
    for value, name in ((predicted, "predicted"), (target, "target")):
        tensor = check_tensor(value, name)
        if tensor.dim() != 2 or tensor.shape[1] != 12 + modes:
            raise ValueError(
                f"{name}: expected (B, {12 + modes}) for a basis of {modes} modes (12 pose entries first), "
                f"got {shape_text(tensor)}"
            )
        check_device(tensor, name, device)
        checked.append(as_compute(tensor, name, dtype))
    if checked[0].shape[0] != checked[1].shape[0]:
        raise ValueError(
            f"target: expected {shape_text(checked[0])} like predicted, got {shape_text(checked[1])}"
        )
    return checked[0], checked[1]


def check_float(tensor: Tensor, name: str) -> None:
    """TypeError unless float32 or float64."""
    if tensor.dtype not in _FLOATS:
        raise TypeError(f"{name}: expected float32 or float64, got {tensor.dtype}")


def check_indices(indices: Tensor, vertices: int, name: str) -> Tensor:
    """(L,) vertex indices as int64. ValueError outside [0, vertices), TypeError unless integers."""
    if indices.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8):
        raise TypeError(f"{name}: expected integer vertex indices, got {indices.dtype}")
    if indices.dim() != 1:
        raise ValueError(f"{name}: expected (L,), got {shape_text(indices)}")
    indices = indices.to(torch.int64)
    # The values are not known while a graph is traced; the compiled graph then trusts them as indexing does.
    if indices.numel() and not torch.compiler.is_compiling() and indices.device.type != "meta":
        low, high = (int(v) for v in indices.aminmax())
        if low < 0 or high >= vertices:
            wrong = low if low < 0 else high
            raise ValueError(f"{name}: expected vertex indices in [0, {vertices}), got {wrong}")
    return indices
