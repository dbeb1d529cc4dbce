"""The packed layout: blocks of 16 vertices x modes x (x, y, z) x 16 lanes, the order in which kernels read.

Plain differentiable tensor algebra, so that gradients of a packed basis flow back to the (K, N, 3) modes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ._kept import constant
from ._operator import operator

BLOCK = 16


def block_count(vertices: int) -> int:
    """The number of blocks that hold this many vertices."""
    return (vertices + BLOCK - 1) // BLOCK


def pack_mean(mean: Tensor) -> Tensor:
    """(N, 3) -> (blocks, 3, 16), zeros past the last vertex."""
    count = mean.shape[0]
    padded = torch.nn.functional.pad(mean, (0, 0, 0, block_count(count) * BLOCK - count))
    return padded.reshape(block_count(count), BLOCK, 3).transpose(1, 2).contiguous()


def pack_modes(modes: Tensor) -> Tensor:
    """(K, N, 3) -> (blocks, K, 3, 16), zeros past the last vertex."""
    modes_count, count = modes.shape[:2]
    padded = torch.nn.functional.pad(modes, (0, 0, 0, block_count(count) * BLOCK - count))
    return padded.reshape(modes_count, block_count(count), BLOCK, 3).permute(1, 0, 3, 2).contiguous()


def in_large_pages(packed: Tensor) -> Tensor:
    """The same tensor where a pass over it costs fewer address translations, on the CPU."""
    if packed.device.type != "cpu" or packed.dim() != 4:
        return packed
    return _huge_copy(packed)


def huge_modes(modes: Tensor) -> Tensor:
    """`pack_modes` for a result that is read often: constants go into large pages, without a derivative."""
    packed = pack_modes(modes)
    return packed if torch.compiler.is_compiling() or not constant(modes) else in_large_pages(packed)


def pack_rows(mean: Tensor, modes: Tensor, indices: Tensor) -> tuple[Tensor, Tensor, int]:
    """Mean and modes of some vertices (L,), packed, and their number."""
    indices = indices.to(torch.int64)
    # So few vertices gain nothing from half precision; their values equal those of `vertices`.
    rows = modes[:, indices].to(mean.dtype)
    return pack_mean(mean[indices]), pack_modes(rows), indices.shape[0]


@operator("huge_copy")
def _huge_copy(source: Tensor) -> Tensor:
    return torch.empty_like(source, memory_format=torch.contiguous_format)
