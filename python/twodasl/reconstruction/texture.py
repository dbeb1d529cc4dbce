"""Colors for a reconstructed mesh: what the photo shows, and a likely guess for what it does not.

A vertex that the photo shows squarely takes the photo's color. One that is hidden, turned away or outside the
picture is filled in from three sources: its mirror twin on the other half of the face, its neighbors on the
mesh, and the face model's own albedo, under the photo's light. The three meet in one linear least-squares
problem for the ratio between photo and albedo, so that lips stay lips and there is no seam between seen and
guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..geometry.crops import block_means
from ..morphable import MorphableModel
from ..pictures.render import vertex_normals
from .gray_photos import as_photographed
from .mesh_smoothing import MeshSmoothing

Floats = NDArray[np.float32]

# Cosine between normal and viewing direction from which the photo begins to count, and from which it alone
# counts.
_GRAZING, _SQUARE = 0.15, 0.5
_DEPTH_RESOLUTION = 320  # pixels along the longer side of the mesh in the visibility test
_RIM = (
    0.02  # of that side: so near its outline the mesh may miss the face, and the photo shows the background
)
_DEPTH_SLACK = 0.012  # of that side: a vertex this little behind the surface is still on it
_DARKEST_ALBEDO = 0.08  # below this a ratio says nothing about the light
_BRIGHTEST = 3.0  # ratios above it are highlights or background
# Weights of the least-squares problem, relative to one mesh edge's smoothness.
_SEEN, _TWIN, _OVERALL = 10.0, 0.3, 1e-4
_FINEST_SPACING = 16.0  # pixels between vertices, from twice of which on the photo is reduced
_TWIN_DISTANCE = 0.02  # of the model's height: how far off a mirror twin may be


def _once(make: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps what was made of an array until it is called with another one: photos share their face model."""
    kept: list[tuple[Any, Any]] = []

    @wraps(make)
    def of(array: NDArray[Any], *others: Any) -> Any:
        for known, made in kept:
            if known is array:
                return made
        made = make(array, *others)
        kept[:] = [(array, made)]
        return made

    return of


def visibility(vertices: Floats, triangles: NDArray[np.int64]) -> Floats:
    """How well the viewer sees each vertex: (N,) float32 from 0 (hidden, turned away) to 1 (squarely).

    vertices: (N, 3) image space (x, row, larger z = nearer); triangles: (T, 3), counter-clockwise from
    outside with y up.
    """
    import twodasl_ext

    low = vertices.min(axis=0)
    scale = _DEPTH_RESOLUTION / max(float(np.ptp(vertices[:, :2], axis=0).max()), 1e-9)
    small = ((vertices - low) * scale + [1, 1, 0]).astype(np.float32)
    width, height = (int(np.ceil(side)) + 2 for side in small[:, :2].max(axis=0))
    _, _, depth = twodasl_ext.rasterize(
        torch.from_numpy(small)[None], torch.from_numpy(np.ascontiguousarray(triangles)), (height, width)
    )
    # The farthest of the surfaces around a vertex: beside a silhouette the nearest one may be another part.
    farthest = cv2.erode(depth[0].numpy(), np.ones((2, 2), np.uint8), anchor=(0, 0))
    column, row = (np.floor(small[:, axis]).astype(int) for axis in (0, 1))
    shown = small[:, 2] >= farthest[row, column] - _DEPTH_SLACK * _DEPTH_RESOLUTION
    facing = vertex_normals(vertices * np.array([1, -1, 1], np.float32), triangles)[:, 2]
    ramp = np.clip((facing - _GRAZING) / (_SQUARE - _GRAZING), 0, 1)
    covered = np.pad(np.isfinite(depth[0].numpy()).astype(np.uint8), 1)
    rim = cv2.distanceTransform(covered, cv2.DIST_L2, 3)[1:-1, 1:-1][row, column]
    ramp *= np.clip(rim / (_RIM * _DEPTH_RESOLUTION) - 0.25, 0, 1)
    return np.where(shown, ramp * ramp * (3 - 2 * ramp), 0).astype(np.float32)


