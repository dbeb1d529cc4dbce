"""The 68 iBUG landmarks and AFLW's ears and chin as vertices of the mean head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from twodasl.morphable.procedural.skin import LID_HALF_COUNT, Skin

Array = NDArray[np.float64]
IntArray = NDArray[np.int64]
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Places:
    """Points of the subject's left half in millimeters: jaw from the ear down, brow outward, bridge down."""

    jaw: list[Point]
    brow: list[Point]
    bridge: list[Point]
    outer_eye: Point | None = None


# Subject's left half, from the ear down to the chin (points 16 down to 8), along the border of the lower jaw.
_JAW = [(68.5, -4, 12), (67.5, -22, 11), (64.5, -40, 10), (60.5, -58, 11), (54.5, -76, 17), (46, -90, 31),
        (33, -101, 54), (17, -108.5, 76), (0, -111.5, 86)]  # fmt: skip
_BROW = [(17, 20.8, 93.7), (26, 23.6, 91.5), (35.5, 25.2, 87), (45, 24, 79.5), (52.5, 17.5, 68)]
_BRIDGE = [(0, 5, 92), (0, -9, 98), (0, -22, 107), (0, -35, 118)]
_NOSE_BASE = [(0, -45.5, 100), (6.8, -46, 98), (13.5, -45, 95)]

# The anatomical points above serve to sculpt. Annotators and detectors see some of them elsewhere: on the
# jaw and the outer end of the brow lower, on the bridge level with the eyes' corners and so many thirds of
# the way down to the tip, at the base of the nose higher.
_IBUG = Places(
    jaw=[(68.5, -7, 12), (67.2, -25, 11), (63.5, -43, 10.5), (59.5, -61, 12), (53, -79, 19), (45.5, -91, 32),
         (33, -101, 54), (17, -108.5, 76), (0, -111.5, 86)],
    brow=[(17, 20.8, 93.7), (26, 23.6, 91.5), (35.5, 25.2, 87), (45, 24, 79.5), (52.5, 16.5, 68)],
    bridge=[(0, 0.5, 94), (0, -12.5, 103), (0, -25, 112)],
)  # fmt: skip

# Where the vertices of the Basel model that 300W-LP and AFLW2000-3D call the 68 points lie on this head: that
# model's 68 mean points, laid onto it by those inside the face. They are not where people see them: the
# brow's points lie lower, the jaw's lower and further to the front, the eye's outer corner further in. The
# other points agree to 2 mm.
_BASEL = Places(
    jaw=[(68.6, -8.5, 7.6), (66.5, -28, 9), (62.2, -46, 10), (57.5, -63, 14), (51.5, -80, 23),
         (43.7, -92.5, 38), (34.6, -100.3, 55.5), (20.3, -107.3, 72.9), (0, -111.5, 80.3)],
    brow=[(18.1, 19.8, 94.3), (26.6, 22.6, 92), (36.1, 23.7, 87.1), (45.8, 22, 79), (53.3, 15.4, 67.4)],
    bridge=[(0, -0.7, 96), (0, -13, 103.4), (0, -25.2, 112.9)],
    outer_eye=(41.2, -0.1, 72.9),
)  # fmt: skip
_SEEN_BASE = [(0, -45.2, 101), (6.8, -44.3, 99), (13.5, -43, 96)]


