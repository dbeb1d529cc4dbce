"""A network in ONNX's format, from a file that may be anybody's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import reading

_ADVICE = "give the .onnx file of a RetinaFace or YuNet"


class OnnxNetwork:
    """A network from an image to some arrays, computed by onnxruntime on the CPU.

    Args:
        content: the bytes of an ONNX file.
        source: what messages call it.

    Attributes:
        size: (width, height) of the only images it takes; None: of any.
        outputs: the names of its outputs.

    Raises InputError where it is no such network.
    """

    def __init__(self, content: bytes, source: str) -> None:
        import onnxruntime

        self.source = source
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong is raised as well
        with self._guard():
            self._session: Any = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
            (given,) = self._session.get_inputs()
            _, colors, height, width = given.shape
            if given.type != "tensor(float)" or colors not in (3, None):
                raise ValueError(f"its input is {given.type} {given.shape}")
            self.size: tuple[int, int] | None = None
            if isinstance(width, int) and isinstance(height, int):
                self.size = (width, height)
                if not all(32 <= side <= 4096 and side % 32 == 0 for side in self.size):
                    raise ValueError(f"its input has {width}x{height} pixels")
            self._input = given.name
            self.outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, image: NDArray[np.float32]) -> list[NDArray[np.floating]]:
        """Its outputs for (1, 3, H, W) float32, in the order of `outputs`. Raises InputError."""
        with self._guard():
            given = {self._input: np.ascontiguousarray(image)}
            return [np.asarray(values, np.float32) for values in self._session.run(None, given)]

    def _guard(self) -> Any:
        return reading(self.source, "a face detector in ONNX's format", _ADVICE)
