"""What a video leaves behind: NAME.mp4, NAME.jsonl, NAME.json and a head of each face, all or none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.files import atomic_paths, check_targets, writing
from ..meshes.glb import glb_bytes
from ..meshes.write import write_ply
from ..reconstruction.reconstructor import FaceReconstructor
from ..reconstruction.results import facts
from .drawing import FaceDrawing
from .memory import TrackMemory
from .tracker import FaceTracker, TrackedFace

OVERLAY, LINES, SUMMARY = ".mp4", ".jsonl", ".json"
HEADS = (".ply", ".glb")

_CODEC = "mp4v"
_WAITING = 4  # frames that may wait to be drawn and encoded
_OF_A_FACE = ("crop", "pose", "coefficients", "crop_parameters", "landmarks_2d", "landmarks_3d")
_OF_ALL = ("face_model", "checkpoint", "software")


def targets(folder: Path, name: str, overlay: bool) -> list[Path]:
    """The files that are written whatever is found."""
    return [folder / f"{name}{suffix}" for suffix in (*((OVERLAY,) if overlay else ()), LINES, SUMMARY)]


def head_path(folder: Path, name: str, track: int, suffix: str) -> Path:
    """Of a face the neutral mesh (.ply), and the head that moves as in the video (.glb)."""
    return folder / f"{name}-{track}{suffix}"


class VideoResults:
    """Takes frames and their faces, and writes the files; see `writing_video`."""

    def __init__(
        self,
        lines: Path,
        overlay: Path | None,
        meant: Path,
        rate: float,
        reconstructor: FaceReconstructor,
        drawing: FaceDrawing,
    ) -> None:
        self._lines_path, self._overlay_path, self._meant, self._rate = lines, overlay, meant, rate
        self._reconstructor, self._drawing = reconstructor, drawing
        self._lines = open(lines, "w", encoding="utf-8")  # noqa: SIM115 (closed by `close`)
        self._encoder: Any = None
        self._pool = ThreadPoolExecutor(1)
        self._pending: list[Future[NDArray[np.uint8]]] = []
        self.frames = 0
        self.size = (0, 0)
        self.seen: dict[int, list[int]] = {}
        """Of each track its first frame, its last, and in how many it was seen."""
        self.common: dict[str, Any] = {}
        self.memories: dict[int, TrackMemory] = {}

    def add(self, frame: NDArray[np.uint8], seconds: float, faces: Sequence[TrackedFace]) -> None:
        """The next frame."""
        self.size = (frame.shape[1], frame.shape[0])
        while len(self._pending) >= _WAITING:
            self._pending.pop(0).result()
        # Drawing and encoding take turns with the network of the next frames.
        self._pending.append(self._pool.submit(self._write, frame, self.frames, seconds, list(faces)))
        self.frames += 1

    def close(self) -> None:
        """Finish the files. Raises InputError where the overlay could not be written."""
        for waiting in self._pending:
            waiting.result()
        self.abandon()
        if self._overlay_path is not None and self.frames:
            self._check_overlay(self._overlay_path)

    def abandon(self) -> None:
        """Let go of the files as they are."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._lines.close()
        if self._encoder is not None:
            self._encoder.release()

    def _write(
        self, frame: NDArray[np.uint8], number: int, seconds: float, faces: list[TrackedFace]
    ) -> NDArray[np.uint8]:
        for face in faces:
            first, _, count = self.seen.setdefault(face.track, [number, number, 0])
            self.seen[face.track] = [first, number, count + 1]
            self.memories.setdefault(face.track, TrackMemory()).add(frame, face)
            known = facts(frame, self._reconstructor, face)
            self.common = self.common or {key: known[key] for key in _OF_ALL}
            line = {"frame": number, "seconds": round(seconds, 6), "track": face.track}
            line |= {key: known[key] for key in _OF_A_FACE}
            with writing(self._lines_path):
                self._lines.write(json.dumps(line, allow_nan=False) + "\n")
        if self._overlay_path is None:
            return frame
        drawn = self._drawing(frame, faces)
        if self._encoder is None:
            self._encoder = self._opened(self._overlay_path, frame.shape)
        self._encoder.write(_even(drawn))
        return drawn

    def _opened(self, path: Path, shape: tuple[int, ...]) -> Any:
        size = (shape[1] + shape[1] % 2, shape[0] + shape[0] % 2)
        encoder = cv2.VideoWriter(os.fspath(path), cv2.VideoWriter.fourcc(*_CODEC), self._rate, size)
        if not encoder.isOpened():
            raise InputError(
                f"{self._meant}: this OpenCV cannot write MP4 video; use --no-overlay, or install"
                " opencv-python from PyPI"
            )
        return encoder

    def _check_overlay(self, path: Path) -> None:
        """OpenCV does not say when a frame could not be written."""
        capture = cv2.VideoCapture(os.fspath(path))
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        capture.release()
        if count < self.frames:
            raise InputError(
                f"{self._meant}: cannot be written (it holds {count} of {self.frames} frames); make room"
                " there, or choose another output folder"
            )


