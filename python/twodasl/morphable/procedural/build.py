"""Building the embedded head: the mean head, its modes and colors, on a grid that hides rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..model import MorphableModel
from .albedo import albedo
from .anatomy import Anatomy
from .blendshapes.brushes import Face
from .expressions import expression_modes
from .head import mean_head
from .landmarks import on_calm_head
from .more_expressions import more_expression_modes
from .photographs import calm_mean, full_smile
from .shape_modes import shape_modes

STEP = 2.0**-16
"""Coordinates (mm) and colors are multiples of this. It is far above the last bits in which processors and
NumPy versions differ, and far below anything visible; rounded numbers also compress to half the size.
"""


def build_head() -> MorphableModel:
    """Compute the embedded model, in a few seconds; `procedural_model` reads the shipped one.

    The result is the same on every machine, except for a value between two steps that is rounded the other
    way.
    """
    head = mean_head()
    anatomy = Anatomy(head)
    shapes, shape_names = shape_modes(anatomy)
    expressions, expression_names = expression_modes(anatomy)
    colors, color_modes, color_names = albedo(anatomy)
    modes = dict(zip((*shape_names, *expression_names), (*shapes, *expressions), strict=True))
    modes["smile"] = expressions[expression_names.index("smile")] = full_smile(modes)
    mean = calm_mean(head.vertices, modes)
    orders = (head.ibug68, head.basel68)
    marks, basel = (on_calm_head(order, mean, head.skin, head.mirror) for order in orders)
    more, more_names = more_expression_modes(Face(anatomy, mean, modes))
    expressions, expression_names = np.concatenate([expressions, more]), (*expression_names, *more_names)
    return MorphableModel(
        name="procedural",
        mean=_on_grid(mean),
        shape_modes=_on_grid(shapes),
        expression_modes=_on_grid(expressions),
        coefficient_std=np.ones(len(shapes) + len(expressions), np.float32),
        triangles=head.triangles,
        landmarks=marks,
        named_landmarks=dict(head.named),
        basel_landmarks=basel,
        albedo_mean=_on_grid(colors),
        albedo_modes=_on_grid(color_modes),
        albedo_std=np.ones(len(color_modes), np.float32),
        mode_names=(*shape_names, *expression_names),
        albedo_names=color_names,
    )


def largest_difference(first: MorphableModel, second: MorphableModel) -> float:
    """Largest difference in two heads' coordinates (mm) and colors; infinity if anything else differs."""
    parts = ("coefficient_std", "triangles", "landmarks", "basel_landmarks", "albedo_std")
    same = all(np.array_equal(getattr(first, key), getattr(second, key)) for key in parts)
    words = ("name", "counts", "named_landmarks", "mode_names", "albedo_names")
    if not same or any(getattr(first, key) != getattr(second, key) for key in words):
        return float("inf")
    numbers = ("mean", "modes", "albedo_mean", "albedo_modes")
    return max(float(np.abs(getattr(first, key) - getattr(second, key)).max()) for key in numbers)


def _on_grid(values: NDArray[np.float64]) -> NDArray[np.float32]:
    # Adding 0 turns -0 into 0: the sign of zero is noise too.
    return (np.round(values / STEP) * STEP + 0.0).astype(np.float32)
