"""skin: linear blend skinning of a batch of meshes in one pass over the weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._checks import are_ready, as_compute, check_device, check_float, check_tensor, shape_text
from ._operator import differentiable, gradient
from ._vmap import fold, loop

_REMEDY = "use twodasl_ext.reference.skin where one is needed"


def skin(vertices: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """Linear blend skinning: sum_j w_nj (R_j v_n + t_j).

    Args:
        vertices: (B, N, 3), float32 or float64: the mesh at rest.
        weights: (N, J) of the vertices' dtype (half precision is promoted), shared by the batch. A row
            usually sums to 1; nothing asks for it.
        transforms: (B, J, 3, 4), rows of `R | t`, or (B, J, 4, 4), whose last row is not read. Each takes a
            point at rest to its place in the pose: for a joint at `p` that turns by R and lands at `q`,
            t = q - R p.

    Returns:
        (B, N, 3) of the vertices' dtype, in the unit of `t`.

    Gradients flow to all three; first derivatives only. The gradient of the weights covers every joint, also
    where a weight is zero. No matrix per vertex is built, and a joint without weight in a block of 16
    vertices costs nothing there. The same inputs give the same bits whatever the number of threads and the
    rest of the batch. NaN in an element's vertices or transforms stays in that element; a transform that is
    not finite need not reach vertices whose weight for it is zero.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.
        RuntimeError: a second derivative.

    Source: Magnenat-Thalmann et al., "Joint-dependent local deformations for hand animation and object
    grasping", 1988; FLAME and SMPL pose their meshes with it.
    """
    vertices, weights, transforms = _check(vertices, weights, transforms)
    return blend(vertices, weights, transforms if transforms.shape[2] == 3 else transforms.narrow(2, 0, 3))


def _check(vertices: Any, weights: Any, transforms: Any) -> tuple[Tensor, Tensor, Tensor]:
    # The usual case, which the time of a small mesh would feel. What is not gets a closer look.
    if are_ready(vertices, weights, transforms):
        shape, rows = vertices.shape, transforms.shape
        if (
            len(shape) == 3
            and shape[2] == 3
            and len(rows) == 4
            and rows[0] == shape[0]
            and rows[2] in (3, 4)
            and rows[3] == 4
            and weights.shape == (shape[1], rows[1])
        ):
            return vertices, weights, transforms
    v, w, m = (
        check_tensor(value, name)
        for value, name in ((vertices, "vertices"), (weights, "weights"), (transforms, "transforms"))
    )
    if v.dim() != 3 or v.shape[2] != 3:
        raise ValueError(f"vertices: expected (B, N, 3), got {shape_text(v)}")
    check_float(v, "vertices")
    check_device(v, "vertices")
    batch, count = v.shape[0], v.shape[1]
    if w.dim() != 2 or w.shape[0] != count:
        raise ValueError(
            f"weights: expected ({count}, J) for {count} vertices, one row for each, got {shape_text(w)}"
        )
    joints = w.shape[1]
    if m.dim() != 4 or m.shape[:2] != (batch, joints) or m.shape[2] not in (3, 4) or m.shape[3] != 4:
        raise ValueError(
            f"transforms: expected ({batch}, {joints}, 3, 4) or ({batch}, {joints}, 4, 4) for a batch of "
            f"{batch} and {joints} joints, got {shape_text(m)}"
        )
    for tensor, name in ((w, "weights"), (m, "transforms")):
        if tensor.device != v.device:
            raise ValueError(f"{name}: expected device {v.device} like the vertices, got {tensor.device}")
    like = "the vertices"
    return v, as_compute(w, "weights", v.dtype, like), as_compute(m, "transforms", v.dtype, like)


@gradient("skin_backward", of="skin", remedy=_REMEDY, vmap=fold(faces=(0, 1, 3)))
def _differentiate(
    grad: Tensor, vertices: Tensor | None, weights: Tensor, transforms: Tensor | None
) -> tuple[Tensor, Tensor]:
    batch, count = grad.shape[:2]
    return (
        grad.new_empty((0 if transforms is None else batch, count, 3)),
        grad.new_empty((0 if vertices is None else batch, weights.shape[1], 3, 4)),
    )


# A gradient of the weights sums over the batch.
@gradient("skin_backward_weights", of="skin", remedy=_REMEDY, vmap=loop)
def _differentiate_weights(grad: Tensor, vertices: Tensor, transforms: Tensor) -> Tensor:
    return grad.new_empty((grad.shape[1], transforms.shape[1]))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    vertices, weights, transforms = inputs
    need_vertices, need_weights, need_transforms = ctx.needs_input_grad[:3]  # torch may append its own
    ctx.save_for_backward(
        vertices if need_weights or need_transforms else None,
        weights if need_vertices or need_transforms else None,
        transforms if need_vertices or need_weights else None,
    )


def _backward(ctx: Any, grad: Tensor | None) -> tuple[Tensor | None, ...]:
    need_vertices, need_weights, need_transforms = ctx.needs_input_grad
    vertices, weights, transforms = ctx.saved_tensors
    grad_vertices = grad_weights = grad_transforms = None
    if grad is not None and (need_vertices or need_transforms):
        grad_vertices, grad_transforms = _differentiate(
            grad, vertices if need_transforms else None, weights, transforms if need_vertices else None
        )
    if grad is not None and need_weights:
        grad_weights = _differentiate_weights(grad, vertices, transforms)
    return (
        grad_vertices if need_vertices else None,
        grad_weights,
        grad_transforms if need_transforms else None,
    )


def _tangent(inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> Tensor:
    """Linear in each of vertices (without t), weights and transforms: a sum of other such meshes."""
    vertices, weights, transforms = inputs
    d_vertices, d_weights, d_transforms = tangents
    terms = []
    if d_vertices is not None:
        turns = torch.nn.functional.pad(transforms[..., :3], (0, 1))  # R | 0
        terms.append(blend(d_vertices, weights, turns))
    if d_weights is not None:
        terms.append(blend(vertices, d_weights, transforms))
    if d_transforms is not None:
        terms.append(blend(vertices, weights, d_transforms))
    return sum(terms[1:], terms[0])


@differentiable(
    "skin", setup_context=_setup_context, backward=_backward, tangent=_tangent, vmap=fold(faces=(0, 2))
)
def blend(vertices: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """`skin` of (B, N, 3), (N, J), (B, J, 3, 4), without checks."""
    return vertices.new_empty(vertices.shape)
