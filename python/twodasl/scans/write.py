"""The files of a fit: the fitted mesh, numbers, and pictures; all or none are written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..io.files import atomic_paths
from ..io.images import encode_image
from ..meshes.write import write_obj, write_ply
from ..morphable import MorphableModel
from .draw import distance_curve, fit_picture
from .result import ScanFit

ENDINGS = (".fitted.ply", ".fitted.obj", ".json", ".heat-map.png", ".curve.png")
"""What is added to the scan's name."""


def targets(folder: Path, name: str) -> list[Path]:
    """The files of a scan of this name."""
    return [folder / f"{name}{ending}" for ending in ENDINGS]


def write_fit(
    folder: Path,
    name: str,
    fit: ScanFit,
    model: MorphableModel,
    points: NDArray[np.float64],
    triangles: NDArray[np.int64] | None,
    source: dict[str, Any],
) -> list[Path]:
    """Write NAME.fitted.ply, NAME.fitted.obj, NAME.json and two pictures; returns their paths.

    points: (P, 3) of the scan, and its triangles. source: what to note of where the scan came from. Raises
    InputError if a file cannot be written; nothing is then.
    """
    median, share = fit.errors["median"] / fit.scale, 100 * fit.errors["inlier_share"]
    words = f"{name}: median distance {median:.3g} mm, {share:.0f} % inliers"
    pictures = [fit_picture(fit, points, triangles, words), distance_curve(fit, words)]
    report = {**source, "model": model.name, "model_identity": model.identity, **fit.to_dict()}
    text = json.dumps(report, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    files = targets(folder, name)
    with atomic_paths(files) as (ply, obj, numbers, map_file, curve_file):
        write_ply(ply, fit.vertices, fit.triangles)
        write_obj(obj, fit.vertices, fit.triangles)
        numbers.write_bytes(text.encode("utf-8", "backslashreplace"))
        for path, picture in zip((map_file, curve_file), pictures, strict=True):
            path.write_bytes(encode_image(path, picture))
    return files
