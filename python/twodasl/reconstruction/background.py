"""Which part of a mesh lies over a photo's background.

The outline of a skull is a guess where no landmark holds it, so that a head may reach past the person. What
the photo shows there is told from the person by its colors (Rother, Kolmogorov, Blake, "GrabCut", 2004).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_EDGE = 160  # pixels along the longer side of the mesh in the small picture that is cut
_AROUND = 0.3  # of that side: how far the picture reaches beyond the mesh
_ROUNDS = 4
_SOFT = 1.5  # pixels of the small picture over which the border fades
_CERTAIN = 0.5  # share of the face from which a vertex cannot be background


def over_person(
    image: NDArray[np.uint8], vertices: Floats, triangles: NDArray[np.int64], face: Floats
) -> Floats:
    """(N,) from 0 (over the background) to 1 (over the person) for the vertices of a mesh.

    image: (H, W, 3) uint8. vertices: (N, 3) in its pixels. triangles: (T, 3). face: (N,) how far each vertex
    belongs to the face, which covers the person for sure. All 1 where the photo shows too little around the
    mesh to learn its background from, or the person cannot be told from it.
    """
    everything = np.ones(len(vertices), np.float32)
    low, high = vertices[:, :2].min(axis=0), vertices[:, :2].max(axis=0)
    side = float((high - low).max())
    height, width = image.shape[:2]
    first = np.clip(np.floor(low - _AROUND * side), 0, [width - 1, height - 1]).astype(int)
    # Below the mesh is the person's body: nothing to learn the background from.
    last = np.clip(np.ceil([high[0] + _AROUND * side, high[1]]), first + 1, [width, height]).astype(int)
    part = image[first[1] : last[1], first[0] : last[0]]
    shrink = min(1.0, _EDGE / max(side, 1e-9))
    extent = np.maximum(np.rint((last - first) * shrink).astype(int), 1)
    if extent.min() < 8:
        return everything
    small = cv2.resize(part, (int(extent[0]), int(extent[1])), interpolation=cv2.INTER_AREA)
    step = extent / (last - first)
    places = (vertices[:, :2] - first + 0.5) * step - 0.5
    drawn = _drawn(places, triangles, small.shape[:2])
    sure = _drawn(places, triangles[face[triangles].min(axis=1) > _CERTAIN], small.shape[:2])
    mask = np.where(sure, cv2.GC_FGD, np.where(drawn, cv2.GC_PR_FGD, cv2.GC_PR_BGD)).astype(np.uint8)
    if not sure.any() or np.count_nonzero(~drawn) < 0.05 * drawn.size:
        return everything
    cv2.setRNGSeed(0)  # it begins from clusters at random
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small, mask, (0, 0, 0, 0), *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    person = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.float32)
    inward = cv2.erode(person, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(inward, (0, 0), _SOFT, borderType=cv2.BORDER_REPLICATE)
    shown = _looked_up(np.clip(2 * soft - 1, 0, 1), places)
    return np.maximum(shown, np.clip(face / _CERTAIN, 0, 1)).astype(np.float32)


def _looked_up(picture: Floats, places: NDArray[np.floating]) -> Floats:
    at = np.rint(places).astype(int)
    column, row = (np.clip(at[:, k], 0, picture.shape[1 - k] - 1) for k in range(2))
    return picture[row, column]


def _drawn(
    places: NDArray[np.floating], triangles: NDArray[np.int64], shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """Which pixels the triangles cover."""
    import twodasl_ext

    corners = np.concatenate([places, np.zeros((len(places), 1))], axis=1).astype(np.float32)
    index, _, _ = twodasl_ext.rasterize(
        torch.from_numpy(corners)[None], torch.from_numpy(np.ascontiguousarray(triangles)), shape
    )
    return np.asarray(index[0].numpy() >= 0)
