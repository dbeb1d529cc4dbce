"""The packed layout: blocks of 16 vertices x modes x (x, y, z) x 16 lanes, the order in which a kernel reads.

Plain differentiable tensor algebra, so that gradients of a packed basis flow back to the (K, N, 3) modes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from . import _load  # noqa: F401  (registers the operators)

BLOCK = 16


def block_count(vertices: int) -> int:
    """Blocks that hold so many vertices."""
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
    """The same tensor where a pass over it costs fewer address translations; other devices have no such thing."""
    if packed.device.type != "cpu" or packed.dim() != 4:
        return packed
    return torch.ops.twodasl.huge_copy(packed)


def unpack_modes(packed: Tensor, count: int) -> Tensor:
    """(blocks, K, 3, 16) -> (K, N, 3)."""
    blocks, modes_count = packed.shape[:2]
    return packed.permute(1, 0, 3, 2).reshape(modes_count, blocks * BLOCK, 3)[:, :count].contiguous()


def gather_modes(packed: Tensor, indices: Tensor) -> Tensor:
    """The modes of some vertices only: (blocks, K, 3, 16), (L,) -> (K, L, 3)."""
    rows = packed[torch.div(indices, BLOCK, rounding_mode="floor"), :, :, indices % BLOCK]
    return rows.transpose(0, 1)
