"""The operator under fit_landmarks: its shapes, its derivative, and its rule for vmap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._operator import differentiable, gradient
from ._vmap import Rule, fold, loop


def _fold(faces: Sequence[int], offsets: int, batch_of: int) -> Rule:
    """`fold`, which also repeats the groups' offsets for each sample's faces."""
    rule = fold(faces=(*faces, offsets))

    def with_groups(call: Any, info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        batched = {i for i, dim in enumerate(in_dims) if dim is not None}
        if not batched <= {*faces, offsets}:
            return loop(call, info, in_dims, *inputs)
        dim, given = in_dims[offsets], inputs[offsets]
        given = given.expand(info.batch_size, -1) if dim is None else given.movedim(dim, 0)
        if not given.shape[1]:
            return rule(call, info, in_dims, *inputs)
        sizes = list(inputs[batch_of].shape)
        if in_dims[batch_of] is not None:
            del sizes[in_dims[batch_of]]
        first = torch.arange(info.batch_size, device=given.device)[:, None] * sizes[0]
        # A group ends where the next begins, so every sample's last offset is the next one's first.
        spread = torch.cat(((given[:, :-1] + first).flatten(), given[-1:, -1] + first[-1]))

        def call_with_all(*folded: Any) -> Any:
            return call(*folded[:offsets], spread, *folded[offsets + 1 :])

        return rule(call_with_all, info, in_dims, *inputs)

    return with_groups


@gradient(
    "fit_landmarks_backward",
    of="fit_landmarks",
    remedy="use first derivatives of the fit",
    vmap=_fold(faces=(0, *range(4, 11), 14, 15), offsets=11, batch_of=4),
)
def _differentiate(
    grad: Tensor, mean: Tensor, modes: Tensor, center: Tensor, points: Tensor, sigma: Tensor, start: Tensor,
    pose_sigma: Tensor, prior_mean: Tensor, prior_precision: Tensor, intrinsics: Tensor, offsets: Tensor,
    shared: int, robust: float, unknowns: Tensor, chosen: Tensor, need_precision: bool, need_basis: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    def like(tensor: Tensor, *shape: Any) -> Tensor:
        return tensor.new_empty(shape or tensor.shape)

    batch, count = sigma.shape
    places = (batch, count, 3) if need_basis else (0, count, 3)
    return (
        like(points),
        like(sigma),
        like(start),
        like(pose_sigma),
        like(prior_mean),
        like(prior_precision, batch if need_precision else 0, *prior_precision.shape[1:]),
        like(points, *places),
        like(points, *places),
        like(prior_mean, batch if need_basis else 0, prior_mean.shape[1]),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    mean, modes, _, _, center, *faces = inputs[:13]
    unknowns, chosen = output[2], output[5]
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.shared, ctx.robust = inputs[13], inputs[14]
    ctx.save_for_backward(mean, modes, center, *faces, unknowns, chosen)


def _backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    needs = ctx.needs_input_grad
    if grad is None or not any(needs):
        return (None,) * 17
    *inputs, unknowns, chosen = ctx.saved_tensors
    mean, modes = inputs[:2]
    need_basis = needs[0] or needs[1]
    options: tuple[Any, ...] = (ctx.shared, ctx.robust, unknowns, chosen, bool(needs[10]), bool(need_basis))
    arguments: tuple[Any, ...] = (grad, *inputs, *options)
    found = _differentiate(*arguments)
    faces = [g if need else None for g, need in zip(found[:6], needs[5:11], strict=True)]
    rows = _grad_of_rows(mean, modes, unknowns[:, 7:], chosen, *found[6:]) if need_basis else (None, None)
    basis = [g if need else None for g, need in zip(rows, needs[:2], strict=True)]
    return *basis, None, None, None, *faces, *(None,) * 6


def _grad_of_rows(
    mean: Tensor, modes: Tensor, c: Tensor, chosen: Tensor, pull: Tensor, turn: Tensor, solved: Tensor
) -> tuple[Tensor, Tensor]:
    """Of the mean's and the modes' rows: sums over the points that used them, in a fixed order."""
    index = (chosen.to(torch.int64).flatten(),)
    of_mean = torch.zeros_like(mean).index_put(index, pull.flatten(0, 1), accumulate=True)
    by_point = c[:, None, :, None] * pull[:, :, None] + solved[:, None, :, None] * turn[:, :, None]
    of_modes = torch.zeros_like(modes).transpose(0, 1).contiguous()
    of_modes = of_modes.index_put(index, by_point.flatten(0, 1), accumulate=True)
    return of_mean, of_modes.transpose(0, 1)


@differentiable(
    "fit_landmarks",
    setup_context=_setup_context,
    backward=_backward,
    vmap=_fold(faces=range(5, 12), offsets=12, batch_of=5),
)
def fit(
    mean: Tensor, modes: Tensor, candidates: Tensor, outward: Tensor, center: Tensor,
    points: Tensor, sigma: Tensor, start: Tensor, pose_sigma: Tensor,
    prior_mean: Tensor, prior_precision: Tensor, intrinsics: Tensor, offsets: Tensor,
    shared: int, robust: float, iterations: int, tolerance: float,
) -> tuple[Tensor, ...]:  # fmt: skip
    """(parameters, deviations, unknowns, cost, residuals, chosen, steps, converged)."""
    batch, modes_count = prior_mean.shape
    return (
        points.new_empty((batch, 12 + modes_count)),
        points.new_empty((batch, 7 + modes_count)),
        points.new_empty((batch, 7 + modes_count)),
        points.new_empty((batch,)),
        torch.empty_like(points, memory_format=torch.contiguous_format),
        points.new_empty(sigma.shape, dtype=torch.int32),
        points.new_empty((batch,), dtype=torch.int32),
        points.new_empty((batch,), dtype=torch.bool),
    )
