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
    """Colors (N, 3) RGB in [0, 1]. Photos that were left out of the shape give no color either.

    A photo's light and camera are its own: before photos are averaged, each is brought to the mean of their
    median ratios to the model's albedo, channel by channel.
    """
    albedo = None if model.albedo_mean is None else model.albedo()
    rows = zip(images, person.faces, person.left_out, strict=True)
    shown, weights, overall = [], [], []
    for image, face, left_out in rows:
        if left_out:
            continue
        photo, inside = sample_photo(image, face.vertices, face.triangles)
        seen = visibility(face.vertices, face.triangles) * inside
        if not (seen > 0.5).any():
            continue
        shown.append(photo)
        weights.append(seen)
        overall.append(np.median(photo_ratio(photo, albedo)[seen > 0.5], axis=0).clip(1e-3))
    if not shown:
        nothing = np.zeros((len(model.mean), 3), np.float32)
        return filled_colors(nothing, nothing[:, 0], model.triangles, model.mean, albedo)
    level = np.mean(overall, axis=0)
    shares = np.stack(weights) ** _SHARPNESS
    total = np.maximum(shares.sum(axis=0), 1e-9)
    photo = np.einsum("pn,pnc,pc->nc", shares / total, np.stack(shown), level / np.stack(overall))
    return filled_colors(
        photo.astype(np.float32), np.max(weights, axis=0), model.triangles, model.mean, albedo
    )
