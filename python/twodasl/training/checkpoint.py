"""Checkpoints: one file of plain tensors, numbers and text that holds all a run needs to go on.

A checkpoint is a dictionary written by `torch.save` (a zip archive). It is read as data, see
`torch_files.py`: nothing in it is executed, and nothing is larger in memory than in the file.

    format, version                    "twodasl-checkpoint", 1
    config                             TrainingConfig.to_dict()
    model_name, model_identity,        the face model that the parameters belong to
    model_counts, model_sketch         [N, Ks, Ke]; (1+K, 8, 3) float64, see `morphable/sketch.py`
    whitening                          {"mean", "std"}, (12+K,) float32
    regressor, encoder, critic         state dicts
    average                            state dict of the regressor's averaged weights, where there is one
    optimizers                         {"regressor", "critic"} state dicts
    scaler                             state dict of the loss scale; empty but for float16
    step, epoch                        steps done; the data order is a function of seed and step alone
    lengths                            [3D-annotated faces, 2D-only faces], and of fitted photos, if any
    rng                                torch's generator state
    history                            logged terms
    recent                             those of the steps since the last entry of the history

It is written beside its final name and renamed when it is on the disk: a killed process leaves the old one.
A file that was cut off or damaged on the way (a full disk, a broken download) is found out by the archive's
directory, which is at its end, and by the checksum of every entry; parts that are not what they should be, by
`layout.py`, before anything uses them.
"""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..io.files import atomic_path
from ..io.torch_files import read_saved
from ..morphable import MorphableModel
from ..morphable.sketch import same_geometry, sketch
from .layout import check_layout

FORMAT, VERSION = "twodasl-checkpoint", 1
# For messages.
WHAT, ADVICE = "a twodasl checkpoint", "give one written by `twodasl train`"


def save_checkpoint(path: str | os.PathLike[str], contents: dict[str, Any]) -> None:
    """Write `contents` (see the module's list; format and version are added), atomically.

    Raises InputError when the file cannot be written.
    """
    # In memory first: what torch says when it cannot write a file is no OSError, and names neither.
    archive = io.BytesIO()
    torch.save(_pythons({"format": FORMAT, "version": VERSION, **contents}), archive)
    with atomic_path(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def _pythons(value: Any) -> Any:
    """The same with Python's numbers and text for NumPy's, of which a pickle holds more than plain data."""
    if type(value) is dict:
        return {_pythons(key): _pythons(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_pythons, value))
    return value.item() if isinstance(value, np.generic) else value


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Everything in a checkpoint, on the CPU.

    Raises:
        InputError: the file is missing, cut off, damaged, not a checkpoint, of a newer version, or holds
            pickled code; the message names the file and which of these it is.
    """
    return checked(path, read_saved(path, WHAT, ADVICE))


def checked(path: str | os.PathLike[str], contents: Any) -> dict[str, Any]:
    """What was read from `path`, once it is known to be a whole checkpoint; InputError otherwise."""
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise InputError(f"{path}: is not {WHAT}; {ADVICE}")
    version = contents.get("version")
    if type(version) is not int or version != VERSION:
        raise InputError(
            f"{path}: is a checkpoint of version {version!r:.40}, this twodasl reads version"
            f" {VERSION}; use the twodasl that wrote it"
        )
    check_layout(path, contents)
    return contents


def check_model(path: str | os.PathLike[str], info: dict[str, Any], model: MorphableModel) -> None:
    """Raises InputError, naming both, when a checkpoint belongs to another face model than `model`.

    The same bits are the same model; so is the same geometry to within rounding, because a model that was
    converted or computed has other last bits on another machine.

    info: what `load_checkpoint` or `load_regressor` gave for `path`.
    """
    if info["model_identity"] == model.identity:
        return
    same_counts = list(info["model_counts"]) == list(model.counts)
    if same_counts and same_geometry(info["model_sketch"].numpy(), sketch(model)):
        return
    raise InputError(
        f"{path}: was trained for the face model {_describe(info['model_name'], info['model_counts'])},"
        f" identity {info['model_identity'][:12]}, got {_describe(model.name, model.counts)}, identity"
        f" {model.identity[:12]}; give the model it was trained for"
    )


def _describe(name: str, counts: Any) -> str:
    return f"{name!r} ({'/'.join(map(str, counts))} vertices/shapes/expressions)"
