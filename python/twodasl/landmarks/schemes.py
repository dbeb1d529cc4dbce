"""The three common landmark schemes and the maps between them.

68: the iBUG scheme, 0-based. 21: AFLW's (brows, eyes, nose, mouth with their centers, ears, chin). 18: the
paper's, AFLW's without ears and chin; what the network's landmark channel and the 2D loss use. "Left" and
"right" are those of the image of a frontal face, as in AFLW: `ear_left` is the subject's right ear.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ..geometry.constants import constant

Points = TypeVar("Points", torch.Tensor, NDArray[Any])

GROUPS_68: dict[str, tuple[int, ...]] = {
    "contour": tuple(range(0, 17)),
    "brow_left": tuple(range(17, 22)),
    "brow_right": tuple(range(22, 27)),
    "nose_bridge": tuple(range(27, 31)),
    "nose_base": tuple(range(31, 36)),
    "eye_left": tuple(range(36, 42)),
    "eye_right": tuple(range(42, 48)),
    "mouth_outer": tuple(range(48, 60)),
    "mouth_inner": tuple(range(60, 68)),
}
"""Point indices of each part of the face, in drawing order."""

NAMES_68: tuple[str, ...] = tuple(
    f"{name}_{i}" for name, group in GROUPS_68.items() for i in range(len(group))
)
"""A name for each of the 68 points: its group and the position in it."""

_CLOSED = frozenset({"eye_left", "eye_right", "mouth_outer", "mouth_inner"})


def _edges(groups: dict[str, tuple[int, ...]]) -> tuple[tuple[int, int], ...]:
    edges = []
    for name, group in groups.items():
        edges += list(pairwise(group))
        if name in _CLOSED:
            edges.append((group[-1], group[0]))
    return tuple(edges)


CONNECTIONS_68: tuple[tuple[int, int], ...] = _edges(GROUPS_68)
"""Pairs of points to join with a line when the 68 points are drawn."""

_BROWS_AND_EYES = tuple(
    f"{part}_{side}_{place}"
    for part in ("brow", "eye")
    for side, places in (("left", ("outer", "center", "inner")), ("right", ("inner", "center", "outer")))
    for place in places
)
_NOSE = ("nose_left", "nose_tip", "nose_right")
_MOUTH = ("mouth_left", "mouth_center", "mouth_right")

EIGHTEEN_NAMES: tuple[str, ...] = (*_BROWS_AND_EYES, *_NOSE, *_MOUTH)
"""Names of the paper's 18 points, in order."""

TWENTY_ONE_NAMES: tuple[str, ...] = (*_BROWS_AND_EYES, "ear_left", *_NOSE, "ear_right", *_MOUTH, "chin")
"""Names of AFLW's 21 points, in order."""

CONNECTIONS_18: tuple[tuple[int, int], ...] = _edges({str(i): (i, i + 1, i + 2) for i in range(0, 18, 3)})
"""Pairs of points to join with a line when the 18 points are drawn."""

_FOUR = ("nose_tip", "mouth_center")
_TWO = ("eye_left_center", "eye_right_center", "mouth_left", "mouth_right")


def _weights(names: tuple[str, ...]) -> torch.Tensor:
    return torch.tensor(
        [4.0 if name in _FOUR else 2.0 if name in _TWO else 1.0 for name in names], dtype=torch.float32
    )


EIGHTEEN_WEIGHTS: torch.Tensor = _weights(EIGHTEEN_NAMES)
"""(18,) float32, the visibility weights of the 2D loss, 4:2:1 (paper section 3.3). Read-only."""

TWENTY_ONE_WEIGHTS: torch.Tensor = _weights(TWENTY_ONE_NAMES)
"""Like EIGHTEEN_WEIGHTS, for the 21 points: ears and chin have weight 1. Read-only."""

FLIP_68: tuple[int, ...] = (
    *range(16, -1, -1),  # contour
    *range(26, 16, -1),  # brows
    *range(27, 31),  # nose bridge
    *range(35, 30, -1),  # nose base
    *(45, 44, 43, 42, 47, 46),  # eyes: each is numbered clockwise from its leftmost corner
    *(39, 38, 37, 36, 41, 40),
    *range(54, 47, -1),  # outer lips, upper then lower
    *range(59, 54, -1),
    *range(64, 59, -1),  # inner lips, upper then lower
    *range(67, 64, -1),
)
"""`points[..., FLIP_68, :]` restores the scheme's order for the points of a mirrored face."""


def _flip(names: tuple[str, ...]) -> tuple[int, ...]:
    swap = {"left": "right", "right": "left"}
    return tuple(names.index("_".join(swap.get(word, word) for word in name.split("_"))) for name in names)


FLIP_18: tuple[int, ...] = _flip(EIGHTEEN_NAMES)
"""Like FLIP_68, for the 18 points."""

FLIP_21: tuple[int, ...] = _flip(TWENTY_ONE_NAMES)
"""Like FLIP_68, for the 21 points."""

# The 18 points as midpoints of pairs of the 68 (the authors' code); a point
# that exists among the 68 is paired with itself.
_FIRST = [17, 19, 21, 22, 24, 26, 36, 37, 39, 42, 43, 45, 31, 30, 35, 48, 62, 54]
_SECOND = [17, 19, 21, 22, 24, 26, 36, 40, 39, 42, 46, 45, 31, 30, 35, 48, 66, 54]
_MOUTH_CENTER = EIGHTEEN_NAMES.index("mouth_center")
_MOUTH_PAIRS = {"inner-lips": (62, 66), "corners": (48, 54)}
_18_OF_21 = [i for i, name in enumerate(TWENTY_ONE_NAMES) if name in EIGHTEEN_NAMES]
_RUNS_OF_21 = [len(_BROWS_AND_EYES), 1, len(_NOSE), 1, len(_MOUTH), 1]
_CHIN_68 = 8


