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
    """Points of the subject's left half in millimeters: brow outward, bridge down."""

    brow: list[Point]
    bridge: list[Point]


# Subject's left half, from the ear down to the chin (points 16 down to 8), along the border of the lower jaw.
_JAW = [(68.5, -4, 12), (67.5, -22, 11), (64.5, -40, 10), (60.5, -58, 11), (54.5, -76, 17), (46, -90, 31),
        (33, -101, 54), (17, -108.5, 76), (0, -111.5, 86)]  # fmt: skip
_BROW = [(17, 20.8, 93.7), (26, 23.6, 91.5), (35.5, 25.2, 87), (45, 24, 79.5), (52.5, 17.5, 68)]
_BRIDGE = [(0, 5, 92), (0, -9, 98), (0, -22, 107), (0, -35, 118)]
_NOSE_BASE = [(0, -45.5, 100), (6.8, -46, 98), (13.5, -45, 95)]

# The anatomical points above serve to sculpt. Annotators and detectors see some of them elsewhere: on the
# outer end of the brow lower, on the bridge level with the eyes' corners and so many thirds of
# the way down to the tip, at the base of the nose higher.
_IBUG = Places(
    brow=[(17, 20.8, 93.7), (26, 23.6, 91.5), (35.5, 25.2, 87), (45, 24, 79.5), (52.5, 16.5, 68)],
    bridge=[(0, 0.5, 94), (0, -12.5, 103), (0, -25, 112)],
)  # fmt: skip

# Where the vertices of the Basel model that 300W-LP and AFLW2000-3D call the brow's points lie on this head:
# lower than people see them.
_BASEL = Places(
    brow=[(18.1, 19.8, 94.3), (26.6, 22.6, 92), (36.1, 23.7, 87.1), (45.8, 22, 79), (53.3, 15.4, 67.4)],
    bridge=[(0, -0.7, 96), (0, -13, 103.4), (0, -25.2, 112.9)],
)  # fmt: skip
_SEEN_BASE = [(0, -45.2, 101), (6.8, -44.3, 99)]

# Along the jaw nothing ties a point to a vertex, so its points are places, on the head that photographs have
# corrected (photographs.py): the correction moves the jaw's skin by up to 9 mm. They are those of the Basel
# model's mean, laid onto this head by the points inside the face (benchmarks/experiments/landmark_places.py).
# So are the outer corner of the eye, which is seen where the lids meet and not where their fold ends, and the
# outer end of the nostril; there ICT-FaceKit's landmarks, laid on in the same way, agree to 2.3 mm.
CALM_JAW = [(70, -8.3, 6.6), (68.2, -27.3, 8.9), (64.6, -44.6, 10.8), (61, -60.2, 14.7), (55.8, -76.8, 23.6),
             (46.4, -89.9, 39.3), (35.3, -97.7, 58.3), (21.1, -104.1, 75.8), (0, -108, 82.6)]  # fmt: skip
_CALM_EYE, _CALM_ALA = (41.3, -0.6, 73), (11.4, -41.4, 94.9)


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
    """The 68 points where annotators see them, from those of `landmark_indices`; see `on_calm_head`."""
    return _moved(_IBUG, half, skin, anatomical, mirror)


def basel_indices(half: Array, skin: Skin, anatomical: IntArray, mirror: IntArray) -> IntArray:
    """The 68 points as the Basel model's vertices mark them, from those of `landmark_indices`; see
    `on_calm_head`."""
    return _moved(_BASEL, half, skin, anatomical, mirror)


def on_calm_head(order: IntArray, mean: Array, skin: int, mirror: IntArray) -> IntArray:
    """The 68 points `order` with those that are places rather than features, found on the corrected head.

    Args:
        mean: (N, 3) vertices of the corrected head, of which the first `skin` are bare skin of the +x half.
    """
    surface = mean[:skin]
    on_axis = np.flatnonzero(mean[:skin, 0] == 0)
    jaw = cKDTree(surface).query(np.array(CALM_JAW))[1]
    jaw[-1] = on_axis[cKDTree(mean[on_axis]).query(np.array(CALM_JAW[-1]))[1]]
    ala = cKDTree(surface).query(np.array(_CALM_ALA))[1]
    left = np.flatnonzero(mean[:, 0] > 0)
    eye = left[cKDTree(mean[left]).query(np.array(_CALM_EYE))[1]]  # between the lids, where the skin is not
    order = order.copy()
    order[:17] = [*mirror[jaw[:-1]], jaw[-1], *jaw[-2::-1]]
    order[[31, 35]] = mirror[ala], ala
    order[[36, 45]] = mirror[eye], eye
    return order


def _moved(places: Places, half: Array, skin: Skin, anatomical: IntArray, mirror: IntArray) -> IntArray:
    surface = half[: len(skin.points)]
    tree = cKDTree(surface)
    on_axis = np.flatnonzero(np.abs(surface[:, 0]) < 1e-6)
    axis = cKDTree(surface[on_axis])
    brow, base = (tree.query(np.array(points))[1] for points in (places.brow, _SEEN_BASE))
    base[0] = on_axis[axis.query(np.array(_SEEN_BASE[0]))[1]]
    order = anatomical.copy()
    order[17:27] = [*mirror[brow[::-1]], *brow]
    order[27:30] = on_axis[axis.query(np.array(places.bridge))[1]]
    order[32:35] = [mirror[base[1]], *base]
    return order
