"""vertices: posed shapes of a whole batch in one pass over the basis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _load  # noqa: F401  (registers the operators)
from ._checks import check_coefficients_and_pose, check_out
from ._dispatch import differentiable, gradient, guarded, traced, transformed
from ._posed import keep, recall
from ._vmap import fold, loop, register
from ._whole import synthesise_whole
from .basis import MorphableBasis

_ops = torch.ops.twodasl
_write = guarded(_ops.vertices_out.default)


def vertices(
    basis: MorphableBasis, coefficients: Tensor, pose: Tensor, *, out: Tensor | None = None
) -> Tensor:
    """Posed vertices: M (mean + sum_k c_k modes_k) + t.

    Args:
        basis: N vertices, K modes.
        coefficients: (B, K) of the basis's dtype (half precision is promoted).
        pose: (B, 3, 4), rows of `M | t`; M is any 3x3 matrix, usually scale times rotation.
        out: (B, N, 3), contiguous, of the basis's dtype and device: is filled and given back. It may not
            share memory with the inputs, and no gradient can be asked of such a call.

    Returns:
        (B, N, 3) of the basis's dtype, in the pose's target space.

    Gradients flow to `coefficients` and `pose`, and to the basis's mean and modes when those require one.
    The same inputs give the same bits whatever the number of threads and the rest of the batch. NaN in a
    face's input shows in that face's output.

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
        return synthesise_whole(mean, modes, coefficients, pose)
    if out is None:
        return synthesise(mean, modes, basis.vertex_count, coefficients, pose)
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
        return out.copy_(synthesise_whole(mean, modes, coefficients.detach(), pose.detach()))
    _write(mean.detach(), modes.detach(), count, coefficients.detach(), pose.detach(), out)
    if not torch.compiler.is_compiling():
        torch.autograd.graph.increment_version(out)
    return out


@torch.library.register_fake("twodasl::vertices")
@torch.library.register_fake("twodasl::vertices_forward")
def _fake(mean: Tensor, modes: Tensor, count: int, coefficients: Tensor, pose: Tensor) -> Tensor:
    return mean.new_empty((coefficients.shape[0], count, 3))


@torch.library.register_fake("twodasl::vertices_out")
def _fake_out(
    mean: Tensor, modes: Tensor, count: int, coefficients: Tensor, pose: Tensor, out: Tensor
) -> None:
    return None


@torch.library.register_fake("twodasl::basis_vertices_backward")
@torch.library.register_fake("twodasl::vertices_backward")
def _fake_backward(
    grad: Tensor,
    mean: Tensor,
    modes: Tensor,
    coefficients: Tensor,
    pose: Tensor,
    posed: Tensor | None,
    need_coefficients: bool,
    need_pose: bool,
) -> tuple[Tensor, Tensor]:
    batch, modes_count = coefficients.shape
    return (
        mean.new_empty((batch if need_coefficients else 0, modes_count)),
        mean.new_empty((batch if need_pose else 0, 3, 4)),
    )


@torch.library.register_fake("twodasl::vertices_backward_basis")
def _fake_backward_basis(
    grad: Tensor, coefficients: Tensor, pose: Tensor, need_mean: bool, need_modes: bool
) -> tuple[Tensor, Tensor]:
    blocks = (grad.shape[1] + 15) // 16
    return (
        grad.new_empty((blocks if need_mean else 0, 3, 16)),
        grad.new_empty((blocks if need_modes else 0, coefficients.shape[1], 3, 16)),
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
        terms.append(synthesise(mean, modes, count, coefficients, d_pose))
    if d_coefficients is not None:
        terms.append(synthesise(torch.zeros_like(mean), modes, count, d_coefficients, turn))
    if d_mean is not None or d_modes is not None:
        d_mean = torch.zeros_like(mean) if d_mean is None else d_mean
        d_modes = torch.zeros_like(modes) if d_modes is None else d_modes
        terms.append(synthesise(d_mean, d_modes, count, coefficients, turn))
    return sum(terms[1:], terms[0])


_REMEDY = "use twodasl_ext.reference.vertices where one is needed"
_backward_rule = fold(faces=(0, 3, 4, 5))
_differentiate = gradient(
    "vertices_backward",
    of="vertices",
    remedy=_REMEDY,
    kernel=_ops.vertices_backward.default,
    vmap=_backward_rule,
)
_differentiate_basis = gradient(
    "vertices_backward_basis",
    of="vertices",
    remedy=_REMEDY,
    kernel=_ops.vertices_backward_basis.default,
    vmap=loop,  # a gradient of the basis sums over the faces
)
synthesise = differentiable(
    "vertices",
    operator=_ops.vertices.default,
    kernel=_ops.vertices_forward.default,
    setup_context=_setup_context,
    backward=_backward,
    vmap=fold(faces=(3, 4)),
    tangent=_tangent,
)
"""(packed mean, packed modes, count, coefficients, pose) -> (B, count, 3)."""

torch.library.register_autograd("twodasl::vertices", _backward, setup_context=_setup_context)
register("twodasl::vertices", _ops.vertices.default, fold(faces=(3, 4)))
register("twodasl::vertices_forward", _ops.vertices_forward.default, fold(faces=(3, 4)))
register("twodasl::vertices_backward", _ops.vertices_backward.default, _backward_rule)
register("twodasl::vertices_backward_basis", _ops.vertices_backward_basis.default, loop)
