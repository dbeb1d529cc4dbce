"""FLAME of the Max Planck Institute for Intelligent Systems: `generic_model.pkl`, `flame2023.pkl`, or `.npz`.

A dict (or archive) of `v_template` (N, 3), `shapedirs` (N, 3, 400): 300 identity modes, then 100 expression
modes, and `f` (T, 3), counted from 0. N = 5,023 vertices, meters. The pickles are from Python 2 and hold
chumpy arrays: they are read as data, without chumpy (see `io.pickles`).

The model has no landmarks. FLAME's embeddings define them as points in triangles; they are read from files
next to it, and each becomes the corner of its triangle with the largest weight:

* `landmark_embedding.npy` (RingNet, DECA): `full_lmk_faces_idx` and `full_lmk_bary_coords` of 68, or
* `flame_static_embedding_68*.pkl` or `.npz`: `lmk_face_idx` and `lmk_b_coords` of 68, or
* `flame_static_embedding.pkl`, 51 points without the jaw line, with `flame_dynamic_embedding.npy`, whose
  first row is the jaw line of a frontal face, or
* `MODEL.landmarks68.txt` with vertex indices, which takes precedence.

What turns the neck, jaw, and eyes is read if it is all there: `J_regressor` (J, N), sparse or dense,
`weights` (N, J), `kintree_table` (2, J), whose first row has the parents, and `posedirs` (N, 3, 9 (J - 1)).
J is 5.

Conversion: millimeters; one coefficient is one standard deviation, as in the file. The regressor is applied
to the mean and the modes, which gives each joint's place and modes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...io.pickles import read_model_pickle
from ..model import MorphableModel
from .assemble import (
    Floats,
    Indices,
    assemble,
    missing_landmarks,
    points,
    reals,
    side_landmarks,
    skinned,
    triangle_rows,
    vertex_indices,
)
from .containers import read_npy, read_npz

METER = 1000.0
KEYS = ("v_template", "shapedirs", "f")
JOINTS = ("J_regressor", "weights", "kintree_table", "posedirs")
JOINT_NAMES = ("root", "neck", "jaw", "left_eye", "right_eye")
IDENTITY, EXPRESSION = 300, 100
NAMES = ("generic_model.pkl", "FLAME_NEUTRAL.pkl", "FLAME_NEUTRAL.npz", "flame2023*.pkl")


def is_flame(keys: Any) -> bool:
    """Whether a pickle's content, or the names in an archive, look like FLAME's."""
    return isinstance(keys, (dict, set)) and "shapedirs" in keys and "v_template" in keys


def read_flame(path: Path, content: Any = None) -> MorphableModel:
    """Read the file, or its content as read. Raises InputError naming what is missing or does not fit."""
    if content is None:
        content = read_npz(path, (*KEYS, *JOINTS)) if path.suffix == ".npz" else read_model_pickle(path)
    missing = [key for key in KEYS if not isinstance(content.get(key), np.ndarray)]
    if missing:
        raise InputError(f"{path}: expected the arrays {', '.join(KEYS)}, got no {missing[0]}")
    mean = points(path, "v_template", content["v_template"])
    directions = reals(path, "shapedirs", content["shapedirs"])
    if directions.shape != (len(mean), 3, IDENTITY + EXPRESSION):
        raise InputError(
            f"{path}: shapedirs: expected ({len(mean)}, 3, {IDENTITY + EXPRESSION}), got {directions.shape}"
        )
    with np.errstate(over="ignore"):  # the model rejects what became infinite
        modes = np.ascontiguousarray(np.moveaxis(directions, 2, 0), np.float32)
    triangles = triangle_rows(path, "f", content["f"], len(mean), 0)
    landmarks = side_landmarks(path, len(mean))
    if landmarks is None:
        landmarks = _embedded_landmarks(path, triangles)
    model = assemble(path, "flame", METER, mean, modes[:IDENTITY], modes[IDENTITY:], triangles, landmarks)
    if any(not isinstance(content.get(key), np.ndarray) for key in JOINTS):
        return model
    return skinned(path, model, METER, *_joints(path, content, mean, modes))


def _joints(path: Path, content: Any, mean: Floats, modes: Floats) -> tuple[Any, ...]:
    """Parents, weights, joints, their modes, correctives. InputError for what is no FLAME head's."""
    regressor, weights, tree, directions = (reals(path, key, content[key]) for key in JOINTS)
    count, vertices = len(JOINT_NAMES), len(mean)
    for key, array, shape in (
        ("J_regressor", regressor, (count, vertices)),
        ("weights", weights, (vertices, count)),
        ("kintree_table", tree, (2, count)),
        ("posedirs", directions, (vertices, 3, 9 * (count - 1))),
    ):
        if array.shape != shape:
            raise InputError(f"{path}: {key}: expected {shape}, got {array.shape}")
    parents = tree[0].astype(np.int64)
    parents[0] = -1  # 2^32 - 1 in the file
    exact = regressor.astype(np.float64)
    joints, joint_modes = exact @ mean, np.einsum("jn,knc->kjc", exact, modes, optimize=True)
    return JOINT_NAMES, parents, weights, joints, joint_modes, np.moveaxis(directions, 2, 0)


def _embedded_landmarks(path: Path, triangles: Indices) -> Indices:
    folder = path.parent
    whole = folder / "landmark_embedding.npy"
    if whole.is_file():
        found = _table(whole, read_npy(whole))
        return _corners(whole, triangles, found, ("full_lmk_faces_idx", "full_lmk_bary_coords"), 68)
    for file in sorted(folder.glob("flame_static_embedding_68*")):
        if file.suffix in (".pkl", ".npz"):
            return _corners(file, triangles, _embedding(file), ("lmk_face_idx", "lmk_b_coords"), 68)
    static, dynamic = folder / "flame_static_embedding.pkl", folder / "flame_dynamic_embedding.npy"
    if not (static.is_file() and dynamic.is_file()):
        raise missing_landmarks(path, "has no landmarks and no landmark_embedding.npy next to it")
    rows = _table(dynamic, read_npy(dynamic))
    frontal = {key: value[:1] for key, value in rows.items() if isinstance(value, np.ndarray) and value.ndim}
    names = ("lmk_face_idx", "lmk_b_coords")
    jaw = _corners(dynamic, triangles, frontal, names, 17)
    return np.concatenate([jaw, _corners(static, triangles, _embedding(static), names, 51)])


def _embedding(file: Path) -> dict[str, Any]:
    if file.suffix == ".npz":
        return read_npz(file, ("lmk_face_idx", "lmk_b_coords"))
    return _table(file, read_model_pickle(file))


def _table(file: Path, content: Any) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise InputError(f"{file}: expected a dict of landmark triangles, got {type(content).__name__}")
    return content


def _corners(
    file: Path, triangles: Indices, content: dict[str, Any], names: tuple[str, str], count: int
) -> Indices:
    """The vertices closest to `count` points in triangles, by their barycentric coordinates."""
    index, weights = (reals(file, name, content.get(name)) for name in names)
    faces = vertex_indices(file, names[0], index, len(triangles), 0).reshape(-1)
    if len(faces) != count or weights.size != 3 * count:
        raise InputError(f"{file}: expected {count} landmarks, got {len(faces)} with {weights.size} weights")
    strongest: NDArray[np.intp] = weights.reshape(count, 3).argmax(1)
    return triangles[faces, strongest]
