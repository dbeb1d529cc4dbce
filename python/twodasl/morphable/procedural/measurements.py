"""Craniofacial measurements of the mean head, at Farkas's landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from twodasl.morphable.procedural.head import HeadMesh

Array = NDArray[np.float64]


def _angle(a: Array, apex: Array, b: Array) -> float:
    """Angle at ``apex`` between the directions to ``a`` and ``b``, in degrees."""
    u, v = a - apex, b - apex
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(u, v)), u @ v)))


def measure(head: HeadMesh) -> dict[str, float]:
    """Measurements by the names of ``norms.NORMS``, in mm (angles in degrees).

    Heights and lengths are straight distances between landmarks, widths between mirrored ones.
    """
    v, mark = head.vertices, head.vertices[head.landmarks68]
    skin = head.regions["skin"] > 0.5
    line = v[skin & (v[:, 0] == 0) & (v[:, 2] > 60)]

    def extreme(points: Array, axis: int, sign: float) -> Array:
        return np.asarray(points[np.argmax(sign * points[:, axis])], dtype=np.float64)

    def between(low: float, high: float) -> Array:
        return line[(line[:, 1] > low) & (line[:, 1] < high)]

    def width(low: float, high: float, back: float, front: float) -> float:
        """Twice the widest skin between two heights and two depths."""
        p = v[skin & (v[:, 1] > low) & (v[:, 1] < high) & (v[:, 2] > back) & (v[:, 2] < front)]
        return float(2 * p[:, 0].max())

    def distance(a: Array, b: Array) -> float:
        return float(np.linalg.norm(a - b))

    g, n = extreme(between(14, 32), 2, 1), extreme(between(-2, 16), 2, -1)
    prn = extreme(between(-44, -25), 2, 1)
    sn, chin = mark[33], v[head.named["chin"]]
    sto = (mark[62] + mark[66]) / 2
    op = extreme(v[skin & (v[:, 0] == 0)], 2, -1)
    columella = between(sn[1], prn[1])
    columella = columella[np.argmin(np.abs(columella[:, 2] - (sn[2] + 0.45 * (prn[2] - sn[2]))))]
    ear = v[head.regions["ear_left"] > 0.5][:, 1:]
    top, bottom = extreme(ear, 0, 1), extreme(ear, 0, -1)
    axis = (top - bottom) / np.linalg.norm(top - bottom)
    across = ear @ np.array([-axis[1], axis[0]])
    wing = v[skin & (np.abs(v[:, 1] + 39) < 7) & (v[:, 2] > 93) & (np.abs(v[:, 0]) < 25)]
    return {
        "head length g-op": distance(g, op),
        "head width eu-eu": width(10, 90, -80, 40),
        "face width zy-zy": width(-30, -5, 24, 70),
        "jaw width go-go": width(-90, -74, 12, 40),
        "face height n-gn": distance(n, chin),
        "nose height n-sn": distance(n, sn),
        "lower face height sn-gn": distance(sn, chin),
        "intercanthal width en-en": distance(mark[39], mark[42]),
        "biocular width ex-ex": distance(mark[36], mark[45]),
        "palpebral fissure length ex-en": distance(mark[42], mark[45]),
        "palpebral fissure height ps-pi": _fissure_height(head),
        "nose width al-al": float(2 * wing[:, 0].max()),
        "nose protrusion sn-prn": distance(sn, prn),
        "mouth width ch-ch": distance(mark[48], mark[54]),
        "upper lip height sn-sto": distance(sn, sto),
        "upper vermilion height ls-sto": distance(mark[51], sto),
        "lower vermilion height sto-li": distance(sto, mark[57]),
        "ear length sa-sba": distance(top, bottom),
        "ear width pra-pa": float(np.ptp(across)),
        "nasolabial angle": _angle(columella, sn, mark[51]),
        "nasofrontal angle": _angle(g, n, prn),
    }


def _fissure_height(head: HeadMesh) -> float:
    """Largest vertical opening between the lids, from the four lid landmarks of the left eye's margins."""
    mark = head.vertices[head.landmarks68]
    return float((mark[43, 1] + mark[44, 1]) / 2 - (mark[46, 1] + mark[47, 1]) / 2)
