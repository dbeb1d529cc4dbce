"""Rendering: shaded meshes, landmarks drawn on a photo, sheets of captioned tiles.

Images are numpy, uint8 BGR; meshes are in image space (x = column, y = row, larger z = nearer) and drawn by
`twodasl_ext.rasterize`. Shading is done in linear light.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..geometry.pose import matrix_from_angles
from ..io.terminal import one_line
from ..meshes.normals import vertex_normals

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

CLAY = (0.80, 0.77, 0.74)  # RGB of a mesh without colors
TINT = (0.62, 0.80, 0.95)  # RGB of a mesh laid over a photo
GAMMA = 2.2
BACK_FACE = 0.35  # light on the inside of a surface: the neck's and the mouth's
# Lights as (direction toward the light: x right, y up, z toward the viewer; strength), and the ambient light.
LIGHTS = {
    "headlight": ([((0.0, 0.0, 1.0), 0.92)], 0.08),
    "flat": ([], 1.0),  # colors unchanged: a photo's colors include its light
    "studio": ([((-0.55, 0.55, 0.75), 0.85), ((0.8, 0.1, 0.45), 0.22), ((0.1, -0.9, 0.35), 0.06)], 0.10),
}
_LINEAR = (np.arange(256, dtype=np.float32) / 255) ** GAMMA
SHININESS, SPECULAR = 18.0, 0.045
_FAINT = 0.3  # opacity of lines to points that are hidden
_BITS = 4  # cv2 draws at 1/16 pixel


def render_layer(
    vertices: ArrayLike,
    triangles: ArrayLike,
    size: int | tuple[int, int],
    light: str = "headlight",
    colors: ArrayLike | None = None,
    samples: int = 2,
    shares: ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Draw a mesh and its coverage.

    Args:
        vertices: (N, 3) image space.
        triangles: (T, 3), counter-clockwise seen from outside in model space (y up).
        size: edge length, or (height, width).
        light: "headlight" (from the viewer), "studio" (key, fill, and a little from below), or "flat" (none).
        colors: (N, 3) sRGB in [0, 1], or None for clay.
        samples: each pixel is the mean of samples x samples points.
        shares: (N,) in [0, 1], how much of each vertex is drawn; None: all of all.

    Returns:
        premultiplied linear BGR (H, W, 3) and coverage (H, W) in [0, 1], float32.
    """
    import twodasl_ext  # imported here: landmarks can be drawn without the compiled operators

    if light not in LIGHTS:
        raise ValueError(f"light: expected one of {', '.join(LIGHTS)}, got {light!r}")
    points, faces = np.asarray(vertices, np.float32), np.asarray(triangles, np.int64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ValueError(f"vertices: expected (N, 3), got {points.shape}")
    height, width = (size, size) if isinstance(size, int) else size
    fine = points * [samples, samples, 1] + [(samples - 1) / 2, (samples - 1) / 2, 0]
    index, weights, _ = twodasl_ext.rasterize(
        torch.from_numpy(fine.astype(np.float32))[None],
        torch.from_numpy(faces),
        (height * samples, width * samples),
    )
    triangle = index[0].numpy().ravel()
    hit = np.flatnonzero(triangle >= 0)
    # Component-first layout, (3, P): sums over an axis of length three are many times slower.
    corners = np.ascontiguousarray(faces[triangle[hit]].T)
    inside = np.ascontiguousarray(weights[0].numpy().reshape(-1, 3)[hit].T)
    normals = vertex_normals(
        points * [1, -1, 1], faces
    )  # y up again, where the triangles have the right orientation
    normal = _interpolated(normals, corners, inside)
    normal /= np.maximum(np.sqrt((normal * normal).sum(0)), 1e-12)
    if colors is None:
        base = np.array(CLAY, np.float32)[:, None] ** GAMMA
    else:
        base = _interpolated(_colors(colors, points) ** GAMMA, corners, inside)
    fine = np.zeros((4, height * samples * width * samples), np.float32)
    drawn = 1.0 if shares is None else _interpolated(_column(shares, points), corners, inside)[0]
    for plane, values in zip(fine, (*_shade(base, normal, light)[::-1], 1), strict=True):
        plane[hit] = values * drawn
    grid = fine.reshape(4, height, samples, width, samples)
    pixels = np.zeros((4, height, width), np.float32)
    for row in range(samples):
        for column in range(samples):
            pixels += grid[:, :, row, :, column]
    pixels /= samples**2
    return np.ascontiguousarray(np.moveaxis(pixels[:3], 0, 2)), pixels[3]


def _interpolated(values: Floats, corners: NDArray[np.int64], shares: Floats) -> Floats:
    """Interpolate vertex values (N, 3) at P points, (3, P), from the corners and weights, (3, P), of their
    triangles.
    """
    planes = np.ascontiguousarray(values.T)
    parts = list(zip(corners, shares, strict=True))
    return np.stack([sum(plane[corner] * share for corner, share in parts) for plane in planes])


def render_mesh(
    vertices: ArrayLike,
    triangles: ArrayLike,
    size: int | tuple[int, int],
    light: str = "headlight",
    colors: ArrayLike | None = None,
    background: Sequence[int] | Image = (255, 255, 255),
    opacity: float = 1.0,
    samples: int = 2,
    shares: ArrayLike | None = None,
) -> Image:
    """Draw a mesh over a plain color (BGR) or a picture (H, W, 3) uint8 BGR; arguments as for `render_layer`.

    `opacity` 1 hides the background, 0 draws nothing. Returns (H, W, 3) uint8 BGR.
    """
    layer, coverage = render_layer(vertices, triangles, size, light, colors, samples, shares)
    behind = np.asarray(background, np.uint8)
    if behind.ndim != 1 and behind.shape != layer.shape:
        raise ValueError(f"background: expected {layer.shape}, got {behind.shape}")
    linear = _LINEAR[behind]
    mixed = linear * (1 - opacity * coverage[..., None]) + opacity * layer
    return np.rint(np.clip(mixed, 0, 1) ** (1 / GAMMA) * 255).astype(np.uint8, order="C")


def overlay(
    image: Image,
    vertices: ArrayLike,
    triangles: ArrayLike,
    opacity: float = 0.75,
    light: str = "headlight",
    colors: ArrayLike | None = None,
    shares: ArrayLike | None = None,
) -> Image:
    """Draw the mesh over the photo (H, W, 3) in which its vertices (N, 3) were found; see `render_mesh`."""
    return render_mesh(vertices, triangles, image.shape[:2], light, colors, image, opacity, shares=shares)


def _colors(colors: ArrayLike, points: Floats) -> Floats:
    rgb = np.asarray(colors, np.float32)
    if rgb.shape != points.shape:
        raise ValueError(f"colors: expected {points.shape} RGB in [0, 1], got {rgb.shape}")
    return np.clip(rgb, 0, 1)


def _column(shares: ArrayLike, points: Floats) -> Floats:
    column = np.asarray(shares, np.float32)
    if column.shape != points.shape[:1]:
        raise ValueError(f"shares: expected ({len(points)},) in [0, 1], got {column.shape}")
    return np.clip(column, 0, 1)[:, None]


def _shade(base: Floats, normal: Floats, light: str) -> Floats:
    """Linear RGB (3, P) of surface points with unit normals (3, P): ambient, diffuse, some specular."""
    sources, ambient = LIGHTS[light]
    inside = normal[2] < 0
    normal = np.where(inside, -normal, normal)
    diffuse = np.full(len(inside), ambient, np.float32)
    shine = np.zeros(len(inside), np.float32)
    for direction, strength in sources:
        toward = np.array(direction, np.float32) / np.linalg.norm(direction)
        diffuse += strength * np.maximum(toward @ normal, 0)
        half = np.add(toward, (0, 0, 1))
        shine += strength * np.maximum(half / np.linalg.norm(half) @ normal, 0) ** SHININESS
    return ((base * diffuse + SPECULAR * shine) * np.where(inside, BACK_FACE, 1)).astype(np.float32)


# The 68 points as strokes: (first, last, closed, BGR).
STROKES = (
    (0, 16, False, (255, 190, 90)),
    (17, 21, False, (120, 230, 120)),
    (22, 26, False, (120, 230, 120)),
    (27, 30, False, (80, 220, 250)),
    (31, 35, False, (80, 220, 250)),
    (36, 41, True, (250, 140, 250)),
    (42, 47, True, (250, 140, 250)),
    (48, 59, True, (90, 110, 255)),
    (60, 67, True, (90, 110, 255)),
)


def draw_landmarks(image: Image, points: ArrayLike, hidden: ArrayLike | None = None) -> Image:
    """Return a copy of the picture with the 68 points drawn and joined, scaled to the size of the face.

    Args:
        image: (H, W, 3) uint8 BGR.
        points: (68, 2) or (68, 3) image pixels; pixel centers at integers. Parts outside the image are
            clipped.
        hidden: (68,) bool, points that the face itself covers: faint. None: none.
    """
    marks = np.asarray(points, np.float64)[:, :2]
    if marks.shape != (68, 2) or not np.isfinite(marks).all():
        raise ValueError(f"points: expected (68, 2) or (68, 3) finite pixels, got {np.shape(points)}")
    extent = float(np.ptp(marks, axis=0).max())
    thickness = max(1, round(extent / 220))
    radius = max(1.2, extent / 110)
    fixed = np.rint(np.clip(marks, -30000, 30000) * 2**_BITS).astype(np.int32)
    covered = np.zeros(68, np.bool_) if hidden is None else np.asarray(hidden, np.bool_)
    drawn = np.ascontiguousarray(image).copy()
    if covered.any():
        faint = drawn.copy()
        _draw_strokes(faint, fixed, thickness, extent > 150, lambda ends: bool(covered[ends].any()))
        drawn = np.asarray(cv2.addWeighted(faint, _FAINT, drawn, 1 - _FAINT, 0), dtype=np.uint8)
    _draw_strokes(drawn, fixed, thickness, extent > 150, lambda ends: not covered[ends].any())
    for first, last, _, color in STROKES:
        for index in range(first, last + 1):
            if covered[index]:
                continue
            center, size = (int(fixed[index, 0]), int(fixed[index, 1])), round(radius * 2**_BITS)
            cv2.circle(drawn, center, size, (255, 255, 255), -1, cv2.LINE_AA, _BITS)
            cv2.circle(drawn, center, max(size - 2**_BITS * thickness // 2, 2**_BITS // 2), color, -1,
                       cv2.LINE_AA, _BITS)  # fmt: skip
    return drawn


def _draw_strokes(
    image: Image,
    fixed: NDArray[np.int32],
    thickness: int,
    shadows: bool,
    wanted: Callable[[list[int]], bool],
) -> None:
    """Draw the lines between points whose two ends are wanted, all shadows below all lines."""
    for shadow in (True, False) if shadows else (False,):
        for first, last, closed, color in STROKES:
            ends = [[index, index + 1] for index in range(first, last)] + ([[last, first]] if closed else [])
            lines = [fixed[pair].reshape(-1, 1, 2) for pair in ends if wanted(pair)]
            ink, extra = ((30, 30, 30), 1 + thickness // 2) if shadow else (color, 0)
            cv2.polylines(image, lines, False, ink, thickness + extra, cv2.LINE_AA, _BITS)


def camera_view(
    vertices: ArrayLike, size: int, span: float, center: ArrayLike, yaw: float = 0.0, pitch: float = 0.0
) -> Floats:
    """View model-space vertices (N, 3) in a square picture: image-space coordinates.

    Args:
        size: the picture's edge in pixels.
        span: millimeters across the picture.
        center: (3,) model-space point at the center of the picture; rotations are about it.
        yaw, pitch: degrees, as in AFLW2000 (yaw > 0: the nose to the image's left).
    """
    rotation = matrix_from_angles(float(np.radians(pitch)), float(np.radians(yaw)), 0.0).numpy()
    turned = (np.asarray(vertices, np.float32) - np.asarray(center, np.float32)) @ rotation.T * (size / span)
    turned[:, 0] += (size - 1) / 2
    turned[:, 1] = (size - 1) / 2 - turned[:, 1]
    return turned


def caption(tile: Image, text: str, height: int = 22) -> Image:
    """The tile with a white strip below it that holds the text, shrunk to fit and shortened if long."""
    text = one_line(text, max(24, tile.shape[1] // 5))
    strip = np.full((height, tile.shape[1], 3), 255, np.uint8)
    scale = height / 46
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    scale *= min(1.0, (tile.shape[1] - 6) / max(width, 1))
    (width, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    place = ((tile.shape[1] - width) // 2, (height + tall) // 2)
    cv2.putText(strip, text, place, cv2.FONT_HERSHEY_SIMPLEX, scale, (40, 40, 40), 1, cv2.LINE_AA)
    return np.vstack([tile, strip])


def contact_sheet(tiles: Sequence[Image], columns: int, margin: int = 6) -> Image:
    """Arrange tiles of one size in rows of `columns`, on white, left to right."""
    if not tiles or any(tile.shape != tiles[0].shape for tile in tiles):
        raise ValueError(f"tiles: expected pictures of one size, got {len(tiles)} of different sizes")
    height, width, _ = tiles[0].shape
    rows = -(-len(tiles) // columns)
    shape = (rows * (height + margin) + margin, columns * (width + margin) + margin, 3)
    sheet = np.full(shape, 255, np.uint8)
    for position, tile in enumerate(tiles):
        row, column = divmod(position, columns)
        top, left = margin + row * (height + margin), margin + column * (width + margin)
        sheet[top : top + height, left : left + width] = tile
    return sheet


def stack_sheets(sheets: Sequence[Image]) -> Image:
    """Stack sheets vertically, centered on white."""
    width = max(sheet.shape[1] for sheet in sheets)
    padded = []
    for sheet in sheets:
        left = (width - sheet.shape[1]) // 2
        padded.append(
            np.pad(sheet, ((0, 0), (left, width - sheet.shape[1] - left), (0, 0)), constant_values=255)
        )
    return np.vstack(padded)
