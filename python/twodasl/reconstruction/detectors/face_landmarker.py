"""MediaPipe's face landmarker, the extra `[mediapipe]`: the face mesh of its Tasks API, with 68 landmarks.

Its model is a file, `face_landmarker.task`, which MediaPipe's package does not carry. It does not give a
score. MediaPipe's Tasks send figures about their use to Google, as its package says under "Privacy Notice",
and have no setting against it.
"""

from __future__ import annotations

import io
import os
import sys
import weakref
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, install_extra, reading
from ...io.files import regular_file
from .detection import Detection
from .face_mesh import faces_of_meshes
from .mediapipe_files import MODEL, has_tasks, packaged_model

_WHAT = "the model of MediaPipe's face landmarker"
_ADVICE = f"give MediaPipe's {MODEL}"
_PARTS = frozenset({"face_detector.tflite", "face_landmarks_detector.tflite"})
_LARGEST = 1 << 28
_MOST_FACES = 100  # it wants a number


class FaceLandmarkerDetector:
    """A `Detector` that gives landmarks.

    Args:
        content: the bytes of a `.task` file.
        source: what messages call it.
        name: what the faces' `detector` says.

    Raises InputError where MediaPipe does not take the file, or cannot be loaded.
    """

    sure = None

    def __init__(self, content: bytes, source: str, name: str = "mediapipe") -> None:
        self.source, self.name = source, name
        # At the end of a program MediaPipe must be closed after its own preparation for the end, or it prints
        # a traceback: what is registered first is called last.
        closing = ExitStack()
        weakref.finalize(self, closing.close)
        closing.enter_context(suppress(RuntimeError))  # the program itself had imported it before
        try:
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision
        except (ImportError, OSError) as error:
            raise _not_loaded(error) from error
        self._image: Any = mediapipe.Image
        self._format: Any = mediapipe.ImageFormat.SRGB
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=content), num_faces=_MOST_FACES
        )
        with self._guard(), _quiet():
            try:
                landmarker = vision.FaceLandmarker.create_from_options(options)
            except OSError as error:  # it was given bytes: this is its own library
                raise _not_loaded(error) from error
            self._landmarker: Any = closing.enter_context(landmarker)
            self(np.full((64, 64, 3), 128, np.uint8))  # whether its networks fit each other

    def __call__(self, image: NDArray[np.uint8]) -> list[Detection]:
        """See `Detector`. Raises InputError where MediaPipe fails."""
        rgb = np.ascontiguousarray(image[:, :, ::-1])
        with self._guard():
            found = self._landmarker.detect(self._image(image_format=self._format, data=rgb))
        return faces_of_meshes(found.face_landmarks, image)

    def _guard(self) -> Any:
        return reading(self.source, _WHAT, _ADVICE)


def load_landmarker(file: str | os.PathLike[str], name: str = "mediapipe") -> FaceLandmarkerDetector:
    """The detector of a `.task` file, a zip archive with checksums, for `detect.find_faces`.

    Raises InputError: no such file, damage, the model of another task, or MediaPipe is missing.
    """
    path = regular_file(file, _WHAT)
    if path.stat().st_size > _LARGEST:
        raise InputError(f"{path}: expected {_WHAT}, got a file of more than {_LARGEST >> 20} MiB")
    with reading(path, _WHAT, _ADVICE):
        content = path.read_bytes()
        _check_parts(path, content)
    if not has_tasks():
        raise InputError(f"{path}: needs MediaPipe with its Tasks API; {install_extra('mediapipe')}")
    return FaceLandmarkerDetector(content, str(path), name)


@cache
def packaged_landmarker() -> FaceLandmarkerDetector:
    """The detector of the model that an installed package has, which must be there, see `has_landmarker`."""
    model = packaged_model()
    assert model is not None
    return load_landmarker(model)


def has_landmarker() -> bool:
    """Whether MediaPipe's Tasks and a package with the model are here; nothing is imported."""
    return has_tasks() and packaged_model() is not None


def _check_parts(path: Path, content: bytes) -> None:
    """Whether the archive is whole and of this task."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {part.filename: part for part in archive.infolist()}
        if not parts.keys() >= _PARTS:
            names = ", ".join(repr(name[:40]) for name in sorted(parts)[:3]) or "nothing"
            raise InputError(f"{path}: expected {_WHAT}, got a file with {names} in it; {_ADVICE}")
        if sum(part.file_size for part in parts.values()) > _LARGEST:
            raise ValueError("its parts are too large")
        if (damaged := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")


def _not_loaded(error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:200]
    return InputError(
        f"detector: MediaPipe cannot be loaded ({reason}); install what it needs, or choose another detector"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep from stderr what MediaPipe's library writes to it when it starts: no setting of its own does."""
    sys.stderr.flush()
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
