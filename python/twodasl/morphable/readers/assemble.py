"""Common steps of all readers: sizes, units, standard deviations, triangles, the 68 landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ..model import MorphableModel
from ..skinning import Skinning
from .containers import read_npy, read_numbers

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]

# Plausible distances between a face's outer eye corners, in millimeters, used to check the unit.
BIOCULAR_WIDTH = (60.0, 130.0)
BYTE = np.float32(255)
"""The brightest color in files that store bytes."""
UNITS = {"millimeter": 1.0, "centimeter": 10.0, "meter": 1000.0, "inch": 25.4}
SIDE_NAMES = ("{stem}.landmarks68", "landmarks68", "Landmarks68_{stem}")
SIDE_SUFFIXES = (".txt", ".csv", ".npy", ".anl")


def reals(path: Path, label: str, array: Any) -> NDArray[Any]:
    """The array, after checking that it holds finite real numbers."""
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or not array.size:
        found = f"{array!r:.40}" if isinstance(array, str) else type(array).__name__
        if isinstance(array, np.ndarray):
            found = f"{array.dtype} {array.shape}" if array.size else f"an empty array {array.shape}"
        raise InputError(f"{path}: {label}: expected real numbers, got {found}")
    if not np.isfinite(array).all():
        raise InputError(f"{path}: {label}: expected finite numbers, got NaN or infinity")
    return array


def points(path: Path, label: str, array: Any, count: int | None = None) -> Floats:
    """(N, 3) float32 of x y z interleaved, in any of the shapes (3N,), (3N, 1), (1, 3N), (N, 3)."""
    array = reals(path, label, array)
    wanted = "(3N,)" if count is None else f"({3 * count},)"
    fits = array.ndim == 1 or (array.ndim == 2 and (1 in array.shape or array.shape[1] == 3))
    if not fits or array.size % 3 or array.size != 3 * (array.size // 3 if count is None else count):
        raise InputError(f"{path}: {label}: expected {wanted} interleaved x y z, got {array.shape}")
    with np.errstate(over="ignore"):  # the model rejects what became infinite
        return np.array(array.reshape(-1, 3), np.float32)


def spreads(path: Path, label: str, array: Any, count: int) -> NDArray[np.float64]:
    """The first `count` standard deviations of a vector."""
    values = reals(path, label, array).astype(np.float64).ravel()
    if len(values) < count or (count and values[:count].min() <= 0):
        raise InputError(f"{path}: {label}: expected {count} positive standard deviations")
    return values[:count]


def columns(path: Path, label: str, array: Any, count: int, sigma: NDArray[np.float64] | None) -> Floats:
    """(K, N, 3) from a basis (3N, K), scaled to one standard deviation per column. None: already scaled."""
    array = reals(path, label, array)
    if array.ndim != 2 or array.shape[0] != 3 * count or (sigma is not None and len(sigma) > array.shape[1]):
        least = "K" if sigma is None else f">= {len(sigma)}"
        raise InputError(f"{path}: {label}: expected ({3 * count}, {least}), got {array.shape}")
    with np.errstate(over="ignore"):  # as above
        modes = array.T if sigma is None else (array[:, : len(sigma)] * sigma).T
        return np.ascontiguousarray(modes, np.float32).reshape(-1, count, 3)


def vertex_indices(path: Path, label: str, array: Any, count: int, first: int) -> Indices:
    """Indices counted from `first`, as int64 counted from 0; each must be below `count`."""
    array = reals(path, label, array)
    if array.dtype.kind == "f" and ((array != np.rint(array)) | (np.abs(array) > 2**53)).any():
        raise InputError(f"{path}: {label}: expected whole numbers, got others")
    if array.min() < first or array.max() >= first + count:
        wrong = array.max() if array.max() >= first + count else array.min()
        raise InputError(f"{path}: {label}: expected vertices {first}..{first + count - 1}, got {wrong}")
    return array.astype(np.int64) - first


def triangle_rows(path: Path, label: str, array: Any, count: int, first: int) -> Indices:
    """(T, 3) of (T, 3) or (3, T) indices counted from `first`."""
    indices = vertex_indices(path, label, array, count, first)
    if indices.ndim != 2 or 3 not in indices.shape:
        raise InputError(f"{path}: {label}: expected (T, 3) or (3, T), got {indices.shape}")
    return indices if indices.shape[1] == 3 else np.ascontiguousarray(indices.T)


def interleaved_landmarks(path: Path, label: str, array: Any, count: int) -> Indices:
    """The 68 vertices from 3DDFA's (204,) 0-based positions in the interleaved x y z."""
    places = vertex_indices(path, label, array, 3 * count, 0).reshape(-1)
    if len(places) != 204 or (places.reshape(-1, 3) - places[::3, None] != [0, 1, 2]).any():
        raise InputError(f"{path}: {label}: expected the positions of x y z of 68 vertices, 204 in total")
    if (places[::3] % 3).any():
        raise InputError(f"{path}: {label}: expected positions of x divisible by 3, got others")
    return places[::3] // 3


