"""How the surroundings of a head follow when it turns: hair, neck and background move with its outline.

Turning a head about the vertical axis of the picture keeps every point in its row. So the outline of the head
in a row of the turned picture belongs to its outline in the same row of the photo, and what was beside the
one is beside the other: no hole where the head was, and no second head.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, minimum_filter1d

from ..geometry.crops import SIZE

Floats = NDArray[np.float32]

_MARGIN = SIZE  # rows above and below the crop in which outlines are known
_SMOOTH = 2.0  # rows
_SKIP = 5.0  # pixels beside the outline left out on the far side, by which hair keeps away from a profile
_NEAR = 9.0  # pixels inside the outline to which that reaches
_FULL = np.radians(30.0)  # turn from which it holds fully
_LEAST = 0.35  # how far the surroundings may be stretched at most


def surroundings_map(
    source: Floats, target: Floats, scale: float, source_level: float, target_level: float, turn: float
) -> Floats:
    """Where each pixel around the turned head comes from: (SIZE, SIZE, 2) x, row of the photo.

    Args:
        source, target: (N, 3) vertices in crop pixels, before and after.
        scale: by how much the head has grown.
        source_level, target_level: the row of the same height in both.
        turn: radians, positive toward the left of the image.
    """
    rows = np.arange(SIZE)
    source_rows = (rows - target_level) / scale + source_level
    left, right = _outline(source)
    place = np.clip(source_rows + _MARGIN, 0, len(left) - 1)
    index = np.arange(len(left))
    left, right = np.interp(place, index, left), np.interp(place, index, right)
    new_left, new_right = (side[_MARGIN : _MARGIN + SIZE] for side in _outline(target))
    columns = np.arange(SIZE, dtype=np.float64)[None, :]
    # Columns outside the outline, of the turned picture, on either side; negative inside.
    out_left, out_right = new_left[:, None] - columns, columns - new_right[:, None]
    inner = -out_left / (new_right - new_left)[:, None]
    found = left[:, None] + inner * (right - left)[:, None]
    # The part of the photo beside the head fills the place beside the turned one, slightly stretched if need
    # be; beyond it the border is repeated.
    strength = min(1.0, abs(turn) / _FULL)
    pace_left = _pace(left, new_left / scale, strength) / scale
    pace_right = _pace(SIZE - 1 - right, (SIZE - 1 - new_right) / scale, strength) / scale
    beside_left = left[:, None] - out_left * pace_left[:, None]
    beside_right = right[:, None] + out_right * pace_right[:, None]
    found = np.where(out_left > 0, beside_left, np.where(out_right > 0, beside_right, found))
    # On the side that turns away, the rounded outline may run inside the head's: keep the skin out of there.
    if turn > 0:
        away, limit = out_left, left[:, None] - _SKIP + np.zeros_like(columns)
        limit = np.minimum(limit, found - _SKIP * (out_left > 0))
    else:
        away, limit = out_right, right[:, None] + _SKIP + np.zeros_like(columns)
        limit = np.maximum(limit, found + _SKIP * (out_right > 0))
    near = np.clip((away + 2 * _NEAR) / _NEAR, 0, 1)
    found += strength * near * (limit - found)
    return np.stack([found, np.broadcast_to(source_rows[:, None], found.shape)], axis=2).astype(np.float32)


def _outline(vertices: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The first and the last column of the head in each row, from `_MARGIN` rows above the crop on."""
    count = SIZE + 2 * _MARGIN
    row = np.rint(vertices[:, 1]).astype(np.int64) + _MARGIN
    inside = (row >= 0) & (row < count)
    left, right = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(left, row[inside], vertices[inside, 0])
    np.maximum.at(right, row[inside], vertices[inside, 0])
    known = np.flatnonzero(np.isfinite(left))
    if not len(known):
        middle = float(vertices[:, 0].mean())
        return np.full(count, middle - 1), np.full(count, middle + 1)
    index = np.arange(count)
    left, right = np.interp(index, known, left[known]), np.interp(index, known, right[known])
    left = gaussian_filter1d(minimum_filter1d(left, 3), _SMOOTH, mode="nearest")
    right = gaussian_filter1d(maximum_filter1d(right, 3), _SMOOTH, mode="nearest")
    return left, np.maximum(right, left + 1)


def _pace(room: NDArray[np.float64], need: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Pixels of the photo a pixel beside the head, where `room` are there and `need` are wanted."""
    fitting = np.clip(np.maximum(room, 0) / np.maximum(need, 1), _LEAST, 1)
    return np.asarray(1 + strength * (fitting - 1), np.float64)
