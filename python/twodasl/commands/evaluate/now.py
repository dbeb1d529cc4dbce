"""`twodasl evaluate now`: the NoW challenge, scans against predicted meshes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from . import tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

DESCRIPTION = """\
The NoW challenge: each predicted mesh is laid on its person's scan, and the distances of the scan's points
from its surface are measured, in millimeters. Without --metrical the prediction's size is fitted too.
"""
EPILOG = """\
ROOT holds imagepathsvalidation.txt, scans/SUBJECT/*.obj and scans_lmks_onlypp/SUBJECT/*.pp, as published.
--predicted holds SUBJECT/CHALLENGE/IMAGE.obj or .ply, and beside it the mesh's seven landmarks, IMAGE.npy
(7, 3) or IMAGE.txt: outer, inner, inner, outer corner of the eyes, bottom of the nose, corners of the mouth.
Photos without a prediction are left out and counted, and the number is then not the benchmark's.
"""
_ITEMS = "images"
_CURVE, _PICTURE = "cumulative-curve.csv", "cumulative-curve.png"


def register(sets: Any) -> None:
    """Describe the command's arguments."""
    parser = sets.add_parser(
        "now",
        help="the NoW challenge: scans against predicted meshes",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", required=True, metavar="ROOT", type=Path, help="folder of the data set")
    parser.add_argument(
        "--predicted", required=True, type=Path, metavar="DIR", help="folder of predicted meshes"
    )
    parser.add_argument(
        "--images",
        choices=("validation", "test"),
        default="validation",
        help="which list of the root (default: validation; the scans of test are not public)",
    )
    parser.add_argument(
        "--challenge",
        choices=("multiview_neutral", "multiview_expressions", "multiview_occlusions", "selfie"),
        help="the photos of one challenge alone (default: all, with a row for each)",
    )
    parser.add_argument(
        "--metrical", action="store_true", help="keep the size of the predictions, see --unit"
    )
    parser.add_argument(
        "--unit", choices=("m", "cm", "mm"), help="with --metrical, needed: the unit of the predicted meshes"
    )
    tables.add_files(parser, _ITEMS, _CURVE, _PICTURE)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, print the table and write the files asked for."""
    import numpy as np

    from ...datasets.benchmarks.now import LISTS, read_now
    from ...evaluation.error_curve import distance_curves
    from ...evaluation.measurement import Column, Measurement
    from ...evaluation.now_set import measure_now

    if options.metrical != (options.unit is not None):
        raise InputError("--metrical, --unit: expected both of them or none, got one")
    tables.check_files(options, _ITEMS, _CURVE, _PICTURE)
    images = read_now(options.root, options.predicted, options.images, options.challenge)
    found = measure_now(images, metrical=options.metrical, unit=options.unit or "mm")
    pooled = found.pooled()
    counts = {name: len(found.errors) for name in pooled}
    for name in list(pooled)[1:]:
        counts[name] = sum(image.challenge == name for image in found.images)
    rows = {
        name: {
            "images": counts[name],
            "points": len(values),
            "median": float(np.median(values)),
            "mean": float(values.mean()),
            "std": float(values.std()),
        }
        for name, values in pooled.items()
    }
    size = f"kept; the meshes are in {options.unit}" if options.metrical else "fitted"
    settings = {
        "data": f"{options.root}, {LISTS[options.images]}, {len(images)} photos of"
        f" {len({image.subject for image in images})} people",
        "predictions": str(options.predicted),
        "size": f"{size} ({'metrical' if options.metrical else 'non-metrical'} evaluation)",
        "crop": "scan vertices within 1.4 times the mean of eye distance and nose length of the middle",
        "alignment": "seven landmarks, then least squared distances of those vertices from the surface",
        "metric": "distance of those vertices from the surface, millimeters; all photos' vertices together",
    }
    columns = (
        Column("images", "photos"),
        Column("points", "points"),
        *(Column(name, f"{name} mm") for name in ("median", "mean", "std")),
    )
    items: list[dict[str, Any]] = [
        {
            "image": image.name,
            "subject": image.subject,
            "challenge": image.challenge,
            "points": len(error.distances),
            "median": float(np.median(error.distances)),
            "mean": float(error.distances.mean()),
            "std": float(error.distances.std()),
            "scale": error.motion.scale,
            "iterations": error.iterations,
        }
        for image, error in zip(found.images, found.errors, strict=True)
    ]
    notes = []
    mirrored = sum(error.mirrored for error in found.errors)
    if mirrored:
        notes.append(
            f"Warning: {mirrored} prediction(s) are mirrored by the landmarks' alignment, which the protocol"
            " allows; their landmarks may be in another order."
        )
    loose = sum(not error.converged for error in found.errors)
    if loose:
        notes.append(f"The alignment of {loose} face(s) reached its limit of iterations.")
    units = dict.fromkeys(("median", "mean", "std"), "millimeters")
    measured = Measurement(
        "NoW challenge", settings, columns, rows, units, "image", items, found.skipped, tuple(notes)
    )
    if options.output is None:
        return tables.finish(options, measured)
    title = f"NoW challenge, {options.images}: {len(found.errors)} photos"
    chart = distance_curves(pooled, title, "distance from the predicted surface in millimeters")
    return tables.finish(options, measured, {_PICTURE: chart}, {_CURVE: _curve(pooled)})


def _curve(pooled: Mapping[str, NDArray[np.float64]]) -> str:
    """Millimeters, and for each row the share of points in percent that are at most so far."""
    from ...evaluation.now_set import cumulative_curve

    columns = [cumulative_curve(values) for values in pooled.values()]
    lines = [",".join(["millimeters", *pooled])]
    for place, distance in enumerate(columns[0][0]):
        lines.append(",".join([f"{distance:.2f}", *(f"{share[place]:.4f}" for _, share in columns)]))
    return "\n".join(lines) + "\n"
