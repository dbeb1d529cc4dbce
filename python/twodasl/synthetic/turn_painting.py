"""Painting a turned head: each of its pixels from the photo, from its mirror twin, or completed."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from ..geometry.crops import SIZE
from .filters import resized
from .turn_skin import FINE, Completion, SeenSurface

Floats = NDArray[np.float32]
Drawing = tuple[NDArray[np.int64], Floats, Floats]
"""Triangle, weights and depth of each fine pixel, as `twodasl_ext.rasterize` gives them."""

_TWIN_TRUST = 0.8  # the other half of a face has another light
_AGREE = 2.0  # pixels within which head and surroundings show the same point of the photo
_EDGE = 4.0  # pixels of depth between neighbors beyond which one is the edge of something nearer
_SLIVER = np.ones((7, 7), np.uint8)


def painted(
    image: NDArray[np.uint8], source: Floats, around: Floats, drawing: Drawing, completion: Completion
) -> NDArray[np.uint8]:
    """The picture of a turned head before its surroundings: (SIZE, SIZE, 3) uint8 BGR.

    Args:
        image: the photo, (SIZE, SIZE, 3) BGR.
        source: (N, 3) the head's vertices in it.
        around: (SIZE, SIZE, 2) where the surroundings come from, x and row of the photo.
        drawing: the turned head, of the triangles `completion.kept`.
    """
    photo = image.astype(np.float32)
    layer = resized(_layer(photo, image, source, around, drawing, completion), SIZE, SIZE)
    mixed = layer[..., :3] + (1 - layer[..., 3:]) * _surroundings(photo, around)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _layer(
    photo: Floats,
    image: NDArray[np.uint8],
    source: Floats,
    around: Floats,
    drawing: Drawing,
    completion: Completion,
) -> Floats:
    """The head alone, premultiplied by its coverage: (fine, fine, 4)."""
    triangle, weights, depth = drawing
    layer = np.zeros((*triangle.shape, 4), np.float32)
    hit = np.flatnonzero(triangle.ravel() >= 0)
    if not len(hit):
        return layer
    normals = completion.normals(source)
    seen = SeenSurface(source, completion.triangles)
    own = np.concatenate([source, normals], axis=1)
    guess = completion.colors(image, source, normals, seen)
    values = np.concatenate([own, own[completion.twins], guess, completion.front[:, None]], axis=1)
    surface = torch.nn.functional.embedding_bag(
        completion.kept[torch.from_numpy(triangle.ravel()[hit])],
        torch.from_numpy(values),
        per_sample_weights=torch.from_numpy(weights.reshape(-1, 3)[hit]),
        mode="sum",
    ).numpy()
    trust = []
    for columns in (surface[:, :6], surface[:, 6:12]):
        weight = np.zeros(triangle.shape, np.float32)
        weight.ravel()[hit] = seen.weight(columns[:, :3], columns[:, 3:])
        # A sliver that something narrow hides is painted like what is around it.
        closed = cv2.morphologyEx(weight, cv2.MORPH_CLOSE, _SLIVER)
        trust.append(cv2.GaussianBlur(closed, (0, 0), 1.0).ravel()[hit, None])
    flat = layer.reshape(-1, 4)
    flat[hit, :3] = _colors(photo, surface, trust[0], trust[1], _nearby(around, hit))
    layer[..., :3] = _trimmed(layer[..., :3], depth)
    flat[hit, 3] = surface[:, 15]
    layer[..., :3] *= layer[..., 3:]
    return layer


def _colors(photo: Floats, surface: Floats, first: NDArray, second: NDArray, nearby: Floats) -> Floats:
    """(P, 3) colors of surface points.

    surface: (P, 16) place, normal, the twin's place and normal, completed color, share of the head.
    first, second: (P, 1) how well the photo shows the points and their twins. nearby: (P, 2) what the
    surroundings show at their pixels.
    """
    place, twin = surface[:, :2], surface[:, 6:8]
    # Where the surroundings show the same point of the photo, nothing needs to be made up.
    apart = np.hypot(*(place - nearby).T)[:, None]
    agree = np.exp(-((apart / _AGREE) ** 2))
    guess = surface[:, 12:15]
    guess = guess + second * _TWIN_TRUST * (_at(photo, twin) - guess)
    guess = guess + agree * (_at(photo, nearby) - guess)
    return np.asarray(guess + first * (_at(photo, place) - guess), np.float32)


def _nearby(around: Floats, hit: NDArray[np.intp]) -> Floats:
    """What the map of the surroundings says at fine pixels (P,): (P, 2)."""
    row, column = np.divmod(hit, FINE * SIZE)
    return _at(around, (np.column_stack([column, row]).astype(np.float32) + 0.5) / FINE - 0.5)


def _surroundings(photo: Floats, around: Floats) -> Floats:
    """The photo at the places `around`; with FINE samples a pixel, as places may jump between neighbors."""
    side = FINE * SIZE
    places = cv2.resize(around, (side, side), interpolation=cv2.INTER_LINEAR)
    return resized(_sampled(photo, np.asarray(places, np.float32)), SIZE, SIZE)


def _at(image: Floats, places: NDArray[np.floating]) -> Floats:
    """Values (P, channels) of an image at places (P, 2)."""
    width = 256  # in rows of it: cv2.remap takes no picture wider than 32,767
    padded = np.zeros((-(-len(places) // width) * width, 2), np.float32)
    padded[: len(places)] = places
    return _sampled(image, padded.reshape(-1, width, 2)).reshape(len(padded), -1)[: len(places)]


def _sampled(image: Floats, places: Floats) -> Floats:
    """An image at places (h, w, 2), bilinear, its border repeated."""
    x, y = (np.ascontiguousarray(places[..., axis]) for axis in (0, 1))
    found = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


def _trimmed(colors: Floats, depth: Floats) -> Floats:
    """Colors (h, w, 3) whose pixels at the edge of something nearer are those of its inside.

    At its outline the fitted head may miss the one in the photo, and carry something else.
    """
    farthest = cv2.erode(depth, np.ones((3, 3), np.uint8), borderValue=float("inf"))
    with np.errstate(invalid="ignore"):  # outside the head -inf is subtracted from itself
        inside = (depth - farthest < _EDGE).astype(np.float32)
    total = cv2.blur(inside, (5, 5))[..., None]
    spread = cv2.blur(colors * inside[..., None], (5, 5)) / np.maximum(total, 1e-6)
    return np.where((inside[..., None] > 0) | (total <= 0), colors, spread).astype(np.float32)
