"""nearest_neighbors: the nearest point of a cloud, exactly; PointIndex: the structure that finds it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._arguments import INTEGERS, as_indices
from ._checks import check_tensor, shape_text
from ._dispatch import plain
from ._neighbor_index import PointIndex, asked, build, explain_points, lengths_of
from ._operator import differentiable, gradient
from ._vmap import fold


def nearest_neighbors(
    query: Tensor,
    points: Tensor | PointIndex,
    *,
    lengths: Tensor | None = None,
    query_lengths: Tensor | None = None,
    hint: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The nearest of the points to every query: squared distance and index.

    Args:
        query: (B, M, 3) or (M, 3), float32 or float64 (half precision is promoted to float32).
        points: (B, P, 3), or (P, 3) with an (M, 3) query, of the query's dtype and device; or a `PointIndex`,
            which saves rebuilding the search structure for points that are searched more than once.
        lengths: (B,) integers: only the first `lengths[b]` points of element b are real. A `PointIndex` has
            its own lengths.
        query_lengths: (B,) integers, likewise for the queries.
        hint: (B, M) int64, or (M,): a likely index for every query, for instance the result of the last
            iteration of a loop. A good hint makes the search faster; no hint changes the result.

    Returns:
        squared distances (B, M) in the query's dtype and indices (B, M) int64, or (M,) each. A query past
        `query_lengths[b]` gets distance 0, index -1 and no gradient; its coordinates are ignored, as are
        those of points past `lengths[b]`.

    The result is that of brute force, bit for bit: the squared distance is ((dx*dx + dy*dy) + dz*dz) of
    d = query - point, every operation rounded once to the dtype, without fused multiply-adds on any
    processor; the least distance wins, and of equal ones the lowest index. This holds for any number of
    threads, hint, batch and instruction-set level. Where every distance of a query overflows, the distance is
    infinite and the index is the one for coordinates multiplied by 2^-66 (float32) or 2^-514 (float64).

    Gradients flow from the distances to `query` and to `points`, with the index held constant; a
    `PointIndex` is a constant. First derivatives only; a second one is an error that says so.

    Time: O((M + P) log P) for points spread over a surface; memory: linear in M + P.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came; also for coordinates that
        are not finite, a hint outside of [0, P), and queries of an element without points.

    On CUDA values are not checked, because that would make the host wait: a query that is not finite, and
    every query of an element whose points or lengths are wrong or that has no points, gets the distance NaN
    and the index -1; a wrong hint is ignored.
    """
    query, known, tree, lengths, single = asked(query, points, lengths)
    batch, queries = query.shape[:2]
    if tree is None:
        lengths = lengths_of(lengths, "lengths", batch, query.device, single)
    query_lengths = lengths_of(query_lengths, "query_lengths", batch, query.device, single)
    hint = _check_hint(hint, batch, queries, query.device, single)
    if tree is None:
        tree = build(known, lengths)
    try:
        distances, indices = _search(query, known, *tree, lengths, query_lengths, hint)
    except RuntimeError:
        # The kernel checks the values at memory speed; only the message needs to know which one is wrong.
        if plain():
            _explain(query, known, lengths, query_lengths, hint)
        raise
    return (distances[0], indices[0]) if single else (distances, indices)


def _check_hint(
    hint: Tensor | None, batch: int, queries: int, device: torch.device, single: bool
) -> Tensor | None:
    if hint is None:
        return None
    hint = check_tensor(as_indices(hint, "hint", device), "hint")
    if hint.dtype not in INTEGERS:
        raise TypeError(f"hint: expected integer indices, got {hint.dtype}")
    if tuple(hint.shape) != ((queries,) if single else (batch, queries)):
        expected = f"({queries},)" if single else f"({batch}, {queries})"
        raise ValueError(f"hint: expected {expected}, an index for every query, got {shape_text(hint)}")
    if hint.device != device:
        raise ValueError(f"hint: expected device {device} like query, got {hint.device}")
    hint = hint.to(torch.int64)
    return hint[None] if single else hint


def _explain(
    query: Tensor,
    points: Tensor,
    lengths: Tensor | None,
    query_lengths: Tensor | None,
    hint: Tensor | None,
) -> None:
    explain_points(query, query_lengths, "query", "query_lengths")
    for b in range(len(query)):
        known = points.shape[1] if lengths is None else int(lengths[b])
        asked = query.shape[1] if query_lengths is None else int(query_lengths[b])
        if known == 0 and asked > 0:
            raise ValueError(
                f"points: expected at least one for the {asked} queries of element {b}, got none"
            )
        if hint is not None:
            wrong = hint[b, :asked][(hint[b, :asked] < 0) | (hint[b, :asked] >= known)]
            if len(wrong):
                raise ValueError(
                    f"hint: expected indices in [0, {known}), got {wrong[0].item()} in element {b}"
                )


@gradient(
    "nearest_neighbors_backward",
    of="nearest_neighbors",
    remedy="take (query - points[indices]).square().sum(-1) where one is needed",
    vmap=fold(faces=(0, 1, 2, 3)),
)
def _differentiate(
    grad: Tensor, query: Tensor, points: Tensor, index: Tensor, need_query: bool, need_points: bool
) -> tuple[Tensor, Tensor]:
    batch = query.shape[0]
    return (
        query.new_empty((batch if need_query else 0, query.shape[1], 3)),
        query.new_empty((batch if need_points else 0, points.shape[1], 3)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(inputs[0], inputs[1], output[1])


def _backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    query, points, index = ctx.saved_tensors
    need_query, need_points = ctx.needs_input_grad[:2]
    rest = (None,) * 7
    if grad is None or not (need_query or need_points):
        return None, None, *rest
    grad_query, grad_points = _differentiate(grad, query, points, index, need_query, need_points)
    return grad_query if need_query else None, grad_points if need_points else None, *rest


def _tangent(inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Tensor, None]:
    """2 (q - p) . (q' - p') at the pairs that were found."""
    query, points = inputs[:2]
    index = _search(*inputs)[1]
    rows = index.clamp(min=0)[..., None].expand(-1, -1, 3)

    def pair(q: Tensor | None, p: Tensor | None) -> Tensor:
        chosen = None if p is None else p.gather(1, rows)
        if q is None:
            assert chosen is not None
            return -chosen
        return q if chosen is None else q - chosen

    product = 2 * (pair(query, points) * pair(*tangents[:2])).sum(dim=2)
    return torch.where(index >= 0, product, 0.0), None


@differentiable(
    "nearest_neighbors",
    setup_context=_setup_context,
    backward=_backward,
    tangent=_tangent,
    vmap=fold(faces=range(9)),
)
def _search(
    query: Tensor,
    points: Tensor,
    leaves: Tensor,
    ids: Tensor,
    boxes: Tensor,
    lowest: Tensor,
    lengths: Tensor | None,
    query_lengths: Tensor | None,
    hint: Tensor | None,
) -> tuple[Tensor, Tensor]:
    shape = query.shape[:2]
    return query.new_empty(shape), query.new_empty(shape, dtype=torch.int64)
