"""YuNet (Wu and others, 2023), the detector of OpenCV's model zoo: a file that the user has.

OpenCV reads it as `cv2.FaceDetectorYN`; here it runs as every other ONNX file does, so that there is one
reader of files that may be anybody's.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .five_point import Boxes, FivePointDetector
from .onnx_network import OnnxNetwork

THRESHOLD = 0.6
"""Smallest score of a face."""

_STRIDES = (8, 16, 32)
_COLUMNS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}

OUTPUTS = frozenset(f"{kind}_{stride}" for kind in _COLUMNS for stride in _STRIDES)
"""The names of its outputs, by which it is known."""


class YuNetDetector(FivePointDetector):
    """A `Detector` from a network with the outputs `OUTPUTS`, of shapes (1, n, columns) or (n, columns).

    Args as of `FivePointDetector`; raises InputError where an output has another shape.
    """

    sure = 0.9

    def __init__(self, network: OnnxNetwork, name: str = "yunet", threshold: float = THRESHOLD) -> None:
        super().__init__(network, name, threshold)

    def decoded(self, outputs: list[NDArray[np.floating]], width: int, height: int) -> Boxes:
        """See `FivePointDetector`."""
        by_name = dict(zip(self.network.outputs, outputs, strict=True))
        parts = []
        for stride in _STRIDES:
            rows, columns = np.mgrid[: height // stride, : width // stride]
            cells = np.stack([columns, rows], axis=-1).reshape(-1, 2).astype(np.float64)
            said = {}
            for kind, wide in _COLUMNS.items():
                values = by_name[f"{kind}_{stride}"]
                if values.size != len(cells) * wide or values.shape[-1] != wide:
                    raise InputError(
                        f"{self.network.source}: expected YuNet's output {kind}_{stride} of shape"
                        f" (1, {len(cells)}, {wide}), got {values.shape}; give another file"
                    )
                said[kind] = values.reshape(len(cells), wide).astype(np.float64)
            centers = cells + said["bbox"][:, :2]
            halves = np.exp(said["bbox"][:, 2:].clip(-9, 9)) / 2
            scores = np.sqrt(said["cls"].clip(0, 1) * said["obj"].clip(0, 1))[:, 0]
            points = said["kps"].reshape(-1, 5, 2) + cells[:, None]
            boxes = np.concatenate([centers - halves, centers + halves], axis=1)
            parts.append(Boxes(boxes * stride, scores, points * stride))
        return Boxes(*(np.concatenate(values) for values in zip(*parts, strict=True)))