@contextmanager
def writing_video(
    folder: Path,
    name: str,
    rate: float,
    tracker: FaceTracker,
    drawing: FaceDrawing,
    *,
    overlay: bool = True,
    source: dict[str, Any] | None = None,
) -> Iterator[VideoResults]:
    """Write the results of a video: give each frame to `VideoResults.add`.

    All files are renamed when the block succeeds, and none otherwise. source: facts for the summary.

    Raises:
        InputError: a file cannot be written, or no frame had a face.
    """
    wanted = targets(folder, name, overlay)
    with atomic_paths(wanted) as temporaries:
        film = temporaries[0] if overlay else None
        results = VideoResults(temporaries[-2], film, wanted[0], rate, tracker.reconstructor, drawing)
        try:
            yield results
            results.close()
        finally:
            results.abandon()
        if not results.seen:
            raise InputError(
                f"{(source or {}).get('video', name)}: no face was found in its {results.frames} frames"
            )
        summary = _summary(results, rate, tracker, source or {})
        with writing(wanted[-1]):
            temporaries[-1].write_text(
                json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8"
            )
        _write_heads(folder, name, tracker, results.memories)


def _write_heads(folder: Path, name: str, tracker: FaceTracker, memories: dict[int, TrackMemory]) -> None:
    model = tracker.reconstructor.model
    heads = [(track, suffix) for track in memories for suffix in HEADS]
    targets = [head_path(folder, name, *head) for head in heads]
    check_targets(targets)
    with atomic_paths(targets) as files:
        for (track, suffix), file, target in zip(heads, files, targets, strict=True):
            with writing(target):
                if suffix == ".ply":
                    write_ply(file, neutral(tracker, track), model.triangles)
                else:
                    file.write_bytes(glb_bytes(memories[track].head(model, tracker.shape(track))))


def neutral(tracker: FaceTracker, track: int) -> NDArray[np.float32]:
    """The face of a track without expression, (N, 3) millimeters in the model's axes (y up)."""
    model = tracker.reconstructor.model
    change = np.einsum("k,knc->nc", tracker.shape(track), model.shape_modes)
    return np.asarray(model.mean + change, np.float32)


def _summary(
    results: VideoResults, rate: float, tracker: FaceTracker, source: dict[str, Any]
) -> dict[str, Any]:
    tracks = [
        {
            "track": track,
            "first_frame": first,
            "last_frame": last,
            "frames": count,
            "shape": [float(f"{value:.9g}") for value in tracker.shape(track).tolist()],
        }
        for track, (first, last, count) in results.seen.items()
    ]
    width, height = results.size
    return {
        "format": "twodasl-video",
        "version": 1,
        "source": {**source, "width": width, "height": height, "frames": results.frames, "rate": rate},
        "tracks": tracks,
        **results.common,
    }


def _even(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With even sides, as the codec wants them: the last row and column are repeated."""
    below, right = frame.shape[0] % 2, frame.shape[1] % 2
    if not below and not right:
        return frame
    return np.asarray(cv2.copyMakeBorder(frame, 0, below, 0, right, cv2.BORDER_REPLICATE), np.uint8)
