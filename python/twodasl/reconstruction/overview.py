"""The picture of one face: landmarks, dense alignment, the mesh, and the mesh turned with its colors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..geometry.crops import Crop
from ..geometry.pose import matrix_from_angles
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
from .self_occlusion import in_front
from .turns import turned_image, turned_result

if TYPE_CHECKING:
    from .reconstruction import Reconstruction

PANEL = 560
_WIDEST = 1.7  # sides of the crop that a panel shows at most
_BORDER = 0.03  # of the panel, around the mesh
_SEEN = 0.2  # share of a vertex from which it counts as drawn
_BACKDROP = (244, 241, 238)
_TURN = 40.0  # degrees by which the last panel turns a roughly frontal face
_FRONTAL = 25.0  # |yaw| from which it is turned to the front instead


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
