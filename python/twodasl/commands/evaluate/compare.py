"""`twodasl evaluate compare`: reports of several methods side by side."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..arguments import add_output_folder

DESCRIPTION = """\
Methods side by side: a table for each data set of the given reports, which `twodasl evaluate aflw2000`,
`aflw` and `aflw-lfpa` write with --json or --output. What differs between them and changes the numbers is
named.
"""
EPILOG = """\
--output writes DIR/comparison.json, DIR/comparison.csv and, for each data set, a chart of all cumulative
error curves, DIR/error-curves-NAME.png; 3D and dense errors have charts of their own, ...-NAME-3d.png.
"""
_LONGEST_WORD = 60  # characters of a title in a file's name, which may have 255 bytes


def register(sets: Any) -> None:
    """Describe the command's arguments."""
    parser = sets.add_parser(
        "compare",
        help="reports of several methods side by side",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("reports", nargs="+", type=Path, metavar="FILE", help="reports, JSON files")
    parser.add_argument(
        "--names", metavar="A,B,...", help="the methods' names (default: the files', or their folders')"
    )
    add_output_folder(parser, "the tables (JSON, CSV) and the error curves")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, print the tables and write the files asked for."""
    from ...evaluation import comparison as comparing
    from ...evaluation.error_curve import error_curves
    from ...io.files import check_targets
    from ...io.images import encode_image
    from .outputs import publish

    names = _names(options)
    reports = {name: comparing.read_report(file) for name, file in zip(names, options.reports, strict=True)}
    tables = comparing.compare(reports)
    contents: dict[Path, str | bytes] = {}
    if options.output is not None:
        files = {name: str(file) for name, file in zip(names, options.reports, strict=True)}
        text = json.dumps(comparing.comparison_json(tables, files), indent=2, ensure_ascii=False)
        contents[options.output / "comparison.json"] = text + "\n"
        contents[options.output / "comparison.csv"] = comparing.comparison_csv(tables)
        for table in tables:
            for measured, rows in comparing.curves(table).items():
                # AFLW2000-3D's name ends like the name of a chart of errors in space.
                title, words = table.title, _word(table.title).removesuffix("-3d")
                if measured:
                    title, words = f"{title}, {measured}", f"{words}-{_word(measured)}"
                file = options.output / f"error-curves-{words}.png"
                while file in contents:  # one data set, measured in two ways
                    file = file.with_stem(file.stem + "-2")
                contents[file] = encode_image(file, error_curves(rows, title, "NME in percent"))
    check_targets(list(contents), inputs=options.reports)
    publish("\n\n".join(comparing.format_comparison(table) for table in tables), contents)
    return 0


def _names(options: argparse.Namespace) -> list[str]:
    """A name for each report: those given, or the file's, or its folder's where files are called alike."""
    files: list[Path] = options.reports
    if options.names is not None:
        names = [name.strip() for name in options.names.split(",")]
        if len(names) != len(files) or not all(names) or len(set(names)) < len(names):
            raise InputError(
                f"--names: expected {len(files)} different names, one a report, got {options.names!r}"
            )
        return names
    names = [file.stem for file in files]
    if len(set(names)) < len(names) or set(names) == {"report"}:
        names = [file.absolute().parent.name or file.stem for file in files]
    if len(set(names)) < len(names):
        names = [str(file) for file in files]
    if len(set(names)) < len(names):
        raise InputError(f"{files[0]}: expected different reports, got one of them twice")
    return names


def _word(title: str) -> str:
    """The data set's name as part of a file name."""
    kept = "".join(letter if letter.isalnum() else "-" for letter in title.partition(",")[0].lower())
    return kept.strip("-")[:_LONGEST_WORD] or "report"
