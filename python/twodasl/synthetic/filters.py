"""OpenCV's filters on float32 pictures, with the types they have in fact."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def blurred(image: Floats, sigma: float, border: int = cv2.BORDER_REFLECT_101) -> Floats:
    """Gaussian blur of a picture (h, w) or (h, w, channels)."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=border), np.float32)


def resized(image: NDArray, height: int, width: int, interpolation: int = cv2.INTER_AREA) -> Floats:
    """A picture at another size."""
    return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.float32)


def antialiased(image: Floats) -> Floats:
    """A picture drawn with one sample a pixel, as soft at its edges as a lens would leave it."""
    kernel = np.array([1, 6, 1], np.float32) / 8
    return np.asarray(cv2.sepFilter2D(image, -1, kernel, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)


def clipped(image: NDArray[np.floating], low: float = 0.0, high: float = 1.0) -> Floats:
    """float32 values cut to [low, high]."""
    return np.clip(image, low, high).astype(np.float32, copy=False)
