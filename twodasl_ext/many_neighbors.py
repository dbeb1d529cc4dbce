"""k_nearest_neighbors: the k nearest points of a cloud, exactly and in order."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._arguments import whole_number
from ._dispatch import plain
from ._neighbor_index import PointIndex, asked, build, explain_points, lengths_of
from ._operator import differentiable
from ._vmap import fold
from .neighbors import _differentiate

MOST = 64
"""The largest k."""


def k_nearest_neighbors(
    query: Tensor, points: Tensor | PointIndex, k: int, *, lengths: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The k nearest of the points to every query, nearest first: squared distances and indices.

    Args:
        query: (B, M, 3) or (M, 3), float32 or float64 (half precision is promoted to float32).
        points: (B, P, 3), or (P, 3) with an (M, 3) query, of the query's dtype and device; or a `PointIndex`,
            which saves rebuilding the search structure for points that are searched more than once.
        k: how many, from 1 to 64 and at most P.
        lengths: (B,) integers: only the first `lengths[b]` points of element b are real. A `PointIndex` has
            its own lengths.

    Returns:
        squared distances (B, M, k) in the query's dtype, ascending, and indices (B, M, k) int64; (M, k) each
        for single clouds. Where `lengths[b]` is less than k, the places past it have the distance infinity
        and the index -1, and no gradient.

    The result is that of sorting all pairs by (distance, index), with the distances of `nearest_neighbors`,
    bit for bit: of equal distances the lowest index comes first. Distances that overflow are infinite and
    last, in the order for coordinates multiplied by 2^-66 (float32) or 2^-514 (float64). The first place is
    the result of `nearest_neighbors`.

    Gradients flow from the distances to `query` and to `points`, with the indices held constant; a
    `PointIndex` is a constant. First derivatives only; a second one is an error that says so.

    Time: O((M + P) log P + M k) for points spread over a surface; memory: linear in M k + P.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came; also for coordinates that
        are not finite, and for more neighbors than there are points.

    On CUDA values are not checked, because that would make the host wait: a query that is not finite, and
    every query of an element whose points or length are wrong, gets distances NaN and indices -1.
    """
    k = whole_number(k, "k", f"a number from 1 to {MOST}")
    query, known, tree, lengths, single = asked(query, points, lengths)
    if not 1 <= k <= MOST:
        raise ValueError(f"k: expected a number from 1 to {MOST}, got {k}")
    if k > known.shape[1]:
        raise ValueError(f"k: expected at most {known.shape[1]}, the number of points, got {k}")
    if tree is None:
        lengths = lengths_of(lengths, "lengths", query.shape[0], query.device, single)
        tree = build(known, lengths, name="k_nearest_neighbors")
    try:
        distances, indices = _search(query, known, *tree, lengths, k)
    except RuntimeError:
        # The kernel checks the values at memory speed; only the message needs to know which one is wrong.
        if plain():
            explain_points(query, None, "query", "")
        raise
    return (distances[0], indices[0]) if single else (distances, indices)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(inputs[0], inputs[1], output[1])


def _backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    """That of `nearest_neighbors`, for k queries in the place of one."""
    query, points, index = ctx.saved_tensors
    need_query, need_points = ctx.needs_input_grad[:2]
    rest = (None,) * 6
    if grad is None or not (need_query or need_points):
        return None, None, *rest
    batch, queries, k = index.shape
    repeated = query[:, :, None].expand(batch, queries, k, 3).reshape(batch, queries * k, 3)
    grad_query, grad_points = _differentiate(
        grad.reshape(batch, queries * k),
        repeated,
        points,
        index.reshape(batch, queries * k),
        need_query,
        need_points,
    )
    return (
        grad_query.reshape(batch, queries, k, 3).sum(dim=2) if need_query else None,
        grad_points if need_points else None,
        *rest,
    )


def _tangent(inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Tensor, None]:
    """2 (q - p) . (q' - p') at the pairs that were found."""
    query, points = inputs[:2]
    index = _search(*inputs)[1]
    rows = index.clamp(min=0).flatten(1)[..., None].expand(-1, -1, 3)

    def chosen(p: Tensor) -> Tensor:
        return p.gather(1, rows).unflatten(1, index.shape[1:])

    moved, bent = tangents[:2]
    change = 0.0 if moved is None else moved[:, :, None]
    if bent is not None:
        change = change - chosen(bent)
    product = 2 * ((query[:, :, None] - chosen(points)) * change).sum(dim=3)
    return torch.where(index >= 0, product, 0.0), None


@differentiable(
    "k_nearest_neighbors",
    setup_context=_setup_context,
    backward=_backward,
    tangent=_tangent,
    vmap=fold(faces=range(7)),
)
def _search(
    query: Tensor,
    points: Tensor,
    leaves: Tensor,
    ids: Tensor,
    boxes: Tensor,
    lowest: Tensor,
    lengths: Tensor | None,
    k: int,
) -> tuple[Tensor, Tensor]:
    shape = (*query.shape[:2], k)
    return query.new_empty(shape), query.new_empty(shape, dtype=torch.int64)
