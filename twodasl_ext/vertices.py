"""vertices: posed shapes of a whole batch in one pass over the basis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._checks import check_coefficients_and_pose, check_out
from ._dispatch import traced, transformed
from ._operator import differentiable, gradient, operator
from ._packing import BLOCK, block_count
from ._posed import empty_gradients, keep, recall
from ._vmap import fold, loop
from ._whole import synthesize_whole
from .basis import MorphableBasis

_REMEDY = "use twodasl_ext.reference.vertices where one is needed"


def vertices(
    basis: MorphableBasis, coefficients: Tensor, pose: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """Posed vertices: M (mean + sum_k c_k modes_k) + t.

    Args:
        basis: N vertices, K modes.
        coefficients: (B, K) of the basis's dtype (half precision is promoted).
        pose: (B, 3, 4), rows of `M | t`; M is any 3x3 matrix, usually scale times rotation.
        out: (B, N, 3), contiguous, of the basis's dtype and device: filled and returned. It may not share
            memory with the inputs, and such a call has no gradient.

    Returns:
        (B, N, 3) of the basis's dtype, in the pose's target space.

    Gradients flow to `coefficients` and `pose`, and to the basis's mean and modes when those require one.
    The same inputs give the same bits whatever the number of threads and the rest of the batch. NaN in a
    face's input gives NaN in that face's output only.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.
        RuntimeError: a second derivative; `out` where a gradient is needed or a torch.func transform runs.

    Source: Tu et al., 2DASL (arXiv 1903.09359), the face model and its scaled orthographic projection.
    """
    whole = traced() and not basis.changing
    mean, modes = basis.plain() if whole else basis.packed()
    coefficients, pose = check_coefficients_and_pose(
        coefficients, pose, basis.mode_count, mean.dtype, mean.device
    )
    if whole and out is None:
        return synthesize_whole(mean, modes, coefficients, pose)
    if out is None:
        return synthesize(mean, modes, basis.vertex_count, coefficients, pose)
    return _fill(out, whole, mean, modes, basis.vertex_count, coefficients, pose)


def _fill(
    out: Tensor, whole: bool, mean: Tensor, modes: Tensor, count: int, coefficients: Tensor, pose: Tensor
) -> Tensor:
    inputs = (mean, modes, coefficients, pose)
    check_out(out, (coefficients.shape[0], count, 3), inputs)
    if transformed():
        raise RuntimeError("twodasl_ext.vertices: out= does not work under torch.func transforms")
    if torch.is_grad_enabled() and any(t.requires_grad for t in (*inputs, out)):
        raise RuntimeError(
            "twodasl_ext.vertices: out= has no gradient, but one of the arguments requires one; "
            "call it under torch.no_grad(), or without out="
        )
    if whole:
        return out.copy_(synthesize_whole(mean, modes, coefficients.detach(), pose.detach()))
    _write(mean.detach(), modes.detach(), count, coefficients.detach(), pose.detach(), out)
    if not torch.compiler.is_compiling():
        torch.autograd.graph.increment_version(out)
    return out


@operator("vertices_out")
def _write(mean: Tensor, modes: Tensor, count: int, coefficients: Tensor, pose: Tensor, out: Tensor) -> None:
    return None


@gradient("vertices_backward", of="vertices", remedy=_REMEDY, vmap=fold(faces=(0, 3, 4, 5)))
def _differentiate(
    grad: Tensor,
    mean: Tensor,
    modes: Tensor,
    coefficients: Tensor,
    pose: Tensor,
    posed: Tensor | None,
    need_coefficients: bool,
    need_pose: bool,
) -> tuple[Tensor, Tensor]:
    return empty_gradients(mean, coefficients, need_coefficients, need_pose)


# A gradient of the basis sums over the faces.
@gradient("vertices_backward_basis", of="vertices", remedy=_REMEDY, vmap=loop)
def _differentiate_basis(
    grad: Tensor, coefficients: Tensor, pose: Tensor, need_mean: bool, need_modes: bool
) -> tuple[Tensor, Tensor]:
    blocks = block_count(grad.shape[1])
    return (
        grad.new_empty((blocks if need_mean else 0, 3, BLOCK)),
        grad.new_empty((blocks if need_modes else 0, coefficients.shape[1], 3, BLOCK)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    mean, modes, _, coefficients, pose = inputs
    needs = ctx.needs_input_grad
    if not (needs[3] or needs[4]):  # a basis's own gradients do not need the basis
        mean = modes = None
    saved_output = keep(ctx, output, needs[4])
    ctx.save_for_backward(mean, modes, coefficients, pose, saved_output)


def _backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
    need_mean, need_modes, _, need_coefficients, need_pose = ctx.needs_input_grad
    mean, modes, coefficients, pose, posed = ctx.saved_tensors
    posed = recall(ctx, posed)
    grad_mean = grad_modes = grad_coefficients = grad_pose = None
    if grad is not None and (need_coefficients or need_pose):
        grad_coefficients, grad_pose = _differentiate(
            grad, mean, modes, coefficients, pose, posed, need_coefficients, need_pose
        )
    if grad is not None and (need_mean or need_modes):
        grad_mean, grad_modes = _differentiate_basis(grad, coefficients, pose, need_mean, need_modes)
    return (
        grad_mean if need_mean else None,
        grad_modes if need_modes else None,
        None,
        grad_coefficients if need_coefficients else None,
        grad_pose if need_pose else None,
    )


def _tangent(inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tensor:
    """Linear in each of (mean, modes), coefficients and pose: the tangent is a sum of other such vertices."""
    mean, modes, count, coefficients, pose = inputs
    d_mean, d_modes, _, d_coefficients, d_pose = tangents
    turn = torch.nn.functional.pad(pose[:, :, :3], (0, 1))  # M | 0
    terms = []
    if d_pose is not None:
        terms.append(synthesize(mean, modes, count, coefficients, d_pose))
    if d_coefficients is not None:
        terms.append(synthesize(torch.zeros_like(mean), modes, count, d_coefficients, turn))
    if d_mean is not None or d_modes is not None:
        d_mean = torch.zeros_like(mean) if d_mean is None else d_mean
        d_modes = torch.zeros_like(modes) if d_modes is None else d_modes
        terms.append(synthesize(d_mean, d_modes, count, coefficients, turn))
    return sum(terms[1:], terms[0])


@differentiable(
    "vertices",
    setup_context=_setup_context,
    backward=_backward,
    tangent=_tangent,
    vmap=fold(faces=(3, 4)),
)
def synthesize(mean: Tensor, modes: Tensor, count: int, coefficients: Tensor, pose: Tensor) -> Tensor:
    """Posed vertices (B, count, 3) of a packed mean and packed modes."""
    return mean.new_empty((coefficients.shape[0], count, 3))
