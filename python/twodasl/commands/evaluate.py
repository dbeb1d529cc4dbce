"""`twodasl evaluate`: alignment errors on a data set, with every choice that changes the number named."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import read_array, read_point_array
from ..errors import InputError

if TYPE_CHECKING:
    from ..data.aflw2000 import Aflw2000
    from ..evaluation.sparse_basis import SparseBasis
    from ..morphable import MorphableModel
    from ..morphable.parameters import Whitening

# Each source's own options and their defaults.
_APPLIES_WITH: dict[str, tuple[str, object]] = {
    "basis_dir": ("--predictions", None),
    "whitening": ("--predictions", None),
    "unwhitened": ("--predictions", False),
    "crop_pixels": ("--predictions", False),
    "landmarks": ("--checkpoint", "detected"),
    "crops": ("--checkpoint", "data"),
    "refinements": ("--checkpoint", None),
    "points": ("--checkpoint", "auto"),
}

Measured = tuple[str, NDArray[np.float64], dict[str, str]]

DESCRIPTION = """\
NME of 68 landmarks on AFLW2000-3D, of a file of predictions or of a trained network. ROOT is the data set's
own folder (image*.jpg, image*.mat) or a development folder (names.txt, pts68.npy, ...). The output names the
ground truth, the yaw source, the averaging and everything else that changes the numbers.
"""
EPILOG = """\
Predictions are a .npy file with a row for each image, in name order: landmarks (n, 68, 2) or (n, 2, 68) in
image pixels, or parameters [3x4 pose | coefficients] of a face model, whitened unless --unwhitened is given.
Without --basis-dir and --model, parameters are decoded with the folder bfm_landmarks in ROOT or beside it.
"""


def register(subparsers: Any) -> None:
    """Describe the command's arguments."""
    from . import evaluate_reconstruction

    parser = subparsers.add_parser("evaluate", help="measure alignment and reconstruction errors")
    sets = parser.add_subparsers(dest="dataset", metavar="DATASET", required=True)
    evaluate_reconstruction.register(sets)
    aflw = sets.add_parser(
        "aflw2000",
        help="AFLW2000-3D",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    aflw.add_argument("--root", required=True, type=Path, help="folder of the data set")
    source = aflw.add_mutually_exclusive_group(required=True)
    source.add_argument("--predictions", type=Path, metavar="FILE", help="predictions, a .npy file")
    source.add_argument("-c", "--checkpoint", type=Path, metavar="C", help="a trained network")
    aflw.add_argument(
        "--ground-truth",
        default="original",
        metavar="original|reannotated|FILE",
        help="which landmarks are the truth (default: original)",
    )
    aflw.add_argument(
        "--keep-undetected",
        action="store_true",
        help="keep images 1082 and 1799 of the whole set, which the literature leaves out",
    )
    _register_predictions(aflw.add_argument_group("with --predictions"))
    _register_checkpoint(aflw.add_argument_group("with --checkpoint"))
    aflw.add_argument("-m", "--model", metavar="M", help="face model: procedural, a .npz file or a folder")
    aflw.add_argument("--json", type=Path, metavar="OUT", help="write the results as JSON")
    aflw.add_argument("--csv", type=Path, metavar="OUT", help="write a line an image as CSV")
    aflw.add_argument("--worst", type=_count, default=0, metavar="N", help="also list the N worst images")
    aflw.set_defaults(run=run_aflw2000)


def _register_predictions(group: Any) -> None:
    group.add_argument(
        "--basis-dir", type=Path, metavar="DIR", help="folder with u_base.txt, w_shp_base.txt, ..."
    )
    group.add_argument(
        "--whitening",
        type=Path,
        metavar="FILE",
        help="mean and std (default: param_whitening.pkl beside the basis)",
    )
    group.add_argument("--unwhitened", action="store_true", help="the parameters are not whitened")
    group.add_argument("--crop-pixels", action="store_true", help="the landmarks are in crop pixels")


def _register_checkpoint(group: Any) -> None:
    group.add_argument(
        "--landmarks",
        metavar="detected|ground-truth|none|FILE",
        default="detected",
        help="the network's landmark input (default: detected; FILE: a .npy of landmarks in image pixels)",
    )
    group.add_argument(
        "--crops",
        choices=("data", "landmarks"),
        default="data",
        help="crop by the data set's boxes (default) or around the landmark input",
    )
    group.add_argument("--refinements", type=_count, metavar="N", help="as `twodasl reconstruct` takes it")
    group.add_argument(
        "--points",
        choices=("auto", "ibug", "basel"),
        default="auto",
        help="the face model's vertices that stand for the 68 points: where people see them (ibug), or where"
        " the data set's own annotation, vertices of the Basel model, has them (basel); auto (default):"
        " basel against the original annotation where the face model knows them, else ibug",
    )
    group.add_argument("--batch-size", type=_positive, default=32, metavar="N", help="default: 32")
    group.add_argument("--device", default="cpu", help="cpu (default) or cuda")


def run_aflw2000(options: argparse.Namespace) -> int:
    """Evaluate, print the report and write the files asked for."""
    from ..data.aflw2000 import WHOLE, read_aflw2000
    from ..evaluation import Report, format_report, normalized_mean_error, write_csv, write_json

    _refuse_options_of_the_other_source(options)
    data = read_aflw2000(options.root, options.ground_truth, keep_undetected=options.keep_undetected)
    settings = {"data": f"{data.root} ({data.layout}), {len(data)} images"}
    if data.dropped:
        settings["left out"] = (
            f"{' and '.join(data.dropped)} (no face detected; --keep-undetected keeps them)"
        )
    settings["ground truth"] = f"{data.truth_source}; 68 points, x and y, image pixels"
    settings["yaw source"] = data.yaw_source
    measure = _network_points if options.checkpoint is not None else _predicted_points
    label, found, choices = measure(options, data)
    errors = {label: normalized_mean_error(found, data.truth)}
    if data.detected is not None:
        errors["detected landmarks"] = normalized_mean_error(data.detected, data.truth)
    part = "" if data.total == WHOLE else f", {data.total} of its {WHOLE:,} images"
    report = Report(f"AFLW2000-3D{part}", settings | choices, data.names, data.yaw_degrees, errors)
    print(format_report(report, options.worst))
    if options.json is not None:
        write_json(options.json, report)
    if options.csv is not None:
        write_csv(options.csv, report)
    return 0


def _predicted_points(options: argparse.Namespace, data: Aflw2000) -> Measured:
    """Label, landmarks (n, 68, 2) and the choices made for --predictions."""
    from ..evaluation.predictions import read_predictions

    basis = whitening = None
    choices: dict[str, str] = {}
    if read_array(options.predictions).ndim == 2:
        basis, whitening, choices = _decoder(options, data.root)
        choices["crops"] = data.box_source
    elif options.crop_pixels:
        choices["crops"] = data.box_source
    found, words = read_predictions(
        options.predictions, data, basis=basis, whitening=whitening, crop_pixels=options.crop_pixels
    )
    return "predictions", found, {"predictions": words, **choices}


def _decoder(
    options: argparse.Namespace, root: Path
) -> tuple[SparseBasis | None, Whitening | None, dict[str, str]]:
    """The face model that predicted parameters belong to, their whitening, and words on both."""
    from ..evaluation.predictions import find_basis_folder
    from ..evaluation.sparse_basis import WHITENING_FILE, SparseBasis, read_sparse_basis, read_whitening
    from ..morphable import load_model

    if options.basis_dir is not None and options.model is not None:
        raise InputError("--basis-dir, --model: expected one of them, got both")
    folder = options.basis_dir
    if options.model is not None:
        basis = SparseBasis.from_model(load_model(options.model))
    else:
        folder = folder or find_basis_folder(root)
        if folder is None:
            return None, None, {}
        basis = read_sparse_basis(folder)
    words = {"decoded with": basis.name}
    if options.unwhitened:
        return basis, None, words | {"whitening": "none (--unwhitened)"}
    file = options.whitening or (folder / WHITENING_FILE if folder is not None else None)
    if file is None:
        raise InputError("--model: expected --whitening FILE or --unwhitened with it, got neither")
    return basis, read_whitening(file), words | {"whitening": str(file)}


def _network_points(options: argparse.Namespace, data: Aflw2000) -> Measured:
    """Label, landmarks (n, 68, 2) and the choices made for --checkpoint."""
    from ..evaluation.network import network_landmarks
    from ..reconstruct import FaceReconstructor

    landmarks, words = _landmark_input(options.landmarks, data)
    boxes: NDArray[np.float64] | None = data.boxes
    crops = f"{data.box_source}, made square"
    if options.crops == "landmarks":
        if landmarks is None:
            raise InputError("--crops landmarks: expected landmarks to crop around, got --landmarks none")
        boxes, crops = None, "squares around the landmark input"
    reconstructor = FaceReconstructor(options.checkpoint, options.model, options.device)
    model = reconstructor.model
    indices, points = _points(options, model)
    found = network_landmarks(
        reconstructor,
        data,
        landmarks,
        boxes=boxes,
        refinements=options.refinements,
        indices=indices,
        batch_size=options.batch_size,
    )
    shown = "default" if options.refinements is None else str(options.refinements)
    choices = {
        "network": f"{options.checkpoint}, step {reconstructor.info.get('step', 'unknown')}",
        "face model": f"{model.name} ({'/'.join(map(str, model.counts))} vertices/shapes/expressions)",
        "points": points,
        "landmark input": words,
        "crops": crops,
        "refinements": f"{shown} (0 with landmarks, 1 without, unless given)",
    }
    return "network", found, choices


def _points(options: argparse.Namespace, model: MorphableModel) -> tuple[NDArray[np.int64] | None, str]:
    """The vertices that stand for the 68 points, None for the face model's `landmarks`, and words on them."""
    if options.points == "basel" and model.basel_landmarks is None:
        raise InputError(
            f"--points basel: the face model {model.name} does not say which vertices these are; use ibug"
        )
    basel = options.points == "basel" or (options.points == "auto" and options.ground_truth == "original")
    if basel and model.basel_landmarks is not None:
        return model.basel_landmarks, "basel: the vertices nearest to those of the annotation's face model"
    return None, "ibug: the face model's 68 landmarks"


def _landmark_input(source: str, data: Aflw2000) -> tuple[NDArray[np.float64] | None, str]:
    """The network's landmark input (n, 68, 2) in image pixels, and words on where it comes from."""
    if source == "none":
        return None, "none (empty landmark map)"
    if source == "ground-truth":
        return data.truth, "the ground truth itself (not a fair measurement)"
    if source == "detected":
        if data.detected is None:
            raise InputError(
                f"{data.root}: has no detected landmarks; give --landmarks a .npy file of them, ground-truth"
                " or none"
            )
        return data.detected, "detected (detected68_crop120.npy)"
    points = read_point_array(source)
    if len(points) == data.total:
        points = points[data.rows]
    if len(points) != len(data):
        raise InputError(f"{source}: expected a row for each of {len(data)} images, got {len(points)}")
    return points, f"the file {source}"


def _refuse_options_of_the_other_source(options: argparse.Namespace) -> None:
    """An option that would change nothing is a misunderstanding, and misunderstood numbers get published."""
    other = "--predictions" if options.checkpoint is not None else "--checkpoint"
    for name, (source, default) in _APPLIES_WITH.items():
        if source == other and getattr(options, name) != default:
            raise InputError(
                f"--{name.replace('_', '-')}: has a meaning only with {source}, which is not given"
            )


def _count(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)
