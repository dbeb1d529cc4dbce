"""`twodasl data check`: what a data set of photos holds, what is wrong with it, and how it looks."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ...datasets.photos.kinds import KINDS
from ..arguments import add_model, add_output_file, positive_int
from ..messages import note

_MOST = 1000  # pictures on a sheet, which then has fifty million pixels

DESCRIPTION = """\
List the photos of a data set (once; the list is kept and used by training), say how many can be used and why
others cannot, and draw a contact sheet of crops with their landmarks.

kinds:
"""


def register(actions: Any) -> None:
    """Describe the command's arguments."""
    parser = actions.add_parser(
        "check",
        help="check a data set of photos",
        description=DESCRIPTION
        + "\n".join(f"  {name:<10} {kind.description}" for name, kind in KINDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", metavar="KIND", help="what the folder holds, see above")
    parser.add_argument("root", metavar="ROOT", type=Path, help="the folder")
    add_output_file(parser, "the contact sheet (.png, .jpg)", default=Path("photos.png"))
    parser.add_argument(
        "-n",
        "--count",
        metavar="N",
        type=positive_int,
        default=48,
        help="number of photos on the sheet (default: 48)",
    )
    parser.add_argument(
        "--left-out", metavar="FILE", type=Path, help="write the name of every photo left out, a tab, and why"
    )
    parser.add_argument("--rebuild", action="store_true", help="list the photos again")
    parser.add_argument(
        "--cache", metavar="DIR", type=Path, help="folder that keeps the list (default: the user's cache)"
    )
    add_model(parser, "for 300W-LP and fitted: the one whose parameters are wanted")
    parser.add_argument("--basis", metavar="DIR", type=Path, help="for 300W-LP: the folder of 3DDFA's basis")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open the data set, print what is there and what is wrong, write the sheet."""
    from ...datasets.photos.sources import open_photos
    from ...datasets.report import MostlyBroken
    from ...errors import InputError
    from ...io.files import check_targets
    from ...io.images import check_image_name, encode_image
    from ...morphable import load_model
    from ...pictures.photo_sheet import photo_sheet

    check_image_name(args.output)
    if args.count > _MOST:
        raise InputError(f"--count: expected 1 to {_MOST:,} pictures, got {args.count}")
    refuse_inside(args.root, args.output, args.left_out)
    check_targets([file for file in (args.output, args.left_out) if file is not None])
    model = None if args.model is None else load_model(args.model)
    try:
        photos = open_photos(
            args.kind, args.root, model=model, basis=args.basis, cache=args.cache, rebuild=args.rebuild
        )
    except MostlyBroken as error:
        _publish(_left_out(args.left_out, error.report), error.report.lines())
        raise
    facts = summary(photos)
    lost = photos.report.lost
    title = f"{args.kind}: {len(photos):,} photos" + (f", {lost:,} more left out" if lost else "")
    sheet = photo_sheet(photos, title, facts, args.count, KINDS[args.kind].yaw)
    contents = _left_out(args.left_out, photos.report) | {args.output: encode_image(args.output, sheet)}
    _publish(contents, [*photos.report.lines(), *facts])
    return 0


def refuse_inside(root: Path, *paths: Path | None) -> None:
    """Raise InputError if an output lies inside the data set.

    It would be one of the photos the next time, and a new file makes the kept list outdated.
    """
    from ...errors import InputError

    for path in paths:
        if path is not None and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
            raise InputError(f"{path}: lies inside the data set; choose another folder")


def _publish(contents: dict[Path, str | bytes], lines: list[str]) -> None:
    """Write the files, then print the lines and the files' names."""
    from ...io.files import write_together

    write_together(contents)
    print("\n".join(lines))
    for path in contents:
        note(f"wrote {path}")


def _left_out(file: Path | None, report: Any) -> dict[Path, str | bytes]:
    return {} if file is None else {file: report.table()}


def summary(photos: Any) -> list[str]:
    """Sentences about landmarks, yaw and parameters."""
    import numpy as np

    seen = photos.visible
    points = seen.shape[1]
    lines = []
    if points:
        lines.append(
            f"landmarks: {points} points, {100 * seen.mean():.1f} % visible; per photo {seen.sum(1).min()} to"
            f" {seen.sum(1).max()}, median {np.median(seen.sum(1)):g}"
        )
    else:
        lines.append("landmarks: 68 points, those of the parameters")
    yaw = photos.yaw_degrees
    if np.isfinite(yaw).any():
        size = np.abs(yaw[np.isfinite(yaw)])
        counts = [(size <= 30).sum(), ((size > 30) & (size <= 60)).sum(), (size > 60).sum()]
        words = (f"{count:,} {name}" for count, name in zip(counts, ("to 30", "to 60", "above"), strict=True))
        lines.append(f"|yaw| in degrees: {', '.join(words)}")
    else:
        lines.append("yaw: not known")
    why = photos.without_parameters
    lines.append(f"parameters: none ({why})" if why else "parameters: of the face model, for every photo")
    return lines
