"""3DDFA_V2's pickle (github.com/cleardusk/3DDFA_V2, `configs`): `bfm_noneck_v3.pkl`, 38,365 vertices.

A dict of `u` (3N, 1), the mean with expression; `w_shp` (3N, >= 40) and `w_exp` (3N, >= 10), x y z
interleaved, in micrometers for a coefficient of 1; `tri` (3, T), counted from 0; `keypoints` (204,), the
places of the landmarks' x y z in the interleaved vector. A `tri.pkl` next to it (the project's, made for the
model without neck) takes the place of its own `tri`.

Conversion: as of 3DDFA's folder (see `tddfa`), with the standard deviations `std` of
`param_mean_std_62d_120x120.pkl` next to it, and the first 40 and 10 modes where these are the 62 parameters'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...io.pickles import read_model_pickle
from ..model import MorphableModel
from .assemble import assemble, columns, interleaved_landmarks, points, triangle_rows
from .tddfa import MICROMETER
from .whitening import coefficient_spreads

KEYS = ("u", "w_shp", "w_exp", "keypoints")
TRIANGLES = "tri.pkl"


def is_tddfa_v2(content: Any) -> bool:
    """Whether a pickle's content looks like 3DDFA_V2's; `read_tddfa_v2` names what is missing."""
    return isinstance(content, dict) and "w_shp" in content


def read_tddfa_v2(path: Path, content: Any = None) -> MorphableModel:
    """Read the file, or its content as read. Raises InputError naming what is missing or does not fit."""
    content = read_model_pickle(path) if content is None else content
    if not isinstance(content, dict) or not all(isinstance(content.get(key), np.ndarray) for key in KEYS):
        raise InputError(f"{path}: expected a pickled dict with the arrays {', '.join(KEYS)}")
    mean = points(path, "u", content["u"])
    count = len(mean)
    widths = (content[key].shape[1] if content[key].ndim == 2 else 0 for key in KEYS[1:3])
    shape_sigma, expression_sigma = coefficient_spreads(path.parent, *widths)
    beside = path.with_name(TRIANGLES)
    if beside.is_file():
        triangles = triangle_rows(beside, "tri", read_model_pickle(beside), count, 0)
    else:
        try:
            triangles = triangle_rows(path, "tri", content.get("tri"), count, 0)
        except InputError as error:
            raise InputError(f"{error}; put 3DDFA_V2's {TRIANGLES} next to it") from error
    return assemble(
        path,
        "3ddfa-v2",
        MICROMETER,
        mean,
        columns(path, "w_shp", content["w_shp"], count, shape_sigma),
        columns(path, "w_exp", content["w_exp"], count, expression_sigma),
        triangles,
        interleaved_landmarks(path, "keypoints", content["keypoints"], count),
    )
