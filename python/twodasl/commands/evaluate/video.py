"""`twodasl evaluate video`: jitter, error and lag of a face through a video."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..arguments import add_checkpoint, add_device, add_model, non_negative_int, positive_int
from . import tables

if TYPE_CHECKING:
    from ...evaluation.video import FacePath

DESCRIPTION = """\
How much a face that is followed through a video trembles (jitter), how far it is off, and how late it comes
(lag). Of a file of JSON lines, as `twodasl video` writes them, against one with the truth; or of a network,
on rendered people whose pose, expression and landmarks are known: one clip at rest, for the jitter, and one
of a moving head; followed, and for comparison every frame alone, as a photo.
"""
EPILOG = """\
Each line of both files has frame (from 0), landmarks_2d (68, 2) in image pixels and pose with pitch_degrees,
yaw_degrees and roll_degrees. Jitter is that of the error, so that a moving face has none of its own.
"""
_ITEMS = "clips"
_DEFAULTS = {"people": 2, "frames": 120}


def register(sets: Any) -> None:
    """Describe the command's arguments."""
    parser = sets.add_parser(
        "video",
        help="jitter and lag of a face through a video",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--predictions", type=Path, metavar="FILE", help="what was found, JSON lines")
    add_checkpoint(source)
    add_model(parser, "default: the checkpoint's")
    group = parser.add_argument_group("with --predictions")
    group.add_argument("--truth", type=Path, metavar="FILE", help="what is true, JSON lines; needed")
    group.add_argument(
        "--track", type=positive_int, metavar="N", help="which face (default: the one in most frames)"
    )
    group.add_argument(
        "--settled",
        type=non_negative_int,
        metavar="N",
        help="frames at the beginning that jitter leaves out (default: 15)",
    )
    group = parser.add_argument_group("with --checkpoint")
    group.add_argument("--people", type=positive_int, metavar="N", help="rendered people (default: 2)")
    group.add_argument(
        "--frames", type=positive_int, metavar="N", help="frames of each moving clip (default: 120)"
    )
    add_device(group)
    tables.add_files(parser, _ITEMS)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, print the table and write the files asked for."""
    from ...evaluation.measurement import Column, Measurement

    _check(options)
    tables.check_files(options, _ITEMS)
    measure = _files if options.checkpoint is None else _rendered
    rows, settings = measure(options)
    settings |= {
        "jitter": "root mean square of the error about its mean; steps: from frame to frame, over sqrt(2)",
        "NME": "percent of sqrt(w*h) of the true landmarks' box, mean over frames",
        "yaw off": "root mean square error; lag: frames by which the yaw follows the true one",
    }
    columns = (
        Column("frames", "frames"),
        Column("missed", "missed"),
        Column("jitter", "jitter px"),
        Column("jitter_steps", "steps px"),
        Column("yaw_jitter", "yaw deg"),
        Column("yaw_jitter_steps", "steps deg"),
        Column("nme", "NME %"),
        Column("yaw_error", "yaw off"),
        Column("lag", "lag", 2),
    )
    units = {
        "jitter, jitter_steps": "pixels",
        "yaw_jitter, yaw_jitter_steps, yaw_error": "degrees, root mean square",
        "nme": "percent",
        "lag": "frames",
    }
    items = [{"clip": label, **row} for label, row in rows.items()]
    return tables.finish(
        options, Measurement("A face through a video", settings, columns, rows, units, "clip", items)
    )


def _check(options: argparse.Namespace) -> None:
    files = {"--truth": options.truth, "--track": options.track, "--settled": options.settled}
    rendered = {"--people": options.people, "--frames": options.frames, "--model": options.model}
    others, source = (rendered, "--checkpoint") if options.checkpoint is None else (files, "--predictions")
    for name, value in others.items():
        if value is not None:
            raise InputError(f"{name}: has a meaning only with {source}, which is not given")
    if options.checkpoint is None and options.truth is None:
        raise InputError("--truth: expected a file with what is true, beside --predictions")


def _row(calm: FacePath, rest: FacePath, lively: FacePath, truth: FacePath, settled: int) -> dict[str, Any]:
    from ...evaluation.video import following, jitter

    trembling, found = jitter(calm, rest, settled), following(lively, truth)
    return {
        "frames": len(truth),
        "missed": found.missed,
        "jitter": trembling.landmarks,
        "jitter_steps": trembling.landmark_steps,
        "yaw_jitter": trembling.yaw,
        "yaw_jitter_steps": trembling.yaw_steps,
        "nme": found.nme,
        "yaw_error": found.yaw,
        "lag": found.lag,
    }


def _files(options: argparse.Namespace) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    from ...evaluation.video import SETTLED, read_path

    truth = read_path(options.truth)
    found = read_path(options.predictions, options.track)
    if len(found) > len(truth):
        raise InputError(
            f"{options.predictions}: has a frame {len(found) - 1}, but the truth ends with {len(truth) - 1};"
            " are they of one video?"
        )
    settled = SETTLED if options.settled is None else options.settled
    path = found.first(len(truth))
    settings = {
        "predictions": str(options.predictions),
        "truth": f"{options.truth}, {len(truth)} frames",
        "settled": f"jitter is of frames from {settled} on",
    }
    return {"predictions": _row(path, truth, path, truth, settled)}, settings


def _rendered(options: argparse.Namespace) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    import numpy as np

    from ...evaluation.video import SETTLED
    from ...evaluation.video_scene import NOISE, RATE, SPEED, STILL, path_through, rendered_person, ways
    from ...progress import progress_bar
    from ...reconstruction.reconstructor import FaceReconstructor
    from ...synthetic.moving import HEIGHT, WIDTH
    from .inputs import network_words

    options.refinements = None
    people, frames = options.people or _DEFAULTS["people"], options.frames or _DEFAULTS["frames"]
    reconstructor = FaceReconstructor(options.checkpoint, options.model, options.device)
    rows: dict[str, dict[str, Any]] = {}
    for seed in progress_bar(range(1, people + 1), description="rendering and following", unit="person"):
        person = rendered_person(reconstructor, seed, frames)
        for name, make in ways(reconstructor).items():
            calm, lively = path_through(make(), person.resting), path_through(make(), person.moving)
            rows[f"person {seed}, {name}"] = _row(calm, person.rest, lively, person.truth, SETTLED)
    for name in ways(reconstructor):
        own = [row for label, row in rows.items() if label.endswith(f", {name}")]
        mean: dict[str, Any] = {}
        for key in own[0]:
            values = [row[key] for row in own]
            whole = key in ("frames", "missed")
            mean[key] = sum(values) if whole else None if None in values else float(np.mean(values))
        rows[f"all, {name}"] = mean
    settings = {
        "clips": f"{people} rendered people, {WIDTH}x{HEIGHT}, {RATE:g} frames a second, noise of {NOISE:g}"
        " gray levels",
        "at rest": f"{STILL} frames, jitter from frame {SETTLED} on",
        "moving": f"{frames} frames, at most {SPEED:g} degrees a second",
        **network_words(options, reconstructor),
    }
    return rows, settings
