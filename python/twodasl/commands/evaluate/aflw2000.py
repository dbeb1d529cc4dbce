"""`twodasl evaluate aflw2000`: sparse and dense alignment on AFLW2000-3D."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...io.arrays import read_array, read_point_array
from . import inputs as inputs
from . import outputs as outputs

if TYPE_CHECKING:
    from ...datasets.benchmarks.aflw2000 import Aflw2000
    from ...evaluation.dense import DenseTruth
    from ...evaluation.pose import PoseErrors
    from ...morphable import MorphableModel
    from ...reconstruction.reconstructor import Reconstruction

DESCRIPTION = """\
NME on AFLW2000-3D, of a file of predictions or of a trained network: of 68 landmarks in 2D and, where the
predictions have a depth, in 3D; of all vertices, where the face model is of the data set's basis. ROOT is the
data set's own folder (image*.jpg, image*.mat) or a development folder (names.txt, pts68.npy, ...). The output
names the ground truth, the yaw source, the averaging and everything else that changes the numbers.
"""
EPILOG = """\
Predictions are a .npy file with a row for each image, in name order: landmarks (n, 68, 2 or 3) or
(n, 2 or 3, 68) in image pixels, or parameters [3x4 pose | coefficients] of a face model, whitened unless
--unwhitened is given. Without --basis-dir and --model, parameters are decoded with the folder bfm_landmarks
in ROOT or beside it.
"""


@dataclass(eq=False)
class Measured:
    """Of one source: label, landmarks (n, 68, 2 or 3), choices in words, dense NME (n, 2) and notes."""

    label: str
    points: NDArray[np.float64]
    choices: dict[str, str]
    dense: NDArray[np.float64] | None = None
    unfitted: NDArray[np.float64] | None = None
    """With --fit: the network's own landmarks."""
    angles: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    """Of some rows (n, 3) pitch, yaw, roll in degrees."""
    notes: list[str] = field(default_factory=list)


