"""GNM Head 3.0 of Google: `gnm_head.npz`, 17,821 vertices of a head with eyes, teeth and tongue (Apache-2.0).

Arrays: `version` ("3.0"), `variant` ("head"), `template_vertex_positions` (N, 3), `vertex_identity_basis`
(253, N, 3), `expression_basis` (383, N, 3), `triangles` (T, 3) counted from 0, and the modes' names,
`identity_names` and `expression_names`. In meters. The joints: `joint_names` (J,), `joint_parent_indices`
(J,), `skinning_weights` (J, N), `template_joint_positions` (J, 3), `joint_identity_basis` (253, J, 3) and
`pose_correctives_regressor` (9 J, 3N).

The landmarks are points in triangles, in the file `head_sparse_68.txt` that comes with the model: 68 lines of
three vertices, each followed by its weight. Each point becomes the vertex with the largest weight. In that
file the jaw line need not be in iBUG's order, and is put into it: from the subject's right ear down to the
chin, and up on the other side. `MODEL.landmarks68.txt` with vertex indices takes precedence.

Conversion: millimeters; a coefficient's standard deviation is taken to be 1, which the file does not say.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...io.arrays import read_npz
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
from .containers import read_numbers

NAME, LANDMARKS = "gnm_head.npz", "head_sparse_68.txt"
METER = 1000.0
KEYS = ("template_vertex_positions", "vertex_identity_basis", "expression_basis", "triangles")
WORDS = ("version", "variant", "identity_names", "expression_names", "joint_names")
JOINTS = (
    "skinning_weights",
    "template_joint_positions",
    "joint_identity_basis",
    "pose_correctives_regressor",
    "joint_parent_indices",
)
JAW, CHIN = 17, 8


def is_gnm(names: set[str]) -> bool:
    """Whether an archive of these arrays may be one."""
    return "vertex_identity_basis" in names and "template_vertex_positions" in names


def read_gnm(path: Path) -> MorphableModel:
    """Read the file. Raises InputError naming the array that is missing or does not fit."""
    arrays = read_npz(path, (*KEYS, *WORDS, *JOINTS), kinds="fiuU")
    missing = [key for key in (*KEYS, *WORDS, *JOINTS) if key not in arrays]
    if missing:
        raise InputError(f"{path}: expected a GNM head, got no {missing[0]}")
    variant, version = (str(arrays[key])[:40] for key in ("variant", "version"))
    if (variant, version) != ("head", "3.0"):
        raise InputError(f"{path}: expected variant 'head' of version '3.0', got {variant!r}, {version!r}")
    mean = points(path, KEYS[0], arrays[KEYS[0]])
    identity, expression = (_modes(path, key, arrays[key], len(mean)) for key in KEYS[1:3])
    landmarks = side_landmarks(path, len(mean))
    if landmarks is None:
        landmarks = _points_in_triangles(path, mean)
    model = assemble(
        path,
        "gnm-head",
        METER,
        mean,
        identity,
        expression,
        triangle_rows(path, "triangles", arrays["triangles"], len(mean), 0),
        landmarks,
        mode_names=(
            *_words(path, arrays, "identity_names", len(identity)),
            *_words(path, arrays, "expression_names", len(expression)),
        ),
    )
    return _with_joints(path, model, arrays)


def _modes(path: Path, key: str, array: Any, vertices: int) -> Floats:
    array = reals(path, key, array)
    if array.ndim != 3 or array.shape[1:] != (vertices, 3):
        raise InputError(f"{path}: {key}: expected (K, {vertices}, 3), got {array.shape}")
    with np.errstate(over="ignore"):  # the model rejects what became infinite
        return np.ascontiguousarray(array, np.float32)


def _words(path: Path, arrays: dict[str, Any], key: str, count: int) -> tuple[str, ...]:
    array = arrays[key]
    if array.dtype.kind != "U" or array.shape != (count,):
        raise InputError(f"{path}: {key}: expected {count} names, got {array.dtype} {array.shape}")
    return tuple(map(str, array))


def _with_joints(path: Path, model: MorphableModel, arrays: dict[str, Any]) -> MorphableModel:
    weights, joints, identity, correctives, parents = (reals(path, key, arrays[key]) for key in JOINTS)
    count, (vertices, shapes, expressions) = len(weights), model.counts
    for key, array, shape in zip(
        JOINTS,
        (weights, joints, identity, correctives, parents),
        ((count, vertices), (count, 3), (shapes, count, 3), (9 * count, 3 * vertices), (count,)),
        strict=True,
    ):
        if array.shape != shape:
            raise InputError(f"{path}: {key}: expected {shape}, got {array.shape}")
    if (np.rint(parents) != parents).any():
        raise InputError(f"{path}: joint_parent_indices: expected whole numbers, got others")
    parents = np.array(parents, np.int64)
    parents[0] = -1  # the root, whatever the file calls its parent
    still = np.zeros((expressions, count, 3))  # an expression moves no joint
    names = _words(path, arrays, "joint_names", count)
    joint_modes = np.concatenate([identity, still])
    unfolded = correctives.reshape(9 * count, vertices, 3)
    return skinned(path, model, METER, names, parents, weights.T, joints, joint_modes, unfolded)


def _points_in_triangles(path: Path, mean: Floats) -> Indices:
    file = path.parent / LANDMARKS
    if not file.is_file():
        raise missing_landmarks(path, f"has no landmarks and no {LANDMARKS} next to it")
    numbers = read_numbers(file)
    if len(numbers) != 68 * 6:
        raise InputError(
            f"{file}: expected 68 lines of three vertices and weights, got {len(numbers)} numbers"
        )
    corners = numbers.reshape(68, 3, 2)
    vertices = vertex_indices(file, "vertices", corners[..., 0], len(mean), 0)
    found = vertices[np.arange(68), corners[..., 1].argmax(1)]
    jaw = found[:JAW]
    by_x = jaw[np.argsort(mean[jaw, 0], kind="stable")]
    right, left = by_x[:CHIN], by_x[CHIN + 1 :]
    down, up = np.argsort(-mean[right, 1], kind="stable"), np.argsort(mean[left, 1], kind="stable")
    return np.concatenate([right[down], by_x[CHIN : CHIN + 1], left[up], found[JAW:]])
