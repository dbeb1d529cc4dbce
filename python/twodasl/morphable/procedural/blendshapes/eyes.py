"""Lids, gaze, brows, cheeks and nose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..lids import opened, shut
from .brushes import Face

Array = NDArray[np.float64]

# How far the eye turns at weight 1, degrees: about what eyes do without the head.
LOOK_DOWN, LOOK_UP, LOOK_IN, LOOK_OUT = 28.0, 25.0, 30.0, 32.0


def upper_face(f: Face) -> dict[str, Array]:
    """Fields (N, 3) of the eyes', brows', cheeks' and nose's shapes; of pairs only the subject's left."""
    return {
        "eyeBlinkLeft": f.left(_symmetric(f, shut(f.a))),
        "eyeLookDownLeft": gaze(f, -LOOK_DOWN, 0) + f.left(opened(f.a, upper=-3.4, lower=1.3)),
        "eyeLookInLeft": gaze(f, 0, -LOOK_IN),
        "eyeLookOutLeft": gaze(f, 0, LOOK_OUT),
        "eyeLookUpLeft": gaze(f, LOOK_UP, 0) + f.left(opened(f.a, upper=2.0, lower=-0.7)),
        "eyeSquintLeft": f.left(eye_squint(f)),
        "eyeWideLeft": f.left(eye_wide(f)),
        "browDownLeft": f.left(brow_down(f), 5),
        "browInnerUp": brow_inner_up(f),
        "browOuterUpLeft": f.left(brow_outer_up(f), 5),
        "cheekPuff": cheek_puff(f),
        "cheekSquintLeft": f.left(cheek_squint(f), 5),
        "noseSneerLeft": f.left(nose_sneer(f), 4),
    }


def _symmetric(f: Face, field: Array) -> Array:
    return (field + f.a.mirrored(field)) / 2


def gaze(f: Face, up: float, out: float) -> Array:
    """The subject's left eyeball turned about its center, in degrees; `out`: away from the nose."""
    ball = f.a.regions["eyeball_left"] > 0.5
    sculpted, here = f.a.points[ball], f.mean[ball]
    # The shipped head's eyeball is the sculpt's, moved and scaled as one.
    size = np.sqrt(((here - here.mean(0)) ** 2).sum() / ((sculpted - sculpted.mean(0)) ** 2).sum())
    center = here.mean(0) + size * (f.a.eye - sculpted.mean(0))
    pitch, yaw = np.radians([-up, out])
    nod = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]], np.float64
    )
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]], np.float64)
    field = np.zeros_like(f.a.points)
    arm = here - center
    field[ball] = arm @ (turn @ nod).T - arm
    return field


def eye_squint(f: Face) -> Array:
    """Lids narrowed, the lower one most; the skin around the eye drawn toward it."""
    a, eye = f.a, f.a.eye
    field = a.push(a.bump((eye[0] + 5, eye[1] - 19, eye[2]), (15, 8, 18)), up=2.6, forward=1.2)
    field += a.push(a.bump((eye[0] + 23, eye[1] - 4, eye[2] - 12), (8, 12, 16)), lateral=-2.2, forward=0.6)
    field += a.push(a.bump((eye[0] + 10, a.brow[1] - 3, eye[2] + 8), (16, 7, 20)), up=-1.8, forward=0.5)
    return f.soft(field) + _symmetric(f, opened(a, upper=-1.5, lower=-2.6))


def eye_wide(f: Face) -> Array:
    """Both lids drawn away from the iris."""
    return _symmetric(f, opened(f.a, upper=3.2, lower=1.5))


def _brow(f: Face, above: float, beneath: float) -> Array:
    """How far a vertex moves with the brow: bells of these widths (mm) above and beneath it."""
    a = f.a
    # The brow is an arch: its height (mm) over the distance from the midline.
    arch = np.interp(a.across, [0, 17, 26, 35.5, 45, 52.5], [20, 20.8, 23.6, 25.7, 24, 17.5])
    rise = a.y - arch
    along = np.exp(-0.5 * (rise / np.where(rise > 0, above, beneath)) ** 2)
    return np.asarray(along * a.ramp(a.across, 68, 48) * a.ramp(a.z, 35, 62))


def brow_down(f: Face) -> Array:
    """The brow drawn down over the eye, and toward the nose."""
    a = f.a
    weight = _brow(f, 13, 8)
    field = a.push(weight * a.ramp(a.across, -6, 12), up=-6.0, forward=0.9)
    field += a.push(weight * a.bump((17, 21, 90), (13, 40, 60)), lateral=-2.4, forward=0.8)
    return f.soft(field)


def brow_inner_up(f: Face) -> Array:
    """The inner ends of both brows raised."""
    a = f.a
    weight = _brow(f, 20, 8.5) * np.exp(-0.5 * (np.maximum(a.across - 12, 0) / 13) ** 2)
    return f.soft(a.push(weight, up=8.5, lateral=-0.8, forward=-0.3))


def brow_outer_up(f: Face) -> Array:
    """The outer part of the brow raised."""
    a = f.a
    weight = _brow(f, 20, 8.5) * np.exp(-0.5 * (np.maximum(43 - a.across, 0) / 11) ** 2)
    return f.soft(a.push(weight, up=8.0, forward=-0.6))


def cheek_puff(f: Face) -> Array:
    """Both cheeks, and a little of the lips, blown up."""
    a, mouth = f.a, f.a.mouth
    weight = a.bump((45, mouth[1] + 2, 56), (15, 17, 20))
    weight = weight + 0.35 * a.bump((13, mouth[1] + 13, 95), (14, 5, 20))
    weight = np.minimum(weight + 0.35 * a.bump((13, mouth[1] - 15, 92), (14, 5, 20)), 1)
    weight = weight * (1 - a.regions["mouth_interior"]) * (1 - a.regions["ears"])
    field = weight[:, None] * a.outward((0, mouth[1] + 2, 18)) * 10.5
    # Air is held by lips that are drawn in at the corners.
    field += a.push(f.lips(5, 5, 5) * f.along, lateral=-2.0)
    return f.soft(field, 6)


def cheek_squint(f: Face) -> Array:
    """The cheek under the eye raised against the lower lid."""
    a, eye = f.a, f.a.eye
    field = a.push(a.bump((eye[0] + 8, eye[1] - 25, eye[2] - 2), (16, 12, 18)), up=7.5, forward=4.2)
    field += a.push(a.bump((eye[0] + 24, eye[1] - 12, eye[2] - 16), (8, 10, 14)), up=1.5, lateral=0.5)
    return f.soft(field) + _symmetric(f, opened(a, upper=0.0, lower=-2.6))


def nose_sneer(f: Face) -> Array:
    """The wing of the nose raised, and with it the upper lip and the folds beside both."""
    a = f.a
    wing, base = a.mark(35), a.mark(33)
    field = a.push(a.bump((wing[0] + 2, wing[1] + 3, wing[2]), (9, 9, 16)), up=4.6, lateral=1.2)
    field += a.push(a.bump((wing[0] + 9, base[1] + 9, wing[2] - 8), (8, 11, 16)), up=3.4, forward=3.4)
    field += a.push(a.bump((11, a.mouth[1] + 8, a.mouth[2] - 3), (10, 7, 20)) * f.upper, up=3.6, forward=0.4)
    # Wrinkles beside the bridge push the inner corner of the eye's surroundings together.
    field += a.push(a.bump((12, -6, 88), (6, 9, 14)), up=2.6, forward=1.6)
    return f.soft(field)
