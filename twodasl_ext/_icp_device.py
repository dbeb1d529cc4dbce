"""iterative_closest_point without waiting for the device, which decides after each iteration how to go on."""

from __future__ import annotations

import torch
from torch import Tensor

from ._icp_inputs import Clouds
from ._icp_steps import Found, Rules, first_pose, frame
from ._operator import operator
from .neighbors import PointIndex


def register(clouds: Clouds, rules: Rules, start: Tensor | str) -> Found:
    """All iterations in one operator. An element whose values are an error on the CPU comes back as NaN."""
    source, counts = clouds.source, clouds.source_counts
    index = PointIndex(clouds.target, clouds.target_counts)
    frames = frame(source, counts), frame(clouds.target, clouds.target_counts)
    pose = first_pose(frames, start, rules)
    refused = _refused(clouds, rules)
    if refused is not None:
        pose = torch.where(refused[:, None], torch.nan, pose)
    found = _run(
        source, clouds.target, clouds.normals, *index.tree, counts, pose, *frames,
        rules.trim, rules.max_squared, rules.scale, rules.recenter,
        rules.max_iterations, rules.tolerance, rules.mse_tolerance,
    )  # fmt: skip
    return Found(*found)


def _refused(clouds: Clouds, rules: Rules) -> Tensor | None:
    """Which elements have a normal that is not finite, or fewer than three pairs after trimming."""
    refused = None
    if clouds.normals is not None:
        place = torch.arange(clouds.normals.shape[1], device=clouds.normals.device)
        wrong = ~clouds.normals.isfinite().all(dim=2)
        refused = (wrong & (place < clouds.target_counts[:, None])).any(dim=1)
    if rules.trim:
        few = ((1 - rules.trim) * clouds.source_counts.double()).ceil() < 3
        refused = few if refused is None else refused | few
    return refused


@operator("icp_run")
def _run(
    source: Tensor, target: Tensor, normals: Tensor | None,
    leaves: Tensor, ids: Tensor, boxes: Tensor, lowest: Tensor,
    counts: Tensor, start: Tensor, source_frame: Tensor, target_frame: Tensor,
    trim: float, max_squared: float, scale: bool, recenter: bool,
    max_iterations: int, tolerance: float | None, mse_tolerance: float | None,
) -> tuple[Tensor, ...]:  # fmt: skip
    batch = source.shape[0]

    def doubles(*shape: int) -> Tensor:
        return start.new_empty((batch, *shape), dtype=torch.float64)

    converged = start.new_empty((batch,), dtype=torch.bool)
    iterations = start.new_empty((batch,), dtype=torch.int64)
    return doubles(13), doubles(), doubles(), converged, iterations, doubles(max_iterations + 1)
