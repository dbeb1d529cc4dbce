"""Which displacement each of ARKit's 52 blend shapes is on a face model's mesh."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..checks import check_model
from ..model import MorphableModel
from ..procedural import procedural_model
from ..procedural.blendshapes.stored import procedural_shapes
from .names import ARKIT_NAMES, ict_names


def arkit_shapes(model: MorphableModel) -> NDArray[np.float32]:
    """The displacements of ARKit's 52 blend shapes at weight 1, to be added to the model's neutral face.

    Two kinds of models have them: the embedded head (`procedural`, also with fewer modes), whose shapes are
    made like its expressions; and a model with an expression mode for each shape, named as by ARKit or by
    ICT-FaceKit (`jawOpen`, `mouthSmile_L`), such as ICT-FaceKit itself read by `read_ict_facekit(folder,
    blend_shapes=True)`. The head has no tongue, and ICT-FaceKit no such shape: `tongueOut` moves nothing,
    unless a model has a mode of that name.

    Args:
        model: the face model.

    Returns:
        (52, N, 3) float32, millimeters, in the order of `ARKIT_NAMES`; the embedded head's is read only.

    Raises:
        InputError: the model has no such shapes.
    """
    check_model(model)
    if _is_embedded(model):
        return procedural_shapes()
    rows = _named_rows(model)
    if rows is None:
        raise InputError(
            f"model: the face model {model.name!r} has no ARKit shapes; 'procedural' has them, and a model "
            "whose expression modes bear their names, such as ICT-FaceKit read with blend_shapes=True"
        )
    return np.stack([model.expression_modes[row].sum(0) for row in rows])


def has_arkit_shapes(model: MorphableModel) -> bool:
    """Whether `arkit_shapes` knows the model."""
    check_model(model)
    return _is_embedded(model) or _named_rows(model) is not None


def _is_embedded(model: MorphableModel) -> bool:
    # Not the identity of the whole: a head with fewer modes is the same mesh.
    head = procedural_model()
    return model is head or (
        model.mean.shape == head.mean.shape
        and np.array_equal(model.mean, head.mean)
        and np.array_equal(model.triangles, head.triangles)
    )


def _named_rows(model: MorphableModel) -> list[list[int]] | None:
    """For each shape the expression modes whose sum it is; None where one is missing."""
    names = (model.mode_names or ())[len(model.shape_modes) :]
    place = {name: row for row, name in enumerate(names)}
    rows = []
    for name in ARKIT_NAMES:
        parts = (name,) if name in place else ict_names(name)
        if any(part not in place for part in parts):
            return None
        rows.append([place[part] for part in parts])
    return rows
