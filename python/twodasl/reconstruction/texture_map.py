"""A texture for a reconstructed head: the photo's own pixels where it shows the surface.

Two bands are put together. The coarse one is the mesh's vertex colors: the photo's where it shows the
surface, filled in elsewhere, see `texture`. The fine one is what the photo shows beyond its own vertex
colors; it fades out with the visibility, so that no seam shows where the photo ends. Where only the other
half of the face is seen, its fine band is taken, mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ..arguments import shown, whole_number
from ..errors import InputError
from ..geometry.crops import block_means
from ..morphable import MorphableModel
from ..morphable.checks import check_model
from ..morphable.model import FARTHEST
from ..morphable.uv import UvLayout
from ..pictures.face_part import face_share
from .background import over_person
from .front_surface import FrontSurface, buried, pieces
from .gray_photos import as_photographed
from .person_colors import merged_photos
from .texels import Texels
from .texture import filled_colors, mirror_twins, photo_ratio, sample_photo, visibility

if TYPE_CHECKING:
    from .reconstruction import Reconstruction

Floats = NDArray[np.float32]
Image = NDArray[np.uint8]

SMALLEST, LARGEST = 64, 8192
"""Edges of a texture, in texels."""

# The photo that shows a texel best should decide: fine bands that do not match would blur each other.
_SHARPNESS = 4.0
_INDOORS = 0.85  # light on what lids and lips cover when they open, relative to the face's
_HIGHLIGHT = 2.0  # how much brighter or darker than its twin a mirrored surface may be


def bake_texture(
    model: MorphableModel,
    layout: UvLayout,
    faces: Sequence[Reconstruction],
    images: Sequence[Image],
    size: int = 1024,
) -> Image:
    """The texture of a face, from one or several photos of the same person.

    Each photo is read where the mesh of its own reconstruction lies, cubic where it is coarser than the
    texture, averaged where it is finer. Of several photos the one that shows a texel best decides, after all
    were brought to the same light, as in `person_colors`.

    Args:
        model: the face model of the reconstructions.
        layout: the model's, from `uv_layout`.
        faces: the reconstructions, one for each photo.
        images: the photos, (H, W, 3) uint8 BGR, in the same order.
        size: edge of the texture in texels, 64 to 8192.

    Returns:
        (size, size, 3) uint8 BGR, the first row at v = 1. Texels outside all triangles have the color of the
        nearest one inside.

    Raises:
        InputError: no photo, one of another kind, not as many photos as reconstructions, another model's
            layout or reconstruction, vertices that are not finite or millions of pixels off, or a size out of
            range.
    """
    size = whole_number(size, "size", SMALLEST, LARGEST)
    _check(model, layout, faces, images)
    share, piece = face_share(model.mean, model.landmarks), pieces(model.triangles, len(model.mean))
    rows = zip(images, faces, strict=True)
    views = [_view(image, face.vertices, model, layout, size, share, piece) for image, face in rows]
    coarse, gains = _coarse(model, views, share)
    texels = Texels(layout, size, len(model.mean))
    base = texels.of(coarse)
    fine, shown = _joined([_fine(view, texels, gain, None) for view, gain in zip(views, gains, strict=True)])
    twins = _exact_twins(model)
    if (twins >= 0).any() and (shown < 1).any():
        mirrored = [_at_twins(view, twins) for view in views]
        twin_bands = [_fine(view, texels, gain, base) for view, gain in zip(mirrored, gains, strict=True)]
        other, behind = _joined(twin_bands)
        fine += other * ((1 - shown) * behind)[:, None]
    return texels.picture(((base + fine) * 255)[:, ::-1])


@dataclass(frozen=True)
class _View:
    """One photo, and where it shows the model's vertices.

    part: (h, w, 3) uint8 BGR. places: (N, 3) the vertices in its pixels; z larger = nearer. piece: (N,) the
    mesh's piece that each belongs to. colors: (N, 3) RGB
    in [0, 1], how it shows them. seen: (N,) how well, 0 to 1. front: the surface that it shows. magnified:
    whether the texture is finer.
    """

    part: Image
    places: Floats
    piece: Floats
    colors: Floats
    seen: Floats
    front: FrontSurface
    magnified: bool


def _check(
    model: MorphableModel, layout: UvLayout, faces: Sequence[Reconstruction], images: Sequence[Image]
) -> None:
    check_model(model)
    for value, name, what in ((faces, "faces", "reconstructions"), (images, "images", "photos")):
        if not hasattr(value, "__len__"):
            raise InputError(f"{name}: expected a list of {what}, got {shown(value)}")
    if not len(faces) or len(faces) != len(images):
        raise InputError(f"images: expected a photo for each of {len(faces)} faces, got {len(images)}")
    for face in faces:
        if face.vertices.shape != model.mean.shape:
            raise InputError(
                f"faces: expected reconstructions with the face model {model.name!r} of {len(model.mean)}"
                f" vertices, got one of {len(face.vertices)}"
            )
        if not np.abs(face.vertices).max() <= FARTHEST:
            raise InputError(
                f"faces: expected vertices in the photo's pixels, finite and within {FARTHEST:g}, got others"
            )
    if not isinstance(layout, UvLayout):
        raise InputError(f"layout: expected a UvLayout, as from uv_layout, got {shown(layout)}")
    same = layout.triangles.shape == model.triangles.shape
    if not same or not np.array_equal(layout.vertices[layout.triangles], model.triangles):
        raise InputError(f"layout: expected that of the face model {model.name!r}, got another model's")
    for image in images:
        array = isinstance(image, np.ndarray)
        if not array or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise InputError(f"images: expected arrays (H, W, 3) uint8, got {shown(image)}")


def _coarse(model: MorphableModel, views: Sequence[_View], share: Floats) -> tuple[Floats, list[Floats]]:
    """Vertex colors (N, 3) from all photos, and by what the channels of each are multiplied.

    share: (N,) how far each vertex belongs to the face.
    """
    albedo = None if model.albedo_mean is None else model.albedo()
    photo, seen, gains = merged_photos([view.colors for view in views], [view.seen for view in views], albedo)
    coarse = filled_colors(photo, seen, model.triangles, model.mean, albedo)
    face = (seen > 0.5) & (share > 0.5)
    if albedo is not None and face.any():
        albedo = as_photographed(albedo, photo, seen)
        # The mouth's inside is not as bright beside its albedo as teeth, nor an eyeball as its lids.
        # One light for all channels: what skin has of it in each depends on the skin.
        light = float(np.median(photo_ratio(photo, albedo)[face]))
        inner = buried(model) & (share > 0)
        guess = _INDOORS * albedo * light
        guess /= np.maximum(guess.max(axis=1, keepdims=True), 1)  # clipped, channels would change the hue
        coarse[inner] = (seen[:, None] * photo + (1 - seen[:, None]) * guess)[inner]
    return coarse, gains


def _view(
    image: Image,
    vertices: Floats,
    model: MorphableModel,
    layout: UvLayout,
    size: int,
    share: Floats,
    piece: Floats,
) -> _View:
    colors, inside = sample_photo(image, vertices, model.triangles)
    front = FrontSurface.of(vertices, model.triangles, piece)
    seen = visibility(vertices, model.triangles) * inside * front.shows(vertices, piece, edges=True)
    seen = (seen * over_person(image, vertices, model.triangles, share)).astype(np.float32)
    height, width = image.shape[:2]
    low = np.clip(np.floor(vertices[:, :2].min(axis=0)).astype(int) - 4, 0, [width - 1, height - 1])
    high = np.clip(np.ceil(vertices[:, :2].max(axis=0)).astype(int) + 5, low + 1, [width, height])
    part = np.ascontiguousarray(image[low[1] : high[1], low[0] : high[0]])
    spacing = _pixels_per_texel(vertices, seen, layout, size)
    # Coarser than the limit of the sampler's indices, or finer than the texels: averaged over blocks.
    block = max(1, round(spacing), math.ceil(max(part.shape[:2]) / 30_000))
    if block > 1:
        part = np.ascontiguousarray(block_means(part, block, block))
    origin = low + (block - 1) / 2  # the center of the first block
    places = (vertices - [*origin, 0]) * [1 / block, 1 / block, 1]
    corner = ((front.corner - origin) / block).astype(np.float32)
    front = replace(front, zoom=front.zoom * block, corner=corner)
    return _View(part, places.astype(np.float32), piece, colors, seen, front, spacing < 1)


def _pixels_per_texel(vertices: Floats, seen: Floats, layout: UvLayout, size: int) -> float:
    """How many pixels of a photo a texel covers where it is seen, in one direction; 1 where nothing is."""
    faces = layout.vertices[layout.triangles]
    well = seen[faces].min(axis=1) > 0.5
    if not well.any():
        return 1.0
    here = _area(vertices[faces[well], :2])
    there = _area(layout.pixels(size)[layout.triangles[well]])
    return math.sqrt(float(np.median(here / np.maximum(there, 1e-12))))


def _area(corners: Floats) -> Floats:
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def _fine(view: _View, texels: Texels, gain: Floats, base: Floats | None) -> tuple[Floats, Floats]:
    """A photo's fine band (P, 3), and how well it shows each texel (P,).

    gain: (3,) by which the photo's colors are multiplied. base: (P, 3) the colors to which the band is to be
    added, where those are not the photo's own; it grows and shrinks with them.
    """
    columns = [view.places, view.seen[:, None], view.piece[:, None], view.colors]
    values = texels.of(np.concatenate(columns, axis=1))
    x, y = (texels.grid(values[:, k], -1) for k in (0, 1))
    how = cv2.INTER_CUBIC if view.magnified else cv2.INTER_LINEAR
    sampled = cv2.remap(view.part, x, y, how, borderMode=cv2.BORDER_REPLICATE)
    photo = sampled.reshape(-1, 3)[texels.index][:, ::-1].astype(np.float32) / np.float32(255)
    shown = values[:, 3] * view.front.shows(values[:, :3], np.rint(values[:, 4]))
    own = values[:, 5:]
    scale = gain if base is None else np.clip(base / np.maximum(own, 1e-2), 1 / _HIGHLIGHT, _HIGHLIGHT)
    return ((photo - own) * scale).astype(np.float32), shown


def _joined(bands: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Several photos' fine bands in one (P, 3), which has faded where none shows much, and how well (P,)."""
    shown = np.max([weight for _, weight in bands], axis=0)
    if len(bands) == 1:
        return bands[0][0] * shown[:, None], shown
    shares = [weight**_SHARPNESS for _, weight in bands]
    total = np.maximum(np.sum(shares, axis=0), 1e-12)
    joined = np.zeros_like(bands[0][0])
    for (band, _), share in zip(bands, shares, strict=True):
        joined += band * (share / total * shown)[:, None]
    return joined, shown


def _exact_twins(model: MorphableModel) -> NDArray[np.int64]:
    """(N,) mirror twins where the mesh itself is symmetric, else -1: others would bend the fine band."""
    twins = mirror_twins(model.mean)
    back = twins[np.maximum(twins, 0)] == np.arange(len(twins))
    return np.where((twins >= 0) & back, twins, -1)


def _at_twins(view: _View, twins: NDArray[np.int64]) -> _View:
    """What a photo shows of the vertices' twins."""
    index = np.maximum(twins, 0)
    seen = np.where(twins >= 0, view.seen[index], 0).astype(np.float32)
    places, piece, colors = (values[index] for values in (view.places, view.piece, view.colors))
    return replace(view, places=places, piece=piece, colors=colors, seen=seen)
