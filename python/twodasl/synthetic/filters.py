"""OpenCV filters on float32 pictures, with their actual types."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def blurred(image: Floats, sigma: float, border: int = cv2.BORDER_REFLECT_101) -> Floats:
    """Gaussian blur of a picture (h, w) or (h, w, channels)."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=border), np.float32)


def resized(image: NDArray, height: int, width: int, interpolation: int = cv2.INTER_AREA) -> Floats:
    """Resize a picture."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.float32)


def antialiased(image: Floats) -> Floats:
    """Soften the edges of a picture drawn with one sample per pixel, as a lens would."""
    kernel = np.array([1, 6, 1], np.float32) / 8
    return np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)


def clipped(image: NDArray[np.floating], low: float = 0.0, high: float = 1.0) -> Floats:
    """Clip float32 values to [low, high]."""
    return np.clip(image, low, high).astype(np.float32, copy=False)
