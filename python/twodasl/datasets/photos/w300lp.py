"""300W-LP: 122,450 photos turned to large poses, with 68 landmarks and 3DDFA's parameters; in two layouts.

**The data set's own**: folders AFW, HELEN, IBUG, LFPW and those with `_Flip`, of `NAME.jpg` with `NAME.mat`,
which holds `pt2d` (2, 68) image pixels, `Pose_Para` (1, 7) = pitch, yaw, roll [rad], tx, ty, tz, f,
`Shape_Para` (199, 1), `Exp_Para` (29, 1). The face is at `V = f R S + t` with x to the right and y *up*; the
row is `height + 1 - y`. `pt2d` follows the visible edge of the face in its contour (0..16), and the face
model's landmark vertices elsewhere.

**3DDFA's**: a list of names (`train_aug_120x120.list.train`, or any `*.list*`), `param_all_norm.pkl` (n, 62)
whitened by `param_whitening.pkl`, and a folder of 120x120 crops. It has no landmarks besides those of its
parameters.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import InputError
from ...geometry.pose import pose_matrix
from ...io.pickles import read_array_pickle
from ..basel import EXPRESSIONS, RAW_SIZE, SHAPES
from ..mat_files import read_variables
from ..names import read_names
from .listing import Annotation, Scan

FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")
PARAMETERS = "param_all_norm.pkl"
WHITENING = "param_whitening.pkl"

_LISTS = ("train_aug_120x120.list.train", "train_aug_120x120.list")
_IMAGES = ("train_aug_120x120", "images", ".")
_VARIABLES = {"pt2d": (2, 68), "Pose_Para": (1, 7), "Shape_Para": (None, 1), "Exp_Para": (None, 1)}

# The yaw of 3DDFA's list is that of the camera's third column: R[0, 2] = -sin(yaw), see `geometry.pose`.
_YAW_ENTRY = 2


def scan(root: Path) -> Scan:
    """The photos of a 300W-LP folder or of 3DDFA's training list."""
    if (root / PARAMETERS).is_file():
        return _scan_list(root)
    folders = [root / f"{name}{flip}" for name in FOLDERS for flip in ("", "_Flip")]
    folders = [folder for folder in folders if folder.is_dir()]
    if not folders:
        raise InputError(
            f"{root}: expected 300W-LP's folders {', '.join(FOLDERS)} (and *_Flip), or 3DDFA's {PARAMETERS};"
            " found neither"
        )
    files = [
        f"{folder.name}/{file.name}"
        for folder in folders
        for file in folder.iterdir()
        if file.suffix.lower() == ".jpg"
    ]
    names = tuple(sorted(files))
    return Scan(names, lambda index: _read(root / names[index]), (root, *folders))


def _read(photo: Path) -> Annotation:
    found = read_variables(photo.with_suffix(".mat"), _VARIABLES)
    pose = found["Pose_Para"].ravel()
    return Annotation(found["pt2d"].T, yaw=float(pose[1]), raw=raw_parameters(photo, found))


def raw_parameters(photo: Path, found: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """The 62 numbers of an `Annotation`: the camera, then the first 40 and 10 coefficients."""
    pose = torch.from_numpy(found["Pose_Para"].ravel())
    camera = pose_matrix(pose[6], pose[:3], pose[3:6]).numpy().ravel()
    shape, expression = found["Shape_Para"].ravel(), found["Exp_Para"].ravel()
    if len(shape) < SHAPES or len(expression) < EXPRESSIONS or float(pose[6]) <= 0:
        raise InputError(
            f"{photo.with_suffix('.mat')}: expected at least {SHAPES} and {EXPRESSIONS} coefficients and a"
            f" positive scale, got {len(shape)}, {len(expression)} and {float(pose[6]):g}"
        )
    return np.concatenate([camera, shape[:SHAPES], expression[:EXPRESSIONS]])


def _scan_list(root: Path) -> Scan:
    from ..sparse_basis import read_whitening

    listed = [root / name for name in _LISTS if (root / name).is_file()]
    listed = listed or sorted(root.glob("*.list*"))
    if len(listed) != 1:
        raise InputError(f"{root}: expected one list of names ({_LISTS[0]}), found {len(listed)}")
    names = read_names(listed[0])
    whitened = read_array_pickle(root / PARAMETERS)
    expected = (len(names), RAW_SIZE)
    if not isinstance(whitened, np.ndarray) or whitened.shape != expected:
        got = whitened.shape if isinstance(whitened, np.ndarray) else type(whitened).__name__
        raise InputError(f"{root / PARAMETERS}: expected an array {expected}, one row per name, got {got}")
    whitening = read_whitening(root / WHITENING)
    if len(whitening.mean) != RAW_SIZE:
        raise InputError(f"{root / WHITENING}: expected {RAW_SIZE} numbers, got {len(whitening.mean)}")
    mean, std = whitening.mean.double().numpy(), whitening.std.double().numpy()
    images = next(folder for folder in _IMAGES if (root / folder).is_dir())
    prefix = "" if images == "." else f"{images}/"

    def annotate(index: int) -> Annotation:
        raw = np.asarray(whitened[index], np.float64) * std + mean
        first = raw[:3] / max(float(np.linalg.norm(raw[:3])), 1e-30)
        yaw = float(np.arcsin(np.clip(-first[_YAW_ENTRY], -1, 1)))
        # The crops' parameters refer to the crops: their image is 120 pixels high.
        return Annotation(None, yaw=yaw, raw=raw)

    watched = (listed[0], root / PARAMETERS, root / WHITENING, root / images)
    return Scan(tuple(prefix + name for name in names), annotate, watched)
