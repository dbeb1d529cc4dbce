"""The loop of iterative_closest_point over checked clouds, and its operators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ._icp_inputs import Clouds
from ._neighbor_index import PointIndex
from ._operator import operator

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """The options of `iterative_closest_point`, checked."""

    scale: bool
    recenter: bool
    trim: float
    max_squared: float
    max_iterations: int
    tolerance: float | None
    mse_tolerance: float | None


@dataclass(frozen=True)
class Found:
    """A pose (B, 13) in float64, `[R row by row | t | s]`, and the other fields of the result."""

    pose: Tensor
    rmse: Tensor
    matched: Tensor
    converged: Tensor
    iterations: Tensor
    history: Tensor


def register(clouds: Clouds, rules: Rules, start: Tensor | str) -> Found:
    """Pair, judge the pose by its pairs, stop or improve it, until every element has stopped."""
    counts = clouds.source_counts
    # The source may be in any order, and a motion keeps neighbors close: sort it once, for all searches.
    source = _sorted(clouds.source, counts)
    index = PointIndex(clouds.target, clouds.target_counts)
    target = index.points
    frames = frame(source, counts), frame(target, clouds.target_counts)
    pose = first_pose(frames, start, rules)
    # What is left of a step is a few numbers per element. NumPy takes a tenth of torch's time for them,
    # which on small clouds is most of an iteration.
    limits = counts.numpy()
    # How much the rounding of the coordinates may change an error.
    noise = torch.finfo(source.dtype).eps * (frames[1][:, :3].norm(dim=1) + frames[1][:, 3]).numpy()
    poses = pose.numpy()
    batch = len(poses)
    best, last = poses, np.full(batch, np.inf)
    least, matched = last, np.zeros(batch)
    converged, running = np.zeros(batch, dtype=bool), np.ones(batch, dtype=bool)
    iterations = np.zeros(batch, dtype=np.int64)
    history = []
    indices: Tensor | None = None
    tree, active = index.tree, counts
    for iteration in range(rules.max_iterations + 1):
        try:
            proposal, statistics, squared, indices = _step(
                source, target, clouds.normals, *tree, indices, active, torch.from_numpy(poses), *frames,
                rules.trim, rules.max_squared, rules.scale, rules.recenter,
            )  # fmt: skip
        except RuntimeError as refusal:
            if "moved out of" in str(refusal):
                raise ValueError(
                    f"source: expected points that stay within {source.dtype} when moved; got, after "
                    f"{iteration} iterations, some that do not"
                ) from None
            raise
        mean_squared, _, used = statistics.numpy().T
        error = np.sqrt(mean_squared)
        paired = used > 0
        if iteration == 0:
            _check_pairs(torch.from_numpy(paired), squared, counts, rules, clouds)
        history.append(np.where(running, error, np.nan))
        better = running & paired & (error < least)
        least = np.where(better, error, least)
        best = np.where(better[:, None], poses, best)
        matched = np.where(better, used / limits, matched)
        settled, still = _judge(last, error, noise, rules)
        converged |= running & settled & paired
        running = running & ~(settled | still) & paired
        if iteration == rules.max_iterations or not running.any():
            break
        last = np.where(running, error, last)
        iterations += running
        poses = np.where(running[:, None], proposal.numpy(), poses)
        active = torch.from_numpy(np.where(running, limits, 0))
    found = best, least, matched, converged, iterations, np.stack(history, axis=1)
    return Found(*(torch.from_numpy(part) for part in found))


def _judge(last: Numbers, error: Numbers, noise: Numbers, rules: Rules) -> tuple[Flags, Flags]:
    """Which elements have converged, and which stop although they have not."""
    with np.errstate(invalid="ignore"):  # the last error is infinite at first
        fall = last - error
        not_risen = fall >= -noise
        settled = still = np.zeros_like(not_risen)
        if rules.tolerance is not None:
            fallen_little = (fall <= rules.tolerance * last) | (error <= noise)
            settled = not_risen & fallen_little & np.isfinite(last)
        if rules.mse_tolerance is not None:
            still = np.abs(np.square(last) - np.square(error)) <= rules.mse_tolerance
            settled = settled | (still & not_risen)
    return settled, still


def first_pose(frames: tuple[Tensor, Tensor], start: Tensor | str, rules: Rules) -> Tensor:
    """(B, 13): the start, named or given, with the centroids aligned where the rules ask for it."""
    pose = _start(frames, start, rules.scale) if isinstance(start, str) else start
    return _recentered(pose, *frames) if rules.recenter else pose


def _start(frames: tuple[Tensor, Tensor], name: str, scale: bool) -> Tensor:
    """No rotation; "centroids" aligns the centroids, and the sizes where a scale is sought."""
    source, target = frames
    batch = source.shape[0]
    pose = torch.zeros(batch, 13, dtype=torch.float64, device=source.device)
    pose[:, 0:9:4] = 1
    pose[:, 12] = 1
    if name == "centroids":
        if scale:
            ratio = target[:, 3] / source[:, 3]
            pose[:, 12] = torch.where(ratio.isfinite() & (ratio > 0), ratio, 1)
        pose = _recentered(pose, source, target)
    return pose


def _recentered(pose: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """The pose with the translation that aligns the centroids."""
    turned = (pose[:, :9].reshape(-1, 3, 3) * source[:, None, :3]).sum(dim=2)
    pose = pose.clone()
    pose[:, 9:12] = target[:, :3] - pose[:, 12:] * turned
    return pose


def _check_pairs(paired: Tensor, squared: Tensor, counts: Tensor, rules: Rules, clouds: Clouds) -> None:
    """Every element needs a pair that counts at the start."""
    if bool(paired.all()):
        return
    element = int((~paired).nonzero()[0])
    where = "" if clouds.unbatched else f" of batch element {element}"
    nearest = float(squared[element, : int(counts[element])].min().sqrt())
    if nearest * nearest > rules.max_squared:
        limit = rules.max_squared**0.5
        raise ValueError(
            f"max_distance: expected a pair within {limit:g} at the start, got none{where}: the nearest are "
            f"{nearest:g} apart; start nearer (initialize=) or allow more"
        )
    raise ValueError(f"normals: expected one that is not zero among the nearest targets, got none{where}")


@operator("icp_frame")
def frame(points: Tensor, counts: Tensor) -> Tensor:
    return points.new_empty((points.shape[0], 4), dtype=torch.float64)


@operator("icp_sorted")
def _sorted(points: Tensor, counts: Tensor) -> Tensor:
    return torch.empty_like(points, memory_format=torch.contiguous_format)


@operator("icp_step")
def _step(
    source: Tensor, target: Tensor, normals: Tensor | None,
    leaves: Tensor, ids: Tensor, boxes: Tensor, lowest: Tensor,
    hint: Tensor | None, counts: Tensor, pose: Tensor, source_frame: Tensor, target_frame: Tensor,
    trim: float, max_squared: float, scale: bool, recenter: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    pairs = source.shape[:2]
    return (
        torch.empty_like(pose, memory_format=torch.contiguous_format),
        pose.new_empty((pose.shape[0], 3)),
        source.new_empty(pairs),
        source.new_empty(pairs, dtype=torch.int64),
    )
