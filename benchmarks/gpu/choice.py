"""Both sets of kernels of `vertices`, which a process chooses between (csrc/cuda/tensor_cores.cu)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from twodasl_ext import _load

CHOICES = {"tensor cores": True, "multiply-adds": False}


def has_both(device: torch.device) -> bool:
    """Whether the kernels on tensor cores run there."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def chosen(run: Callable[[], tuple[Tensor, ...]], on_tensor_cores: bool) -> Callable[[], tuple[Tensor, ...]]:
    """`run`, forward and backward, with that choice for the time of its call."""
    library = ctypes.CDLL(str(Path(_load.native.__file__ or "").with_name("_operators_cuda.so")))
    number = ctypes.c_int.in_dll(library, "twodasl_tensor_cores")

    def call() -> tuple[Tensor, ...]:
        before = number.value
        number.value = int(on_tensor_cores)
        try:
            return run()
        finally:
            number.value = before

    return call
