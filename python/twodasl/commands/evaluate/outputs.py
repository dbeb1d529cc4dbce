"""What the commands under `twodasl evaluate` have in common on their way out: text, files and pictures."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..arguments import add_output_folder, non_negative_int
from ..messages import note

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...evaluation import Report
    from ...evaluation.faces import BenchmarkFaces
    from ...pictures.render import Image

FILES = ("report.json", "table.csv", "images.csv", "error-curve.png", "worst-images.png")
"""What --output writes."""

_SHOWN = 20  # worst images in the picture unless --worst says otherwise
_MOST_SHOWN = 1000  # the picture of so many has a hundred million pixels


def add_outputs(parser: Any) -> None:
    """--output, --json, --csv, --worst, --drop-worst."""
    add_output_folder(parser, ", ".join(FILES))
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write the results to, as JSON")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="file to write each image's error to, as CSV"
    )
    parser.add_argument(
        "--worst",
        type=non_negative_int,
        metavar="N",
        help=f"list and draw the N worst images (default: list none, draw {_SHOWN})",
    )
    parser.add_argument(
        "--drop-worst",
        type=non_negative_int,
        default=0,
        metavar="N",
        help="leave each row's N worst images out of its numbers (the paper's curves leave out 20)",
    )


def check_outputs(options: argparse.Namespace, images: int) -> None:
    """Complain of what cannot be written, or of more images to drop than there are, before the measuring."""
    from ...io.files import check_targets

    targets = [] if options.output is None else [options.output / name for name in FILES]
    targets += [path for path in (options.json, options.csv) if path is not None]
    written = ("output", "json", "csv")
    given = {name: value for name, value in vars(options).items() if name not in written}
    read = [value for value in given.values() if isinstance(value, Path | str)]  # a choice or a file
    check_targets(targets, inputs=read)
    if options.worst is not None and options.worst > _MOST_SHOWN:
        raise InputError(
            f"--worst: expected 0 to {_MOST_SHOWN:,} images, got {options.worst}; --csv has the error of each"
        )
    if options.drop_worst >= images:
        raise InputError(f"--drop-worst: expected less than the {images} images, got {options.drop_worst}")


def finish(
    options: argparse.Namespace,
    report: Report,
    data: BenchmarkFaces,
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
) -> int:
    """Print the report and write the files asked for, all or none; of several processes the first does.

    truth: (n, L, 2) NaN where not counted, and predicted: (n, L, 2 or 3), of the table's first row, in pixels
    of the pictures that `data` reads.
    """
    from ...distributed import Ranks
    from ...evaluation import format_report
    from ...evaluation.report_files import images_csv, json_text, table_csv
    from ...io.images import encode_image

    if not Ranks.here().leads:
        return 0
    contents: dict[Path, str | bytes] = {}
    if options.output is not None:
        shown = _SHOWN if options.worst is None else options.worst
        folder: Path = options.output
        contents[folder / "report.json"] = json_text(report)
        contents[folder / "table.csv"] = table_csv(report)
        contents[folder / "images.csv"] = images_csv(report)
        pictures = {folder / "error-curve.png": _curves(report)}
        if shown:
            pictures[folder / "worst-images.png"] = _worst(report, data, truth, predicted, shown)
        contents |= {path: encode_image(path, picture) for path, picture in pictures.items()}
    if options.json is not None:
        contents[options.json] = json_text(report)
    if options.csv is not None:
        contents[options.csv] = images_csv(report)
    publish(format_report(report, options.worst or 0), contents)
    return 0


def publish(text: str, contents: Mapping[Path, str | bytes]) -> None:
    """Write the files, all or none, then print the text and name them."""
    from ...io.files import write_together

    write_together(contents)
    print(text)
    if contents:
        note("")
    for path in contents:
        note(f"wrote {path}")


def _curves(report: Report) -> Image:
    from ...evaluation.error_curve import error_curves

    title = f"{report.title}: {len(report.names):,} images"
    if report.drop_worst:
        title += f", each curve without its {report.drop_worst} worst"
    percents = {label: 100 * values for label, values in report.kept_errors().items()}
    return error_curves(percents, title, "NME in percent")


def _worst(
    report: Report,
    data: BenchmarkFaces,
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
    shown: int,
) -> Image:
    from ...evaluation.worst_sheet import WorstFace, worst_sheet

    label, errors = next(iter(report.errors.items()))
    faces, missing = [], 0
    for row in report.worst(shown).tolist():
        try:
            picture = data.read_image(row)
        except InputError:
            picture, missing = None, missing + 1
        yaw = None if report.yaw_degrees is None else float(report.yaw_degrees[row])
        faces.append(
            WorstFace(
                picture, truth[row], predicted[row][:, :2], report.names[row], 100 * float(errors[row]), yaw
            )
        )
    title = f"{report.title}: the {len(faces)} worst of {len(errors):,} images, {label}"
    note = "" if not missing else f"{missing} of these images could not be read; their tiles are gray."
    return worst_sheet(faces, title, note)
