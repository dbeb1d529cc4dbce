"""Whether a computation makes the host wait for a GPU, which a CUDA graph cannot capture.

An attempt to capture one fails, and can upset what is measured after it; so it is looked for beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

WAITING = {
    "aten::_local_scalar_dense",  # item(), bool(), int()
    "aten::nonzero",
    "aten::masked_select",
    "aten::unique_dim",
    "aten::_unique2",
    "aten::repeat_interleave",
    "aten::_linalg_svd",
    "aten::_linalg_eigh",
}
"""Operators that read a result of theirs on the host: a number, a size, whether a decomposition converged."""


class _Watch(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: str | None = None

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        given = [t for t in _pytree.tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        by_mask = name.startswith("aten::index") and any(t.dtype == torch.bool for t in given[1:])
        found = func(*args, **kwargs)
        made = [t for t in _pytree.tree_leaves(found) if isinstance(t, Tensor)]
        devices = {
            t.device.type for t in (*given, *made) if t.dim()
        }  # a number of the host's goes along as one
        copied = name in ("aten::_to_copy", "aten::copy_") and len(devices) > 1
        if self.seen is None and (name in WAITING or by_mask or copied):
            self.seen = name
        return found


def waits(run: Callable[[], Any]) -> str | None:
    """The first operator of a run that makes the host wait; None where there is none. Runs it once."""
    with _Watch() as watch:
        run()
    return watch.seen
