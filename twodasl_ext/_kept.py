"""A cache of what is derived from tensors that may change: packed layouts, the distance factor.

A cached value records the tensors it was made from and their state: the object, its version (which every
in-place operation increments) and its address (which assigning to `.data` changes). It is recomputed when any
of these differs. Writes that torch itself does not count, through `tensor.data` or `tensor.numpy()`, go
unnoticed; `torch.autograd.graph.increment_version(tensor)` reports them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils.weak import WeakTensorKeyDictionary

from ._dispatch import transformed, without_transforms


def keep(value: Any, *tensors: Tensor) -> tuple[Any, ...]:
    """A value derived from up to three constant tensors, with the state they were in."""
    states = [(t, t._version, t.data_ptr()) for t in tensors] + [(None, 0, 0)] * (3 - len(tensors))
    # Holding the storages keeps other tensors from reusing the same address.
    held = [t.untyped_storage() for t in tensors]
    return (value, *states[0], *states[1], *states[2], held)


def fits(kept: Any, first: Any, second: Tensor | None = None, third: Tensor | None = None) -> bool:
    """Whether these are the same tensors, unchanged and still constants. Unrolled: every call runs it."""
    if kept is None:
        return False
    _, a, version_a, address_a, b, version_b, address_b, c, version_c, address_c, _ = kept
    return (
        first is a
        and second is b
        and third is c
        and first._version == version_a
        and first.data_ptr() == address_a
        and not first.requires_grad
        and (b is None or (b._version == version_b and b.data_ptr() == address_b and not b.requires_grad))
        and (c is None or (c._version == version_c and c.data_ptr() == address_c))
    )


class Memo:
    """`make(*tensors)`, remembered as long as the first tensor lives, where there is no place to keep it."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make
        self._known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def __call__(self, *tensors: Tensor) -> Any:
        first, rest = tensors[0], tensors[1:]
        known = self._known.get(first)
        if known is not None and known[1] == _state(tensors) and all(map(operator.is_, known[2], rest)):
            return known[0]
        value = self._make(*tensors)
        if constant(*tensors) and lasting(value):
            # Hold the storages: a reference to the first tensor would keep it alive forever.
            held = [t.untyped_storage() for t in tensors]
            self._known[first] = (value, _state(tensors), rest, held)
        return value


def _state(tensors: tuple[Tensor, ...]) -> list[tuple[int, int]] | None:
    """Version and address of each; None where versions are not counted."""
    if any(t.is_inference() for t in tensors):
        return None
    return [(t._version, t.data_ptr()) for t in tensors]


def constant(*tensors: Tensor) -> bool:
    """Whether later changes of all of these are noticed: not of parameters, which are there to change.

    Averages of weights are often written through `.data`, which goes unnoticed; those are parameters.
    """
    if transformed() and any(map(_is_transformed, tensors)):
        return False
    return all(type(t) is Tensor and not t.requires_grad and not t.is_inference() for t in tensors)


def _is_transformed(tensor: Tensor) -> bool:
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        return True
    return forward_ad._current_level >= 0 and forward_ad.unpack_dual(tensor).tangent is not None


def lasting(value: Any) -> bool:
    """Whether a later call can use it: not a value of a trace or a mode, nor in a CUDA graph's memory."""
    tensors = value if isinstance(value, tuple) else (value,)
    if torch.compiler.is_compiling() or any(type(t) is not Tensor for t in tensors if isinstance(t, Tensor)):
        return False
    return not any(capturing(t) for t in tensors if isinstance(t, Tensor))


def capturing(tensor: Tensor) -> bool:
    """Whether work on the tensor's device is being captured in a CUDA graph, and so has no values yet."""
    return tensor.is_cuda and torch.cuda.is_current_stream_capturing()


def make_constant(make: Callable[..., Any], *tensors: Tensor) -> Any:
    """`make` of constant tensors, as an ordinary value under any transform or autograd mode."""
    with torch.inference_mode(False), torch.no_grad():
        return without_transforms(make, *tensors)
