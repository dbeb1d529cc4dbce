"""The 478 points of MediaPipe's face mesh, and where iBUG's 68 lie on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# The mesh's own lines along brows, lids and lips.
_BROW = (70, 63, 105, 66, 107)
_UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)
_LOWER_LID = (133, 155, 154, 153, 145, 144, 163, 7, 33)
_UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
_UPPER_INNER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_OTHER_BROW = (300, 293, 334, 296, 336)
_OTHER_UPPER_LID = (263, 466, 388, 387, 386, 385, 384, 398, 362)
_OTHER_LOWER_LID = (362, 382, 381, 380, 374, 373, 390, 249, 263)

# The outline of the face, from before the ear to the chin.
JAW_LINE = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152)
OTHER_JAW_LINE = (356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152)

# iBUG spaces its points differently along those lines. How far along, in vertices from a line's beginning, so
# that they agree with the embedded head's on rendered faces (benchmarks/experiments/mesh478_points.py).
_JAW_PLACES = (0.1, 1.35, 2.6, 3.55, 4.75, 6.25, 7.45, 9.2)  # benchmarks/experiments/mesh478_jaw.py
_BROW_PLACES = (0.325, 1.525, 2.425, 3.125, 3.85)
_LID_PLACES = {"upper": (3.25, 5.375), "lower": (3.125, 5.35)}
_LIP_PLACES = {"upper": (2.425, 4.325, 5), "lower": (2.3, 3.625, 5)}
_INNER_PLACES = {"upper": (3.475, 5), "lower": (3.5, 5)}

Place = tuple[int, int, float]
"""Two vertices, and the second one's share."""


def _along(line: tuple[int, ...], place: float) -> Place:
    first = min(int(place), len(line) - 2)
    return line[first], line[first + 1], place - first


def _at(*vertices: int) -> list[Place]:
    return [(vertex, vertex, 0.0) for vertex in vertices]


def _mirrored(line: tuple[int, ...], places: tuple[float, ...]) -> list[Place]:
    """The other half of a line whose middle comes last, from there on."""
    return [_along(line[::-1], place) for place in places[-2::-1]]


def _lip(line: tuple[int, ...], places: tuple[float, ...]) -> list[Place]:
    return [*(_along(line, place) for place in places), *_mirrored(line, places)]


def _eye(corners: tuple[int, int], upper: tuple[int, ...], lower: tuple[int, ...]) -> list[Place]:
    """Outer corner, upper lid inward, inner corner, lower lid outward."""
    return [
        *_at(corners[0]),
        *(_along(upper, place) for place in _LID_PLACES["upper"]),
        *_at(corners[1]),
        *(_along(lower, place) for place in _LID_PLACES["lower"]),
    ]


def _turned(eye: list[Place]) -> list[Place]:
    """The same points in iBUG's order of the other eye, which begins at the inner corner."""
    return [eye[index] for index in (3, 2, 1, 0, 5, 4)]


LINES: dict[int, tuple[int, ...]] = {
    **dict.fromkeys(range(17, 22), _BROW),
    **dict.fromkeys((37, 38), _UPPER_LID),
    **dict.fromkeys((40, 41), _LOWER_LID),
    **dict.fromkeys(range(49, 52), _UPPER_LIP),
    **dict.fromkeys(range(57, 60), _LOWER_LIP),
    **dict.fromkeys(range(61, 63), _UPPER_INNER),
    **dict.fromkeys(range(66, 68), _LOWER_INNER),
}
"""Of the points on the image's left and in the middle that lie on one of the mesh's lines: which."""

SIXTY_EIGHT_OF_478: tuple[Place, ...] = (
    *(_along(JAW_LINE, place) for place in _JAW_PLACES),
    *_at(152),  # chin
    *(_along(OTHER_JAW_LINE, place) for place in _JAW_PLACES[::-1]),
    *(_along(_BROW, place) for place in _BROW_PLACES),
    *(_along(_OTHER_BROW, place) for place in _BROW_PLACES[::-1]),
    *_at(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *_eye((33, 133), _UPPER_LID, _LOWER_LID),
    *_turned(_eye((263, 362), _OTHER_UPPER_LID, _OTHER_LOWER_LID)),
    *_at(61),
    *_lip(_UPPER_LIP, _LIP_PLACES["upper"]),
    *_at(291),
    *_lip(_LOWER_LIP, _LIP_PLACES["lower"])[::-1],
    *_at(78),
    *_lip(_UPPER_INNER, _INNER_PLACES["upper"]),
    *_at(308),
    *_lip(_LOWER_INNER, _INNER_PLACES["lower"])[::-1],
)
"""Where the 68 points lie in the mesh's 468 or 478 vertices, in iBUG's order."""

_FIRST, _SECOND = (np.array([place[i] for place in SIXTY_EIGHT_OF_478]) for i in (0, 1))
_SHARE = np.array([place[2] for place in SIXTY_EIGHT_OF_478])[:, None]


def sixty_eight_from_478(mesh: NDArray[Any]) -> NDArray[Any]:
    """The 68 points (..., 68, D) of meshes (..., 468 or 478, D), of the same dtype."""
    points = np.asarray(mesh)
    with np.errstate(over="ignore", invalid="ignore"):  # beyond any picture: not finite, as its reader says
        first, second = points[..., _FIRST, :], points[..., _SECOND, :]
        return (first + _SHARE * (second - first)).astype(points.dtype, copy=False)
