"""Recognizing the layout of a file or folder by its content, with the name as a check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...io.archives import members, opened_archive
from ...io.arrays import npz_names
from ...io.files import regular_file
from ...io.matlab import mat_names
from ...io.pickles import read_model_pickle
from ..model import MorphableModel
from . import bfm2009, deep3d, eos, face3d, flame, gnm, ict_facekit, tddfa, tddfa_v2, tddfa_v3
from .basel_h5 import read_basel_h5
from .containers import read_npy

SUPPORTED = (
    "twodasl's .npz, BFM (.mat, .h5), face3d or Deep3DFaceRecon (.mat), 3DDFA (folder), 3DDFA_V2 (.pkl), "
    "3DDFA-V3 (.npy), FLAME (.pkl, .npz), GNM (.npz), eos (.bin) or ICT-FaceKit (folder)"
)
"""For messages."""

# How torch.save's files begin that are no archives: a pickle of a number.
_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# The suffixes with which each container goes, so that a wrong name is noticed.
SUFFIXES = {
    "npz": (".npz",),
    "HDF5": (".h5", ".hdf5"),
    "MATLAB": (".mat",),
    "pickle": (".pkl", ".pickle"),
    "eos": (".bin",),
    "npy": (".npy",),
}
# In a folder: files that are complete models.
MEMBERS = (
    bfm2009.NAME,
    "BFM_model_front.mat",
    "BFM.mat",
    "bfm_noneck_v3.pkl",
    "bfm_noneck.pkl",
    tddfa_v3.NAME,
    *flame.NAMES,
    gnm.NAME,
    "sfm_shape_*.bin",
    "model20??*.h5",
)


def read_folder(folder: Path) -> MorphableModel:
    """The model in a folder, or its only model file. Raises InputError for none or several."""
    if ict_facekit.is_ict_facekit(folder):
        return ict_facekit.read_ict_facekit(folder)
    if tddfa.is_tddfa(folder):
        return tddfa.read_tddfa(folder)
    members = [file for pattern in MEMBERS for file in sorted(folder.glob(pattern)) if file.is_file()]
    if not members:
        raise InputError(
            f"{folder}: is not a face model folder and contains no model file; expected {SUPPORTED}"
        )
    if len(members) > 1:
        names = ", ".join(file.name for file in members)
        raise InputError(f"{folder}: contains several face models ({names}); name one of these files instead")
    return read_file(members[0])


def read_file(path: Path) -> MorphableModel:
    """The model in a file. Raises InputError that describes the file if it is not a known model."""
    kind = _container(regular_file(path))
    if kind is None:
        size = path.stat().st_size
        what = "is empty" if not size else "is not a known face model"
        raise InputError(f"{path}: {what}; expected {SUPPORTED}")
    if path.suffix.lower() not in SUFFIXES[kind]:
        _refuse_others(path, kind)
        raise InputError(f"{path}: is of kind {kind} by its content; rename it to end in {SUFFIXES[kind][0]}")
    return READERS[kind](path)


def _refuse_others(path: Path, kind: str) -> None:
    """Raise InputError where another name would help nothing: archives and pickles of something else."""
    if kind == "pickle":
        with open(path, "rb") as stream:
            saved = stream.read(len(_TORCH)) == _TORCH
    elif kind == "npz":
        with opened_archive(path, "a .npz file") as archive:
            names = members(archive)
        saved = any(name.endswith("/data.pkl") for name in names)
        if not saved and not any(name.endswith(".npy") for name in names):
            raise InputError(f"{path}: is a zip archive of something else; expected {SUPPORTED}")
    else:
        return
    if saved:
        what = "a file of torch (a checkpoint or weights)"
        raise InputError(f"{path}: is {what}, no face model; expected {SUPPORTED}")


def _container(path: Path) -> str | None:
    try:
        with open(path, "rb") as stream:
            head = stream.read(132)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    if head.startswith(b"PK\x03\x04"):
        return "npz"
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "HDF5"
    if head.startswith(b"MATLAB "):
        return "MATLAB"
    # Protocols from 2 on identify themselves; before that, a dict begins with one of these.
    if (head[:1] == b"\x80" and head[1:2] <= b"\x05") or head.startswith((b"(dp", b"(lp", b"ccopy_reg")):
        return "pickle"
    if eos.is_eos(head):
        return "eos"
    # Damage at the start of a file is reported by the reader that its name calls for.
    suffix = path.suffix.lower()
    return next((kind for kind, suffixes in SUFFIXES.items() if head and suffix in suffixes), None)


def _read_npz(path: Path) -> MorphableModel:
    names = npz_names(path)
    if flame.is_flame(names):
        return flame.read_flame(path)
    return gnm.read_gnm(path) if gnm.is_gnm(names) else MorphableModel.load(path)


def _read_npy(path: Path) -> MorphableModel:
    content = read_npy(path)
    if tddfa_v3.is_tddfa_v3(content):
        return tddfa_v3.read_tddfa_v3(path, content)
    names: Any = content if isinstance(content, dict) else {f"an {type(content).__name__}"}
    raise InputError(f"{path}: contains {_some(names)}, not a known face model; expected {SUPPORTED}")


def _read_mat(path: Path) -> MorphableModel:
    names = mat_names(path)
    for fits, read in (
        (bfm2009.is_bfm2009, bfm2009.read_bfm2009),
        (deep3d.is_deep3d, deep3d.read_deep3d),
        (face3d.is_face3d, face3d.read_face3d),
    ):
        if fits(names):
            return read(path)
    raise InputError(f"{path}: contains {_some(names)}, not a known face model; expected {SUPPORTED}")


def _read_pickle(path: Path) -> MorphableModel:
    content = read_model_pickle(path)
    if tddfa_v2.is_tddfa_v2(content):
        return tddfa_v2.read_tddfa_v2(path, content)
    if flame.is_flame(content):
        return flame.read_flame(path, content)
    names: Any = content if isinstance(content, dict) else {type(content).__name__}
    raise InputError(f"{path}: contains {_some(names)}, not a known face model; expected {SUPPORTED}")


def _some(names: Any) -> str:
    return ", ".join(sorted(str(name)[:40] for name in names)[:6]) or "nothing"


READERS: dict[str, Callable[[Path], MorphableModel]] = {
    "npz": _read_npz,
    "HDF5": read_basel_h5,
    "MATLAB": _read_mat,
    "pickle": _read_pickle,
    "eos": eos.read_eos,
    "npy": _read_npy,
}
