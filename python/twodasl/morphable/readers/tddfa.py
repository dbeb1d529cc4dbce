"""3DDFA's folder of `.npy` files (github.com/cleardusk/3DDFA, `train.configs`): BFM 2009, 53,215 vertices.

`u_shp.npy`, `u_exp.npy` (3N, 1) are added to give the mean; `w_shp_sim.npy` (3N, 40) and `w_exp_sim.npy`
(3N, 10) are the bases, x y z interleaved, in micrometers for a coefficient of 1; `keypoints_sim.npy` (204,)
holds the places of the landmarks' x y z in the interleaved vector, counted from 0; triangles, counted from 1,
are `tri` of `tri.mat` (3DDFA's `visualize`) or of `Model_Shape_Sim.mat` (300W-LP), (3, T), in which the first
in this order is taken.

Conversion: millimeters; modes of one standard deviation, which `param_whitening.pkl` has, because the
bases are not scaled (3DDFA's coefficient is this model's times that deviation, and its pose's first three
columns are this model's divided by 1000); triangles turned outward, for 3DDFA's are inward; the mean color
`mu_tex` of `Model_Shape_Sim.mat`, where that is there. The whitening's mean is not read: coefficients of 0
are the mean face, not the mean of the training faces.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError
from ...io.matlab import read_mat
from ..model import MorphableModel
from .assemble import BYTE, Floats, assemble, columns, interleaved_landmarks, points, triangle_rows
from .containers import read_npy
from .whitening import coefficient_spreads

MICROMETER = 1e-3
ARRAYS = ("u_shp.npy", "u_exp.npy", "w_shp_sim.npy", "w_exp_sim.npy", "keypoints_sim.npy")
TRIANGLES = ("tri.mat", "Model_Shape_Sim.mat")


def is_tddfa(folder: Path) -> bool:
    """Whether any of the folder's bases is there; `read_tddfa` names what else is missing."""
    return folder.is_dir() and any((folder / name).is_file() for name in ARRAYS[2:4])


def read_tddfa(folder: Path) -> MorphableModel:
    """Read the folder. Raises InputError naming the file that is missing or does not fit the others."""
    for name in ARRAYS:
        if not (folder / name).is_file():
            raise InputError(f"{folder / name}: is missing; 3DDFA's folder holds {', '.join(ARRAYS)}")
    shape_mean, expression_mean, shapes, expressions, places = (read_npy(folder / name) for name in ARRAYS)
    mean = points(folder / ARRAYS[0], "mean", shape_mean)
    count = len(mean)
    mean += points(folder / ARRAYS[1], "mean of the expressions", expression_mean, count)
    widths = (array.shape[1] if getattr(array, "ndim", 0) == 2 else 0 for array in (shapes, expressions))
    shape_sigma, expression_sigma = coefficient_spreads(folder, *widths)
    file = next((folder / name for name in TRIANGLES if (folder / name).is_file()), None)
    if file is None:
        raise InputError(f"{folder}: has no triangles; put {' or '.join(TRIANGLES)} with tri next to them")
    found = read_mat(file, ("tri",))
    return assemble(
        folder,
        "3ddfa",
        MICROMETER,
        mean,
        columns(folder / ARRAYS[2], "shape basis", shapes, count, shape_sigma),
        columns(folder / ARRAYS[3], "expression basis", expressions, count, expression_sigma),
        triangle_rows(file, "tri", found.get("tri"), count, 1),
        interleaved_landmarks(folder / ARRAYS[4], "landmarks", places, count),
        _albedo(folder, count),
    )


def _albedo(folder: Path, count: int) -> tuple[Floats, None] | None:
    file = folder / TRIANGLES[1]
    colors = read_mat(file, ("mu_tex",)).get("mu_tex") if file.is_file() else None
    return None if colors is None else (points(file, "mu_tex", colors, count) / BYTE, None)
