"""Texture coordinates of a face model: where each of its triangles lies in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .checks import check_model
from .model import MorphableModel

SHIPPED_LAYOUT = Path(__file__).resolve().parents[1] / "resources" / "procedural-layout.npz"
"""Half of the embedded head's layout, as `procedural.layout.half_layout` computes it."""


@dataclass(frozen=True, eq=False)
class UvLayout:
    """Where the triangles of a model lie in a texture. No two overlap, and all are counter-clockwise.

    A vertex on a cut has several corners, one for each side; the others have one.

    Attributes:
        coordinates: (M, 2) float32 in [0, 1]: u to the right, v up, the origin at the texture's lower left,
            as in OBJ files. Texel (row, column) of a square texture of S texels covers u from column / S to
            (column + 1) / S, and v from 1 - (row + 1) / S to 1 - row / S.
        vertices: (M,) int64, the model's vertex of every corner.
        triangles: (T, 3) int64 into the M corners; row i is the model's triangle i.
    """

    coordinates: NDArray[np.float32]
    vertices: NDArray[np.int64]
    triangles: NDArray[np.int64]

    def __post_init__(self) -> None:
        for key, kind in (("coordinates", np.float32), ("vertices", np.int64), ("triangles", np.int64)):
            object.__setattr__(self, key, np.ascontiguousarray(getattr(self, key), kind))

    def pixels(self, size: int) -> NDArray[np.float32]:
        """(M, 2) the corners as column and row of a texture of `size` x `size` texels."""
        place = self.coordinates.astype(np.float64) * [1, -1] + [0, 1]
        return (place * size - 0.5).astype(np.float32)


def uv_layout(model: MorphableModel) -> UvLayout:
    """The layout of a face model's texture, the same at every call and on every machine.

    The embedded head has a fixed one: its skin is one sheet, cut at the back of the head and upright, with
    the face over about 40 % of the texture. Any other model is unrolled around the vertical axis, with the
    cut at the back; what would lie over something else there, such as ears and eyeballs, goes into islands of
    its own, see `unwrap.unwrapped`. Made once per model and process.

    Raises:
        InputError: the model has no triangles.
    """
    check_model(model)
    if _is_embedded(model):
        return _shipped()
    return _unwrapped(model)


def mirrored_layout(
    places: NDArray[np.floating], vertices: NDArray[np.integer], triangles: NDArray[np.integer]
) -> UvLayout:
    """The layout of a whole head whose vertices and triangles are those of its +x half, then their mirror
    images.

    places (M, 2), vertices (M,), triangles (T, 3) into the places: of the half. What lies on u = 0.5 is
    shared; the rest is doubled at 1 - u. What lies on the largest u or v is the cut, on the midline too.
    """
    half = int(vertices.max()) + 1
    shared = places[:, 0] == 0.5
    midline = np.zeros(half, np.bool_)
    midline[vertices[shared]] = True
    midline[vertices[(places == places.max(axis=0)).any(axis=1)]] = True
    twin = np.arange(half)
    twin[~midline] = half + np.arange(np.count_nonzero(~midline))
    other = np.arange(len(places))
    other[~shared] = len(places) + np.arange(np.count_nonzero(~shared))
    return UvLayout(
        np.concatenate([places, places[~shared] * [-1, 1] + [1, 0]]),
        np.concatenate([vertices, twin[vertices[~shared]]]),
        np.concatenate([triangles, other[triangles][:, ::-1]]),
    )


@cache
def _shipped() -> UvLayout:
    with np.load(SHIPPED_LAYOUT, allow_pickle=False) as stored:
        return mirrored_layout(stored["places"], stored["vertices"], stored["triangles"])


def _is_embedded(model: MorphableModel) -> bool:
    from .procedural import procedural_model

    # By triangles, not by identity: fewer modes or other landmarks leave the surface the same.
    embedded = procedural_model()
    return np.array_equal(model.triangles, embedded.triangles) and len(model.mean) == len(embedded.mean)


@lru_cache(maxsize=4)
def _unwrapped(model: MorphableModel) -> UvLayout:
    from .unwrap import unwrapped

    return unwrapped(model.mean, model.triangles)
