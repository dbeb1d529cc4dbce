"""What every operator says about a wrong argument: the argument, what was expected, what came."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import _load
from ._arguments import INTEGERS
from ._devices import check_place
from ._dispatch import has_values, plain

_FLOATS = (torch.float32, torch.float64)
_HALVES = (torch.float16, torch.bfloat16)


def shape_text(tensor: Tensor) -> str:
    """The shape as one writes it: (4, 62)."""
    return str(tuple(tensor.shape))


def check_tensor(value: object, name: str) -> Tensor:
    """TypeError unless `value` is a strided tensor."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor, got {type(value).__name__}")
    if value.is_nested:
        raise TypeError(f"{name}: expected a dense tensor, got a nested one; pad it, and give lengths")
    if value.layout != torch.strided:
        raise TypeError(f"{name}: expected a dense tensor, got layout {value.layout}")
    return value


def check_device(tensor: Tensor, name: str, expected: torch.device | None = None) -> None:
    """ValueError unless the tensor is on `expected` and there are kernels for that device."""
    device = tensor.device
    if expected is not None and device != expected:
        remedy = ""
        if "meta" not in (device.type, expected.type):
            remedy = (
                f"; {name}.to({str(expected)!r}) moves it there, basis.to({str(device)!r}) the basis here"
            )
        raise ValueError(f"{name}: expected device {expected} like the basis, got {device}{remedy}")
    check_place(device, name)


def as_compute(tensor: Tensor, name: str, dtype: torch.dtype, like: str = "the basis") -> Tensor:
    """The tensor in the compute dtype: half precision is promoted, anything else must fit already."""
    if tensor.dtype == dtype:
        return tensor
    if tensor.dtype in _HALVES:
        return tensor.to(dtype)
    raise TypeError(f"{name}: expected {dtype} like {like} (or float16/bfloat16), got {tensor.dtype}")


def _ready(a: Any, b: Any, dtype: torch.dtype, device: torch.device) -> bool:
    """Whether both are dense tensors that the kernels take as they are. What is not gets a closer look."""
    first, second = type(a), type(b)
    return (
        (first is Tensor or first is nn.Parameter)
        and (second is Tensor or second is nn.Parameter)
        and a.dtype is dtype
        and b.dtype is dtype
        and a.device == device
        and b.device == device
        and a.layout is torch.strided
        and b.layout is torch.strided
        and device.type in _load.DEVICES
    )


def are_ready(first: Any, *others: Any) -> bool:
    """Whether all are dense tensors of one dtype and device that the kernels take as they are."""
    if not isinstance(first, Tensor):
        return False
    dtype, device = first.dtype, first.device
    if dtype not in _FLOATS or device.type not in _load.DEVICES:
        return False
    for tensor in (first, *others):
        kind = type(tensor)
        if (
            (kind is not Tensor and kind is not nn.Parameter)
            or tensor.dtype is not dtype
            or tensor.device != device
            or tensor.layout is not torch.strided
            or tensor.is_nested
        ):
            return False
    return True


def check_coefficients_and_pose(
    coefficients: Any, pose: Any, modes: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """(B, K) and (B, 3, 4) of the basis's dtype and device."""
    if _ready(coefficients, pose, dtype, device):  # the usual case
        shape = coefficients.shape
        if len(shape) == 2 and shape[1] == modes and pose.shape == (shape[0], 3, 4):
            return coefficients, pose
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
    predicted: Any, target: Any, modes: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Two (B, 12 + K) parameter vectors of the basis's dtype and device."""
    if _ready(predicted, target, dtype, device):  # the usual case
        shape = predicted.shape
        if len(shape) == 2 and shape[1] == 12 + modes and target.shape == shape:
            return predicted, target
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
    if check_tensor(indices, name).dtype not in INTEGERS:
        raise TypeError(f"{name}: expected integer vertex indices, got {indices.dtype}")
    if indices.dim() != 1:
        raise ValueError(f"{name}: expected (L,), got {shape_text(indices)}")
    if indices.dtype != torch.int64:
        indices = indices.to(torch.int64)
    # Where the values are not known, indexing checks them itself.
    if has_values() and indices.device.type != "meta" and indices.numel():
        low, high = (int(v) for v in indices.aminmax())
        if low < 0 or high >= vertices:
            wrong = low if low < 0 else high
            raise ValueError(f"{name}: expected vertex indices in [0, {vertices}), got {wrong}")
    return indices


def check_out(out: object, shape: tuple[int, ...], inputs: tuple[Tensor, ...]) -> None:
    """A dense tensor of this shape and the first input's dtype and device, that shares no input's memory."""
    tensor = check_tensor(out, "out")
    like = inputs[0]
    if tuple(tensor.shape) != shape:
        raise ValueError(f"out: expected {shape}, got {shape_text(tensor)}")
    if tensor.dtype != like.dtype:
        raise TypeError(f"out: expected {like.dtype} like the basis, got {tensor.dtype}")
    if tensor.device != like.device:
        raise ValueError(f"out: expected device {like.device} like the basis, got {tensor.device}")
    if not tensor.is_contiguous():
        raise ValueError(f"out: expected a contiguous tensor, got strides {tensor.stride()}")
    if not plain() or tensor.device.type == "meta":
        return  # addresses are not known
    first, last = _span(tensor)
    for other in inputs:
        start, end = _span(other)
        if start < last and first < end:
            raise ValueError("out: expected memory of its own, got a tensor that overlaps an input")


def _span(tensor: Tensor) -> tuple[int, int]:
    """First address and the one past the last; an empty range for an empty tensor."""
    start = tensor.data_ptr()
    if not tensor.numel():
        return start, start
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (reach + 1) * tensor.element_size()
