"""Loading a face model by name: `procedural`, a file, or a folder in a known layout."""

from __future__ import annotations

import os

from ..arguments import path_of
from ..errors import InputError, reading
from ..io.files import regular_file
from .model import MorphableModel
from .procedural import procedural_model
from .readers.recognize import read_file, read_folder

EMBEDDED = "procedural"


def load_model(name_or_path: str | os.PathLike[str] | MorphableModel) -> MorphableModel:
    """Load a face model.

    Args:
        name_or_path: "procedural" (the embedded model), the path of a `.npz` written by
            `MorphableModel.save`, or a model in one of the published layouts, which is recognized by its
            content: see "Face models" in docs/data-formats.md and `twodasl.morphable.readers`. A
            `MorphableModel` is returned unchanged.

    Raises:
        InputError: the name does not exist, or the file does not hold a complete model.
    """
    if isinstance(name_or_path, MorphableModel):
        return name_or_path
    if isinstance(name_or_path, str) and name_or_path == EMBEDDED:
        return procedural_model()
    path = path_of(name_or_path, "a face model, 'procedural', or the path of a file or folder", "model")
    if not os.path.exists(path):  # False for a name that no system could have, too
        raise InputError(f"{path}: no such face model; give '{EMBEDDED}' or the path of a file or folder")
    with reading(path, "a face model"):
        return read_folder(path) if path.is_dir() else read_file(regular_file(path))
