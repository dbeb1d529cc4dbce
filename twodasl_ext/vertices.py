"""vertices: posed shapes of a whole batch in one pass over the basis."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _load  # noqa: F401  (registers the operators)
from ._checks import check_coefficients_and_pose
from .basis import MorphableBasis


def vertices(basis: MorphableBasis, coefficients: Tensor, pose: Tensor) -> Tensor:
    """Posed vertices: M (mean + sum_k c_k modes_k) + t.

    Args:
        basis: N vertices, K modes.
        coefficients: (B, K) of the basis's dtype (half precision is promoted).
        pose: (B, 3, 4), rows of `M | t`; M is any 3x3 matrix, usually scale times rotation.

    Returns:
        (B, N, 3) of the basis's dtype, in the pose's target space.

    Gradients flow to `coefficients` and `pose`, and to the basis's mean and modes when those require one.
    The same inputs give the same bits whatever the number of threads and the rest of the batch. NaN in a
    face's input shows in that face's output.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.

    Source: Tu et al., 2DASL (arXiv 1903.09359), the face model and its scaled orthographic projection.
    """
    coefficients, pose = check_coefficients_and_pose(
        coefficients, pose, basis.mode_count, basis.dtype, basis.device
    )
    mean, modes = basis.packed()
    return torch.ops.twodasl.vertices.default(mean, modes, basis.vertex_count, coefficients, pose)


@torch.library.register_fake("twodasl::vertices")
def _fake(mean: Tensor, modes: Tensor, count: int, coefficients: Tensor, pose: Tensor) -> Tensor:
    return mean.new_empty((coefficients.shape[0], count, 3))


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
    ctx.save_for_backward(mean, modes, coefficients, pose)


def _gradients(
    needs: tuple[bool, ...],
    grad: Tensor,
    mean: Tensor | None,
    modes: Tensor | None,
    coefficients: Tensor,
    pose: Tensor,
    posed: Tensor | None = None,
) -> tuple[Tensor | None, ...]:
    """Gradients of mean, modes, count, coefficients, pose; None where not needed."""
    need_mean, need_modes, _, need_coefficients, need_pose = needs
    results: list[Tensor | None] = [None] * 5
    if need_coefficients or need_pose:
        grad_coefficients, grad_pose = torch.ops.twodasl.vertices_backward.default(
            grad, mean, modes, coefficients, pose, posed, need_coefficients, need_pose
        )
        results[3] = grad_coefficients if need_coefficients else None
        results[4] = grad_pose if need_pose else None
    if need_mean or need_modes:
        grad_mean, grad_modes = torch.ops.twodasl.vertices_backward_basis.default(
            grad, coefficients, pose, need_mean, need_modes
        )
        results[0] = grad_mean if need_mean else None
        results[1] = grad_modes if need_modes else None
    return tuple(results)


class _FirstDerivativeOnly(torch.autograd.Function):
    """The gradients under `create_graph=True`: right in themselves, an error when differentiated again."""

    @staticmethod
    def forward(ctx: Any, needs: tuple[bool, ...], *tensors: Any) -> Any:
        return _gradients(needs, *tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "twodasl_ext.vertices: the second derivative is not implemented; "
            "use twodasl_ext.reference.vertices where one is needed"
        )


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    needs = tuple(ctx.needs_input_grad)
    if torch.is_grad_enabled() and not torch.compiler.is_compiling():
        return _FirstDerivativeOnly.apply(needs, grad, *ctx.saved_tensors)
    return _gradients(needs, grad, *ctx.saved_tensors)


torch.library.register_autograd("twodasl::vertices", _backward, setup_context=_setup_context)
