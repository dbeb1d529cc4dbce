"""A texture among the files of a result, and writing those files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.files import writing
from ..io.images import encode_image
from ..meshes.write import ObjTexture, write_mtl, write_obj, write_ply
from ..morphable import MorphableModel
from ..morphable.uv import uv_layout
from .avatar import Texture
from .texture_map import bake_texture

if TYPE_CHECKING:
    from .reconstruction import Reconstruction

USUAL = 1024
"""Texels of an edge where nobody says how many."""


def texture_size(suffixes: Sequence[str], asked: int | None) -> int | None:
    """The edge in texels of the texture that files with these suffixes need; None: they need none.

    asked: the user's wish. Heads that move always have a texture, OBJ where it is asked for.
    """
    if {".glb", ".html"} & {*suffixes}:
        return asked or USUAL
    return asked if ".obj" in suffixes else None


@lru_cache(maxsize=4)
def has_layout(model: MorphableModel) -> bool:
    """Whether the model can be laid out flat, see `uv_layout`; if not, heads have colored vertices."""
    try:
        uv_layout(model)
    except InputError:
        return False
    return True


def baked_texture(
    model: MorphableModel,
    faces: Sequence[Reconstruction],
    images: Sequence[NDArray[np.uint8]],
    size: int = USUAL,
) -> Texture:
    """What photos (H, W, 3) uint8 BGR show of a face, each with its reconstruction, see `bake_texture`."""
    layout = uv_layout(model)
    picture = bake_texture(model, layout, faces, images, size)
    return Texture(layout.coordinates, layout.vertices, layout.triangles, picture)


def write_files(
    targets: Sequence[Path],
    places: Sequence[Path],
    contents: Mapping[str, bytes],
    mesh: tuple[NDArray[np.floating], NDArray[np.int64], NDArray[np.floating] | None],
    texture: Texture | None,
) -> None:
    """Write the files of a result.

    Args:
        targets: what the files will be called, and for a texture those of `TEXTURE_SUFFIXES` last.
        places: where they are written.
        contents: of those that are not meshes, by suffix.
        mesh: vertices, triangles and colors, for OBJ and PLY.
        texture: of the OBJ file, if it has one.
    """
    material = None
    if texture is not None:
        material = ObjTexture(texture.coordinates, texture.triangles, targets[-1].name)
    for target, place in zip(targets, places, strict=True):
        with writing(target):
            if texture is not None and target == targets[-2]:
                place.write_bytes(encode_image(target, texture.picture))
            elif target.suffix == ".mtl":
                write_mtl(place, targets[-2].name)
            elif target.suffix == ".obj":
                write_obj(place, *mesh, material)
            elif target.suffix == ".ply":
                write_ply(place, *mesh)
            else:
                place.write_bytes(contents[target.suffix])
