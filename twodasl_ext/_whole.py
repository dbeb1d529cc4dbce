"""Operators on a basis's own tensors, for graphs: what is derived from the tensors is looked up at run time.

A graph that held the packed modes would keep using them after the basis has changed. These operators take the
plain mean and modes; the packed ones are made once as long as those do not change.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._distance_factor import factor_and_layout, feature_count
from ._kept import Memo, make_constant
from ._operator import differentiable, gradient, operator
from ._packing import BLOCK, block_count, huge_modes, pack_mean
from ._posed import empty_gradients, keep, recall
from ._vmap import fold, loop

_ops = torch.ops.twodasl
_FORWARD = "(Tensor mean, Tensor modes, Tensor coefficients, Tensor pose) -> Tensor"
_BACKWARD = (
    "(Tensor grad, Tensor mean, Tensor modes, Tensor coefficients, Tensor pose, Tensor? posed, "
    "bool need_coefficients, bool need_pose) -> (Tensor, Tensor)"
)
_mean = Memo(lambda mean: make_constant(pack_mean, mean))
_modes = Memo(lambda modes: make_constant(huge_modes, modes))
_factors = Memo(lambda modes, mean: make_constant(factor_and_layout, mean, modes))


def _forward(mean: Tensor, modes: Tensor, coefficients: Tensor, pose: Tensor) -> Tensor:
    return _ops.vertices_forward.default(_mean(mean), _modes(modes), mean.shape[0], coefficients, pose)


def _backward(grad: Tensor, mean: Tensor, modes: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return _ops.vertices_backward.default(grad, _mean(mean), _modes(modes), *rest)


def _factor(mean: Tensor, modes: Tensor) -> tuple[Tensor, Tensor]:
    # Copies, because a graph may overwrite what an operator returned.
    factor, packed = _factors(modes, mean)
    return factor.clone(), packed.clone()


for _name, _schema, _kernel in (
    ("basis_vertices", _FORWARD, _forward),
    ("basis_vertices_forward", _FORWARD, _forward),
    ("basis_vertices_backward", _BACKWARD, _backward),
    ("basis_factor", "(Tensor mean, Tensor modes) -> (Tensor, Tensor)", _factor),
):
    torch.library.define(f"twodasl::{_name}", _schema)
    torch.library.impl(f"twodasl::{_name}", "default", _kernel)


@operator("basis_factor", vmap=loop)
def basis_factor(mean: Tensor, modes: Tensor) -> tuple[Tensor, Tensor]:
    """The factor of `MorphableBasis.distance_factor`, plain and packed."""
    features = feature_count(modes.shape[0])
    width = block_count(features) * BLOCK
    rows = min(mean.shape[0], features)
    return mean.new_empty((rows, features)), mean.new_empty((2, width, width))


@gradient(
    "basis_vertices_backward",
    of="vertices",
    remedy="use twodasl_ext.reference.vertices where one is needed",
    vmap=fold(faces=(0, 3, 4, 5)),
)
def _gradient(
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


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    mean, modes, coefficients, pose = inputs
    ctx.save_for_backward(mean, modes, coefficients, pose, keep(ctx, output, ctx.needs_input_grad[3]))


def _differentiate(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
    need_coefficients, need_pose = ctx.needs_input_grad[2:]
    mean, modes, coefficients, pose, posed = ctx.saved_tensors
    if grad is None or not (need_coefficients or need_pose):
        return None, None, None, None
    posed = recall(ctx, posed)
    grad_coefficients, grad_pose = _gradient(
        grad, mean, modes, coefficients, pose, posed, need_coefficients, need_pose
    )
    return None, None, grad_coefficients if need_coefficients else None, grad_pose if need_pose else None


def _tangent(inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tensor:
    mean, modes, coefficients, pose = inputs
    _, _, d_coefficients, d_pose = tangents
    terms = []
    if d_pose is not None:
        terms.append(synthesize_whole(mean, modes, coefficients, d_pose))
    if d_coefficients is not None:
        turn = torch.nn.functional.pad(pose[:, :, :3], (0, 1))  # M | 0
        terms.append(synthesize_whole(torch.zeros_like(mean), modes, d_coefficients, turn))
    return sum(terms[1:], terms[0])


@differentiable(
    "basis_vertices",
    setup_context=_setup_context,
    backward=_differentiate,
    tangent=_tangent,
    vmap=fold(faces=(2, 3)),
)
def synthesize_whole(mean: Tensor, modes: Tensor, coefficients: Tensor, pose: Tensor) -> Tensor:
    """(mean (N, 3), modes (K, N, 3), coefficients, pose) -> (B, N, 3); mean and modes are constants."""
    return mean.new_empty((coefficients.shape[0], mean.shape[0], 3))
