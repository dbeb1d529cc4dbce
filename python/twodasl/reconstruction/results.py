"""What a reconstruction leaves behind: NAME.obj, NAME.ply, NAME.glb, NAME.json and so on, all or none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..arguments import path_of
from ..errors import InputError
from ..io.files import atomic_paths, check_targets
from ..io.images import encode_image
from ..io.indented import indented
from ..meshes.glb import glb_bytes
from ..morphable import MorphableModel, has_arkit_shapes, to_arkit
from ..pictures.face_part import face_share
from . import DEFAULT_FORMATS, FORMATS, TEXTURE_SUFFIXES
from .avatar import avatar, expressions_of
from .overview import describe_confidence, describe_pose, picture
from .texture import face_colors
from .texture_files import baked_texture, has_layout, texture_size, write_files
from .viewer import viewer_page

if TYPE_CHECKING:
    from .reconstruction import Reconstruction
    from .reconstructor import FaceReconstructor

SUFFIXES = tuple(f".{name}" for name in FORMATS)


def write_results(
    folder: str | os.PathLike[str],
    name: str,
    image: NDArray[np.uint8],
    reconstructor: FaceReconstructor,
    face: Reconstruction,
    source: dict[str, Any] | None = None,
    *,
    shown: str | None = "face",
    formats: Sequence[str] = DEFAULT_FORMATS,
    texture: int | None = None,
    colors: NDArray[np.float32] | None = None,
) -> list[Path]:
    """Write the mesh, the numbers and the picture of one face.

    Everything is computed and written under temporary names first and then renamed, so that an error on the
    way leaves none of the files.

    Args:
        folder: made if it is not there.
        name: the files' name without suffix.
        image: (H, W, 3) uint8 BGR, the photo.
        reconstructor, face: what gave the reconstruction, and the reconstruction.
        source: further facts for the JSON file's "source", such as the photo's file name.
        shown: what the picture shows of the mesh, which is always whole: "face", see `face_share`, or
            "whole"; None: no picture, which takes most of the time.
        formats: some of `FORMATS`.
        texture: edge in texels of the texture, see `bake_texture`. None: OBJ has the colors of the vertices
            alone, and GLB and HTML have `texture_files.USUAL` texels.
        colors: (N, 3) RGB of the mesh where they are known already; None: those of `face_colors`.

    Returns:
        the paths, in the order of `SUFFIXES`, then the texture's and its material's. Coordinates in OBJ and
        PLY are image pixels with y pointing up from the photo's bottom row, z toward the viewer; those in GLB
        are meters, see `avatar`.

    Raises:
        InputError: the folder cannot be written, or a folder stands where a file should go.
    """
    if shown not in ("face", "whole", None):
        raise InputError(f"shown: expected 'face', 'whole' or None, got {shown!r}")
    if unknown := [each for each in formats if each not in FORMATS]:
        raise InputError(f"formats: expected some of {', '.join(FORMATS)}, got {unknown[0]!r}")
    wanted = [f".{each}" for each in FORMATS if each in formats and (each != "png" or shown is not None)]
    target = path_of(folder, "a folder", "folder")
    beside = TEXTURE_SUFFIXES if texture is not None and ".obj" in wanted else ()
    targets = [target / f"{name}{suffix}" for suffix in (*wanted, *beside)]
    check_targets(targets)
    model = reconstructor.model
    if colors is None and wanted != [".json"]:
        colors = face_colors(image, face.vertices, face.triangles, model)
    contents: dict[str, bytes] = {}
    if ".json" in wanted:
        text = indented(facts(image, reconstructor, face, source))
        contents[".json"] = f"{text}\n".encode()
    if ".png" in wanted and colors is not None:
        shares = face_share(model.mean, model.landmarks) if shown == "face" else None
        drawing = picture(image, face, colors, name, shares)
        contents[".png"] = encode_image(target / f"{name}.png", drawing)
    size = texture_size(wanted, texture) if texture or has_layout(model) else None
    baked = None if size is None else baked_texture(model, [face], [image], size)
    if {".glb", ".html"} & {*wanted}:
        head = avatar(
            model,
            face.shape,
            expression=face.expression,
            angles=face.angles,
            colors=colors,
            texture=baked,
        )
        contents[".glb"] = glb_bytes(head)
    if ".html" in wanted:
        about = describe_pose(face) + describe_confidence(face)
        limits = expressions_of(model).limits
        photo = (image, face.landmarks, face.crop.box)
        page = viewer_page(contents[".glb"], name, about[0].upper() + about[1:], limits, photo)
        contents[".html"] = page.encode("utf-8", "backslashreplace")
    mesh = (face.upright(image.shape[0]), face.triangles, colors)
    with atomic_paths(targets) as files:
        write_files(targets, files, contents, mesh, baked if beside else None)
    return targets


def facts(
    image: NDArray[np.uint8],
    reconstructor: FaceReconstructor,
    face: Reconstruction,
    source: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The numbers of a reconstruction as plain Python values; `docs/reconstruction.md` explains each."""
    from .. import __version__

    model = reconstructor.model
    pitch, yaw, roll = (round(angle, 4) + 0.0 for angle in face.angles)
    height, width = image.shape[:2]
    std = model.coefficient_std
    shapes = len(face.shape)
    return {
        "format": "twodasl-reconstruction",
        "version": 1,
        "source": {**(source or {}), "width": width, "height": height},
        "confidence": None if face.confidence is None else round(face.confidence, 4),
        "crop": _rounded(face.crop.box),
        "pose": {
            "pitch_degrees": pitch,
            "yaw_degrees": yaw,
            "roll_degrees": roll,
            "scale_pixels_per_mm": round(face.scale, 6),
            "translation_pixels": _rounded(face.translation),
        },
        "coefficients": {"shape": _floats(face.shape), "expression": _floats(face.expression)},
        "coefficients_in_std": {
            "shape": _rounded(face.shape / std[:shapes]),
            "expression": _rounded(face.expression / std[shapes:]),
        },
        "arkit": _arkit(model, face),
        "crop_parameters": _floats(face.parameters),
        "landmarks_2d": [_rounded(point) for point in face.landmarks[:, :2]],
        "landmarks_3d": [_rounded(point) for point in face.landmarks],
        "face_model": {
            "name": model.name,
            "identity": model.identity,
            "vertices": len(model.mean),
            "shape_modes": shapes,
            "expression_modes": len(face.expression),
        },
        "checkpoint": {
            "file": Path(reconstructor.checkpoint).name,
            "step": reconstructor.info.get("step"),
        },
        "software": {"twodasl": __version__, "torch": str(torch.__version__)},
    }


def _arkit(model: MorphableModel, face: Reconstruction) -> dict[str, float] | None:
    """Weights of ARKit's 52 blend shapes; None for a face model that has no such shapes."""
    if not has_arkit_shapes(model):
        return None
    return {name: round(weight, 4) + 0.0 for name, weight in to_arkit(model, face).items()}


def _floats(values: NDArray[np.floating]) -> list[float]:
    """All the digits of float32 and no more."""
    return [float(f"{value:.9g}") for value in np.asarray(values, np.float64).tolist()]


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) + 0.0 for value in values]