def sample_photo(
    image: NDArray[np.uint8], vertices: Floats, triangles: NDArray[np.int64]
) -> tuple[Floats, NDArray[np.bool_]]:
    """The photo's color at each vertex, bilinear, (N, 3) RGB in [0, 1]; which vertices lie inside it
    (N,)."""
    height, width = image.shape[:2]
    inside = (vertices[:, 0] >= 0) & (vertices[:, 0] <= width - 1)
    inside &= (vertices[:, 1] >= 0) & (vertices[:, 1] <= height - 1)
    # Only the part under the mesh, and not finer than the mesh: else pores and noise alias into its vertices.
    low = np.clip(np.floor(vertices[:, :2].min(axis=0)).astype(int) - 4, 0, [width - 1, height - 1])
    high = np.clip(np.ceil(vertices[:, :2].max(axis=0)).astype(int) + 5, low + 1, [width, height])
    part = image[low[1] : high[1], low[0] : high[0]]
    edge = vertices[triangles[:, 0], :2] - vertices[triangles[:, 1], :2]
    spacing = float(np.median(np.linalg.norm(edge, axis=1)))
    # A Gaussian's time grows with its width: of a coarse mesh the photo is averaged over whole blocks first.
    block = max(1, int(spacing / _FINEST_SPACING))
    place = np.clip(vertices[:, :2] - low, 0, np.array(part.shape[1::-1]) - 1)
    if block > 1:
        part = block_means(part, block, block)
        place = (place - (block - 1) / 2) / block  # a block's center lies so far past its first pixel
    if spacing > 2:
        # What the blocks have blurred already is taken off: a box of width w has the variance w^2 / 12.
        sigma = math.sqrt((0.35 * spacing) ** 2 - (block**2 - 1) / 12) / block
        part = np.asarray(cv2.GaussianBlur(part, (0, 0), sigma), np.uint8)
    limit = np.array(part.shape[1::-1]) - 1
    place = np.clip(place, 0, limit).astype(np.float32)
    corner = np.minimum(place.astype(int), np.maximum(limit - 1, 0))
    across, down = (place - corner).T[:, :, None]
    (x, y), (right, below) = corner.T, np.minimum(corner + 1, limit).T
    upper = part[y, x] * (1 - across) + part[y, right] * across
    lower = part[below, x] * (1 - across) + part[below, right] * across
    colors = upper * (1 - down) + lower * down
    return (colors[:, ::-1] / 255.0).astype(np.float32), inside


@_once
def mirror_twins(mean: Floats) -> NDArray[np.int64]:
    """For each vertex of a model's mean (N, 3) the index of the one at its mirror image (x -> -x), or -1."""
    import twodasl_ext

    mirrored, points = (torch.from_numpy(mean * np.array([x, 1, 1], np.float32)) for x in (-1, 1))
    squared, index = twodasl_ext.nearest_neighbors(mirrored, points)
    near = squared.numpy() <= (_TWIN_DISTANCE * np.ptp(mean[:, 1])) ** 2
    return np.where(near, index.numpy(), -1).astype(np.int64)


def face_colors(
    image: NDArray[np.uint8], vertices: Floats, triangles: NDArray[np.int64], model: MorphableModel
) -> Floats:
    """`vertex_colors` of a face model's mesh, with the model's mean and, where it has one, its albedo."""
    return many_face_colors([(image, vertices)], triangles, model)[0]


def many_face_colors(
    faces: Sequence[tuple[NDArray[np.uint8], Floats]], triangles: NDArray[np.int64], model: MorphableModel
) -> list[Floats]:
    """`face_colors` of several faces, photo and vertices each: in a third of the time, with the same bits."""
    albedo = None if model.albedo_mean is None else model.albedo()
    seen = [_shown(image, vertices, triangles) for image, vertices in faces]
    return many_filled_colors(seen, triangles, model.mean, albedo)