def register(sets: Any) -> None:
    """Describe the command's arguments."""
    parser = sets.add_parser(
        "aflw2000",
        help="AFLW2000-3D",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inputs.add_source(parser)
    parser.add_argument(
        "--ground-truth",
        default="original",
        metavar="original|reannotated|FILE",
        help="which landmarks are the truth (default: original)",
    )
    parser.add_argument(
        "--keep-undetected",
        action="store_true",
        help="keep images 1082 and 1799 of the whole set, which the literature leaves out",
    )
    group = inputs.add_prediction_options(parser)
    group.add_argument(
        "--dense-model",
        metavar="MODEL",
        help="the whole face model of which the basis folder holds the landmarks, for the dense NMEs",
    )
    group = inputs.add_network_options(parser, "detected", "detected|ground-truth|none|FILE")
    group.add_argument(
        "--crops",
        choices=("data", "landmarks"),
        default="data",
        help="crop by the data set's boxes (default) or around the landmark input",
    )
    group.add_argument(
        "--fit",
        action="store_true",
        help="also fit the face model to the landmark input and the network's own points, and show both rows",
    )
    group.add_argument(
        "--points",
        choices=("auto", "ibug", "basel"),
        default="auto",
        help="the face model's vertices that stand for the 68 points: where people see them (ibug), or where"
        " the data set's own annotation, vertices of the Basel model, has them (basel); auto (default):"
        " basel against the original annotation where the face model knows them, else ibug",
    )
    outputs.add_outputs(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate, print the report and write the files asked for."""
    return inputs.run_distributed(options, _measure)


def _measure(options: argparse.Namespace) -> int:
    from ...datasets.benchmarks.aflw2000 import WHOLE, read_aflw2000
    from ...evaluation import Report, normalized_mean_error
    from ...evaluation.landmark_misuse import landmark_warnings

    inputs.refuse_options_of_the_other_source(options)
    data = read_aflw2000(options.root, options.ground_truth, keep_undetected=options.keep_undetected)
    outputs.check_outputs(options, len(data))
    settings = {"data": f"{data.root} ({data.layout}), {len(data)} images"}
    if data.dropped:
        settings["left out"] = (
            f"{' and '.join(data.dropped)} (no face detected; --keep-undetected keeps them)"
        )
    settings["ground truth"] = f"{data.truth_source}; 68 points, image pixels"
    settings["yaw source"] = data.yaw_source
    measured = (_network if options.checkpoint is not None else _predictions)(options, data)
    errors = {measured.label: normalized_mean_error(measured.points, data.truth)}
    if measured.unfitted is not None:
        errors["network"] = normalized_mean_error(measured.unfitted, data.truth)
    if options.checkpoint is None:
        size = np.sqrt(np.ptp(data.truth, axis=1).prod(axis=1))
        warnings = landmark_warnings(measured.points, data.truth, size, data, crop_pixels=options.crop_pixels)
        measured.notes += [f"Warning: {words}" for words in warnings]
    if data.depth is None:
        measured.notes.append("3D: not measured, because this ground truth has no depth.")
    elif measured.points.shape[2] < 3:
        measured.notes.append("3D: not measured, because these predictions have no depth.")
    else:
        truth = np.concatenate([data.truth, data.depth[..., None]], axis=2)
        errors[f"{measured.label}, 3D"] = normalized_mean_error(measured.points, truth, space="3d")
    if measured.dense is not None:
        for column, words in enumerate(("dense 2D", "dense 3D")):
            errors[f"{measured.label}, {words}"] = measured.dense[:, column]
    if data.detected is not None:
        errors["detected landmarks"] = normalized_mean_error(data.detected, data.truth)
    part = "" if data.total == WHOLE else f", {data.total} of its {WHOLE:,} images"
    report = Report(
        f"AFLW2000-3D{part}",
        settings | measured.choices | _spaces(measured, len(errors)),
        data.names,
        data.yaw_degrees,
        errors,
        options.drop_worst,
        notes=tuple(measured.notes),
        pose=_pose(measured, data),
    )
    return outputs.finish(options, report, data, data.truth, measured.points)


def _pose(measured: Measured, data: Aflw2000) -> dict[str, PoseErrors]:
    from ...evaluation.pose import pose_errors

    if data.angles is None:
        return {}
    found = {label: pose_errors(angles, data.angles) for label, angles in measured.angles.items()}
    return {label: errors for label, errors in found.items() if errors is not None}


def _spaces(measured: Measured, rows: int) -> dict[str, str]:
    words = "distances in the image plane"
    if rows > 1:
        words += "; rows with 3D: in space, z of truth and prediction starting at 0"
    if measured.dense is not None:
        words += "; dense rows: all vertices, over the same box of 68 points"
    return {"distances": words}


def _predictions(options: argparse.Namespace, data: Aflw2000) -> Measured:
    import torch

    from ...evaluation.predictions import read_predictions
    from ...geometry.pose import decompose_pose

    basis = whitening = None
    choices: dict[str, str] = {}
    holds_parameters = read_array(options.predictions).ndim == 2
    if holds_parameters:
        basis, whitening, choices = inputs.decoder(options, data.root)
        choices["crops"] = data.box_source
    elif options.crop_pixels:
        choices["crops"] = data.box_source
    found = read_predictions(
        options.predictions, data, basis=basis, whitening=whitening, crop_pixels=options.crop_pixels
    )
    measured = Measured("predictions", found.points, {"predictions": found.words, **choices})
    if found.parameters is None:
        measured.notes.append("Dense: not measured, because a file of landmarks has no vertices.")
        return measured
    poses = torch.from_numpy(np.asarray(found.parameters[:, :12], np.float64)).reshape(-1, 3, 4)
    measured.angles["predictions"] = np.degrees(decompose_pose(poses)[1].numpy())
    _measure_dense_predictions(options, data, found.parameters, measured)
    return measured


def _measure_dense_predictions(
    options: argparse.Namespace, data: Aflw2000, parameters: NDArray[np.float64], measured: Measured
) -> None:
    from ...datasets.basel import read_raw_basis
    from ...evaluation.predictions import find_basis_folder
    from ...morphable import load_model

    if options.dense_model is None and options.model is None:
        measured.notes.append(
            "Dense: not measured, because the basis folder holds 68 landmarks only; --dense-model names the"
            " whole model (3DDFA's folder, or BFM 2009)."
        )
        return
    if options.dense_model is not None and options.model is not None:
        raise InputError("--dense-model, --model: expected one of them, got both")
    model = load_model(options.dense_model or options.model)
    truth = _dense_truth(options, data, model, options.dense_model or options.model, measured)
    if truth is None:
        return
    if options.dense_model is not None:
        folder = options.basis_dir or find_basis_folder(data.root)
        assert folder is not None  # the predictions were decoded with it
        parameters = np.asarray(read_raw_basis(folder).conversion(model).parameters(parameters), np.float64)
    measured.dense = truth.parameter_errors(parameters, data)


def _dense_truth(
    options: argparse.Namespace,
    data: Aflw2000,
    model: MorphableModel,
    source: str | None,
    measured: Measured,
) -> DenseTruth | None:
    """The true vertices, or None and a sentence in the notes that says why there are none.

    A model named for this by the user must be of the basis; then a mismatch is an error.
    """
    from ...datasets.basel import is_raw_basis, read_raw_basis
    from ...evaluation.dense import read_dense_truth
    from ...evaluation.predictions import find_basis_folder

    places = [source, getattr(options, "basis_dir", None), find_basis_folder(data.root)]
    folder = next((place for place in places if place is not None and is_raw_basis(place)), None)
    try:
        if folder is None:
            raise InputError(
                "no folder with 3DDFA's basis at its landmarks (u_base.txt, ...) was given by --basis-dir or"
                " found as bfm_landmarks in the root or beside it"
            )
        truth = read_dense_truth(data, read_raw_basis(folder), model)
    except InputError as error:
        if getattr(options, "dense_model", None) is not None:
            raise
        measured.notes.append(f"Dense: not measured, because {error}.")
        return None
    measured.choices["dense truth"] = (
        f"vertices of {model.name} ({len(model.mean)}) by the data set's parameters, 40 of its shapes and"
        f" 10 of its expressions; at the 68 landmarks {100 * truth.cut:.2f} % from the annotated ones"
    )
    return truth


def _network(options: argparse.Namespace, data: Aflw2000) -> Measured:
    from ...evaluation.network import from_all, network_landmarks
    from ...reconstruction.reconstructor import FaceReconstructor

    landmarks, words = _landmark_input(options.landmarks or "detected", data)
    boxes: NDArray[np.float64] | None = data.boxes
    crops = f"{data.box_source}, made square"
    if options.crops == "landmarks":
        if landmarks is None:
            raise InputError("--crops landmarks: expected landmarks to crop around, got --landmarks none")
        boxes, crops = None, "squares around the landmark input"
    reconstructor = FaceReconstructor(options.checkpoint, options.model, options.device, fit=options.fit)
    if options.fit and landmarks is None and not reconstructor.network.has_points:
        raise InputError(
            "--fit: expected landmarks to fit to, or a network with points of its own, got neither"
        )
    indices, points = _points(options, reconstructor.model)
    own = inputs.network_words(options, reconstructor)
    choices = {**own, "points": points, "landmark input": words, "crops": crops}
    measured = Measured("network and fit" if options.fit else "network", data.truth, choices)
    truth = _dense_truth(options, data, reconstructor.model, options.model, measured)
    dense, angles, unfitted = np.zeros((len(data), 2)), np.zeros((len(data), 3)), np.zeros((len(data), 3))

    def visit(row: int, face: Reconstruction) -> None:
        angles[row] = face.angles
        if truth is not None:
            dense[row] = truth.errors(range(row, row + 1), face.vertices[None])[0]

    measured.points = network_landmarks(
        reconstructor,
        data,
        landmarks,
        boxes=boxes,
        refinements=options.refinements,
        indices=indices,
        batch_size=options.batch_size,
        visit=visit,
    )
    measured.dense = None if truth is None else from_all(dense)
    measured.angles[measured.label] = from_all(angles)
    if options.fit:

        def visit_unfitted(row: int, face: Reconstruction) -> None:
            unfitted[row] = face.angles

        measured.unfitted = network_landmarks(
            FaceReconstructor(options.checkpoint, options.model, options.device, fit=False),
            data,
            landmarks,
            boxes=boxes,
            refinements=options.refinements,
            indices=indices,
            batch_size=options.batch_size,
            visit=visit_unfitted,
        )
        measured.angles["network"] = from_all(unfitted)
    return measured


def _points(options: argparse.Namespace, model: MorphableModel) -> tuple[NDArray[np.int64] | None, str]:
    """The vertices that stand for the 68 points and their name; None: the face model's `landmarks`."""
    if options.points == "basel" and model.basel_landmarks is None:
        raise InputError(
            f"--points basel: the face model {model.name} does not say which vertices these are; use ibug"
        )
    basel = options.points == "basel" or (options.points == "auto" and options.ground_truth == "original")
    if basel and model.basel_landmarks is not None:
        return model.basel_landmarks, "basel: the vertices nearest to those of the annotation's face model"
    return None, "ibug: the face model's 68 landmarks"


def _landmark_input(source: str, data: Aflw2000) -> tuple[NDArray[np.float64] | None, str]:
    """The network's landmark input (n, 68, 2) in image pixels, and a description of its source."""
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
