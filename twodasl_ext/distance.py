"""vertex_distance_cost: mean squared vertex distance at a cost independent of the number of vertices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._arguments import is_true
from ._checks import check_parameters
from ._distance_factor import check_factor, check_triangle, pack_factor
from ._kept import Memo
from ._operator import differentiable, gradient
from ._vmap import fold
from .basis import MorphableBasis
from .vertices import vertices


def vertex_distance_cost(
    basis: MorphableBasis,
    predicted: Tensor,
    target: Tensor,
    *,
    ignore_depth: bool = False,
    factor: Tensor | None = None,
) -> Tensor:
    """Mean over all vertices of ||V(predicted) - V(target)||^2.

    Args:
        basis: N vertices, K modes.
        predicted: (B, 12 + K), `[pose row-major 3x4 | coefficients]`, not whitened.
        target: (B, 12 + K).
        ignore_depth: use the target's t_z for both, as 3DDFA does, because an image does not determine it.
        factor: the result of `basis.distance_factor(weights)`, which weights the mean or limits it to some
            vertices. None weights all vertices equally.

    Returns:
        (B,) of the basis's dtype, in the pose's target unit squared.

    Gradients flow to `predicted` and `target`; first derivatives only. The difference of two shapes is
    linear in products of parameter *differences* (M - M*, c - c*, t - t*), so close predictions do not
    cancel; and the sum over vertices is the squared norm of those products under the basis's distance factor,
    computed once. The same inputs give the same bits whatever the number of threads and the rest of the
    batch. NaN in a face's input gives NaN in that face's output only.

    A basis that is being trained has no constant factor: both shapes are then computed, gradients reach the
    basis too, and `factor` is an error. Both shapes are also computed for frozen parameters, which an average
    of weights may change in every step, unless `factor` is given.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.

    Source: Zhu et al., 3DDFA (arXiv 1804.01005), the Vertex Distance Cost; 2DASL fine-tunes with it.
    """
    ignore_depth = is_true(ignore_depth, "ignore_depth")
    predicted, target = check_parameters(predicted, target, basis.mode_count, basis.dtype, basis.device)
    if basis.trained and factor is not None:
        raise ValueError("factor: expected None for a basis that is being trained, whose moments change")
    if factor is None and basis.changing:
        return _synthesized(basis, predicted, target, ignore_depth)
    packed = basis.packed_distance_factor() if factor is None else _pack_given(basis, factor)
    return _measure(packed, predicted, target, ignore_depth)[0]


def _pack_checked(factor: Tensor) -> Tensor:
    check_triangle(factor)
    return pack_factor(factor)


_packed_given = Memo(_pack_checked)
"""Callers' factors in the kernels' layout."""


def _pack_given(basis: MorphableBasis, factor: Tensor) -> Tensor:
    factor = check_factor(factor, basis.mode_count, basis.dtype, basis.device)
    return pack_factor(factor) if torch.compiler.is_compiling() else _packed_given(factor)


def _synthesized(basis: MorphableBasis, predicted: Tensor, target: Tensor, ignore_depth: bool) -> Tensor:
    batch = predicted.shape[0]
    poses = [p[:, :12].reshape(batch, 3, 4) for p in (predicted, target)]
    if ignore_depth:
        keep = predicted.new_ones(3, 4)
        keep[2, 3] = 0
        poses = [pose * keep for pose in poses]
    difference = vertices(basis, predicted[:, 12:], poses[0]) - vertices(basis, target[:, 12:], poses[1])
    return difference.square().sum(dim=2).mean(dim=1)


@gradient(
    "vertex_distance_cost_backward",
    of="vertex_distance_cost",
    remedy="use twodasl_ext.reference.vertex_distance_cost where one is needed",
    vmap=fold(faces=(0, 2, 3, 4)),
)
def _differentiate(
    grad: Tensor,
    factor: Tensor,
    residual: Tensor,
    predicted: Tensor | None,
    target: Tensor | None,
    ignore_depth: bool,
) -> tuple[Tensor, Tensor]:
    either = target if predicted is None else predicted
    assert either is not None
    batch, width = either.shape
    return (
        factor.new_empty((0 if predicted is None else batch, width)),
        factor.new_empty((0 if target is None else batch, width)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    factor, predicted, target, ctx.ignore_depth = inputs
    residual = output[1]
    needs = ctx.needs_input_grad
    ctx.mark_non_differentiable(residual)
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(factor, residual, predicted if needs[1] else None, target if needs[2] else None)


def _backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    factor, residual, predicted, target = ctx.saved_tensors
    if grad is None or (predicted is None and target is None):
        return None, None, None, None
    grad_predicted, grad_target = _differentiate(grad, factor, residual, predicted, target, ctx.ignore_depth)
    return (
        None,
        None if predicted is None else grad_predicted,
        None if target is None else grad_target,
        None,
    )


def _tangent(inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Tensor | None, Tensor | None]:
    """The gradients' products with the tangents. The residual has no derivative of its own."""
    factor, predicted, target, ignore_depth = inputs
    moved = [t is not None for t in tangents[1:3]]
    cost, residual = _measure(*inputs)
    gradients = _differentiate(
        torch.ones_like(cost),
        factor,
        residual,
        predicted if moved[0] else None,
        target if moved[1] else None,
        ignore_depth,
    )
    products = [(g * t).sum(dim=1) for g, t, m in zip(gradients, tangents[1:3], moved, strict=True) if m]
    return sum(products[1:], products[0]), None


@differentiable(
    "vertex_distance_cost",
    setup_context=_setup_context,
    backward=_backward,
    tangent=_tangent,
    vmap=fold(faces=(1, 2)),
)
def _measure(factor: Tensor, predicted: Tensor, target: Tensor, ignore_depth: bool) -> tuple[Tensor, Tensor]:
    """(cost (B,), residual (B, 3, width)) for a packed factor."""
    batch = predicted.shape[0]
    return factor.new_empty((batch,)), factor.new_empty((batch, 3, factor.shape[1]))
