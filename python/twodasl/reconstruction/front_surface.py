"""The surface that a photo shows of a mesh: which points nothing covers, to a fraction of a millimeter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..geometry.pose import matrix_from_angles
from ..morphable import MorphableModel

Floats = NDArray[np.float32]

_RESOLUTION = 640  # pixels along the longer side of the mesh
_SLACK = 0.003  # of that side: what is so little behind the surface is still on it
# Beside the edge of something nearer by that share of the side, the photo may show either: by so many pixels
# the mesh may miss the person.
_JUMP, _MISS = 0.035, 6
# Pitch and yaw in degrees; what none of them shows is buried.
_LOOKS = (*((0, yaw) for yaw in range(-150, 181, 50)), (40, 0), (-40, 0), (90, 0))


@dataclass(frozen=True)
class FrontSurface:
    """The surface of a mesh in a raster over a picture.

    depth: (h, w) the farthest of the surfaces about each pixel, -inf outside. near: the nearest one within
    some pixels. first, last: (h, w) the lowest and the highest number of the mesh's pieces about each pixel;
    0 is the largest piece, and outside. zoom, corner: the raster's (column, row) lies at the picture's
    corner + (column, row) / zoom. extent: the longer side of the mesh in the picture it was made for; z is in
    that picture's pixels.
    """

    depth: Floats
    near: Floats
    first: Floats
    last: Floats
    zoom: float
    corner: Floats
    extent: float

    @classmethod
    def of(cls, vertices: Floats, triangles: NDArray[np.int64], piece: Floats) -> FrontSurface:
        """That of a mesh in image space (N, 3), whose vertices belong to the pieces (N,), see `pieces`."""
        import twodasl_ext

        extent = max(float(np.ptp(vertices[:, :2], axis=0).max()), 1e-9)
        zoom = _RESOLUTION / extent
        corner = (vertices[:, :2].min(axis=0) - 1 / zoom).astype(np.float32)
        fine = np.concatenate([(vertices[:, :2] - corner) * zoom, vertices[:, 2:]], axis=1)
        width, height = (int(np.ceil(side)) + 2 for side in fine[:, :2].max(axis=0))
        index, _, depth = twodasl_ext.rasterize(
            torch.from_numpy(fine.astype(np.float32))[None],
            torch.from_numpy(np.ascontiguousarray(triangles)),
            (height, width),
        )
        drawn, surface = index[0].numpy(), depth[0].numpy()
        shown = np.where(drawn >= 0, piece[triangles[:, 0]][drawn], 0).astype(np.float32)
        # Of the four pixels about a point: beside a silhouette the nearest surface may be another part.
        four = np.ones((2, 2), np.uint8)
        around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _MISS + 1, 2 * _MISS + 1))
        return cls(
            depth=np.asarray(cv2.erode(surface, four, anchor=(0, 0)), np.float32),
            near=np.asarray(cv2.dilate(surface, around), np.float32),
            first=np.asarray(cv2.erode(shown, four, anchor=(0, 0)), np.float32),
            last=np.asarray(cv2.dilate(shown, four, anchor=(0, 0)), np.float32),
            zoom=zoom,
            corner=corner,
            extent=extent,
        )

    def shows(self, places: Floats, piece: Floats, *, edges: bool = False) -> Floats:
        """(P,) 1 for points (P, 3) of pieces (P,) before which nothing lies; falling to 0 for those before
        which something does, or another piece, however near; edges: or that are beside the edge of something.
        """
        at = ((places[:, :2] - self.corner) * np.float32(self.zoom)).astype(np.int32)
        column, row = (np.clip(at[:, k], 0, self.depth.shape[1 - k] - 1) for k in range(2))
        pixel = row * self.depth.shape[1] + column
        depth, near, first, last = (
            each.ravel()[pixel] for each in (self.depth, self.near, self.first, self.last)
        )
        behind = (depth - places[:, 2]) / _SLACK
        if edges:
            behind = np.maximum(behind, (near - places[:, 2]) / _JUMP)
        # Lashes and lids must not be painted on an eyeball: it is shown where all four pixels show it.
        own = (first == piece) & ((last == piece) | (piece == 0))
        return np.where(own, np.clip(2 - behind / np.float32(self.extent), 0, 1), 0).astype(np.float32)


def pieces(triangles: NDArray[np.int64], count: int) -> Floats:
    """(N,) numbers of the mesh's connected pieces, such as eyeballs, from 0 for the largest."""
    ends = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    label = connected_components(graph, directed=False)[1]
    rank = np.argsort(np.argsort(-np.bincount(label), kind="stable"))
    return rank[label].astype(np.float32)


@lru_cache(maxsize=4)
def buried(model: MorphableModel) -> NDArray[np.bool_]:
    """(N,) which vertices of a model's mean are inside: behind lids and lips, seen from no side."""
    mean, triangles = model.mean, model.triangles
    piece = pieces(triangles, len(mean))
    hidden = np.ones(len(mean), np.bool_)
    for pitch, yaw in _LOOKS:
        turn = matrix_from_angles(float(np.radians(pitch)), float(np.radians(yaw)), 0.0).numpy()
        places = (mean @ turn.T * [1, -1, 1]).astype(np.float32)
        hidden &= FrontSurface.of(places, triangles, piece).shows(places, piece) < 0.5
    return hidden
