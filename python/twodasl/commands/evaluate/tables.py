"""What the commands whose result is a `Measurement` have in common: their files."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..arguments import add_output_folder

if TYPE_CHECKING:
    from ...evaluation.measurement import Measurement
    from ...pictures.render import Image

REPORT, TABLE = "report.json", "table.csv"


def add_files(parser: Any, items: str, *others: str) -> None:
    """--output, --json, --csv. items: the plural of what each number is of. others: more files' names."""
    more = "".join(f", {name}" for name in others)
    add_output_folder(parser, f"{REPORT}, {TABLE}, {items}.csv{more}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file to write the results to, as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help=f"file to write {items} to, as CSV")


def check_files(options: argparse.Namespace, items: str, *others: str) -> None:
    """Complain of what cannot be written before the measuring."""
    from ...io.files import check_targets

    targets = []
    if options.output is not None:
        targets += [options.output / name for name in (REPORT, TABLE, f"{items}.csv", *others)]
    targets += [path for path in (options.json, options.csv) if path is not None]
    written = ("output", "json", "csv")
    given = [value for name, value in vars(options).items() if name not in written]
    check_targets(targets, inputs=[value for value in given if isinstance(value, Path | str)])


def finish(
    options: argparse.Namespace,
    measured: Measurement,
    pictures: Mapping[str, Image] | None = None,
    texts: Mapping[str, str] | None = None,
) -> int:
    """Write the files asked for, all or none, and print the table. pictures, texts: file name -> what more
    --output holds."""
    from ...evaluation.measurement import format_measurement, items_csv, measurement_json, plural, rows_csv
    from ...io.images import encode_image
    from .outputs import publish

    contents: dict[Path, str | bytes] = {}
    if options.output is not None:
        folder: Path = options.output
        contents[folder / REPORT] = measurement_json(measured)
        contents[folder / TABLE] = rows_csv(measured)
        contents[folder / f"{plural(measured.item)}.csv"] = items_csv(measured)
        contents |= {folder / name: text for name, text in (texts or {}).items()}
        for name, picture in (pictures or {}).items():
            contents[folder / name] = encode_image(folder / name, picture)
    if options.json is not None:
        contents[options.json] = measurement_json(measured)
    if options.csv is not None:
        contents[options.csv] = items_csv(measured)
    publish(format_measurement(measured), contents)
    return 0
