"""The vermilion of both lips, row by row from its border to the contact line, and the bag behind it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from twodasl.morphable.procedural.builder import HalfMesh
from twodasl.morphable.procedural.features.lips import CORNER_X, contact_line
from twodasl.morphable.procedural.skin import on_skin

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]

# Each ring behind the lips: depth (mm), half height (mm), share of the lips' width.
_RINGS = [
    (1.4, 0.25, 0.99),
    (3.5, 1.2, 0.975),
    (7.0, 5.0, 0.95),
    (14.0, 9.0, 0.88),
    (28.0, 9.5, 0.74),
    (42.0, 5.0, 0.5),
]


_ROWS = (0.2, 0.42, 0.64, 0.84, 1.0)
_INNER_CORNER = CORNER_X - 2.2


def add_lips(mesh: HalfMesh, border_upper: IntArray, border_lower: IntArray) -> tuple[IntArray, IntArray]:
    """Fill both lips inside the vermilion borders; return the contact lines (midline to corner, corner
    shared)."""
    points = mesh.vertices()
    x = np.linspace(0.0, 1.0, len(border_upper))
    x = _INNER_CORNER * (x + 0.4 * x * (1 - x))
    gap = 0.13 * np.sqrt(np.clip(1 - (x / _INNER_CORNER) ** 2, 0, 1))
    contacts = []
    corners: list[IntArray] = []
    for sign, border in ((1.0, border_upper), (-1.0, border_lower)):
        edge = points[border, :2]
        contact = np.column_stack([x, contact_line(x) + sign * gap])
        rows = [border]
        for k, share in enumerate(_ROWS):
            row = on_skin((1 - share) * edge + share * contact)
            row[0, 0] = 0.0
            if sign > 0:
                rows.append(mesh.add_points(row, "lips"))
                corners.append(rows[-1][-1:])
            else:
                rows.append(np.concatenate([mesh.add_points(row[:-1], "lips"), corners[k]]))
        mesh.add_rings([r[::-1] for r in rows] if sign > 0 else rows, closed=False)
        contacts.append(rows[-1])
    return contacts[0], contacts[1]


def add_mouth_bag(mesh: HalfMesh, upper: IntArray, lower: IntArray) -> None:
    """Close the mouth behind ``upper`` and ``lower`` (midline to corner, last index shared)."""
    points = mesh.vertices()
    loop = np.concatenate([upper, lower[-2::-1]])
    count = len(upper)
    sign = np.ones(len(loop))
    sign[count - 1] = 0.0
    sign[count:] = -1.0
    lips = points[loop]
    across = np.sqrt(np.clip(1 - (lips[:, 0] / lips[count - 1, 0]) ** 2, 0, 1))
    middle = (lips[:, 1] + np.r_[points[lower, 1], points[upper, 1][-2::-1]]) / 2
    rings = [loop]
    for depth, height, width in _RINGS:
        ring = lips.copy()
        ring[:, 0] *= width
        ring[:, 1] = middle + sign * (height * across)
        ring[:, 2] -= depth
        ring[[0, -1], 0] = 0.0
        rings.append(mesh.add_points(ring, "mouth_interior"))
    # From the front the loop runs clockwise on the subject's left; the bag lies to its right.
    mesh.add_rings([r[::-1] for r in rings], closed=False)
    last = rings[-1]
    mesh.add_rings([last[:count][::-1], np.r_[last[count - 1 :]]], closed=False)