def landmark_indices(
    half: Array, skin: Skin, contact: tuple[IntArray, IntArray], mirror: IntArray
) -> tuple[IntArray, dict[str, int]]:
    """Indices of the 68 landmarks and of AFLW's named points in the whole mesh.

    half: (H, 3) vertices of the +x half, whose indices the whole mesh keeps. ``ear_left`` follows AFLW, whose
    list starts at the image's left: it is the lobe of the subject's right ear, at negative x.
    """
    tree = cKDTree(half[: len(skin.points)])

    def nearest(targets: Sequence[tuple[float, float, float]]) -> IntArray:
        return np.asarray(tree.query(np.array(targets, dtype=np.float64))[1], dtype=np.int64)

    def at_x(line: IntArray, x: float) -> int:
        return int(line[np.argmin(np.abs(half[line, 0] - x))])

    jaw, brow, bridge, base = nearest(_JAW), nearest(_BROW), nearest(_BRIDGE), nearest(_NOSE_BASE)
    lid, n = skin.eye, LID_HALF_COUNT
    eye = np.array([lid[0], lid[round(n * 0.33)], lid[round(n * 0.67)], lid[n], lid[n + round(n * 0.33)],
                    lid[n + round(n * 0.67)]])  # fmt: skip
    outer_up = np.array([at_x(skin.border_upper, x) for x in (0.0, 5.4, 16.0)])
    outer_low = np.array([at_x(skin.border_lower, x) for x in (0.0, 8.5, 17.0)])
    corner = int(skin.border_upper[-1])
    inner_up = np.array([contact[0][0], at_x(contact[0], 8.5)])
    inner_low = np.array([contact[1][0], at_x(contact[1], 8.5)])
    inner_corner = int(contact[0][-1])

    other = mirror
    order = [
        *other[jaw[:-1]], jaw[-1], *jaw[-2::-1],
        *other[brow[::-1]], *brow,
        *bridge,
        other[base[2]], other[base[1]], base[0], base[1], base[2],
        other[eye[3]], other[eye[2]], other[eye[1]], other[eye[0]], other[eye[5]], other[eye[4]],
        *eye,
        other[corner], other[outer_up[2]], other[outer_up[1]], outer_up[0], outer_up[1], outer_up[2], corner,
        outer_low[2], outer_low[1], outer_low[0], other[outer_low[1]], other[outer_low[2]],
        other[inner_corner], other[inner_up[1]], inner_up[0], inner_up[1], inner_corner,
        inner_low[1], inner_low[0], other[inner_low[1]],
    ]  # fmt: skip
    ears = half[:, 0] > 60
    lobe = np.flatnonzero(ears & (half[:, 1] < -35))
    lobe = lobe[lobe >= len(skin.points)]
    bottom = int(lobe[np.argmin(half[lobe, 1])])
    named = {"ear_left": int(mirror[bottom]), "ear_right": bottom, "chin": int(jaw[-1])}
    return np.array(order, dtype=np.int64), named


def ibug_indices(half: Array, skin: Skin, anatomical: IntArray, mirror: IntArray) -> IntArray:
    """The 68 points where annotators see them, from those of `landmark_indices`."""
    return _moved(_IBUG, half, skin, anatomical, mirror)


def basel_indices(half: Array, skin: Skin, anatomical: IntArray, mirror: IntArray) -> IntArray:
    """The 68 points as the Basel model's vertices mark them, from those of `landmark_indices`."""
    return _moved(_BASEL, half, skin, anatomical, mirror)


def _moved(places: Places, half: Array, skin: Skin, anatomical: IntArray, mirror: IntArray) -> IntArray:
    surface = half[: len(skin.points)]
    tree = cKDTree(surface)
    on_axis = np.flatnonzero(np.abs(surface[:, 0]) < 1e-6)
    axis = cKDTree(surface[on_axis])
    jaw, brow, base = (tree.query(np.array(points))[1] for points in (places.jaw, places.brow, _SEEN_BASE))
    jaw[-1] = on_axis[axis.query(np.array(places.jaw[-1]))[1]]
    base[0] = on_axis[axis.query(np.array(_SEEN_BASE[0]))[1]]
    order = anatomical.copy()
    order[:17] = [*mirror[jaw[:-1]], jaw[-1], *jaw[-2::-1]]
    order[17:27] = [*mirror[brow[::-1]], *brow]
    order[27:30] = on_axis[axis.query(np.array(places.bridge))[1]]
    order[31:36] = [mirror[base[2]], mirror[base[1]], *base]
    if places.outer_eye is not None:
        eye = cKDTree(half).query(np.array(places.outer_eye))[1]  # between the lids, where the skin is not
        order[36], order[45] = mirror[eye], eye
    return order
