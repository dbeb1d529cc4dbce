"""The texels of a texture: which point of the model's surface each shows, and colors for those that show
none."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ..morphable.uv import UvLayout

Floats = NDArray[np.float32]


class Texels:
    """The P texels of a size x size texture whose centers lie in a triangle of the layout.

    index: (P,) int64 into the texture's texels, row by row.
    """

    def __init__(self, layout: UvLayout, size: int, vertex_count: int) -> None:
        import twodasl_ext

        corners = np.concatenate([layout.pixels(size), np.zeros((len(layout.coordinates), 1))], axis=1)
        triangle, weight, _ = twodasl_ext.rasterize(
            torch.from_numpy(corners.astype(np.float32))[None], torch.from_numpy(layout.triangles), size
        )
        self.size = size
        self.index = np.flatnonzero(triangle.numpy().ravel() >= 0)
        faces = layout.vertices[layout.triangles].astype(np.int32)
        chosen = faces[triangle.numpy().ravel()[self.index]]
        share = weight.numpy().reshape(-1, 3)[self.index]
        ends = np.arange(0, 3 * len(self.index) + 1, 3)
        self._mean = csr_matrix((share.ravel(), chosen.ravel(), ends), (len(self.index), vertex_count))

    def of(self, values: Floats) -> Floats:
        """Values (N, C) at the vertices, interpolated: (P, C)."""
        return np.asarray(self._mean @ values, np.float32)

    def grid(self, values: Floats, empty: float) -> Floats:
        """Values (P,) as a picture (size, size), `empty` where nothing is."""
        picture = np.full(self.size * self.size, empty, np.float32)
        picture[self.index] = values
        return picture.reshape(self.size, self.size)

    def picture(self, colors: Floats) -> NDArray[np.uint8]:
        """Colors (P, 3) in [0, 255] as a picture (size, size, 3); the others get that of the nearest texel.

        So a smaller version of the texture, or one that is read between texels, mixes nothing foreign in.
        """
        texture = np.zeros((self.size * self.size, 3), np.uint8)
        texture[self.index] = np.rint(np.clip(colors, 0, 255)).astype(np.uint8)
        empty = np.ones(self.size * self.size, np.uint8)
        empty[self.index] = 0
        if len(self.index) and empty.any():
            _, label = cv2.distanceTransformWithLabels(
                empty.reshape(self.size, self.size), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
            )
            label = label.ravel()
            source = np.zeros(int(label.max()) + 1, np.int64)
            source[label[self.index]] = self.index
            outside = np.flatnonzero(empty)
            texture[outside] = texture[source[label[outside]]]
        return texture.reshape(self.size, self.size, 3)
