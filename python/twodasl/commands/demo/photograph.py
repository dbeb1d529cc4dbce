"""The photograph of `twodasl demo`: scikit-image's astronaut (Eileen Collins, NASA, public domain)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...io.locks import own_folder
from ...reconstruction.detect import find_faces
from ...reconstruction.face_input import FaceInput
from ...reconstruction.overview import describe_pose
from ...reconstruction.reconstructor import FaceReconstructor
from ...reconstruction.results import write_results

SOURCE = {"name": "astronaut: Eileen Collins, NASA, public domain, from scikit-image"}


def show(folder: Path, say: Callable[[str], None]) -> list[Path]:
    """Reconstruct it with the shipped weights as any other photo; the files, in `folder`.

    Raises InputError where the folder cannot be written.
    """
    with own_folder(folder):
        image = photograph()
        reconstructor = FaceReconstructor()
        started = time.monotonic()
        face = _found(image)
        result = reconstructor.reconstruct([face])[0]
        seconds = time.monotonic() - started
        source: dict[str, Any] = {**SOURCE, "detector": face.detector}
        if face.score is not None:
            source["detector_score"] = round(face.score, 4)
        written = write_results(folder, "astronaut", image, reconstructor, result, source)
    say(f"found a face and reconstructed it in {seconds:.2f} s: {describe_pose(result)}")
    for path in written:
        say(f"wrote {path}")
    say("next: twodasl reconstruct photo.jpg -o out")
    return list(written)


def photograph() -> NDArray[np.uint8]:
    """The photograph, (512, 512, 3) uint8 BGR; scikit-image installs it."""
    import skimage.data

    return np.ascontiguousarray(skimage.data.astronaut()[..., ::-1])


def _found(image: NDArray[np.uint8]) -> FaceInput:
    faces = find_faces(image)
    if not faces:
        raise InputError("demo: the detector found no face in the photograph; run twodasl doctor")
    return faces[0]
