"""Predicted meshes in other units or axes than the true ones: mistakes that leave a number behind.

A few faces are measured again with the units and axes that are often mixed up; where one of them makes the
error far smaller in most of these faces, the report says so in a sentence. No number of a report changes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from ..arguments import flag
from ..errors import InputError
from ..meshes import read_mesh
from .mesh_pairs import Measured
from .reconstruction import reconstruction_error
from .rigid import Motion, Points, best_motion, iterative_closest_points

FACES = 3
"""Faces of a set that are looked at, evenly taken."""

UNITS = {
    1000.0: "meters and millimeters",
    1e6: "meters and micrometers",
    304.8: "feet and millimeters",
    100.0: "meters and centimeters",
    39.37: "meters and inches",
    25.4: "inches and millimeters",
    10.0: "centimeters and millimeters",
    2.54: "inches and centimeters",
}
"""How many times as large one unit's numbers are as the other's."""

# The part of the error that may remain where another unit or another set of axes is taken for the right one.
_BETTER = 0.6
# A prediction may show more of the head than the truth does, so its size says little within this factor.
_SIZE = 1.5
_NEAR = 3.0  # units are tried that explain the sizes' ratio up to this factor
# Enough points to tell one set of axes from another, not to measure.
_QUICK, _TARGET, _ITERATIONS = 200, 2000, 15
_ALIKE = 0.05
# A face and its mirror image differ little at so few points: the best few are measured in full.
_TRIED, _CLOSE = 4, 1.3


@dataclass(frozen=True)
class _Turned:
    """Axes in words, whether they mirror, and the NME as it is and with them."""

    name: str
    mirrored: bool
    nme: tuple[float, float]


def _all_axes() -> list[Points]:
    """The 48 ways to name and turn three axes; as they are comes first."""
    return [
        np.eye(3)[list(order)] * np.array(signs)[:, None]
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    ]


_AXES = _all_axes()


def mesh_warnings(measured: Measured, *, protocol: str = "nearest", scale: bool = False) -> tuple[str, ...]:
    """Sentences on units and axes that most of the faces looked at seem to have mixed up; mostly none.

    Arguments as `measure_pairs` had them. A file that has changed or gone since then is not looked at.
    """
    scale, count = flag(scale, "scale"), len(measured.pairs)
    rows = sorted({int(row) for row in np.linspace(0, count - 1, min(FACES, count)).round()})
    factors: list[float] = []
    axes: list[_Turned] = []
    for row in rows:
        pair, nme = measured.pairs[row], measured.errors[row].nme
        try:
            found, true = read_mesh(pair.predicted).vertices, read_mesh(pair.truth).vertices
            factor = 1.0 if scale else _best_unit(found, true)
            if factor != 1:
                factors.append(factor)
                found = factor * found
                nme = reconstruction_error(found, true, protocol=protocol).nme
            turned = _best_axes(found, true, nme, protocol, scale)
        except InputError:
            continue
        if turned is not None:
            axes.append(turned)
    warnings = []
    if 2 * len(factors) > len(rows):
        warnings.append(_unit_sentence(float(np.median(factors)), protocol))
    names = Counter(turned.name for turned in axes).most_common(1)
    if names and 2 * names[0][1] > len(rows):
        warnings.append(_axes_sentence([turned for turned in axes if turned.name == names[0][0]]))
    return tuple(warnings)


def _best_unit(found: Points, true: Points) -> float:
    """By what the prediction is to be multiplied; 1 where that gains little."""
    sizes = [float(np.linalg.norm(points.std(axis=0))) for points in (true, found)]
    if min(sizes) <= 0 or 1 / _SIZE < sizes[0] / sizes[1] < _SIZE:
        return 1.0
    ratio = sizes[0] / sizes[1]
    factors = [factor for unit in UNITS for factor in (unit, 1 / unit) if 1 / _NEAR < ratio / factor < _NEAR]
    limit = _BETTER * reconstruction_error(found, true).nme
    errors = {factor: reconstruction_error(found * factor, true).nme for factor in factors}
    if min(errors.values(), default=limit) >= limit:
        errors[ratio] = reconstruction_error(found * ratio, true).nme
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] < limit else 1.0


def _best_axes(found: Points, true: Points, nme: float, protocol: str, scale: bool) -> _Turned | None:
    """The axes that suit the truth far better, if there are any."""
    mirrored = _by_index(found, true)
    tried = {
        place: reconstruction_error(found @ _AXES[place].T, true, protocol=protocol, scale=scale).nme
        for place in (_by_nearest(found, true) if mirrored is None else [mirrored])
    }
    if not tried:
        return None
    best = min(tried, key=tried.__getitem__)
    if tried[best] >= nme * (_BETTER if mirrored is None else 1):
        return None
    axes = _AXES[best]
    return _Turned(_name(axes), bool(np.linalg.det(axes) < 0), (nme, tried[best]))


def _by_nearest(found: Points, true: Points) -> list[int]:
    """Axes other than the given with which some points come about as near to each other as they can."""
    source = (true - true.mean(axis=0))[:: -(-len(true) // _QUICK)]
    target = (found - found.mean(axis=0))[:: -(-len(found) // _TARGET)]
    still = Motion(np.eye(3), np.zeros(3))
    costs = np.array(
        [
            iterative_closest_points(source @ axes, target, still, max_iterations=_ITERATIONS).rmse
            for axes in _AXES
        ]
    )
    return [
        int(place) for place in np.argsort(costs)[:_TRIED] if place and costs[place] < _CLOSE * costs.min()
    ]


def _by_index(found: Points, true: Points) -> int | None:
    """Mirrored axes, where vertex i belongs to vertex i and fits its own mirror image far better.

    A face is nearly its own mirror image, so that nearest points alone would not show it.
    """
    if len(found) != len(true):
        return None
    residuals = []
    for mirror in (1.0, -1.0):
        source = found * [mirror, 1, 1]
        motion = best_motion(source, true, scale=True)
        residuals.append((float(np.linalg.norm(motion.apply(source) - true)), motion.rotation))
    (straight, _), (mirrored, rotation) = residuals
    size = float(np.linalg.norm(true - true.mean(axis=0)))
    if straight < 0.01 * size or mirrored > _BETTER * straight or mirrored > 0.5 * size:
        return None
    matrix = rotation * [-1, 1, 1]
    places = [place for place, axes in enumerate(_AXES) if np.linalg.det(axes) < 0]
    return max(places, key=lambda place: float((_AXES[place] * matrix).sum()))


def _name(axes: Points) -> str:
    words = []
    for row in axes:
        place = int(np.flatnonzero(row)[0])
        words.append(("-" if row[place] < 0 else "") + "xyz"[place])
    return f"({', '.join(words)})"


def _unit_sentence(factor: float, protocol: str) -> str:
    ratio = max(factor, 1 / factor)
    near = min(UNITS, key=lambda unit: abs(np.log(unit / ratio)))
    like = f", as between {UNITS[near]}" if abs(near / ratio - 1) < _ALIKE else ""
    larger = "smaller" if factor > 1 else "larger"
    fitted = ", or fit the size with --scale" if protocol == "nearest" else ""
    return (
        f"The predictions are about {ratio:.4g} times {larger} than the ground truths{like}, and fit them far"
        f" better at their size; give both in one unit{fitted}."
    )


def _axes_sentence(turned: list[_Turned]) -> str:
    before, then = (
        100 * float(np.median(values)) for values in zip(*(face.nme for face in turned), strict=True)
    )
    what = "mirrored" if turned[0].mirrored else "turned"
    return (
        f"The predictions seem {what}: with {turned[0].name} in place of their (x, y, z) the NME would be"
        f" {then:.3g} % instead of {before:.3g} %; give both meshes the same axes."
    )
