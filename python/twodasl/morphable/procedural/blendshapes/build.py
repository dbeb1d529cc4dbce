"""Computing the embedded head's 52 blend shapes, on a grid that hides rounding."""

from __future__ import annotations

import numpy as np

from ...arkit.names import ARKIT_NAMES, mirror_name
from ...model import MorphableModel
from ..anatomy import Anatomy
from ..head import HeadMesh
from .brushes import Face
from .eyes import upper_face
from .jaw import jaw
from .mouth import mouth
from .stored import STEP, StoredShapes

ABSENT = ("tongueOut",)
"""What the head has no part for: these shapes move nothing."""


def build_shapes(head: HeadMesh, model: MorphableModel) -> StoredShapes:
    """Compute the shapes of the mean head.

    Args:
        head: the sculpt, `head.mean_head()`.
        model: the shipped head.
    """
    names = (model.mode_names or ())[len(model.shape_modes) :]
    modes = dict(zip(names, model.expression_modes.astype(np.float64), strict=True))
    face = Face(Anatomy(head), model.mean.astype(np.float64), modes)
    painted = {**upper_face(face), **jaw(face), **mouth(face)}
    balls = head.regions["eyeball_left"] + head.regions["eyeball_right"] > 0.5
    known = {mirror_name(name) for name in painted} | painted.keys() | set(ABSENT)
    assert known == set(ARKIT_NAMES), known ^ set(ARKIT_NAMES)
    steps = {}
    for name, field in painted.items():
        if not name.startswith("eyeLook"):
            field = np.where(balls[:, None], 0.0, field)
        steps[name] = np.round(field / STEP).astype(np.int64)
    return StoredShapes(steps, head.mirror)
