"""`twodasl evaluate aflw` and `aflw-lfpa`: 21 and 34 landmarks, of which the visible ones count."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...io.arrays import read_array, read_point_array
from . import inputs as inputs
from . import outputs as outputs

if TYPE_CHECKING:
    from ...datasets.benchmarks.sparse_sets import SparseSet
    from ...morphable import MorphableModel

DESCRIPTION = """\
NME over the visible landmarks of {title}, in 2D, of a file of predictions or of a trained network.
ROOT is {root}.
The output names what the errors are divided by, which points were measured, and everything else that changes
the numbers.
"""
EPILOG = """\
Predictions are a .npy file with a row for each image of the data set, in its order: landmarks (n, L, 2) or
(n, 2, L) in image pixels, L = {counts}; or parameters [3x4 pose | coefficients] of a face model, whitened
unless --unwhitened is given. 68 points give 21 as in 3DDFA's evaluation.
"""
_ROOTS = {
    "aflw": "3DDFA's layout (AFLW_GT_crop.list, AFLW_GT_pts21.npy, ... or names.txt, pts21.npy, ...)",
    "aflw-lfpa": "the folder of Landmark.mat, BoundingBox.mat and TestImages",
}
_TITLES = {"aflw": "AFLW", "aflw-lfpa": "AFLW-LFPA"}
_POINTS = {"aflw": 21, "aflw-lfpa": 34}


def register(sets: Any) -> None:
    """Describe both commands' arguments."""
    from ...datasets.benchmarks import NORMALIZERS

    for name, title in _TITLES.items():
        points = _POINTS[name]
        parser = sets.add_parser(
            name,
            help=f"{title}, {points} landmarks",
            description=DESCRIPTION.format(title=title, root=_ROOTS[name]),
            epilog=EPILOG.format(counts=f"68 or {points}"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        inputs.add_source(parser)
        parser.add_argument(
            "--vertices",
            type=Path,
            metavar="FILE",
            help=f"a .npy of {points} vertex numbers of the face model, the landmarks in order",
        )
        if name == "aflw":
            parser.add_argument(
                "--normalizer",
                choices=NORMALIZERS,
                help="whose box divides (default: points68 where the folder has them, else visible)",
            )
        else:
            parser.add_argument(
                "--yaw", type=Path, metavar="FILE", help="yaw in degrees, .npy or .csv, for the yaw bins"
            )
        inputs.add_prediction_options(parser)
        inputs.add_network_options(parser, "none", "none|FILE")
        outputs.add_outputs(parser)
        parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate, print the report and write the files asked for."""
    return inputs.run_distributed(options, _measure)


def _measure(options: argparse.Namespace) -> int:
    from ...evaluation import Report
    from ...evaluation.landmark_misuse import landmark_warnings
    from ...evaluation.nme import visible_mean_error

    inputs.refuse_options_of_the_other_source(options)
    data = _read(options)
    outputs.check_outputs(options, len(data))
    settings = {"data": f"{data.root}, {len(data)} images"}
    if len(data) < data.total:
        settings["left out"] = f"{data.total - len(data)} images without a visible landmark"
    label, predicted, choices = (_network if options.checkpoint is not None else _predictions)(options, data)
    measured, points, words, notes = _matching(options, data, predicted)
    settings |= {"points": words, "normalizer": data.normalizer_source, "yaw source": data.yaw_source}
    try:
        errors = visible_mean_error(points, measured.truth, measured.normalizer)
    except ValueError as error:
        raise InputError(f"{options.predictions or options.checkpoint}: {error}") from error
    if options.checkpoint is None:
        warnings = landmark_warnings(
            points, measured.truth, measured.normalizer, measured, crop_pixels=options.crop_pixels
        )
        notes = (*notes, *(f"Warning: {words}" for words in warnings))
    metric = "NME: mean distance of the visible landmarks in the image plane over sqrt(w*h) of a box (see"
    report = Report(
        f"{data.title}, {data.point_count} landmarks",
        settings | choices,
        measured.names,
        measured.yaw_degrees,
        {label: errors},
        options.drop_worst,
        f"{metric} normalizer), percent",
        notes,
    )
    truth, drawn = measured.truth, points
    if measured.stored_crops:  # the pictures are the crops
        crops = [measured.crop(i) for i in range(len(measured))]
        truth = np.stack([crop.to_crop(own) for crop, own in zip(crops, truth, strict=True)])
        drawn = np.stack([crop.to_crop(own[:, :2]) for crop, own in zip(crops, drawn, strict=True)])
    return outputs.finish(options, report, measured, truth, drawn)


def _read(options: argparse.Namespace) -> SparseSet:
    from ...datasets.benchmarks.sparse_sets import read_aflw, read_aflw_lfpa
    from ...evaluation.yaw_files import read_yaw

    if options.dataset == "aflw":
        return read_aflw(options.root, options.normalizer)
    data = read_aflw_lfpa(options.root)
    if options.yaw is None:
        return data
    yaw = read_yaw(options.yaw, [str(number) for number in range(1, data.total + 1)])[data.rows]
    return replace(data, yaw_degrees=yaw, yaw_source=str(options.yaw))


def _predictions(
    options: argparse.Namespace, data: SparseSet
) -> tuple[str, NDArray[np.float64], dict[str, str]]:
    """Label, points (n, L, 2 or 3) or, with --vertices, those, and the choices in words."""
    from ...datasets.sparse_basis import SparseBasis
    from ...evaluation.predictions import read_predictions
    from ...morphable import load_model

    basis = whitening = None
    choices: dict[str, str] = {}
    holds_parameters = read_array(options.predictions).ndim == 2
    if options.vertices is not None and not (holds_parameters and options.model is not None):
        raise InputError(
            "--vertices: expected a network, or parameters and the --model whose vertices they are"
        )
    if holds_parameters:
        basis, whitening, choices = inputs.decoder(options, data.root)
    if options.vertices is not None:
        model = load_model(options.model)
        index = _vertex_numbers(options.vertices, data.point_count, model)
        basis = SparseBasis(model.name, model.mean[index].astype(float), model.modes[:, index].astype(float))
    if holds_parameters or options.crop_pixels:
        choices["crops"] = data.box_source
    found = read_predictions(
        options.predictions,
        data,
        basis=basis,
        whitening=whitening,
        crop_pixels=options.crop_pixels,
        counts=(68, data.point_count),
    )
    return "predictions", found.points, {"predictions": found.words, **choices}


def _network(options: argparse.Namespace, data: SparseSet) -> tuple[str, NDArray[np.float64], dict[str, str]]:
    """As `_predictions`."""
    from ...evaluation.network import network_landmarks
    from ...geometry.crops import SIZE
    from ...reconstruction.reconstructor import FaceReconstructor

    landmarks, words = _landmark_input(options.landmarks or "none", data)
    reconstructor = FaceReconstructor(options.checkpoint, options.model, options.device, fit=False)
    index: NDArray[np.int64] | None = None
    if options.vertices is not None:
        index = _vertex_numbers(options.vertices, data.point_count, reconstructor.model)
    boxes = np.tile([0.0, 0.0, SIZE, SIZE], (len(data), 1)) if data.stored_crops else data.boxes
    points = network_landmarks(
        reconstructor,
        data,
        landmarks,
        boxes=boxes,
        refinements=options.refinements,
        indices=index,
        batch_size=options.batch_size,
    )
    if data.stored_crops:
        points = data.crops_to_image(points)
    own = inputs.network_words(options, reconstructor)
    choices = {**own, "landmark input": words, "crops": f"{data.box_source}, made square"}
    return "network", points, choices


def _landmark_input(source: str, data: SparseSet) -> tuple[NDArray[np.float64] | None, str]:
    """The network's landmark input (n, 68, 2) in pixels of the stored pictures, and its description."""
    if source == "none":
        return None, "none (empty landmark map)"
    points = read_point_array(source)
    if len(points) == data.total:
        points = points[data.rows]
    if len(points) != len(data):
        raise InputError(f"{source}: expected a row for each of {len(data)} images, got {len(points)}")
    if data.stored_crops:
        points = np.stack([data.crop(i).to_crop(own) for i, own in enumerate(points)])
    return points, f"the file {source}"


def _vertex_numbers(file: Path, count: int, model: MorphableModel) -> NDArray[np.int64]:
    numbers = read_array(file)
    if numbers.dtype.kind not in "iu" or numbers.shape != (count,):
        raise InputError(
            f"{file}: expected {count} whole numbers, got {numbers.dtype} of shape {numbers.shape}"
        )
    index = np.array(numbers, np.int64)
    if index.min() < 0 or index.max() >= len(model.mean):
        raise InputError(f"{file}: expected vertex numbers 0..{len(model.mean) - 1}, got {index.max()}")
    return index


def _matching(
    options: argparse.Namespace, data: SparseSet, predicted: NDArray[np.float64]
) -> tuple[SparseSet, NDArray[np.float64], str, tuple[str, ...]]:
    """Data set and points of one scheme, a description of the points, and what cannot be measured."""
    from ...evaluation.aflw_points import WORDS, benchmark_21_from_68

    count = data.point_count
    if predicted.shape[1] == count:
        source = f", vertices of {options.vertices}" if options.vertices is not None else ""
        return data, predicted, f"{count}, of which the visible ones count{source}", ()
    points = benchmark_21_from_68(predicted)
    if count == points.shape[1]:
        return data, points, f"{WORDS}; the visible ones count", ()
    known = np.arange(count) < points.shape[1]
    before = int(np.isfinite(data.truth).all(axis=2).sum())
    measured = data.only(known)
    points = points[np.isin(data.rows, measured.rows)]
    after = int(np.isfinite(measured.truth).all(axis=2).sum())
    rest = np.full((len(points), count - points.shape[1], points.shape[2]), np.nan)
    missing = count - points.shape[1]
    note = (
        f"The other {missing} landmarks: not measured, because none of the 68 points is one of them;"
        f" the number is over {after:,} of {before:,} visible points and is not the literature's."
        f" --vertices names the face model's own {count}."
    )
    return measured, np.concatenate([points, rest], axis=1), f"{WORDS}; the visible ones count", (note,)
