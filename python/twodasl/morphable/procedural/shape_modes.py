"""The 40 shape modes: how heads of adults differ, one standard deviation each.

The spreads follow the standard deviations of adults' measures (after Farkas, Anthropometry of the Head and
Face, 1994), in millimeters, rounded: head width eu-eu 5.5, head length g-op 7, face width zy-zy 5, jaw width
go-go 5.5, face height n-gn 6, nose height n-sn 3.3, nose width al-al 2.5, nose protrusion sn-prn 1.8, eye
spacing en-en 2.5, mouth width ch-ch 3.5, lip heights 1.3, chin height 3, ear length 3.5; canthal tilt about 2
degrees. A mode moves one such measure; where several modes share one (a face is longer by its nose, philtrum
and chin too) each takes its part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .anatomy import Anatomy
from .lids import opened

Array = NDArray[np.float64]


def _at(point: Array, x: float, y: float, z: float) -> Array:
    return point + np.array([x, y, z])


def cranium(a: Anatomy) -> dict[str, Array]:
    """Head width, length and height, forehead, temples, ears and neck."""
    brow, chin = a.brow[1], a.mark(8)[1]
    above = a.ramp(a.y, chin + 20, brow)
    width = a.push(a.across / 72 * above * (1 - 0.55 * a.ramp(a.z, 30, 85)), lateral=2.8)
    behind = np.clip((a.ear[2] + 10 - a.z) / (a.ear[2] + 10 - a.skull_back), 0, None)
    length = a.push(behind**1.5 * a.ramp(a.y, chin, brow - 30), forward=-6.5)
    height = a.push(
        np.clip((a.y - brow) / (a.crown - brow), 0, None) ** 1.5 * a.ramp(a.y, brow, brow + 40), up=6.5
    )
    front = a.ramp(a.z, -30, 70)
    slope = a.push(a.ramp(a.y, brow + 2, brow + 75) * front, up=-1.0, forward=-5.0)
    temples = a.push(a.bump((58, brow + 22, 45), (24, 26, 30)), lateral=2.4, forward=1.0)
    ridge = np.exp(-0.5 * ((a.y - brow + 2) / 7) ** 2) * a.ramp(a.across, 60, 40) * a.ramp(a.z, 40, 70)
    ridges = a.push(ridge * (0.75 + 0.45 * a.bump((0, brow - 5, 90), (14, 60, 40))), forward=1.7)
    spine = np.array([0.0, 0.0, -20.0])
    below = a.ramp(a.y, chin + 35, chin - 25) * a.ramp(a.z, 75, 40)
    out = (a.points - spine) * [1, 0, 1] / 55
    neck = below[:, None] * out * 3.2
    return {
        "head width": width,
        "head length": length,
        "head height": height,
        "forehead slope": slope,
        "forehead width": temples,
        "brow ridge": ridges,
        "neck width": neck,
    }


def ears(a: Anatomy) -> dict[str, Array]:
    """Size and protrusion of the ears; both affect only the ears, starting from where they are attached."""
    weight = a.smooth(a.regions["ears"][:, None], 14)
    root = a.points[a.regions["ear_left"] > 0.5]
    root = np.array([root[:, 0].min(), root[:, 1].mean(), root[:, 2].max()])
    arm = a.away(root)
    grown = 0.05 * arm
    turned = np.radians(3.5) * np.column_stack([-arm[:, 2] * a.side, np.zeros(len(arm)), arm[:, 0] * a.side])
    return {"ear size": weight * grown, "ear protrusion": weight * turned}


def face(a: Anatomy) -> dict[str, Array]:
    """Widths and lengths of the whole face, midface, cheeks, fullness."""
    eye, nasion, chin, mouth = a.eye, a.mark(27)[1], a.mark(8)[1], a.mouth
    front = a.ramp(a.z, -35, 45)
    band = a.ramp(a.y, chin - 15, mouth[1] + 15) * a.ramp(a.y, nasion + 55, nasion + 5)
    wide = a.push(a.ramp(a.across, 12, 75) * band * front, lateral=2.9)
    down = a.ramp(a.y, nasion + 2, chin)
    long = a.push(down, up=-4.6)
    middle = a.bump((0, a.mark(33)[1] - 2, 95), (30, 22, 38)) * a.ramp(a.z, 20, 70)
    midface = a.push(middle, forward=2.3)
    bone = a.push(a.bump((eye[0] + 15, eye[1] - 24, eye[2] - 8), (13, 11, 18)), lateral=1.0, forward=1.8)
    soft = a.bump((eye[0] + 9, mouth[1] + 4, 62), (15, 15, 22))
    cheek = a.push(soft, lateral=2.0, forward=1.4)
    jowl = np.maximum(a.bump((47, mouth[1] - 14, 38), (18, 18, 28)), a.bump((0, chin - 10, 55), (38, 13, 30)))
    full = a.ramp(a.y, nasion, mouth[1]) * 0.4 * a.ramp(a.across, 24, 50) * a.ramp(a.z, -10, 30)
    fat = np.clip(np.maximum(jowl, full), 0, 1) * (1 - a.regions["mouth_interior"])
    fullness = a.smooth(fat[:, None] * a.outward((0, mouth[1] + 20, 22)), 8) * 3.3
    return {
        "face width": wide,
        "face length": long,
        "midface depth": midface,
        "cheekbones": bone,
        "cheek fullness": cheek,
        "fullness": fullness,
    }


def nose(a: Anatomy) -> dict[str, Array]:
    """Length, width, protrusion, bridge, hump, tip and wings."""
    nasion, tip, base, wing = a.mark(27), a.mark(30), a.mark(33), a.mark(35)
    chin = a.mark(8)[1]
    beside = a.ramp(a.across, 62, 14) * a.ramp(a.z, 25, 75)
    drop = a.ramp(a.y, nasion[1] - 2, base[1] + 4) * (1 - 0.65 * a.ramp(a.y, base[1] - 3, chin + 10))
    length = a.push(drop * beside, up=-2.3)
    width = a.push(a.bump((wing[0] + 2, wing[1] + 4, wing[2] + 2), (8, 9, 13)), lateral=1.25)
    along = np.clip((nasion[1] - a.y) / (nasion[1] - tip[1]), 0, 1)
    forward = np.exp(-0.5 * (a.across / 12) ** 2) * along**1.4 * a.ramp(a.y, base[1] - 7, base[1] + 4)
    protrusion = a.push(forward * a.ramp(a.z, 70, 95), forward=2.6)
    root = a.bump((0, (nasion[1] + tip[1]) / 2 + 9, nasion[2]), (8, 13, 25))
    bridge = a.push(root, forward=1.6)
    middle = nasion + 0.48 * (tip - nasion)
    hump = a.push(a.bump(middle, (7, 7, 16)), forward=1.3) + a.push(a.bump(tip, (8, 7, 12)), forward=-0.5)
    end = a.bump(_at(tip, 0, -3, -2), (9, 8.5, 12))
    arm = a.points - _at(base, 0, 2, -4)
    turn = np.radians(6.0) * np.column_stack([np.zeros(len(arm)), arm[:, 2], -arm[:, 1]])
    ball = a.bump(_at(tip, 0, -2, -5), (7.5, 7.5, 9))
    bulb = ball[:, None] * (a.points - _at(tip, 0, -2, -9)) * [0.19, 0.14, 0.08]
    return {
        "nose length": length,
        "nose width": width,
        "nose protrusion": protrusion,
        "bridge height": bridge,
        "nose hump": hump,
        "nose tip turn": end[:, None] * turn,
        "nose tip size": bulb,
    }


def mouth(a: Anatomy) -> dict[str, Array]:
    """Width, lips, philtrum and protrusion of the mouth."""
    center, corner, base = a.mouth, a.mark(54), a.mark(33)
    top, bottom = a.mark(51), a.mark(57)
    chin = a.mark(8)[1]
    around = a.bump((0, center[1], center[2] - 8), (30, 15, 28))
    wide = a.push(np.minimum(a.across / corner[0], 1.4) * around * 1.35, lateral=1.7)
    within = np.sqrt(np.clip(1 - (a.across / (corner[0] + 2)) ** 2, 0, 1))
    upper = a.bump((0, (top[1] + center[1]) / 2, center[2]), (60, 4.0, 22)) * within * (a.z > 60)
    lower = a.bump((0, (bottom[1] + center[1]) / 2, center[2]), (60, 4.6, 22)) * within * (a.z > 60)
    toward = np.clip((a.y - center[1]) / (top[1] - center[1]), 0, 1.3)
    upper_lip = a.push(upper, forward=1.4) + a.push(upper * toward, up=1.5)
    toward = np.clip((center[1] - a.y) / (center[1] - bottom[1]), 0, 1.3)
    lower_lip = a.push(lower, forward=1.4) + a.push(lower * toward, up=-1.5)
    under = a.ramp(a.y, base[1] - 1, top[1] + 2) * (1 - 0.7 * a.ramp(a.y, bottom[1], chin + 4))
    philtrum = a.push(under * a.ramp(a.across, 52, 18) * a.ramp(a.z, 20, 75), up=-1.5)
    forward = a.push(a.bump((0, center[1], center[2]), (24, 15, 30)), forward=1.9)
    return {
        "mouth width": wide,
        "upper lip": upper_lip,
        "lower lip": lower_lip,
        "philtrum length": philtrum,
        "mouth protrusion": forward,
    }


def jaw(a: Anatomy) -> dict[str, Array]:
    """Chin and jaw."""
    chin, mouth, gonion = a.mark(8), a.mouth, a.gonion
    front = a.ramp(a.z, 10, 60)
    low = a.ramp(a.y, mouth[1] - 10, chin[1] + 4)
    height = a.push(low * (0.35 + 0.65 * front), up=-2.9)
    point = a.bump((0, chin[1] + 9, chin[2] + 8), (22, 15, 26))
    protrusion = a.push(point, forward=2.7)
    width = a.push(
        a.bump((19, chin[1] + 8, chin[2] - 8), (11, 13, 18)) * a.ramp(a.across, 0, 14),
        lateral=2.3,
        forward=0.5,
    )
    angle = a.bump((gonion[0], gonion[1], gonion[2] - 8), (22, 24, 30)) * a.ramp(a.y, chin[1] - 45, chin[1])
    wide = a.push(angle, lateral=3.0)
    drop = a.push(
        a.bump((gonion[0], gonion[1] - 6, gonion[2] - 4), (20, 17, 24)), up=-4.5, forward=-1.8, lateral=0.6
    )
    return {
        "chin height": height,
        "chin protrusion": protrusion,
        "chin width": width,
        "jaw width": wide,
        "jaw angle": drop,
    }


def asymmetries(a: Anatomy) -> dict[str, Array]:
    """Asymmetries: the lower face, the nose, the heights of eye, brow, and mouth corner."""
    nasion, tip, chin = a.mark(27)[1], a.mark(30), a.mark(8)[1]
    sideways = np.array([1.0, 0, 0])
    low = a.ramp(a.y, a.mark(33)[1] + 5, chin) * a.ramp(a.z, -10, 50) * a.ramp(a.y, chin - 50, chin)
    end = np.exp(-0.5 * (a.across / 15) ** 2) * a.ramp(a.y, nasion, tip[1]) * a.bump(tip, (60, 24, 22))
    eye = a.bump((a.eye[0], a.eye[1] + 6, a.eye[2]), (17, 22, 30))
    corner = a.bump(a.mark(54), (13, 13, 22))
    return {
        "chin sideways": low[:, None] * sideways * 1.5,
        "nose sideways": end[:, None] * sideways * 1.0,
        "uneven sides": ((eye - 0.8 * corner) * a.side)[:, None] * [0, 0.9, 0],
    }


def eyes(a: Anatomy) -> dict[str, tuple[Array, float, float]]:
    """Spacing, depth, size, tilt and opening of the eyes: field, growth and turn of each (see `finished`)."""
    eye, brow = a.eye, a.brow
    still = np.zeros_like(a.points)
    orbit = a.bump(eye, (19, 17, 28)) * a.ramp(a.across, 2, 17)
    spacing = a.push(orbit, lateral=1.5) + a.push(a.bump(brow, (22, 9, 25)), lateral=0.6)
    depth = a.push(a.bump((eye[0], eye[1] + 1, eye[2] + 8), (17, 15, 25)), forward=-1.7)
    return {
        "eye spacing": (spacing, 0.0, 0.0),
        "eye depth": (depth, 0.0, 0.0),
        "eye size": (still, 0.05, 0.0),
        "eye tilt": (still, 0.0, float(np.radians(2.0))),
    }


def shape_modes(a: Anatomy) -> tuple[Array, tuple[str, ...]]:
    """All shape modes, (40, N, 3) millimeters at one standard deviation, and their names."""
    named: dict[str, Array] = {}
    groups: tuple[Callable[[Anatomy], dict[str, Array]], ...] = (cranium, face, nose, mouth, jaw)
    for group in groups:
        named |= {name: a.finished(field) for name, field in group(a).items()}
    named |= {name: a.with_rigid_eyes(a.smooth(field, 3)) for name, field in ears(a).items()}
    named |= {name: a.finished(*motion) for name, motion in eyes(a).items()}
    named["eye opening"] = opened(a, upper=0.8, lower=0.45)
    named |= {name: a.finished(field, symmetric=False) for name, field in asymmetries(a).items()}
    return np.stack(list(named.values())), tuple(named)
