"""iterative_closest_point: the rigid or similarity motion that brings one cloud of points onto another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from . import _icp_device as device_loop
from . import _icp_steps as steps
from ._arguments import is_true, shown, whole_number
from ._checks import check_float, check_tensor, shape_text
from ._dispatch import between_graphs, refuse_trace, refuse_vmap, without_transforms
from ._icp_inputs import Clouds, check_clouds, check_number, check_start, parts_of_start
from ._values import seen


@dataclass(frozen=True)
class ICPResult:
    """The result of `iterative_closest_point`: constants for autograd, without B where the clouds had none.

    Attributes:
        rotation: (B, 3, 3), determinant +1, of the clouds' dtype as all floating-point fields.
        translation: (B, 3), in the target's unit.
        scale: (B,), ones for a rigid motion. A source point x lands at `scale * rotation @ x + translation`.
        rmse: (B,), root mean square error of this motion, in the target's unit; see the function.
        matched: (B,), the fraction of the source's points that took part: not trimmed, within `max_distance`.
        converged: (B,) bool, whether the error stopped falling before `max_iterations`.
        iterations: (B,) int64, the number of improvements.
        history: (B, I + 1), the root mean square error of the start and after each iteration; NaN after an
            element's last. Its minimum is `rmse`. I is the largest number of iterations of any element; on
            CUDA, where the host does not wait for it, I is `max_iterations`.
    """

    rotation: Tensor
    translation: Tensor
    scale: Tensor
    rmse: Tensor
    matched: Tensor
    converged: Tensor
    iterations: Tensor
    history: Tensor

    @property
    def pose(self) -> Tensor:
        """(B, 3, 4) `scale * rotation | translation`, as `vertices` takes it."""
        return torch.cat((self.scale[..., None, None] * self.rotation, self.translation[..., None]), dim=-1)

    def apply(self, points: Tensor) -> Tensor:
        """Points (B, M, 3), or (M, 3) of an unbatched result, moved. Differentiable in the points."""
        points = check_tensor(points, "points")
        batch = tuple(self.scale.shape)
        if points.dim() != len(batch) + 2 or tuple(points.shape[:-2]) != batch or points.shape[-1] != 3:
            expected = f"({', '.join([*map(str, batch), 'M', '3'])})"
            raise ValueError(f"points: expected {expected}, got {shape_text(points)}")
        check_float(points, "points")
        if points.dtype != self.rotation.dtype:
            raise TypeError(f"points: expected {self.rotation.dtype} like the clouds, got {points.dtype}")
        matrix = self.scale[..., None, None] * self.rotation
        return points @ matrix.mT + self.translation[..., None, :]


@between_graphs("the number of iterations depends on the points, which no graph can hold")
def iterative_closest_point(
    source: Tensor,
    target: Tensor,
    *,
    method: str = "point",
    scale: bool = False,
    trim: float = 0.0,
    max_distance: float | None = None,
    max_iterations: int = 50,
    tolerance: float | None = 1e-6,
    mse_tolerance: float | None = None,
    recenter: bool = False,
    initialize: Any = "centroids",
    normals: Tensor | None = None,
    triangles: Any = None,
    source_lengths: Any = None,
    target_lengths: Any = None,
) -> ICPResult:
    """The motion of `source` onto `target`: pair each point with the nearest one, move, repeat.

    Args:
        source: (B, N, 3) or (N, 3), float32 or float64: the cloud that moves.
        target: (B, P, 3) or (P, 3) of the same dtype and device.
        method: "point" minimizes the distances of the pairs, in closed form. "plane" minimizes those along
            the target's normals by Gauss-Newton steps; it needs far fewer iterations where surfaces are
            smooth and the start is near.
        scale: find a scale too (a similarity); otherwise a rigid motion.
        trim: in [0, 1): in every iteration only the ceil((1 - trim) n) nearest of n pairs count, and any as
            far as the last of these. Set it above the fraction of the source that has no counterpart.
        max_distance: pairs farther apart than this do not affect the motion; in the error they count as this
            distance.
        max_iterations: the most improvements; 0 measures the start.
        tolerance: an element has converged when its root mean square error fell by no more than this
            fraction of itself. A rise (beyond the rounding of the coordinates) is not convergence.
            None: improve `max_iterations` times.
        mse_tolerance: stop as well when the mean squared distance changed by no more than this, in the
            target's unit squared, up or down; `converged` is then False after a rise.
        recenter: bring the two whole clouds' centroids together in every iteration, and take only the
            rotation (and scale) from the pairs. Needs method="point" and every pair: no trim, no
            max_distance.
        initialize: "centroids" brings the centroids together, with `scale=True` the sizes too; "identity"
            leaves the source where it is; or (rotation (B, 3, 3), translation (B, 3)[, scale (B,)]), or
            an earlier ICPResult.
        normals: of the target, (B, P, 3) or (P, 3), for method="plane". They need not be unit vectors; a zero
            normal excludes its point.
        triangles: (T, 3) integers, the target's mesh, from which the normals are computed. Instead of
            `normals`.
        source_lengths, target_lengths: (B,) integers, the number of real points of each element; those after
            are ignored.

    Returns:
        ICPResult: the best motion found, which is never worse than the start. Its error is the root of the
        mean of min(distance, max_distance)^2 over the pairs that count; for method="plane" the distance is
        along the normal.

    **No gradient flows to source or target**: the result is a constant. To differentiate an alignment, take
    the motion as fixed and differentiate the distances of its pairs, which at the optimum is their
    derivative to first order:

        motion = iterative_closest_point(prediction, scan)
        squared, _ = nearest_neighbors(motion.apply(prediction), scan)
        squared.mean().backward()

    Sums over points are in double precision about the clouds' centroids, and so is the pose. Elements of a
    batch do not influence each other; one that has stopped no longer changes and is no longer searched. The
    result has the same bits for any number of threads. What the pairs leave undetermined (a roll about a line
    of points, a slide along a plane) stays as it was at the start.

    On CUDA nothing waits for the device, and a CUDA graph can capture all of it. So values are not checked
    there: an element whose values would be an error on the CPU (points, normals or a start that are not
    finite or not proper, lengths out of range, no pair to begin with) gets NaN in all its floating-point
    fields and does not affect the others. `max_iterations` are enqueued; an element that has stopped takes
    little more time than the launches.

    torch.compile breaks the graph around it. torch.func.vmap is an error: pass the batch instead.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came; also for points that are
        not finite, trimming that leaves less than three pairs, and a start from which no pair is within
        `max_distance`.
        RuntimeError: under torch.func.vmap.

    Source: Besl & McKay 1992; Chen & Medioni 1992 (plane); Chetverikov et al. 2005 (trimmed); Horn 1987. The
    authors of 2DASL (arXiv 1903.09359) evaluate reconstructions with `recenter=True, mse_tolerance=0.01` on
    every 50th vertex, source the ground truth and target the prediction.
    """
    refuse_trace("iterative_closest_point")
    if method not in ("point", "plane"):
        raise ValueError(f"method: expected 'point' or 'plane', got {shown(method)}")
    given = (source, target, normals, triangles, source_lengths, target_lengths)
    start = parts_of_start(initialize)
    refuse_vmap("iterative_closest_point", "clouds (B, N, 3) and (B, P, 3)", *given, start)
    clouds = check_clouds(source, target, source_lengths, target_lengths, normals, triangles, method)
    rules = steps.Rules(
        scale=is_true(scale, "scale"),
        recenter=is_true(recenter, "recenter"),
        trim=check_number(trim, "trim", 0, 1, "a fraction in [0, 1)"),
        max_squared=_square_of_limit(max_distance),
        max_iterations=_count(max_iterations),
        tolerance=_optional(tolerance, "tolerance"),
        mse_tolerance=_optional(mse_tolerance, "mse_tolerance"),
    )
    if rules.recenter and (method == "plane" or rules.trim or max_distance is not None):
        raise ValueError("recenter: expected False with method='plane', trim or max_distance")
    _check_trim(rules.trim, clouds)
    checked = check_start(start, clouds)
    run = (steps if seen(clouds.source) else device_loop).register
    found = without_transforms(run, clouds, rules, checked)
    return _result(found, clouds)


def _result(found: steps.Found, clouds: Clouds) -> ICPResult:
    dtype, pose = clouds.source.dtype, found.pose
    fields = [
        pose[:, :9].reshape(-1, 3, 3).to(dtype),
        pose[:, 9:12].to(dtype),
        pose[:, 12].to(dtype),
        found.rmse.to(dtype),
        found.matched.to(dtype),
        found.converged,
        found.iterations,
        found.history.to(dtype),
    ]
    return ICPResult(*(field[0] if clouds.unbatched else field for field in fields))


def _check_trim(trim: float, clouds: Clouds) -> None:
    batch, points = clouds.source.shape[:2]
    if not trim or not batch:
        return
    fewest = 0
    if seen(clouds.source):
        fewest = int(clouds.source_counts.argmin())
        points = int(clouds.source_counts[fewest])
    left = -int(-(1 - trim) * points // 1)
    if left < 3:
        where = "" if clouds.unbatched else f" of batch element {fewest}"
        raise ValueError(f"trim: expected to leave at least 3 pairs, got {trim}: {left} of {points}{where}")


def _square_of_limit(max_distance: float | None) -> float:
    if max_distance is None:
        return torch.inf
    limit = check_number(max_distance, "max_distance", 0, torch.inf, "a positive distance or None")
    if limit == 0:
        raise ValueError(f"max_distance: expected a positive distance or None, got {shown(max_distance)}")
    return limit * limit


def _optional(value: float | None, name: str) -> float | None:
    return None if value is None else check_number(value, name, 0, torch.inf, "a number >= 0 or None")


def _count(value: int) -> int:
    count = whole_number(value, "max_iterations", "an integer >= 0")
    if count < 0:
        raise ValueError(f"max_iterations: expected an integer >= 0, got {count}")
    return count
