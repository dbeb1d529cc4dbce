"""The user's own detector: an ONNX file of RetinaFace or YuNet, or MediaPipe's model."""

from __future__ import annotations

import os
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ...errors import InputError, reading
from ...io.files import regular_file
from .detection import Detector
from .face_landmarker import load_landmarker
from .five_point import FivePointDetector
from .onnx_network import OnnxNetwork
from .retinaface import RetinaFaceDetector
from .yunet import OUTPUTS, YuNetDetector

_WHAT = "an ONNX file of a RetinaFace or YuNet face detector"
_EXPECTED = f"{_WHAT}, or MediaPipe's face_landmarker.task"
_LARGEST = 1 << 28


def load_detector(file: str | os.PathLike[str]) -> Detector:
    """The detector in an ONNX file, or in MediaPipe's `face_landmarker.task`, for `detect.find_faces`.

    RetinaFace has three outputs of 4, 2 and 10 columns (any backbone; scores after the softmax), YuNet
    twelve named `cls_8` to `kps_32`. The file is looked at as untrusted: it may be damaged or something else.
    `Detector.name` is the file's name. For MediaPipe's see `face_landmarker`.

    Raises:
        InputError: no such file, no such network, or onnxruntime or MediaPipe is missing.
    """
    path = regular_file(file, _EXPECTED)
    if path.suffix.lower() == ".task" or _is_archive(path):
        return load_landmarker(path, path.name)
    if find_spec("onnxruntime") is None:
        raise InputError(f"{path}: needs onnxruntime; pip install onnxruntime")
    if path.stat().st_size > _LARGEST:
        raise InputError(f"{path}: expected {_WHAT}, got a file of more than {_LARGEST >> 20} MiB")
    with reading(path, _WHAT):
        content = path.read_bytes()
    network = OnnxNetwork(content, str(path))
    if set(network.outputs) >= OUTPUTS:
        detector: FivePointDetector = YuNetDetector(network, path.name)
    elif len(network.outputs) == 3:
        detector = RetinaFaceDetector(network, path.name)
    else:
        names = ", ".join(network.outputs[:4]) or "none"
        raise InputError(
            f"{path}: expected the outputs of RetinaFace or YuNet, got {len(network.outputs)} ({names});"
            " give another file"
        )
    detector(np.full((64, 64, 3), 128, np.uint8))  # whether it answers as its family does
    return detector


def _is_archive(path: Path) -> bool:
    with reading(path, _EXPECTED):
        return zipfile.is_zipfile(path)
