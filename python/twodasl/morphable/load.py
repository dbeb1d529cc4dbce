"""One way to name a face model: `procedural`, a `.npz` file, or a folder of a known layout."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError
from .model import MorphableModel
from .procedural import procedural_model
from .readers.ict_facekit import is_ict_facekit, read_ict_facekit

EMBEDDED = "procedural"


def load_model(name_or_path: str | os.PathLike[str] | MorphableModel) -> MorphableModel:
    """The face model of that name.

    Args:
        name_or_path: "procedural" (the embedded model), the path of a `.npz` that `MorphableModel.save`
            wrote, or an ICT-FaceKit folder (the repository's root or its `FaceXModel`). A model is handed
            back as it is.

    Raises:
        InputError: nothing of that name, or a file that does not hold a whole model.
    """
    if isinstance(name_or_path, MorphableModel):
        return name_or_path
    if str(name_or_path) == EMBEDDED:
        return procedural_model()
    path = Path(name_or_path)
    if path.is_dir():
        if is_ict_facekit(path):
            return read_ict_facekit(path)
        raise InputError(
            f"{path}: is no face model folder; expected ICT-FaceKit's, with FaceXModel/*.obj in it"
        )
    if not path.exists():
        raise InputError(
            f"{path}: no such face model; give '{EMBEDDED}', a .npz file or an ICT-FaceKit folder"
        )
    return MorphableModel.load(path)
