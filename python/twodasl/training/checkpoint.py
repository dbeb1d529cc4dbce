"""Checkpoints: one file of plain tensors, numbers and text that holds all a run needs to go on.

A checkpoint is a dictionary written by `torch.save` (a zip archive), read with `weights_only=True` so that
nothing in it is executed:

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
    lengths                            [3D-annotated faces, 2D-only faces]
    rng                                torch's generator state
    history                            logged terms
    recent                             those of the steps since the last entry of the history

It is written beside its final name and renamed when it is on the disk: a killed process leaves the old one.
A file that was cut off or damaged on the way (a full disk, a broken download) is found out by the archive's
directory, which is at its end, and by the checksum of every entry.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..files import atomic_path
from ..morphable import MorphableModel, Whitening
from ..morphable.sketch import same_geometry, sketch
from ..networks import build_regressor
from .config import TrainingConfig

FORMAT, VERSION = "twodasl-checkpoint", 1

_KEYS: dict[str, type] = {
    "config": dict,
    "model_name": str,
    "model_identity": str,
    "model_counts": list,
    "model_sketch": torch.Tensor,
    "whitening": dict,
    "regressor": dict,
    "step": int,
}


def save_checkpoint(path: str | os.PathLike[str], contents: dict[str, Any]) -> None:
    """Write `contents` (see the module's list; format and version are added), atomically."""
    with atomic_path(path) as temporary:
        torch.save({"format": FORMAT, "version": VERSION, **contents}, temporary)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Everything in a checkpoint, on the CPU.

    Raises:
        InputError: the file is missing, cut off, damaged, not a checkpoint, of a newer version, or holds
            pickled code; the message names the file and which of these it is.
    """
    path = Path(path)
    _check_archive(path)
    try:
        contents = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: holds pickled objects beyond tensors, numbers and text, which are never executed;"
            " give a checkpoint written by `twodasl train`"
        ) from error
    except (RuntimeError, KeyError, EOFError, OSError) as error:
        raise InputError(f"{path}: is no twodasl checkpoint; give one written by `twodasl train`") from error
    if not isinstance(contents, dict) or contents.get("format") != FORMAT:
        raise InputError(f"{path}: is no twodasl checkpoint; give one written by `twodasl train`")
    if contents.get("version") != VERSION:
        raise InputError(
            f"{path}: is a checkpoint of version {contents.get('version')!r}, this twodasl reads version"
            f" {VERSION}; use the twodasl that wrote it"
        )
    wrong = [key for key, kind in _KEYS.items() if not isinstance(contents.get(key), kind)]
    if wrong:
        raise InputError(f"{path}: the checkpoint lacks {', '.join(wrong)}; give a whole one")
    return contents


def load_regressor(path: str | os.PathLike[str]) -> tuple[nn.Module, Whitening, dict[str, Any]]:
    """The trained network of a checkpoint, ready to use.

    Returns:
        regressor: in evaluation mode; (B, 4, 120, 120) -> whitened (B, 12+K). Of averaged weights where the
            run averaged them.
        whitening: `whitening.unwhiten(regressor(x))` are the parameters.
        info: the rest of the checkpoint that describes it: `model_name`, `model_identity`, `model_counts`,
            `model_sketch`, `config`, `step`. Call `check_model` before using a face model with it.

    Raises:
        InputError: as `load_checkpoint`, or weights that do not fit the network they claim to be.
    """
    contents = load_checkpoint(path)
    config = TrainingConfig.from_dict(contents["config"], where=str(path))
    try:
        _, shapes, expressions = contents["model_counts"]
        whitening = Whitening(contents["whitening"]["mean"], contents["whitening"]["std"])
        regressor = build_regressor(config.network.regressor, 12 + shapes + expressions)
        regressor.load_state_dict(contents.get("average", contents["regressor"]))
        if len(whitening.mean) != 12 + shapes + expressions:
            raise ValueError("whitening")
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: the checkpoint's weights do not fit the network it names,"
            f" {config.network.regressor!r} for {contents['model_counts']} vertices, shapes, expressions"
        ) from error
    keys = ("model_name", "model_identity", "model_counts", "model_sketch", "config", "step")
    return regressor.eval(), whitening, {key: contents[key] for key in keys}


def check_model(path: str | os.PathLike[str], info: dict[str, Any], model: MorphableModel) -> None:
    """Raises InputError, naming both, when a checkpoint belongs to another face model than `model`.

    The same bits are the same model; so is the same geometry to within rounding, because the embedded head is
    computed on each machine anew.

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


def _check_archive(path: Path) -> None:
    """Raises InputError unless the file is a whole zip archive whose entries match their checksums."""
    try:
        with open(path, "rb") as file:
            magic = file.read(4)
        if magic != b"PK\x03\x04":
            what = "is empty" if not magic else "is no twodasl checkpoint"
            raise InputError(f"{path}: {what}; give one written by `twodasl train`")
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be read ({reason}); give a checkpoint file") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path}: the checkpoint is truncated or damaged; copy it again, or use another one"
        ) from error
    if damaged is not None:
        raise InputError(f"{path}: the checkpoint is damaged ({damaged}); copy it again, or use another one")
