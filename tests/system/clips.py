"""Clips that tests make: the photograph's face, moved about on a gray frame."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 320, 240
BACKGROUND = 120


def face_patch(photo_path: Path, side: int = 130) -> np.ndarray:
    """The photograph around the face, its border faded to the background: (side, side, 3) and weights."""
    photo = cv2.imread(str(photo_path))[0:280, 85:365]
    return cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)


def frame_with(*placed: tuple[np.ndarray, float, float], noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """A frame with patches whose upper left corners are at (x, row); later ones cover earlier ones."""
    frame = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
    for patch, x, row in placed:
        moved = np.array([[1, 0, x], [0, 1, row]], np.float32)
        drawn = cv2.warpAffine(patch, moved, (WIDTH, HEIGHT))
        where = cv2.warpAffine(np.ones(patch.shape[:2], np.float32), moved, (WIDTH, HEIGHT))[..., None]
        frame = np.rint(frame * (1 - where) + drawn * (where > 0) * where).astype(np.uint8)
    if noise:
        rough = np.random.default_rng(seed).normal(0, noise, frame.shape)
        frame = np.clip(np.rint(frame + rough), 0, 255).astype(np.uint8)
    return frame


def write_clip(path: Path, frames: list[np.ndarray], rate: float = 25.0, codec: str = "mp4v") -> Path:
    """A video of frames of one size. MJPG in AVI is in every build of OpenCV."""
    height, width = frames[0].shape[:2]
    encoder = cv2.VideoWriter(os.fspath(path), cv2.VideoWriter.fourcc(*codec), rate, (width, height))
    assert encoder.isOpened()
    for frame in frames:
        encoder.write(frame)
    encoder.release()
    return path
