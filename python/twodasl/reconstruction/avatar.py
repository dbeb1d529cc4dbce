"""From a reconstruction to a head that moves: what `twodasl.meshes.glb` writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from ..meshes.glb_head import GlbHead, HeadMotion, HeadPose
from ..meshes.normals import normal_changes, vertex_normals
from ..morphable import ARKIT_NAMES, MorphableModel, arkit_shapes, arkit_weights, has_arkit_shapes

Floats = NDArray[np.float32]

_METERS = np.float32(1e-3)  # a millimeter


@dataclass(frozen=True, eq=False)
class Expressions:
    """What moves the faces of one model.

    Attributes:
        names: of the M movements.
        moves: (M, N, 3) float32 millimeters, of all vertices at weight 1.
        limits: what weights usually lie between.
        weigh: from expression coefficients (..., Ke) to the weights (..., M).
    """

    names: tuple[str, ...]
    moves: Floats
    limits: tuple[float, float]
    weigh: Callable[[Floats], Floats]


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture for a mesh.

    Attributes:
        coordinates: (M, 2) float32, u to the right and v up, of M corners.
        vertices: (M,) int64, each corner's vertex in the model.
        triangles: (T, 3) int64 into the corners.
        picture: (H, W, 3) uint8 BGR, the first row at v = 1.
    """

    coordinates: Floats
    vertices: NDArray[np.int64]
    triangles: NDArray[np.int64]
    picture: NDArray[np.uint8]


@lru_cache(maxsize=4)
def expressions_of(model: MorphableModel) -> Expressions:
    """ARKit's 52 shapes where the model has them.

    Of other models their own expression modes; at weight 1 each moves by one standard deviation.
    """
    if has_arkit_shapes(model):
        return Expressions(ARKIT_NAMES, arkit_shapes(model), (0.0, 1.0), partial(arkit_weights, model))
    shapes = len(model.shape_modes)
    std = model.coefficient_std[shapes:]
    if model.mode_names is None:
        names = tuple(f"expression {number}" for number in range(1, len(std) + 1))
    else:
        names = distinct(model.mode_names[shapes:])
    moves = model.expression_modes * std[:, None, None]
    return Expressions(names, moves, (-3.0, 3.0), lambda coefficients: np.asarray(coefficients) / std)


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The same names, those that were there before with a number: a morph target is known by its name."""
    taken: set[str] = set()
    found = []
    for name in names:
        own, number = name, 2
        while own in taken:
            own, number = f"{name} {number}", number + 1
        taken.add(own)
        found.append(own)
    return tuple(found)


def avatar(
    model: MorphableModel,
    shape: Floats,
    *,
    expressions: Expressions | None = None,
    expression: Floats | None = None,
    angles: tuple[float, float, float] | None = None,
    colors: NDArray[np.floating] | None = None,
    texture: Texture | None = None,
    motion: HeadMotion | None = None,
) -> GlbHead:
    """The head of a person: the face without expression, in meters, in the model's own place and axes.

    Args:
        model: N vertices, Ks and Ke modes.
        shape: (Ks,) the person's coefficients.
        expressions: the morph targets; default: `expressions_of(model)`.
        expression: (Ke,) coefficients that the file opens with; default: none.
        angles: pitch, yaw, roll in degrees that the file opens with; default: the head looks forward.
        colors: (N, 3) RGB in [0, 1] of the vertices. Not used with a texture.
        texture: instead of colors.
        motion: the pose, and weights of the expressions, over time.

    Raises ValueError where the arrays do not fit.
    """
    moving = expressions or expressions_of(model)
    neutral = (model.mean + np.tensordot(shape, model.shape_modes, 1)) * _METERS
    moves = moving.moves * _METERS
    normals = vertex_normals(neutral, model.triangles)
    turns = normal_changes(neutral, model.triangles, moves)
    triangles, uv, picture = model.triangles, None, None
    if texture is not None:
        # A vertex on a seam is there once for each side; its normals are those of the whole surface.
        corners = texture.vertices
        neutral, normals = neutral[corners], normals[corners]
        moves, turns = moves[:, corners], turns[:, corners]
        triangles, uv, picture, colors = texture.triangles, texture.coordinates, texture.picture, None
    weights = np.zeros(len(moving.names)) if expression is None else moving.weigh(expression)
    return GlbHead(
        neutral,
        triangles,
        uv=uv,
        texture=picture,
        colors=colors,
        normals=normals,
        targets=dict(zip(moving.names, moves, strict=True)),
        normal_targets=turns,
        weights=dict(zip(moving.names, map(float, weights), strict=True)),
        pose=HeadPose() if angles is None else HeadPose(quaternions(np.array(angles))),
        motion=motion,
    )


def quaternions(degrees: NDArray[np.floating]) -> NDArray[np.float64]:
    """(..., 3) pitch, yaw, roll in degrees as unit quaternions (..., 4), x, y, z, w, that turn points.

    A model's axes are glTF's: +x to the viewer's right, +y up, +z toward the viewer. The angles turn the
    axes, see `geometry.pose`; points turn the other way.
    """
    half = -np.radians(np.asarray(degrees, np.float64)) / 2
    (cx, cy, cz), (sx, sy, sz) = (np.moveaxis(each, -1, 0) for each in (np.cos(half), np.sin(half)))
    # The product of three quaternions, about x, y and z.
    x, y = sx * cy * cz + cx * sy * sz, cx * sy * cz - sx * cy * sz
    z, w = cx * cy * sz + sx * sy * cz, cx * cy * cz - sx * sy * sz
    return np.stack([x, y, z, w], -1)
