"""`twodasl evaluate pose`: head pose on AFLW2000-3D and BIWI, by the field's protocols."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..arguments import add_checkpoint, add_device, add_model, positive_int
from . import tables

if TYPE_CHECKING:
    from ...evaluation.pose_set import Poses, PoseSet

DESCRIPTION = """\
Errors of head pose: mean absolute errors of yaw, pitch and roll in degrees, and of the rotation (the angle of
the turn from the predicted to the true one), of a network or of a file of predictions.

  aflw2000  AFLW2000-3D (image*.jpg, image*.mat, or a development folder), all of its images
  biwi      BIWI Kinect Head Pose (folders 01 to 24 of frame_NNNNN_rgb.png and frame_NNNNN_pose.txt)

As in the literature, images with a true angle beyond 99 degrees do not count.
"""
EPILOG = """\
Predictions are angles in degrees of 300W-LP's convention, of BIWI too: a .npy (n, 3), a row an image in name
order, or rotations (n, 3, 3) (x right, y up, z toward the viewer); or a .csv with the columns image, pitch,
yaw and roll. An image with NaN, or that the .csv lacks, was not found; it is left out and counted.
"""
_ITEMS = "images"
_BROKEN = 0.5


def register(sets: Any) -> None:
    """Describe the command's arguments."""
    parser = sets.add_parser(
        "pose",
        help="head pose on AFLW2000-3D or BIWI",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=("aflw2000", "biwi"), help="the benchmark")
    parser.add_argument("--root", required=True, metavar="ROOT", type=Path, help="folder of the data set")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--predictions", type=Path, metavar="FILE", help="poses, a .npy or .csv file")
    add_checkpoint(source)
    add_model(parser, "default: the checkpoint's")
    parser.add_argument(
        "--convention",
        choices=("fsa-net", "hopenet"),
        help="with biwi: whose Euler angles of the true rotations; they differ beyond turns about one axis"
        " (default: fsa-net, the one that 300W-LP's angles can be compared with)",
    )
    parser.add_argument(
        "--order",
        choices=("pitch,yaw,roll", "yaw,pitch,roll"),
        help="with --predictions FILE.npy: the columns (default: pitch,yaw,roll)",
    )
    group = parser.add_argument_group("with --checkpoint")
    group.add_argument(
        "--crops",
        choices=("detector", "data"),
        default="detector",
        help="where the faces are: as the default detector says (default), or, with aflw2000, by its"
        " boxes, which were made from the true landmarks",
    )
    group.add_argument(
        "--batch-size", type=positive_int, default=32, metavar="N", help="images at a time (default: 32)"
    )
    group.add_argument("--no-fit", action="store_true", help="the network alone, without the fit")
    add_device(group)
    tables.add_files(parser, _ITEMS)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, print the table and write the files asked for."""
    import numpy as np

    from ...evaluation.measurement import Column, Measurement
    from ...evaluation.pose import LIMIT, angle_errors, geodesic_errors, rotations, within_limit
    from ...evaluation.pose_set import aflw2000_poses, biwi_poses

    _check(options)
    tables.check_files(options, _ITEMS)
    if options.kind == "biwi":
        data = biwi_poses(options.root, options.convention or "fsa-net")
    else:
        data = aflw2000_poses(options.root)
    label, found = _poses(options, data)
    there = np.isfinite(found.angles).all(axis=1)
    near = within_limit(data.angles)
    counted = np.flatnonzero(there & near)
    if len(found.missing) > _BROKEN * len(data):
        reason = next(iter(found.missing.values()))
        raise InputError(
            f"{len(found.missing)} of {len(data)} images have no pose, too many to go on: {reason}"
        )
    if not len(counted):
        raise InputError(f"{options.root}: expected images with angles within {LIMIT:g} degrees, found none")
    apart = angle_errors(found.angles[counted], data.angles[counted])
    turned = geodesic_errors(rotations(found.angles[counted]), data.truth[counted])
    pitch, yaw, roll = apart.mean(axis=0).tolist()
    row: dict[str, Any] = {
        "images": len(counted),
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
        "mean": (yaw + pitch + roll) / 3,
        "geodesic": float(turned.mean()),
        "geodesic_median": float(np.median(turned)),
    }
    columns = (
        Column("images", "images"),
        *(Column(name, name) for name in ("yaw", "pitch", "roll", "mean")),
        Column("geodesic", "rotation"),
        Column("geodesic_median", "its median"),
    )
    items: list[dict[str, Any]] = [
        {
            "image": data.names[index],
            **{f"true_{name}": float(data.angles[index][axis]) for axis, name in enumerate(_ANGLES)},
            **{name: float(found.angles[index][axis]) for axis, name in enumerate(_ANGLES)},
            **{f"error_{name}": float(apart[place][axis]) for axis, name in enumerate(_ANGLES)},
            "geodesic": float(turned[place]),
        }
        for place, index in enumerate(counted)
    ]
    settings = data.settings | found.words
    settings["metric"] = (
        "degrees: mean absolute error of each angle and of the three; rotation: mean angle of the turn from"
        " predicted to true"
    )
    settings["counted"] = (
        f"images with all true angles within {LIMIT:g} degrees; {int((~near).sum())} are not"
    )
    units = dict.fromkeys(("yaw", "pitch", "roll", "mean", "geodesic", "geodesic_median"), "degrees")
    measured = Measurement(
        f"Head pose, {data.title}", settings, columns, {label: row}, units, "image", items, found.missing
    )
    return tables.finish(options, measured)


_ANGLES = ("pitch", "yaw", "roll")


def _check(options: argparse.Namespace) -> None:
    """An option that would change nothing is a misunderstanding."""
    if options.convention is not None and options.kind != "biwi":
        raise InputError("--convention: has a meaning only with biwi; AFLW2000-3D's angles are stored")
    if options.order is not None and options.predictions is None:
        raise InputError("--order: has a meaning only with --predictions, which is not given")
    if options.order is not None and options.predictions.suffix.lower() == ".csv":
        raise InputError("--order: a .csv names its columns itself; leave it out")
    if options.checkpoint is None and (options.crops != "detector" or options.no_fit):
        raise InputError("--crops, --no-fit: have a meaning only with --checkpoint, which is not given")
    if options.checkpoint is None and options.model is not None:
        raise InputError("--model: has a meaning only with --checkpoint, which is not given")
    if options.crops == "data" and options.kind == "biwi":
        raise InputError("--crops data: BIWI has no boxes; leave it out")


def _poses(options: argparse.Namespace, data: PoseSet) -> tuple[str, Poses]:
    from ...evaluation.pose_set import ORDERS, network_poses, read_poses

    if options.checkpoint is None:
        return "predictions", read_poses(options.predictions, data, options.order or ORDERS[0])
    from ...reconstruction.reconstructor import FaceReconstructor
    from .inputs import network_words

    options.refinements = None
    reconstructor = FaceReconstructor(
        options.checkpoint, options.model, options.device, fit=not options.no_fit
    )
    found = network_poses(reconstructor, data, boxes=options.crops == "data", batch_size=options.batch_size)
    found.words.update(network_words(options, reconstructor))
    found.words["fit"] = "no (--no-fit)" if options.no_fit else "to the points that there are"
    return "network" if options.no_fit else "network and fit", found