def _check(points: torch.Tensor | NDArray[Any], count: int) -> None:
    if points.ndim < 2 or points.shape[-2] != count:
        raise ValueError(f"points: expected (..., {count}, D), got {tuple(points.shape)}")


def pairs_of_eighteen(mouth: str = "inner-lips") -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The two of the 68 points whose mean each of the 18 is, 18 indices each: see `eighteen_from_68`."""
    if mouth not in _MOUTH_PAIRS:
        raise ValueError(f"mouth: expected 'inner-lips' or 'corners', got {mouth!r}")
    first, second = list(_FIRST), list(_SECOND)
    first[_MOUTH_CENTER], second[_MOUTH_CENTER] = _MOUTH_PAIRS[mouth]
    return tuple(first), tuple(second)


def eighteen_from_68(points: Points, mouth: str = "inner-lips") -> Points:
    """The paper's 18 points from the 68: (..., 68, D) to (..., 18, D), tensors or arrays; differentiable.

    Eye centers are midpoints of a diagonal between the lids (37, 40 and 43, 46; on a mirrored face these are
    the other diagonals, so mirror the 18 points rather than the 68 where it matters). The mouth center is the
    midpoint of the inner lips (62, 66) as in the authors' code, or with `mouth="corners"` that of the two
    corners (48, 54) as in the paper's text. Raises ValueError on another number of points or another `mouth`.
    """
    _check(points, 68)
    pairs_18 = pairs_of_eighteen(mouth)
    if isinstance(points, torch.Tensor):
        # One gather, whose gradient adds up without the sort that fancy indexing needs on a GPU.
        rows = constant(pairs_18[0] + pairs_18[1], points.device, torch.int64)
        pairs = points.index_select(points.ndim - 2, rows).unflatten(-2, (2, -1))
        return pairs.mean(dim=-3) if points.is_floating_point() else pairs.sum(dim=-3) / 2
    first, second = list(pairs_18[0]), list(pairs_18[1])
    return (points[..., first, :] + points[..., second, :]) / 2


def eighteen_from_21(points: Points) -> Points:
    """AFLW's 21 points without ears and chin: (..., 21, D) to (..., 18, D), tensors or arrays."""
    _check(points, 21)
    if isinstance(points, torch.Tensor):
        # Split, not indexed by a list, which would be copied to a GPU in every call.
        brows_eyes, _, nose, _, mouth, _ = points.split(_RUNS_OF_21, dim=-2)
        return torch.cat([brows_eyes, nose, mouth], dim=-2)
    return points[..., _18_OF_21, :]


def twenty_one_from_68(points: Points, mouth: str = "inner-lips", ears: Points | None = None) -> Points:
    """AFLW's 21 points from the 68, as far as they exist: (..., 68, D) to (..., 21, D).

    The 18 points are those of `eighteen_from_68`; the chin is contour point 8. The 68 points have no ears:
    points 12 and 16 are NaN, which `landmark_map` omits, unless `ears` (..., 2, D) provides them, the image's
    left one first. `MorphableModel.named_landmarks` has a face model's ears. Integer arrays become float64,
    integer tensors float32.
    """
    eighteen = eighteen_from_68(points, mouth)
    brows_eyes, nose, lips = eighteen[..., :12, :], eighteen[..., 12:15, :], eighteen[..., 15:, :]
    chin = points[..., _CHIN_68 : _CHIN_68 + 1, :]
    if isinstance(eighteen, torch.Tensor):
        ears = torch.full_like(eighteen[..., :2, :], torch.nan) if ears is None else ears
        parts = [brows_eyes, ears[..., :1, :], nose, ears[..., 1:, :], lips, chin]
        return torch.cat(parts, dim=-2)
    ears = np.full_like(eighteen[..., :2, :], np.nan) if ears is None else ears
    return np.concatenate([brows_eyes, ears[..., :1, :], nose, ears[..., 1:, :], lips, chin], axis=-2)


FLIPS: dict[int, tuple[int, ...]] = {68: FLIP_68, 21: FLIP_21, 18: FLIP_18}
"""The mirror permutation of each scheme, by number of points."""


def flip_landmarks(points: Points, width: float) -> Points:
    """Landmarks of the mirrored image: x becomes `width - 1 - x`, and left and right trade names.

    points: (..., L, D >= 2) image pixels, L = 68, 21, or 18; width: image width in pixels. Other columns are
    unchanged. It is its own inverse. Raises ValueError for another number of points.
    """
    if points.ndim < 2 or points.shape[-2] not in FLIPS:
        raise ValueError(f"points: expected (..., 68 or 21 or 18, D), got {tuple(points.shape)}")
    swapped = points[..., list(FLIPS[points.shape[-2]]), :]
    mirrored = width - 1 - swapped[..., :1]
    if isinstance(swapped, torch.Tensor):
        return torch.cat([mirrored, swapped[..., 1:]], dim=-1)
    return np.concatenate([mirrored, swapped[..., 1:]], axis=-1)
