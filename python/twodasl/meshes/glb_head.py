"""What a GLB file is made of: a head, what moves its face, its pose, and how both change over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import on_host, shown
from .normals import normal_changes, vertex_normals
from .write import checked_arrays

Floats = NDArray[np.float32]

_FARTHEST = 1e4
"""Meters; a mesh that reaches farther is one in millimeters or in pixels."""


_LEAST_MOVE = 1e-5
"""Meters: a hundredth of a millimeter, which nobody sees, is no move of a morph target."""

_LEAST_TURN = 5e-3
"""What is no change of a unit normal: a third of a degree."""


@dataclass(frozen=True)
class HeadPose:
    """A turn about the head's origin, and where that is.

    rotation: unit quaternion (x, y, z, w) that turns points. translation: (3,) meters.
    Both in glTF's axes: +x to the viewer's right, +y up, +z toward the viewer. Raises ValueError.
    """

    rotation: ArrayLike = (0.0, 0.0, 0.0, 1.0)
    translation: ArrayLike = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rotation", _unit_rows("pose.rotation", self.rotation, (4,)))
        object.__setattr__(self, "translation", _floats("pose.translation", self.translation, (3,)))


@dataclass(frozen=True, eq=False)
class HeadMotion:
    """A head over time, linear between frames.

    seconds: (F,) from 0 up, increasing. rotations: (F, 4) unit quaternions (x, y, z, w).
    translations: (F, 3) meters, or None. weights: (F, M) of the M morph targets, or None.
    Raises ValueError.
    """

    seconds: ArrayLike
    rotations: ArrayLike
    translations: ArrayLike | None = None
    weights: ArrayLike | None = None

    def __post_init__(self) -> None:
        times = _floats("animation.seconds", self.seconds, ("F",))
        if len(times) == 0 or times[0] < 0 or (np.diff(times) <= 0).any():
            raise ValueError("animation.seconds: expected at least one time, from 0 up and increasing")
        count = len(times)
        turns = _unit_rows("animation.rotations", self.rotations, (count, 4))
        # q and -q are the same turn: without jumps between them every player takes the short way.
        flips = np.where(np.einsum("fi,fi->f", turns[1:], turns[:-1]) < 0, -1.0, 1.0)
        turns[1:] *= np.cumprod(flips, dtype=np.float32)[:, None]
        object.__setattr__(self, "seconds", times)
        object.__setattr__(self, "rotations", turns)
        if self.translations is not None:
            moved = _floats("animation.translations", self.translations, (count, 3))
            object.__setattr__(self, "translations", moved)
        if self.weights is not None:
            object.__setattr__(self, "weights", _floats("animation.weights", self.weights, (count, "M")))


@dataclass(frozen=True, eq=False)
class GlbHead:
    """A head as `twodasl.meshes.glb.glb_bytes` writes it; see `write_glb` for the fields.

    The arrays are checked and completed: normals are there, and `weights` has a number for each target.
    """

    vertices: ArrayLike
    triangles: ArrayLike
    uv: ArrayLike | None = None
    texture: ArrayLike | None = None
    colors: ArrayLike | None = None
    normals: ArrayLike | None = None
    targets: Mapping[str, ArrayLike] = field(default_factory=dict)
    normal_targets: ArrayLike | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    pose: HeadPose = field(default_factory=HeadPose)
    motion: HeadMotion | None = None
    name: str = "face"

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ValueError(f"name: expected a str, got {shown(self.name)}")
        if not isinstance(self.pose, HeadPose):
            raise ValueError(f"pose: expected a HeadPose, got {shown(self.pose)}")
        if not (self.motion is None or isinstance(self.motion, HeadMotion)):
            raise ValueError(f"animation: expected a HeadMotion, got {shown(self.motion)}")
        points, faces, rgb = checked_arrays(self.vertices, self.triangles, self.colors)
        if len(faces) == 0:
            raise ValueError("triangles: expected at least one")
        if (farthest := np.abs(points).max()) > _FARTHEST:
            raise ValueError(f"vertices: expected meters, within {_FARTHEST:g}, got {farthest:g}")
        surface = points.astype(np.float32)
        for key, value in (("vertices", surface), ("triangles", faces), ("colors", rgb)):
            object.__setattr__(self, key, value)
        self._check_texture(len(points))
        self._check_targets(surface, faces)
        if self.normals is None:
            normals = vertex_normals(surface, faces)
        else:
            normals = _floats("normals", self.normals, surface.shape)
        # A vertex without triangles has no normal, and the format wants unit vectors.
        normals[np.linalg.norm(normals, axis=1) < 0.5] = (0, 0, 1)
        object.__setattr__(self, "normals", _unit_rows("normals", normals, surface.shape))

    def _check_texture(self, count: int) -> None:
        if (self.uv is None) != (self.texture is None):
            given, missing = ("texture", "uv") if self.uv is None else ("uv", "texture")
            raise ValueError(f"{missing}: expected together with {given}, got one without the other")
        if self.uv is None:
            return
        object.__setattr__(self, "uv", _floats("uv", self.uv, (count, 2)))
        picture = np.asarray(on_host(self.texture))
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or picture.size == 0:
            raise ValueError(f"texture: expected (H, W, 3) uint8 BGR, got {picture.dtype} {picture.shape}")
        object.__setattr__(self, "texture", picture)

    def _check_targets(self, surface: Floats, faces: NDArray[np.int64]) -> None:
        for key, value, what in (
            ("morph_targets", self.targets, "displacements"),
            ("weights", self.weights, "numbers"),
        ):
            if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
                raise ValueError(f"{key}: expected names and {what}, such as a dict, got {shown(value)}")
        names = list(self.targets)
        moves = [_floats(f"morph target {name!r}", self.targets[name], surface.shape) for name in names]
        for name, move in zip(names, moves, strict=True):
            if (farthest := np.abs(move).max()) > _FARTHEST:
                raise ValueError(
                    f"morph target {name!r}: expected meters, within {_FARTHEST:g}, got {farthest:g}"
                )
            _clear(move, _LEAST_MOVE)
        object.__setattr__(self, "targets", dict(zip(names, moves, strict=True)))
        shape = (len(names), *surface.shape)
        if self.normal_targets is None:
            turns = normal_changes(surface, faces, np.stack(moves)) if moves else np.zeros(shape, np.float32)
        else:
            turns = _floats("normal_targets", self.normal_targets, shape)
        for turn in turns:
            _clear(turn, _LEAST_TURN)
        object.__setattr__(self, "normal_targets", turns)
        if unknown := sorted(set(self.weights) - set(names)):
            raise ValueError(f"weights: expected names of the {len(names)} morph targets, got {unknown[0]!r}")
        amounts = {}
        for name in names:
            amounts[name] = float(_floats("weights", self.weights.get(name, 0.0), ()))
        object.__setattr__(self, "weights", amounts)
        if self.motion is not None and self.motion.weights is not None:
            columns = np.shape(self.motion.weights)[1]
            if columns != len(names):
                raise ValueError(f"animation.weights: expected {len(names)} a frame, got {columns}")


def _floats(name: str, values: ArrayLike, shape: tuple[int | str, ...]) -> Floats:
    """A copy as float32 of a shape. Raises ValueError, which begins with the name."""
    wanted = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    if not shape:
        wanted = "a number"
    try:
        with np.errstate(over="ignore"):  # what became infinite is refused below
            array = np.array(on_host(values), np.float32)
    except (TypeError, ValueError, RuntimeError) as error:
        what = f"{wanted} numbers" if shape else wanted
        raise ValueError(f"{name}: expected {what}, got {shown(values)}") from error
    fits = array.ndim == len(shape) and all(
        isinstance(want, str) or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name}: expected {wanted}, got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return array


def _clear(moves: Floats, least: float) -> None:
    """Set rows (N, 3) that are shorter than this to zero."""
    moves[np.einsum("nc,nc->n", moves, moves) < least * least] = 0


def _unit_rows(name: str, values: ArrayLike, shape: tuple[int | str, ...]) -> Floats:
    """The same with rows of length 1 to float32's accuracy."""
    array = _floats(name, values, shape).astype(np.float64)
    length = np.linalg.norm(array, axis=-1, keepdims=True)
    if (np.abs(length - 1) > 1e-2).any():
        raise ValueError(f"{name}: expected unit length, got {float(length.ravel()[0]):g}")
    return np.asarray(array / length, np.float32)
