"""What a reconstruction leaves behind: NAME.obj, NAME.ply, NAME.glb, NAME.json and so on, all or none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..arguments import path_of
from ..errors import InputError
from ..geometry.crops import Crop
from ..geometry.pose import matrix_from_angles
from ..io.files import atomic_paths, check_targets
from ..io.images import encode_image
from ..io.indented import indented
from ..meshes.glb import glb_bytes
from ..morphable import MorphableModel, has_arkit_shapes, to_arkit
from ..pictures.face_part import face_share
from ..pictures.render import (
    TINT,
    Image,
    caption,
    contact_sheet,
    draw_landmarks,
    overlay,
    render_mesh,
    stack_sheets,
)
from . import DEFAULT_FORMATS, FORMATS
from .avatar import avatar, expressions_of
from .self_occlusion import in_front
from .texture import face_colors
from .texture_files import SUFFIXES as TEXTURE_SUFFIXES
from .texture_files import baked_texture, texture_size, write_files
from .turns import turned_image, turned_result
from .viewer import viewer_page

if TYPE_CHECKING:
    from .reconstruction import Reconstruction
    from .reconstructor import FaceReconstructor

SUFFIXES = tuple(f".{name}" for name in FORMATS)

PANEL = 560
_WIDEST = 1.7  # sides of the crop that a panel shows at most
_BORDER = 0.03  # of the panel, around the mesh
_SEEN = 0.2  # share of a vertex from which it counts as drawn
_BACKDROP = (244, 241, 238)
_TURN = 40.0  # degrees by which the last panel turns a roughly frontal face
_FRONTAL = 25.0  # |yaw| from which it is turned to the front instead


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
        texture: edge in texels of a texture for OBJ, GLB and HTML, see `bake_texture`. None: OBJ has the
            colors of the vertices alone; so has GLB without a picture, otherwise it has a texture of
            `texture_files.USUAL` texels.
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
    size = texture_size(wanted, texture, shown is not None)
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


def describe_pose(face: Reconstruction) -> str:
    """The pose for people: `yaw +12.3, pitch -4.0, roll +0.0 degrees`."""
    pitch, yaw, roll = (round(angle, 1) + 0.0 for angle in face.angles)  # adding 0 turns -0 into +0
    return f"yaw {yaw:+.1f}, pitch {pitch:+.1f}, roll {roll:+.1f} degrees"


def describe_confidence(face: Reconstruction) -> str:
    """`, confidence 0.98`; nothing where it is not known."""
    return "" if face.confidence is None else f", confidence {face.confidence:.2f}"


def picture(
    image: NDArray[np.uint8],
    face: Reconstruction,
    colors: NDArray[np.floating],
    title: str,
    shares: NDArray[np.floating] | None = None,
) -> Image:
    """One picture, uint8 BGR: landmarks, dense alignment, headlight, the colors on the turned mesh.

    shares: (N,) how much of each vertex is drawn, see `face_share`; None: the whole head.
    A photo that was turned for the network is turned here as well: the head stands upright.
    """
    note = f", photo turned by {90 * face.quarters} degrees" if face.quarters else ""
    if face.quarters:
        size = (image.shape[1], image.shape[0])
        image, face = turned_image(image, face.quarters), turned_result(face, face.quarters, size)
    photo, points = _closeup(image, face, shares)
    marks = points[face.landmark_indices]
    turn, description = _turn(face.angles[1])
    tint = np.broadcast_to(np.array(TINT, np.float32), points.shape)
    tiles = [
        (draw_landmarks(photo, marks, _hidden(points, face)), "68 landmarks"),
        (
            overlay(photo, points, face.triangles, 0.6, colors=tint, shares=shares),
            f"dense alignment, {len(points):,} vertices",
        ),
        (
            render_mesh(points, face.triangles, PANEL, background=_BACKDROP, shares=shares),
            "mesh under a headlight",
        ),
        (
            render_mesh(
                _turned(points, marks, turn, shares),
                face.triangles,
                PANEL,
                "flat",
                colors,
                background=_BACKDROP,
                shares=shares,
            ),
            description,
        ),
    ]
    sheet = contact_sheet([caption(tile, text, 32) for tile, text in tiles], len(tiles), margin=8)
    plain = title.encode("ascii", "replace").decode()  # the drawing font has no other letters
    line = f"{plain}: {describe_pose(face)}{note}"
    return stack_sheets([caption(np.full((6, sheet.shape[1], 3), 255, np.uint8), line, 38), sheet])


def _closeup(
    image: NDArray[np.uint8], face: Reconstruction, shares: NDArray[np.floating] | None
) -> tuple[Image, NDArray[np.float32]]:
    """The photo around what is drawn of the face, PANEL x PANEL, and the vertices in its pixels."""
    crop = face.crop
    side = crop.x1 - crop.x0
    drawn = face.vertices[:, :2] if shares is None else face.vertices[shares > _SEEN, :2]
    low, high = drawn.min(axis=0), drawn.max(axis=0)
    # As much as the mesh needs, within reason: a network that has learned nothing may put it anywhere.
    span = float(np.clip((high - low).max() * (1 + 2 * _BORDER), side, _WIDEST * side))
    center = (low + high) / 2
    # Shoulders that do not fit are cut off, not the crown; and the crop is always inside.
    center[1] = min(center[1], low[1] + (0.5 - _BORDER) * span)
    center = np.clip(
        center, [crop.x1 - span / 2, crop.y1 - span / 2], [crop.x0 + span / 2, crop.y0 + span / 2]
    )
    corner = center - span / 2
    step = span / PANEL
    window = Crop(corner[0], corner[1], corner[0] + span, corner[1] + span, PANEL)
    photo = window.image(image, _BACKDROP, cv2.INTER_CUBIC)
    points = face.vertices.astype(np.float64)
    points[:, :2] = (points[:, :2] - corner) / step
    points[:, 2] /= step
    return photo, points.astype(np.float32)


def _turn(yaw: float) -> tuple[float, str]:
    """By how many degrees of yaw to turn a face for the last panel, and what to say of it."""
    if abs(yaw) >= _FRONTAL:
        return -yaw, "photo's colors, turned to the front"
    return (_TURN if yaw >= 0 else -_TURN), f"photo's colors, turned by {_TURN:.0f} degrees"


def _turned(
    points: NDArray[np.float32],
    marks: NDArray[np.float32],
    yaw: float,
    shares: NDArray[np.floating] | None,
) -> NDArray[np.float32]:
    """Image-space points turned by `yaw` degrees, the head (not the shoulders) in the middle of the panel."""
    drawn = np.ones(len(points), np.bool_) if shares is None else np.asarray(shares > _SEEN)
    middle = (points[drawn].min(axis=0) + points[drawn].max(axis=0)) / 2
    rotation = matrix_from_angles(0.0, float(np.radians(yaw)), 0.0).numpy()
    flip = np.array([1, -1, 1], np.float32)
    turned = (((points - middle) * flip) @ rotation.T * flip + middle).astype(np.float32)
    rows = drawn & (points[:, 1] >= marks[:, 1].min()) & (points[:, 1] <= marks[:, 1].max())
    turned[:, 0] += (PANEL - 1) / 2 - (turned[rows, 0].min() + turned[rows, 0].max()) / 2
    return turned


def _hidden(points: NDArray[np.float32], face: Reconstruction) -> NDArray[np.bool_]:
    """(68,) which landmarks the face itself covers in the panel, or lie outside it."""
    vertices = torch.from_numpy(points)[None]
    triangles, marks = (torch.from_numpy(array) for array in (face.triangles, face.landmark_indices))
    inner = points[face.landmark_indices] - points[face.landmark_indices].mean(axis=0)
    own = face.landmarks - face.landmarks.mean(axis=0)
    zoom = float(np.linalg.norm(inner)) / max(float(np.linalg.norm(own)), 1e-12)
    return ~in_front(vertices, triangles, marks, PANEL, vertices.new_tensor([face.scale * zoom]))[0].numpy()


def _floats(values: NDArray[np.floating]) -> list[float]:
    """All the digits of float32 and no more."""
    return [float(f"{value:.9g}") for value in np.asarray(values, np.float64).tolist()]


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) + 0.0 for value in values]
