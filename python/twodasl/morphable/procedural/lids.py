"""How the lids move: they slide over the eyeball, turning about the axis across the face through its center.

A mode is linear, so a vertex travels along a straight line while the real lid travels along an arc. Lines are
chosen that never pass through the eyeball: where a chord would, the end point is moved outward along its
radius until the chord only touches a sphere a little larger than the eyeball.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy
from .features.eyes import LID_THICKNESS, lid_heights
from .shapes import smoothstep

Array = NDArray[np.float64]

# Share of the opening that the upper lid travels in a blink; the lower lid meets it.
UPPER_SHARE = 0.76
# The lids overlap a little when shut, so that no light shows between two straight edges.
OVERLAP = np.radians(2.5)
# The eyeball with its cornea, and a margin (mm).
CORNEA, CLEARANCE = 0.55, 0.25
# How far above the upper margin, below the lower one (mm) and into the socket (radians) the skin takes part.
UPPER_REACH, LOWER_REACH, INWARD_REACH = 15.0, 12.0, 0.9


@dataclass(frozen=True)
class Lids:
    """Both eyes' lids, in planes across the eye: angles above the horizontal through the eyeball's center
    (N,)."""

    angle: Array
    radius: Array
    upper_weight: Array
    lower_weight: Array
    upper_margin: Array
    lower_margin: Array
    slice_radius: Array
    from_margin: Array


def measured(a: Anatomy) -> Lids:
    """The lids of the mean head."""
    arm = a.away(a.eye)
    arm[:, 0] *= np.where(a.side < 0, -1.0, 1.0)
    top, bottom = lid_heights(a.across)
    depth = np.sqrt(np.maximum((a.eye_radius + LID_THICKNESS) ** 2 - arm[:, 0] ** 2, 16.0))
    upper = np.arcsin(np.clip((top - a.eye[1]) / depth, -1, 1))
    lower = np.arcsin(np.clip((bottom - a.eye[1]) / depth, -1, 1))
    angle = np.arctan2(arm[:, 1], arm[:, 2])
    radius = np.hypot(arm[:, 1], arm[:, 2])
    socket = a.regions["eye_socket_left"] + a.regions["eye_socket_right"] > 0.5
    ball = a.regions["eyeball_left"] + a.regions["eyeball_right"] > 0.5
    front = (arm[:, 2] > 0) & ~ball & (np.abs(arm[:, 0]) < 24)
    above = front & (arm[:, 1] > (top + bottom) / 2 - a.eye[1])
    below = front & ~above
    lift = np.where(socket, (angle - upper) / INWARD_REACH * UPPER_REACH, arm[:, 1] + a.eye[1] - top)
    fall = np.where(socket, (lower - angle) / INWARD_REACH * LOWER_REACH, bottom - arm[:, 1] - a.eye[1])
    # Skin that is not before the eye (the temple, the nose) has no part in it.
    near = 1 - smoothstep(8.0, 20.0, a.eye_distance)
    return Lids(
        angle=angle,
        radius=radius,
        upper_weight=above * near * (1 - smoothstep(1.0, UPPER_REACH, lift)),
        lower_weight=below * near * (1 - smoothstep(1.0, LOWER_REACH, fall)),
        upper_margin=upper,
        lower_margin=lower,
        from_margin=np.where(socket, 0.0, np.maximum(np.where(above, lift, fall), 0.0)),
        slice_radius=np.sqrt(np.maximum((a.eye_radius + CORNEA + CLEARANCE) ** 2 - arm[:, 0] ** 2, 0)),
    )


def shut(a: Anatomy) -> Array:
    """Field (N, 3) that closes both eyes completely."""
    lids = measured(a)
    gap = np.maximum(lids.upper_margin - lids.lower_margin, 0)
    travel = -lids.upper_weight * (UPPER_SHARE * gap + OVERLAP * np.minimum(gap / 0.1, 1))
    travel = travel + lids.lower_weight * (1 - UPPER_SHARE) * gap
    # The socket behind the lids may dip into the eyeball on its way: the lid hides it.
    hidden = a.regions["eye_socket_left"] + a.regions["eye_socket_right"] > 0.5
    floor = np.where(hidden, 0.0, np.minimum(lids.slice_radius, lids.radius))
    # From a point at `radius` the tangent to the circle `floor` touches it `reach` further on.
    reach = np.arccos(np.clip(floor / np.maximum(lids.radius, 1e-9), -1, 1))
    beyond = np.clip(np.abs(travel) - reach, 0, 1.2)
    radius = np.maximum(lids.radius, floor / np.cos(beyond))
    end = lids.angle + travel
    field = np.zeros_like(a.points)
    field[:, 1] = radius * np.sin(end) - lids.radius * np.sin(lids.angle)
    field[:, 2] = radius * np.cos(end) - lids.radius * np.cos(lids.angle)
    return _eased(a, lids, np.where((travel != 0)[:, None], field, 0))


def opened(a: Anatomy, upper: float, lower: float) -> Array:
    """Field (N, 3) that raises the upper margins by `upper` mm and drops the lower ones by `lower`, at
    their middle.

    Every vertex leaves along its tangent, so that it clears the eyeball in both directions.
    """
    lids = measured(a)
    gap = np.maximum(lids.upper_margin - lids.lower_margin, 0)
    across = gap / gap.max() / (a.eye_radius + LID_THICKNESS)
    turn = across * (lids.upper_weight * upper - lids.lower_weight * lower)
    field = np.zeros_like(a.points)
    field[:, 1] = turn * lids.radius * np.cos(lids.angle)
    field[:, 2] = -turn * lids.radius * np.sin(lids.angle)
    return _eased(a, lids, field)


def _eased(a: Anatomy, lids: Lids, field: Array) -> Array:
    """The field with soft borders: exact at the margins, smoothed over the surface away from them."""
    soft = smoothstep(1.0, 5.0, lids.from_margin)[:, None]
    still = a.regions["eyeball_left"] + a.regions["eyeball_right"] > 0.5
    eased = (1 - soft) * field + soft * a.smooth(field, 10)
    return np.where(still[:, None], 0.0, eased)
