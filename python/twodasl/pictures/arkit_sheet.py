"""The contact sheet of ARKit's 52 blend shapes on a face model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag
from ..morphable import ARKIT_NAMES, MorphableModel, arkit_shapes
from ..progress import progress_bar
from .model_sheet import Studio
from .render import Image, caption, contact_sheet

TILE, COLUMNS = 216, 8
# What shows from the side: degrees by which the subject's left comes into view.
_YAWS = {"jawForward": 60.0, "mouthShrugLower": 45.0, "mouthShrugUpper": 45.0, "mouthDimple": 30.0,
         "mouthRollLower": 25.0, "mouthRollUpper": 25.0, "noseSneer": 15.0}  # fmt: skip


def arkit_sheet(model: MorphableModel, progress: bool = True) -> Image:
    """Draw each of the 52 shapes at weight 1 on the mean face, framed on what it moves.

    Three tiles of the neutral face come first. `mouthClose` is drawn with `jawOpen`, over which it shuts the
    lips; a shape that moves nothing says so.

    Args:
        model: a face model with ARKit shapes, see `arkit_shapes`.
        progress: whether to show a progress bar on a terminal.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        InputError: the model has no ARKit shapes.
    """
    shapes, studio = arkit_shapes(model), Studio(model)
    tiles = [
        _tile(studio, part, np.zeros_like(model.mean), f"neutral {part}") for part in ("eye", "mouth", "face")
    ]
    bar = progress_bar(
        list(zip(ARKIT_NAMES, shapes, strict=True)),
        description="drawing",
        unit="tile",
        show=flag(progress, "progress"),
    )
    for name, moved in bar:
        text = name
        if name == "mouthClose":
            text, moved = f"{name} + jawOpen", moved + shapes[ARKIT_NAMES.index("jawOpen")]
        elif not moved.any():
            text = f"{name}: moves nothing"
        tiles.append(_tile(studio, name, moved, text))
    return contact_sheet(tiles, COLUMNS)


def _tile(studio: Studio, name: str, moved: NDArray[np.float32], text: str) -> Image:
    center, span = _frame(studio, name)
    plain = name.removesuffix("Left").removesuffix("Right")
    yaw = _YAWS.get(plain, 0.0) * (-1 if name.endswith("Right") else 1)
    return caption(studio.shot(studio.model.mean + moved, yaw, TILE, center=center, span=span), text, 26)


def _frame(studio: Studio, name: str) -> tuple[NDArray[np.float64], float]:
    """Where the camera looks, and millimeters across the picture."""
    marks = studio.model.mean[studio.model.landmarks].astype(np.float64)
    eyes, mouth, height = marks[36:48].mean(0), marks[48:68].mean(0), studio.face_height
    up = np.array([0.0, 1.0, 0.0])
    if name.startswith(("eye", "brow")):
        # A little above the eyes: the brows are in the picture.
        return eyes + 0.06 * height * up, 0.98 * height
    if name.startswith(("jaw", "cheekPuff", "face", "mouthClose")):
        return (eyes + mouth) / 2 - 0.16 * height * up, 1.55 * height
    if name.startswith(("nose", "cheekSquint")):
        return (2 * eyes + mouth) / 3, 1.0 * height
    return mouth, 0.72 * height
