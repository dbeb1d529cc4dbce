"""A trained network as one module of plain operators, for exports: crop and landmark map in, a face out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..arguments import flag
from ..geometry.crops import SIZE, flip_y
from ..morphable import MorphableModel
from ..networks import split_output
from .face_network import FaceNetwork

INPUTS = ("image", "landmark_map")


class PlainNetwork(nn.Module):
    """The network of a `FaceNetwork` on the CPU, with the face model's vertices as a product of matrices.

    Nothing of it is an operator of this package, so that any runtime can compute it.

    Args:
        network: the trained network and its face model.
        vertices: whether all vertices are an output, beside the 68 landmarks. The basis is then part of it.
    """

    def __init__(self, network: FaceNetwork, vertices: bool = False) -> None:
        super().__init__()
        vertices = flag(vertices, "vertices")
        self.regressor = network.regressor.cpu().eval()
        self.whitening = network.whitening.cpu()
        self.count = len(network.whitening.mean)
        self.landmarks = _Shape(network.model, network.model.landmarks)
        self.vertices = _Shape(network.model, None) if vertices else None
        self.outputs = (
            "parameters",
            *(("points", "sigma") if network.has_points else ()),
            "landmarks",
            *(("vertices",) if vertices else ()),
        )
        """Names of what it returns."""

    def forward(self, image: Tensor, landmark_map: Tensor) -> tuple[Tensor, ...]:
        """What the network says of faces, in the order of `outputs`.

        Args:
            image: (B, 3, 120, 120) float32, BGR from 0 to 255.
            landmark_map: (B, 1, 120, 120) float32, 1 at the pixels of the 18 points and -1 elsewhere, see
                `twodasl.landmarks.landmark_map`; -1 everywhere where no landmarks are known.

        Returns:
            parameters (B, 12+K), not whitened; points (B, 68, 2) and sigma (B, 68) where the network has
            some; landmarks (B, 68, 3); vertices (B, N, 3) where asked for. All in crop pixels: x, row, z.
        """
        said = split_output(
            self.regressor(torch.cat([(image - 127.5) / 128.0, landmark_map], dim=1)), self.count
        )
        parameters = self.whitening.unwhiten(said.whitened)
        found = {"parameters": parameters, "points": said.points, "sigma": said.sigma}
        found["landmarks"] = self.landmarks(parameters)
        if self.vertices is not None:
            found["vertices"] = self.vertices(parameters)
        return tuple(found[name] for name in self.outputs)


class _Shape(nn.Module):
    """Vertices of a face model, all or some: M (mean + c modes) + t, as `twodasl_ext.vertices` does it."""

    mean: Tensor
    modes: Tensor

    def __init__(self, model: MorphableModel, chosen: Any) -> None:
        super().__init__()
        rows = slice(None) if chosen is None else chosen
        self.register_buffer("mean", torch.from_numpy(model.mean[rows].reshape(1, -1).copy()).float())
        modes = model.modes[:, rows].reshape(len(model.modes), -1).copy()
        self.register_buffer("modes", torch.from_numpy(modes).float())

    def forward(self, parameters: Tensor) -> Tensor:
        pose = parameters[:, :12].reshape(-1, 3, 4)
        # Not len(): an export would take the batch's size for a constant.
        shape = (self.mean + parameters[:, 12:] @ self.modes).reshape(-1, self.mean.shape[1] // 3, 3)
        x, y, z = (shape @ pose[:, :, :3].transpose(1, 2) + pose[:, None, :, 3]).unbind(-1)
        return torch.stack([x, flip_y(y, SIZE), z], dim=-1)
