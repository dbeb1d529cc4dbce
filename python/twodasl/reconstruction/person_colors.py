"""Colors of a person's mesh from several photos: what any of them shows, in their mean light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..morphable import MorphableModel
from .texture import Floats, filled_colors, photo_ratio, sample_photo, visibility

if TYPE_CHECKING:
    from .person import Person

# The photo that shows a vertex best should decide, and no seam should show: visibility to this power.
_SHARPNESS = 2.0


def person_colors(images: Sequence[NDArray[np.uint8]], person: Person, model: MorphableModel) -> Floats:
    """Colors (N, 3) RGB in [0, 1]. Photos that were left out of the shape give no color either."""
    albedo = None if model.albedo_mean is None else model.albedo()
    rows = zip(images, person.faces, person.left_out, strict=True)
    shown, weights = [], []
    for image, face, left_out in rows:
        if left_out:
            continue
        photo, inside = sample_photo(image, face.vertices, face.triangles)
        shown.append(photo)
        weights.append(visibility(face.vertices, face.triangles) * inside)
    photo, seen, _ = merged_photos(shown, weights, albedo)
    return filled_colors(photo, seen, model.triangles, model.mean, albedo)


def merged_photos(
    shown: Sequence[Floats], weights: Sequence[Floats], albedo: Floats | None
) -> tuple[Floats, Floats, list[Floats]]:
    """One set of vertex colors from those that several photos show.

    A photo's light and camera are its own: before photos are averaged, each is brought to the mean of their
    median ratios to the model's albedo, channel by channel.

    Args:
        shown: (N, 3) RGB in [0, 1] for each photo.
        weights: (N,) for each photo, how well it shows the vertices, 0 to 1.
        albedo: (N, 3), or None.

    Returns:
        colors (N, 3), how well the best photo shows them (N,), and by what each photo's channels were
        multiplied, (3,) each; 1 for a photo that shows nothing.
    """
    used = [index for index, seen in enumerate(weights) if (seen > 0.5).any()]
    gains = [np.ones(3, np.float32) for _ in shown]
    if not used:
        nothing = np.zeros((len(shown[0]), 3), np.float32)
        return nothing, nothing[:, 0], gains
    overall = np.stack(
        [
            np.median(photo_ratio(shown[index], albedo)[weights[index] > 0.5], axis=0).clip(1e-3)
            for index in used
        ]
    )
    level = overall.mean(axis=0)
    for index, own in zip(used, overall, strict=True):
        gains[index] = (level / own).astype(np.float32)
    seen = np.stack([weights[index] for index in used])
    shares = seen**_SHARPNESS
    total = np.maximum(shares.sum(axis=0), 1e-9)
    photo = np.einsum("pn,pnc,pc->nc", shares / total, [shown[index] for index in used], level / overall)
    return photo.astype(np.float32), seen.max(axis=0), gains