def vertex_colors(
    image: NDArray[np.uint8],
    vertices: Floats,
    triangles: NDArray[np.int64],
    mean: Floats,
    albedo: Floats | None = None,
) -> Floats:
    """Colors of a mesh that lies on a photo: seen vertices from the photo, the others filled in.

    Args:
        image: (H, W, 3) uint8 BGR.
        vertices: (N, 3) image space.
        triangles: (T, 3), counter-clockwise seen from outside with y up.
        mean: (N, 3) the model's mean shape, by which mirror twins are found.
        albedo: (N, 3) RGB in [0, 1], the model's colors; None: one color all over.

    Returns:
        (N, 3) float32 RGB in [0, 1].
    """
    return filled_colors(*_shown(image, vertices, triangles), triangles, mean, albedo)


def _shown(image: NDArray[np.uint8], vertices: Floats, triangles: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """What the photo shows at the vertices (N, 3), and how well (N,)."""
    photo, inside = sample_photo(image, vertices, triangles)
    return photo, visibility(vertices, triangles) * inside


def photo_ratio(photo: Floats, albedo: Floats | None) -> Floats:
    """(N, 3) how bright a photo shows the vertices (N, 3), as a multiple of the model's colors."""
    return np.minimum(photo / _base(photo, albedo), _BRIGHTEST).astype(np.float32)


def _base(photo: Floats, albedo: Floats | None) -> Floats:
    return np.ones_like(photo) if albedo is None else np.maximum(albedo, _DARKEST_ALBEDO)


def filled_colors(
    photo: Floats, seen: Floats, triangles: NDArray[np.int64], mean: Floats, albedo: Floats | None
) -> Floats:
    """Colors (N, 3) of which photos show some: those (N, 3), how well it is seen (N,), the others filled in.

    triangles, mean, albedo: as in `vertex_colors`.
    """
    return many_filled_colors([(photo, seen)], triangles, mean, albedo)[0]


def many_filled_colors(
    faces: Sequence[tuple[Floats, Floats]], triangles: NDArray[np.int64], mean: Floats, albedo: Floats | None
) -> list[Floats]:
    """`filled_colors` of several faces of one model, photo and seen each."""
    twins = mirror_twins(mean)
    own = [None if albedo is None else as_photographed(albedo, *face) for face in faces]
    problems = [
        _problem(photo_ratio(photo, each), seen, twins)
        for (photo, seen), each in zip(faces, own, strict=True)
    ]
    weights, targets = [weight for weight, _, _ in problems], [target for _, target, _ in problems]
    changes = _smoothing(triangles, len(mean))(weights, targets)
    colors = []
    for (photo, seen), each, (_, _, overall), change in zip(faces, own, problems, changes, strict=True):
        guess = np.clip(overall + change, 0, _BRIGHTEST) * _base(photo, each)
        mixed = seen[:, None] * photo + (1 - seen[:, None]) * guess
        colors.append(np.clip(mixed, 0, 1).astype(np.float32))
    return colors


def _problem(
    ratio: Floats, seen: Floats, twins: NDArray[np.int64]
) -> tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]:
    """Weights (N,) and right-hand sides (N, 3) of the smooth change to the overall ratio (3,), and that."""
    trusted = seen > 0.5
    # A photo that shows nothing of the mesh says nothing of the light: the albedo stays as it is.
    overall = np.median(ratio[trusted], axis=0) if trusted.any() else np.ones(3, np.float32)
    twin = np.maximum(twins, 0)
    borrowed = np.where(twins >= 0, seen[twin], 0) * (1 - seen)
    change = ratio - overall
    target = _SEEN * seen[:, None] * change + _TWIN * borrowed[:, None] * change[twin]
    return _SEEN * seen + _TWIN * borrowed + _OVERALL, target, overall


@_once
def _smoothing(triangles: NDArray[np.int64], count: int) -> MeshSmoothing:
    return MeshSmoothing(triangles, count)
