"""A face model as one `.npz`: plain arrays and strings, nothing pickled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arguments import path_of
from ..errors import InputError
from ..io.arrays import read_npz
from ..io.files import atomic_path
from .skinning import Skinning

FORMAT = "twodasl-morphable-model"
VERSION = 1
GEOMETRY = ("mean", "shape_modes", "expression_modes", "coefficient_std", "triangles", "landmarks")
OTHER_POINTS = "basel_landmarks"
ALBEDO = ("albedo_mean", "albedo_modes", "albedo_std")
NAMES = ("mode_names", "albedo_names")
JOINTS = ("parents", "weights", "joints", "joint_modes", "correctives")
JOINT_NAMES = "skinning_names"
NAMED = ("named_landmarks_keys", "named_landmarks_indices")


def write_fields(path: str | os.PathLike[str], fields: Mapping[str, Any]) -> None:
    """Write the fields of a `MorphableModel` to `path`, which must end in .npz; atomic."""
    target = path_of(path, "a .npz file to write")
    if target.suffix != ".npz":
        raise InputError(f"{target}: expected a name ending in .npz")
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "name": fields["name"],
        "units": fields["units"],
    }
    arrays |= {key: fields[key] for key in GEOMETRY}
    arrays |= {key: fields[key] for key in ALBEDO if fields[key] is not None}
    arrays |= {key: np.array(fields[key], np.str_) for key in NAMES if fields[key]}
    if fields[OTHER_POINTS] is not None:
        arrays[OTHER_POINTS] = fields[OTHER_POINTS]
    skinning: Skinning | None = fields["skinning"]
    if skinning is not None:
        arrays[JOINT_NAMES] = np.array(skinning.names, np.str_)
        arrays |= {f"skinning_{key}": getattr(skinning, key) for key in JOINTS}
    arrays[NAMED[0]] = np.array(list(fields["named_landmarks"]), np.str_)
    arrays[NAMED[1]] = np.array(list(fields["named_landmarks"].values()), np.int64)
    with atomic_path(target) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_fields(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the fields that `write_fields` wrote.

    Raises InputError, naming file and field, if a field is missing or of the wrong kind.
    """
    names = ("format", "version", "name", "units", *GEOMETRY, OTHER_POINTS, *ALBEDO, *NAMES, *NAMED)
    joints = (JOINT_NAMES, *(f"skinning_{key}" for key in JOINTS))
    arrays = read_npz(path, (*names, *joints), kinds="fiubU")
    if _text(path, arrays, "format") != FORMAT:
        raise InputError(f"{path}: format: expected {FORMAT!r}, got {arrays['format']}"[:300])
    version = _field(path, arrays, "version")
    if version.shape != () or version.dtype.kind not in "iu" or int(version) != VERSION:
        got = f"{version.dtype} of shape {version.shape}" if version.shape else version
        raise InputError(f"{path}: version: expected {VERSION}, got {got}; use a newer twodasl")
    fields: dict[str, Any] = {"name": _text(path, arrays, "name"), "units": _text(path, arrays, "units")}
    fields |= {key: _field(path, arrays, key) for key in GEOMETRY}
    fields |= {key: arrays.get(key) for key in ALBEDO}
    fields[OTHER_POINTS] = arrays.get(OTHER_POINTS)
    fields |= {key: _words(path, arrays, key) if key in arrays else None for key in NAMES}
    if JOINT_NAMES in arrays:
        fields["skinning"] = _skinning(path, arrays)
    keys = _words(path, arrays, NAMED[0])
    indices = _field(path, arrays, NAMED[1])
    if indices.shape != (len(keys),) or indices.dtype.kind not in "iu":
        raise InputError(f"{path}: {NAMED[1]}: expected {len(keys)} indices, got {indices.shape}")
    fields["named_landmarks"] = dict(zip(keys, map(int, indices), strict=True))
    return fields


def _skinning(path: object, arrays: dict[str, np.ndarray]) -> Skinning:
    parts = {key: _field(path, arrays, f"skinning_{key}") for key in JOINTS}
    try:
        return Skinning(_words(path, arrays, JOINT_NAMES), **parts)
    except ValueError as error:
        raise InputError(f"{path}: skinning_{error}") from error


def _field(path: object, arrays: dict[str, np.ndarray], key: str) -> np.ndarray:
    if key not in arrays:
        raise InputError(f"{path}: {key}: is missing; expected a face model written by twodasl")
    return arrays[key]


def _text(path: object, arrays: dict[str, np.ndarray], key: str) -> str:
    value = _field(path, arrays, key)
    if value.shape != () or value.dtype.kind != "U":
        raise InputError(f"{path}: {key}: expected a word, got {value.dtype} {value.shape}")
    return str(value)


def _words(path: object, arrays: dict[str, np.ndarray], key: str) -> tuple[str, ...]:
    value = _field(path, arrays, key)
    if value.ndim != 1 or value.dtype.kind != "U":
        raise InputError(f"{path}: {key}: expected a list of words, got {value.dtype} {value.shape}")
    return tuple(map(str, value))
