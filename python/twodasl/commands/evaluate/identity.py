"""`twodasl evaluate identity`: whether reconstructed shapes tell people apart."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..arguments import add_checkpoint, add_device, add_model, positive_int
from . import tables

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...datasets.benchmarks.people import People
    from ...morphable import MorphableModel

DESCRIPTION = """\
Whether shapes tell people apart: area under the curve of same against different people, how often the nearest
photo is one of the same person, and how far the neutral meshes of two people are apart. Of a network's shape
coefficients, or of a file of them. Two distances are measured: the angle between coefficients, the mean of
all photos taken off, and the length of their difference.
"""
EPILOG = """\
ROOT: a CSV file with the columns image and person (photos in the folder images beside it, or beside it), a
folder with such a file called faces.csv, or a folder with a folder of photos for each person. Landmarks are
those of pts68.npy beside the list, where it is, else a detector finds the faces. A photo without a face is
left out and named; it is an error when more than half of them are.
"""
_BROKEN = 0.5
_ITEMS = "photos"


def register(sets: Any) -> None:
    """Describe the command's arguments."""
    parser = sets.add_parser(
        "identity",
        help="whether shapes tell people apart",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--root", required=True, metavar="ROOT", type=Path, help="list of photos, or folder of people"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--predictions",
        type=Path,
        metavar="FILE",
        help="shape coefficients (n, K), or any other embedding, a .npy with a row a photo, in order",
    )
    add_checkpoint(source)
    add_model(parser, "default: the checkpoint's; with --predictions, the model of raw shape coefficients")
    group = parser.add_argument_group("with --checkpoint")
    group.add_argument(
        "--landmarks",
        metavar="detect|FILE",
        help="find the faces with the detector though the set has landmarks, or a .npy (n, 68, 2) in image"
        " pixels (default: pts68.npy beside the list, else detect)",
    )
    group.add_argument("--no-fit", action="store_true", help="the network alone, without the fit")
    group.add_argument(
        "--batch-size", type=positive_int, default=32, metavar="N", help="photos at a time (default: 32)"
    )
    add_device(group)
    tables.add_files(parser, _ITEMS)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, print the table and write the files asked for."""
    import numpy as np

    from ...datasets.benchmarks.people import read_people
    from ...evaluation.identity import DISTANCES, identity_rows
    from ...evaluation.measurement import Column, Measurement

    if options.checkpoint is None and (options.landmarks is not None or options.no_fit):
        raise InputError("--landmarks, --no-fit: have a meaning only with --checkpoint, which is not given")
    tables.check_files(options, _ITEMS)
    landmarks = None if options.landmarks == "detect" else options.landmarks
    data = read_people(options.root, landmarks)
    settings = {"data": f"{data.source}, {len(np.unique(data.people))} people"}
    left_out: dict[str, str] = {}
    if options.checkpoint is None:
        coefficients, model, words = _predictions(options, data)
        kept, groups = np.arange(len(data)), [("predictions", coefficients, data.people)]
        doubted = None
    else:
        coefficients, doubted, kept, left_out, model, words = _network(options, data)
        label = "network" if options.no_fit else "network and fit"
        groups = [(label, coefficients, data.people[kept])]
        if doubted.any() and _comparable(data.people[kept][~doubted]):
            groups.append(
                (f"{label}, landmarks not doubted", coefficients[~doubted], data.people[kept][~doubted])
            )
    rows = identity_rows(groups, model)
    size = max(int(row["gallery"] or 0) for row in rows.values())
    columns = (
        Column("photos", "photos"),
        Column("people", "people"),
        Column("auc", "AUC"),
        Column("rank1", "rank 1 %", 1),
        Column("gallery_rank1", f"of {size} %", 1),
        Column("mesh_distance", "meshes mm", 2),
    )
    items: list[dict[str, Any]] = []
    for place, row in enumerate(kept):
        item: dict[str, Any] = {"photo": data.names[row], "person": str(data.people[row])}
        if doubted is not None:
            item["landmarks_doubted"] = int(doubted[place])
        items.append(item | {f"c{i}": float(value) for i, value in enumerate(coefficients[place])})
    settings |= words | {f"distance {name}": what for name, what in DISTANCES.items()}
    settings["rank 1"] = "nearest other photo is the same person's, of photos that have another of theirs"
    measured = Measurement(
        "Identity by shape",
        settings,
        columns,
        rows,
        {
            "auc": "same against different people, 0 to 1",
            "rank1": "percent",
            "gallery_rank1": "percent, one photo each of `gallery` people",
            "mesh_distance": "millimeters, root mean square over vertices, mean over pairs of people",
            "c0, c1, ...": "standard deviations" if model is not None else "as given",
        },
        "photo",
        items,
        left_out,
        () if model is not None else ("Meshes: not measured, because no face model was named.",),
    )
    return tables.finish(options, measured)


def _comparable(people: NDArray[np.str_]) -> bool:
    import numpy as np

    counts = np.unique(people, return_counts=True)[1]
    return len(counts) > 1 and int(counts.max()) > 1


def _predictions(
    options: argparse.Namespace, data: People
) -> tuple[NDArray[np.float64], MorphableModel | None, dict[str, str]]:
    """Coefficients, in standard deviations where a model is named, that model, and words."""
    import numpy as np

    from ...io.arrays import read_array
    from ...morphable import load_model

    found = np.array(read_array(options.predictions), np.float64)
    if found.ndim != 2 or len(found) != len(data) or not found.size or not np.isfinite(found).all():
        fits = found.ndim == 2 and len(found) == len(data) and found.size
        raise InputError(
            f"{options.predictions}: expected finite numbers ({len(data)}, K), a row a photo, got "
            + ("NaN or infinity" if fits else f"shape {found.shape}")
        )
    words = {"predictions": f"{options.predictions} ({found.shape[1]} numbers a photo)"}
    if options.model is None:
        return found, None, words
    model = load_model(options.model)
    shapes = len(model.shape_modes)
    if found.shape[1] != shapes:
        raise InputError(
            f"{options.predictions}: expected {shapes} shape coefficients a row for {model.name}, got"
            f" {found.shape[1]}"
        )
    return found / model.coefficient_std[:shapes], model, words | {"face model": model.name}


def _network(
    options: argparse.Namespace, data: People
) -> tuple[
    NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64], dict[str, str], MorphableModel, dict[str, str]
]:
    """Coefficients in standard deviations, whether landmarks are doubted, the photos' rows, why others are
    missing, the face model, and words."""
    from ...evaluation.shapes import photo_shapes
    from ...reconstruction.reconstructor import FaceReconstructor
    from .inputs import network_words

    options.refinements = None
    reconstructor = FaceReconstructor(
        options.checkpoint, options.model, options.device, fit=not options.no_fit
    )
    points = None if options.landmarks == "detect" else data.landmarks
    found = photo_shapes(reconstructor, data.names, data.images, points, batch_size=options.batch_size)
    if len(found.left_out) > _BROKEN * len(data):
        reason = next(iter(found.left_out.values()))
        raise InputError(
            f"{len(found.left_out)} of {len(data)} photos could not be used, too many to go on: {reason}"
        )
    if not _comparable(data.people[found.rows]):
        raise InputError(f"{options.root}: of the photos with a face no two are of one person and of another")
    words = network_words(options, reconstructor)
    words["landmarks"] = data.landmark_source if points is not None else "a detector's, the largest face"
    words["fit"] = "no (--no-fit)" if options.no_fit else "to the landmarks and the network's own points"
    return found.coefficients, found.doubted, found.rows, found.left_out, reconstructor.model, words