def side_landmarks(path: Path, count: int) -> Indices | None:
    """The 68 vertex indices, 0-based, from a file next to the model at `path`; None if there is none."""
    for name in SIDE_NAMES:
        for suffix in SIDE_SUFFIXES:
            file = path.parent / (name.format(stem=path.stem) + suffix)
            if file.is_file():
                array = read_npy(file) if suffix == ".npy" else read_numbers(file)
                found = vertex_indices(file, "landmarks", array, count, 0).reshape(-1)
                if len(found) != 68:
                    raise InputError(f"{file}: expected the 68 landmarks' vertex indices, got {len(found)}")
                return found
    return None


def missing_landmarks(path: Path, reason: str) -> InputError:
    """The error if neither the model nor a file next to it has the 68 landmarks."""
    return InputError(
        f"{path}: {reason}; put a file {path.stem}.landmarks68.txt next to it: 68 0-based "
        "vertex indices in iBUG order"
    )


def measured_unit(path: Path, landmarks: NDArray[np.floating]) -> float:
    """Millimeters per unit, from the 68 landmarks (68, 3), for files that do not specify it."""
    width = float(np.linalg.norm(landmarks[36] - landmarks[45]))
    for factor in UNITS.values():
        if BIOCULAR_WIDTH[0] <= width * factor <= BIOCULAR_WIDTH[1]:
            return factor
    raise InputError(
        f"{path}: the outer eye corners lie {width:.4g} units apart, no face in any of {', '.join(UNITS)}; "
        "check the 68 landmark indices"
    )


def outward(mean: Floats, triangles: Indices) -> Indices:
    """The triangles, reversed if they enclose a negative volume: files differ in orientation."""
    exact = mean.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # the model rejects what is not finite
        corners = (exact - exact.mean(0))[triangles]
        volume = np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2]))
    return np.ascontiguousarray(triangles[:, ::-1]) if volume < 0 else triangles


def assemble(
    path: Path,
    name: str,
    unit: float,
    mean: Floats,
    shape_modes: Floats,
    expression_modes: Floats | None,
    triangles: Indices,
    landmarks: Indices,
    albedo: tuple[Floats, Floats | None] | None = None,
    mode_names: tuple[str, ...] | None = None,
) -> MorphableModel:
    """Build the model in millimeters from arrays in units of `unit` millimeters, with modes of one sigma.

    albedo: mean (N, 3) and modes (Ka, N, 3) or None, sRGB from 0 to 1. Raises InputError if the landmarks are
    not those of an upright face in that unit, as with a wrong landmark file.
    """
    if expression_modes is None:
        expression_modes = np.zeros((0, *mean.shape), np.float32)
    mean = mean * np.float32(unit)
    marks = mean[landmarks]
    with np.errstate(invalid="ignore"):  # infinity minus infinity, in a file of huge numbers
        width = float(np.linalg.norm(marks[45] - marks[36]))
    if not BIOCULAR_WIDTH[0] <= width <= BIOCULAR_WIDTH[1]:
        raise InputError(f"{path}: the outer eye corners lie {width:.4g} mm apart; check the 68 landmarks")
    if marks[45, 0] < marks[36, 0] or marks[8, 1] > marks[27, 1]:
        raise InputError(f"{path}: the 68 landmarks do not show an upright face with +x to its left, +y up")
    colors, tones = (None, None) if albedo is None else albedo
    try:
        return MorphableModel(
            name=name,
            mean=mean,
            shape_modes=shape_modes * np.float32(unit),
            expression_modes=expression_modes * np.float32(unit),
            coefficient_std=np.ones(len(shape_modes) + len(expression_modes), np.float32),
            triangles=outward(mean, triangles),
            landmarks=landmarks,
            named_landmarks={"chin": int(landmarks[8])},
            albedo_mean=None if colors is None else np.clip(colors, 0, 1),
            albedo_modes=tones,
            albedo_std=None if tones is None else np.ones(len(tones), np.float32),
            mode_names=mode_names,
        )
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error


def skinned(
    path: Path,
    model: MorphableModel,
    unit: float,
    names: Sequence[str],
    parents: Indices,
    weights: NDArray[Any],
    joints: NDArray[Any],
    joint_modes: NDArray[Any],
    correctives: NDArray[Any],
) -> MorphableModel:
    """The model with joints, whose places, modes and correctives are in units of `unit` millimeters.

    Raises InputError for what no model's joints are.
    """
    try:
        with np.errstate(over="ignore"):  # what became infinite is refused
            moved = (np.multiply(array, unit, dtype=np.float64) for array in (joints, joint_modes))
            lengths = (*moved, np.multiply(correctives, np.float32(unit), dtype=np.float32))
            return replace(model, skinning=Skinning(tuple(names), parents, weights, *lengths))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
