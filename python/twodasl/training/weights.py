"""Weights to give away: a network without what only its training needs, in two files that belong together.

    NAME.safetensors   the regressor's tensors (matrices in half precision), mean and std of the whitening,
                       and the face model's sketch
    NAME.json          everything else that a checkpoint says of itself, the priors of the fit, how sure a
                       face is, and what its maker says of it: data, license, figures

Some megabytes instead of some fifty. `twodasl.weights` holds those that come with the package; they are read
as any other file: nothing in them is executed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor

from ..arguments import path_of
from ..errors import InputError, reading
from ..io.files import regular_file, write_together
from ..weights import SUFFIX
from .confidence import Calibration
from .config import TrainingConfig
from .layout import check_layout
from .priors import FitPriors

FORMAT, VERSION = "twodasl-weights", 1
_ADVICE = "give one written by `twodasl weights export`"
_PREFIX = "regressor."
_LARGEST_JSON = 1 << 20
# What a JSON file takes from a checkpoint as it is.
_PLAIN = ("model_name", "model_identity", "model_counts", "step")


def save_weights(
    path: str | os.PathLike[str],
    contents: dict[str, Any],
    priors: FitPriors,
    about: dict[str, Any],
    confidence: Calibration | None = None,
) -> list[Path]:
    """Write the network of a checkpoint as weights; the two files.

    Args:
        path: of the tensors, NAME.safetensors; the JSON file lies beside it.
        contents: what `load_checkpoint` gave. Averaged weights are taken where there are some.
        priors: see `priors.measure_priors`.
        about: what else to say, as JSON's values.
        confidence: see `reconstruction.confidence_measure`; None: faces get no confidence.

    Raises InputError for another suffix, for more to say than `read_weights` reads, or where a file cannot be
    written.
    """
    from safetensors.torch import save

    file, side = weights_targets(path)
    state = contents.get("average", contents["regressor"])
    tensors = {f"{_PREFIX}{name}": _halved(value) for name, value in state.items()}
    tensors |= {f"whitening.{name}": contents["whitening"][name].float() for name in ("mean", "std")}
    tensors["model_sketch"] = contents["model_sketch"]
    head = {
        "format": FORMAT,
        "version": VERSION,
        **{key: contents[key] for key in _PLAIN},
        "model_name": _last(contents["model_name"]),
        "priors": priors.to_dict(),
        **({} if confidence is None else {"confidence": confidence.to_dict()}),
        "about": about,
        "config": _without_folders(contents["config"]),
    }
    text = json.dumps(head, indent=1, ensure_ascii=False) + "\n"
    if (size := len(text.encode())) > _LARGEST_JSON:
        raise InputError(
            f"{side}: expected at most {_LARGEST_JSON:,} bytes, got {size:,}; say less about them"
        )
    files: dict[Path, str | bytes] = {
        file: save({k: v.contiguous() for k, v in tensors.items()}),
        side: text,
    }
    write_together(files)
    return list(files)


def weights_targets(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Both files of weights to write, for the name of the tensors'. Raises InputError for another suffix."""
    file = path_of(path, "a file to write")
    if file.suffix != SUFFIX:
        raise InputError(f"{path}: expected a file named NAME{SUFFIX}")
    return file, file.with_suffix(".json")


def read_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What weights hold, as `load_checkpoint` gives a checkpoint, with `priors`, `confidence` and `about`.

    `confidence` is None for weights without it.

    Raises InputError naming the file, when one of the two is missing, damaged or of another kind.
    """
    from safetensors.torch import load

    file = regular_file(path, "weights of a network")
    with reading(file, "weights of a network", _ADVICE):
        tensors = load(file.read_bytes())
    side = regular_file(file.with_suffix(".json"), f"the JSON file that belongs to {file.name}")
    if side.stat().st_size > _LARGEST_JSON:
        raise InputError(f"{side}: expected at most {_LARGEST_JSON:,} bytes; {_ADVICE}")
    with reading(side, "the JSON file beside weights", _ADVICE):
        head = json.loads(side.read_text(encoding="utf-8-sig"))  # an editor may have put a mark before it
    if not isinstance(head, dict) or head.get("format") != FORMAT or head.get("version") != VERSION:
        raise InputError(f"{side}: expected {FORMAT}, version {VERSION}; {_ADVICE}")
    whitening = {name: tensors.get(f"whitening.{name}") for name in ("mean", "std")}
    state = {k.removeprefix(_PREFIX): _single(v) for k, v in tensors.items() if k.startswith(_PREFIX)}
    contents: dict[str, Any] = {
        **{key: head.get(key) for key in (*_PLAIN, "config")},
        "whitening": whitening,
        "model_sketch": tensors.get("model_sketch"),
        "regressor": state,
    }
    check_layout(file, contents, "file of weights")
    _, shapes, expressions = contents["model_counts"]
    contents["priors"] = FitPriors.from_dict(head.get("priors"), shapes + expressions, str(side))
    sure = head.get("confidence")
    contents["confidence"] = None if sure is None else Calibration.from_dict(sure, str(side))
    about = head.get("about")
    contents["about"] = about if isinstance(about, dict) else {}
    return contents


def _halved(value: Tensor) -> Tensor:
    """Matrices and kernels in half precision; vectors, some of which are tiny variances, as they are.

    So is what half precision cannot hold.
    """
    if value.ndim < 2 or not value.is_floating_point():
        return value
    half = value.half()
    return half if bool(torch.isfinite(half).all()) else value


def _single(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _without_folders(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without where its files lay: that tells more of a machine than of a network."""
    plain = TrainingConfig.from_dict(config).to_dict()
    data = plain["data"]
    for key in ("photo_source", "face_source"):
        data[key] = _without_folder(data[key])
    data["fitted_source"] = ",".join(map(_without_folder, data["fitted_source"].split(",")))
    data["model"] = _last(data["model"])
    data["cache"] = data["basis"] = ""
    plain["network"]["start"] = _last(plain["network"]["start"])
    return plain


def _without_folder(source: str) -> str:
    """`KIND:FOLDER` with the last name of the folder alone; `.` of one that has no name."""
    kind, colon, root = source.partition(":")
    return f"{kind}{colon}{_last(root) or '.'}" if colon else ""


def _last(path: str) -> str:
    """The last name of a path; empty where there is none."""
    return PurePath(path.replace("\\", "/")).name
