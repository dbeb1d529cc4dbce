"""closest_point_on_mesh: the closest point of a mesh's triangles, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._arguments import INTEGERS, as_indices
from ._checks import check_tensor, shape_text
from ._dispatch import plain
from ._neighbor_index import cloud, explain_points
from ._operator import differentiable, gradient
from ._vmap import fold


def closest_point_on_mesh(
    points: Tensor, vertices: Tensor, triangles: Tensor | np.ndarray | Sequence[Any]
) -> tuple[Tensor, Tensor, Tensor]:
    """The closest point of a mesh to every point: squared distance, triangle and barycentric coordinates.

    Args:
        points: (B, M, 3) or (M, 3), float32 or float64 (half precision is promoted to float32).
        vertices: (B, N, 3), or (N, 3) with (M, 3) points, of the points' dtype and device.
        triangles: (F, 3) integer vertex indices, shared by the batch. Their orientation does not matter. A
            triangle without an area counts as its longest edge or its one point.

    Returns:
        squared distances (B, M) in the points' dtype and unit squared;
        triangle indices (B, M) int64;
        barycentric coordinates (B, M, 3): the closest point is
        `(barycentrics[..., None] * vertices[triangles[triangle]]).sum(-2)` of a single mesh. They are not
        negative and add up to 1 but for rounding.
        (M,), (M,) and (M, 3) for single clouds.

    The distance is exact but for rounding: p - q is computed in double precision, then rounded to the dtype;
    its square is ((dx*dx + dy*dy) + dz*dz), every operation rounded once; the least wins, and of equal ones
    the lowest triangle index. In float64 a sliver that is 1e-8 times as wide as it is long counts as its
    edges. There is no tolerance in any unit: multiplying all coordinates by a power of two multiplies the
    distances by its square and changes nothing else. Every number of threads, batch and instruction-set level
    gives the same bits. Vertices that no triangle uses are ignored.

    Gradients flow from the distances to `points`, 2 (p - q), and to `vertices`, -2 b (p - q) for a corner of
    weight b; triangle and barycentric coordinates are constants. First derivatives only; a second one is an
    error that says so.

    Time: O((M + F) log F) for points near a surface; memory: linear in M + F. The search structure is built
    in every call.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came; also for coordinates that
        are not finite, triangles that refer to vertices that do not exist, and points without any triangle.

    On CUDA values are not checked, because that would make the host wait: a point that is not finite, and
    every point of an element where a triangle has a coordinate that is not finite or no such vertex, gets the
    distance NaN, the triangle -1, barycentric coordinates NaN, and no gradient.
    """
    points = cloud(points, "points")
    single = points.dim() == 2
    vertices = cloud(vertices, "vertices", points.dim())
    if vertices.dtype != points.dtype:
        raise TypeError(f"vertices: expected {points.dtype} like points, got {vertices.dtype}")
    if vertices.device != points.device:
        raise ValueError(f"vertices: expected device {points.device} like points, got {vertices.device}")
    if not single and vertices.shape[0] != points.shape[0]:
        raise ValueError(
            f"vertices: expected ({points.shape[0]}, N, 3) for points of {points.shape[0]}, "
            f"got {shape_text(vertices)}"
        )
    triangles = _check_triangles(triangles, points.device)
    if not triangles.shape[0] and points.numel():
        raise ValueError(f"triangles: expected at least one for {shape_text(points)} points, got none")
    if single:
        points, vertices = points[None], vertices[None]
    try:
        results = _search(points, vertices, triangles)
    except RuntimeError:
        # The kernel checks the values at memory speed; only the message needs to know which one is wrong.
        if plain():
            _explain(points, vertices, triangles)
        raise
    return (results[0][0], results[1][0], results[2][0]) if single else results


def _check_triangles(value: Any, device: torch.device) -> Tensor:
    triangles = check_tensor(as_indices(value, "triangles", device), "triangles")
    if triangles.dim() == 1 and not triangles.shape[0] and not isinstance(value, Tensor):
        triangles = triangles.reshape(0, 3)  # an empty list
    if triangles.dim() != 2 or triangles.shape[1] != 3:
        raise ValueError(f"triangles: expected (F, 3), got {shape_text(triangles)}")
    if triangles.dtype not in INTEGERS:
        raise TypeError(f"triangles: expected integer vertex indices, got {triangles.dtype}")
    if triangles.device != device:
        raise ValueError(f"triangles: expected device {device} like points, got {triangles.device}")
    return triangles.to(torch.int64)


def _explain(points: Tensor, vertices: Tensor, triangles: Tensor) -> None:
    low, high = (int(v) for v in triangles.aminmax()) if triangles.numel() else (0, -1)
    if low < 0 or high >= vertices.shape[1]:
        wrong = low if low < 0 else high
        raise ValueError(f"triangles: expected vertex indices in [0, {vertices.shape[1]}), got {wrong}")
    used = triangles.unique()
    for b in range(len(vertices)):
        bad = used[~torch.isfinite(vertices[b, used]).all(dim=1)]
        if len(bad):
            raise ValueError(
                f"vertices: expected finite numbers, got {vertices[b, bad[0]].tolist()} at {int(bad[0])} "
                f"of element {b}"
            )
    explain_points(points, None, "points", "")


@gradient(
    "closest_point_on_mesh_backward",
    of="closest_point_on_mesh",
    remedy="take twodasl_ext.reference.closest_point_on_mesh where one is needed",
    vmap=fold(faces=(0, 1, 2, 4, 5)),
)
def _differentiate(
    grad: Tensor,
    points: Tensor,
    vertices: Tensor,
    triangles: Tensor,
    triangle: Tensor,
    barycentrics: Tensor,
    need_points: bool,
    need_vertices: bool,
) -> tuple[Tensor, Tensor]:
    batch = points.shape[0]
    return (
        points.new_empty((batch if need_points else 0, points.shape[1], 3)),
        points.new_empty((batch if need_vertices else 0, vertices.shape[1], 3)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs, *output[1:])


def _backward(
    ctx: Any, grad: Tensor | None, _: Tensor | None, __: Tensor | None
) -> tuple[Tensor | None, Tensor | None, None]:
    need_points, need_vertices = ctx.needs_input_grad[:2]
    if grad is None or not (need_points or need_vertices):
        return None, None, None
    points, vertices, triangles, triangle, barycentrics = ctx.saved_tensors
    grad_points, grad_vertices = _differentiate(
        grad, points, vertices, triangles, triangle, barycentrics, need_points, need_vertices
    )
    return grad_points if need_points else None, grad_vertices if need_vertices else None, None


def _tangent(inputs: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[Tensor, None, None]:
    """2 (p - q) . (p' - q') with the barycentric coordinates that were found."""
    points, vertices, triangles = inputs
    _, triangle, barycentrics = _search(*inputs)
    rows = triangles[triangle.clamp(min=0)].flatten(1)[..., None].expand(-1, -1, 3)

    def on_mesh(v: Tensor) -> Tensor:
        return (v.gather(1, rows).unflatten(1, (-1, 3)) * barycentrics[..., None]).sum(dim=2)

    moved, bent = tangents[:2]
    change = 0.0 if moved is None else moved
    if bent is not None:
        change = change - on_mesh(bent)
    product = 2 * ((points - on_mesh(vertices)) * change).sum(dim=2)
    return torch.where(triangle >= 0, product, 0.0), None, None


@differentiable(
    "closest_point_on_mesh",
    setup_context=_setup_context,
    backward=_backward,
    tangent=_tangent,
    vmap=fold(faces=(0, 1)),
)
def _search(points: Tensor, vertices: Tensor, triangles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    shape = points.shape[:2]
    return (
        points.new_empty(shape),
        points.new_empty(shape, dtype=torch.int64),
        points.new_empty((*shape, 3)),
    )
