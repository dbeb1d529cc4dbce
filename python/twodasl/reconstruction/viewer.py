"""NAME.html: the head in a page of its own, which needs no network. Its program is made in python/viewer."""

from __future__ import annotations

import base64
import json
from importlib.resources import files
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..landmarks import CONNECTIONS_68

_PLACE = "@@FACE@@"
_WIDEST = 900  # pixels of the photo's longer side
_AROUND = 0.35  # sides of the crop, shown of the photo around it
_QUALITY = 88  # of the JPEG


def viewer_page(
    glb: bytes,
    title: str,
    about: str,
    limits: tuple[float, float],
    photo: tuple[NDArray[np.uint8], NDArray[np.floating], tuple[float, float, float, float]] | None = None,
) -> str:
    """The page of a head.

    Args:
        glb: the content of a GLB file with a node `head`, as `meshes.glb.glb_bytes` makes it.
        title, about: the heading, and a line under it.
        limits: what the sliders of the morph targets reach from and to.
        photo: the picture (H, W, 3) uint8 BGR, the 68 landmarks (68, 2 or more) in its pixels, and the
            face's box in it (x0, y0, x1, y1); or None.
    """
    face: dict[str, Any] = {
        "title": title,
        "about": about,
        "file": f"{title}.glb",
        "range": list(limits),
        "glb": base64.b64encode(glb).decode("ascii"),
    }
    if photo is not None:
        face["photo"] = _photo(*photo)
    # A "<" could end the element that holds the text.
    text = json.dumps(face, allow_nan=False).replace("<", "\\u003c")
    page = (files("twodasl") / "resources/viewer.html").read_text(encoding="utf-8")
    before, after = page.split(_PLACE)
    return before + text + after


def _photo(
    image: NDArray[np.uint8], landmarks: NDArray[np.floating], box: tuple[float, float, float, float]
) -> dict[str, Any]:
    """The part of the photo around the face, not larger than a page needs; the landmarks in its pixels."""
    margin = _AROUND * (box[2] - box[0])
    height, width = image.shape[:2]
    limit = np.array([width, height])
    low = np.clip(np.floor(np.array(box[:2]) - margin), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(np.array(box[2:]) + margin), low + 1, limit).astype(int)
    part = image[low[1] : high[1], low[0] : high[0]]
    factor = min(1.0, _WIDEST / max(part.shape[:2]))
    size = [max(1, round(side * factor)) for side in part.shape[1::-1]]
    if factor < 1:
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = np.array(size) / (high - low)
    points = (np.asarray(landmarks, np.float64)[:, :2] - low + 0.5) * scale - 0.5
    _, content = cv2.imencode(".jpg", part, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return {
        "url": "data:image/jpeg;base64," + base64.b64encode(content.tobytes()).decode("ascii"),
        "width": size[0],
        "height": size[1],
        "points": np.round(points, 2).tolist(),
        "lines": [list(line) for line in CONNECTIONS_68],
    }
