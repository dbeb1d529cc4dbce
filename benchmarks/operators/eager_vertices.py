"""vertices in eager PyTorch, every way that a careful user might write it; a benchmark takes the fastest.

A formulation takes the mean (N, 3) and the modes (K, N, 3), lays them out once as it likes best, and gives
back a function (coefficients (B, K), pose (B, 3, 4)) -> (B, N, 3). Some results are strided views, which cost
nothing here and leave the interleaving to whoever reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Function = Callable[[Tensor, Tensor], Tensor]
Formulation = Callable[[Tensor, Tensor], Function]

# Vertices in a chunk: a chunk's shapes of up to 32 faces stay in a second-level cache of 1 MB.
CHUNK = 2048


def _flat(mean: Tensor, modes: Tensor) -> tuple[Tensor, Tensor]:
    """(3 N,) and (K, 3 N), all x, then all y, then all z."""
    return mean.T.reshape(-1).contiguous(), modes.transpose(1, 2).reshape(len(modes), -1).contiguous()


def by_component(mean: Tensor, modes: Tensor) -> Function:
    """One GEMM, then a batched 3x3 product over long rows. A view: (B, 3, N) in memory."""
    flat_mean, flat_modes = _flat(mean, modes)

    def run(coefficients: Tensor, pose: Tensor) -> Tensor:
        shape = torch.addmm(flat_mean, coefficients, flat_modes).view(len(pose), 3, -1)
        return torch.baddbmm(pose[:, :, 3:], pose[:, :, :3], shape).transpose(1, 2)

    return run


def by_component_contiguous(mean: Tensor, modes: Tensor) -> Function:
    """The same, then interleaved."""
    view = by_component(mean, modes)
    return lambda coefficients, pose: view(coefficients, pose).contiguous()


def interleaved(mean: Tensor, modes: Tensor) -> Function:
    """One GEMM in the order (N, 3), then a batched product with the turned pose: what one writes first."""
    flat_mean, flat_modes = mean.reshape(-1).contiguous(), modes.reshape(len(modes), -1).contiguous()

    def run(coefficients: Tensor, pose: Tensor) -> Tensor:
        shape = torch.addmm(flat_mean, coefficients, flat_modes).view(len(pose), -1, 3)
        return torch.baddbmm(pose[:, None, :, 3], shape, pose[:, :, :3].transpose(1, 2))

    return run


def features(mean: Tensor, modes: Tensor) -> Tensor:
    """(3 (K + 1) + 1, N): mean, modes and 1, in which every posed coordinate is linear."""
    rows = torch.cat((mean[None], modes)).transpose(1, 2).reshape(-1, len(mean))
    return torch.cat((rows, rows.new_ones(1, len(mean))))


def folded_coefficients(coefficients: Tensor, pose: Tensor) -> Tensor:
    """(3 B, 3 (K + 1) + 1): what each row of each pose multiplies the features by."""
    one = torch.nn.functional.pad(coefficients, (1, 0), value=1.0)
    products = one[:, None, :, None] * pose[:, :, None, :3]
    return torch.cat((products.flatten(2), pose[:, :, 3:]), dim=2).flatten(0, 1)


def folded(mean: Tensor, modes: Tensor) -> Function:
    """The pose folded into the coefficients: one GEMM of three times the work and no second pass. A view."""
    table = features(mean, modes)

    def run(coefficients: Tensor, pose: Tensor) -> Tensor:
        return (folded_coefficients(coefficients, pose) @ table).view(len(pose), 3, -1).transpose(1, 2)

    return run


def _chunks(mean: Tensor, modes: Tensor) -> list[tuple[int, Tensor, Tensor]]:
    starts = range(0, len(mean), CHUNK)
    return [(start, *_flat(mean[start : start + CHUNK], modes[:, start : start + CHUNK])) for start in starts]


def _chunked(chunks: list[tuple[int, Tensor, Tensor]], c: Tensor, pose: Tensor, view: Tensor) -> None:
    """Fills view (B, 3, N), any strides. Only the result is new memory; the shapes stay in a cache."""
    for start, flat_mean, flat_modes in chunks:
        shape = torch.addmm(flat_mean, c, flat_modes).view(len(pose), 3, -1)
        part = torch.baddbmm(pose[:, :, 3:], pose[:, :, :3], shape)
        view[:, :, start : start + part.shape[2]].copy_(part)


class _InChunks(torch.autograd.Function):
    """Its own gradient, chunk by chunk too: the shape is computed again instead of kept."""

    @staticmethod
    def forward(ctx: Any, chunks: Any, count: int, contiguous: bool, c: Tensor, pose: Tensor) -> Tensor:
        ctx.chunks = chunks
        ctx.save_for_backward(c, pose)
        if contiguous:
            output = c.new_empty(len(c), count, 3)
            _chunked(chunks, c, pose, output.transpose(1, 2))
            return output
        output = c.new_empty(len(c), 3, count)
        _chunked(chunks, c, pose, output)
        return output.transpose(1, 2)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        c, pose = ctx.saved_tensors
        turn = pose[:, :, :3].transpose(1, 2).contiguous()
        grad_c, grad_pose = torch.zeros_like(c), torch.zeros_like(pose)
        for start, flat_mean, flat_modes in ctx.chunks:
            shape = torch.addmm(flat_mean, c, flat_modes).view(len(pose), 3, -1)
            part = grad[:, start : start + shape.shape[2]].transpose(1, 2)
            grad_c.addmm_((turn @ part).flatten(1), flat_modes.T)
            grad_pose[:, :, :3] += part @ shape.transpose(1, 2)
            grad_pose[:, :, 3] += part.sum(dim=2)
        return None, None, None, grad_c, grad_pose


def in_chunks(mean: Tensor, modes: Tensor) -> Function:
    """By component, a few thousand vertices at a time, with a gradient written by hand. A view."""
    chunks, count = _chunks(mean, modes), len(mean)
    return lambda coefficients, pose: _InChunks.apply(chunks, count, False, coefficients, pose)


def in_chunks_contiguous(mean: Tensor, modes: Tensor) -> Function:
    """The same, each chunk interleaved as it is written."""
    chunks, count = _chunks(mean, modes), len(mean)
    return lambda coefficients, pose: _InChunks.apply(chunks, count, True, coefficients, pose)


def pointwise(mean: Tensor, modes: Tensor) -> Function:
    """For torch.compile: the pose written out, so that the compiler makes one loop of it."""
    flat_mean, flat_modes = _flat(mean, modes)

    def run(coefficients: Tensor, pose: Tensor) -> Tensor:
        x, y, z = torch.addmm(flat_mean, coefficients, flat_modes).view(len(pose), 3, -1).unbind(1)
        m = pose[..., None]
        rows = [m[:, r, 0] * x + m[:, r, 1] * y + m[:, r, 2] * z + m[:, r, 3] for r in range(3)]
        return torch.stack(rows, dim=-1)

    return run


VERTICES: dict[str, Formulation] = {
    "by component": by_component,
    "by component, contiguous": by_component_contiguous,
    "interleaved": interleaved,
    "folded": folded,
    "in chunks": in_chunks,
    "in chunks, contiguous": in_chunks_contiguous,
}
# Compiling takes seconds for every size, so only the formulation that was the faster one at every batch.
COMPILED_VERTICES: dict[str, Formulation] = {"pointwise": pointwise}


def into(mean: Tensor, modes: Tensor, batch: int) -> dict[str, Function]:
    """Formulations that write into memory that stays: no result is new, nor is anything in between."""
    flat_mean, flat_modes = _flat(mean, modes)
    shape, output = mean.new_empty(batch, 3 * len(mean)), mean.new_empty(batch, 3, len(mean))
    chunks = _chunks(mean, modes)

    def whole(coefficients: Tensor, pose: Tensor) -> Tensor:
        torch.addmm(flat_mean, coefficients, flat_modes, out=shape)
        torch.baddbmm(pose[:, :, 3:], pose[:, :, :3], shape.view(output.shape), out=output)
        return output.transpose(1, 2)

    def chunked(coefficients: Tensor, pose: Tensor) -> Tensor:
        _chunked(chunks, coefficients, pose, output)
        return output.transpose(1, 2)

    def chunked_contiguous(coefficients: Tensor, pose: Tensor) -> Tensor:
        interleaved_output = output.view(batch, -1, 3)
        _chunked(chunks, coefficients, pose, interleaved_output.transpose(1, 2))
        return interleaved_output

    return {"by component": whole, "in chunks": chunked, "in chunks, contiguous": chunked_contiguous}
