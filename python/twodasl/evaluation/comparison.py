"""Reports side by side: what `twodasl evaluate` wrote as JSON, read again, compared, and written as one."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.files import regular_file
from ..io.terminal import shortened
from .nme import BIN_NAMES, NmeSummary
from .report import Report, format_table
from .report_files import report_json

_LARGEST = 256 << 20
_FARTHEST = 1e9  # percent, or degrees; false for NaN
_MOST_ROWS = 100
_LONGEST_TITLE = 100  # characters that are printed
# Settings that say what was measured; the others say by whom.
_DECIDING = ("ground truth", "yaw source", "normalizer", "points")


@dataclass(frozen=True)
class Comparison:
    """Reports that may be shown in one table, and what sets them apart.

    title: the data set. rows: label -> (name of its report, label in it). reports: by name. differences:
    sentences on choices that differ and change the numbers.
    """

    title: str
    reports: dict[str, Report]
    rows: dict[str, tuple[str, str]]
    differences: tuple[str, ...]


def read_report(path: str | os.PathLike[str]) -> Report:
    """Read what `write_json` wrote. Raises InputError naming the file when it is something else."""
    file = regular_file(path, "a report as JSON")
    if file.stat().st_size > _LARGEST:
        raise InputError(f"{file}: is larger than {_LARGEST >> 20} MiB; expected a report as JSON")
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read ({error.strerror or error}); expected a report as JSON"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file}: expected a report of `twodasl evaluate` as JSON, got no JSON") from error
    try:
        return _report(content)
    except Exception as error:  # JSON of any kind
        raise InputError(
            f"{file}: expected a report of `twodasl evaluate` with the error of each image, got another JSON"
            " file; evaluate again"
        ) from error


def _report(content: Any) -> Report:
    images = content["per_image"]
    names = [str(name) for name in images["name"]]
    yaw = None if images["yaw"] is None else _numbers(images["yaw"], len(names))
    errors = {_line(label): _numbers(values, len(names)) / 100 for label, values in images["nme"].items()}
    if not names or not errors or any((values < 0).any() for values in errors.values()):
        raise ValueError("a report without images or with negative errors")
    if len(errors) > _MOST_ROWS:
        raise ValueError(f"more than {_MOST_ROWS} rows")
    dropped = content["dropped_worst"]
    if not isinstance(dropped, int) or not 0 <= dropped < len(names):
        raise ValueError("as many images dropped as there are, or more")
    return Report(
        _line(content["title"]),
        {_line(name): _line(words) for name, words in content["settings"].items()},
        names,
        yaw,
        errors,
        dropped,
        str(content["metric"]),
        tuple(_line(note) for note in content["notes"]),
    )


def _line(words: Any) -> str:
    return " ".join(str(words).split())


def _numbers(values: Any, count: int) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    if array.shape != (count,) or not (np.abs(array) < _FARTHEST).all():
        raise ValueError("not a number of percent or degrees for each image")
    return array


def compare(reports: dict[str, Report]) -> list[Comparison]:
    """Group reports, given by name, by data set and metric; the order of names is kept.

    A row that is the same in all reports of a group (the detected landmarks that come with the data set) is
    shown once, unless it is a report's first, its method's own.
    """
    groups: dict[tuple[str, str], dict[str, Report]] = {}
    for name, report in reports.items():
        groups.setdefault((report.title, report.metric), {})[name] = report
    return [_comparison(title, group) for (title, _), group in groups.items()]


def _comparison(title: str, group: dict[str, Report]) -> Comparison:
    rows: dict[str, tuple[str, str]] = {}
    shared: list[str] = []
    first = next(iter(group.values()))
    own = {next(iter(report.errors)) for report in group.values()}
    for label, values in first.errors.items():
        if label in own:
            continue
        alike = [report for report in group.values() if report.drop_worst == first.drop_worst]
        twins = [report.errors.get(label) for report in alike]
        if len(alike) == len(group) > 1 and all(
            twin is not None and np.array_equal(twin, values) for twin in twins
        ):
            shared.append(label)
    for name, report in group.items():
        for position, label in enumerate(report.errors):
            if label in shared:
                continue
            rest = label.partition(", ")[2]
            rows[name if position == 0 else f"{name}, {rest or label}"] = (name, label)
    for label in shared:
        rows[label] = (next(iter(group)), label)
    return Comparison(title, group, rows, tuple(_differences(group)))


def _differences(group: dict[str, Report]) -> list[str]:
    found = []
    (first_name, first), *others = group.items()
    for name, report in others:
        pair = f"{first_name} and {name}"
        if list(report.names) != list(first.names):
            common = len(set(report.names) & set(first.names))
            found.append(
                f"{pair}: other images ({len(first.names)} and {len(report.names)}, {common} in both)."
            )
        elif not _same_yaw(report, first):
            found.append(f"{pair}: other yaw angles for the same images.")
        if report.drop_worst != first.drop_worst:
            found.append(f"{pair}: {first.drop_worst} and {report.drop_worst} worst images dropped.")
        for key in _DECIDING:
            ours, theirs = first.settings.get(key), report.settings.get(key)
            if ours is not None and theirs is not None and ours != theirs:
                found.append(f"{pair}: other {key}: {shortened(ours, 200)} | {shortened(theirs, 200)}.")
    return found


def _same_yaw(one: Report, other: Report) -> bool:
    if one.yaw_degrees is None or other.yaw_degrees is None:
        return one.yaw_degrees is other.yaw_degrees
    return np.array_equal(one.yaw_degrees, other.yaw_degrees)


def format_comparison(comparison: Comparison) -> str:
    """The printed table, with the differences below it."""
    count = len(comparison.reports)
    title = shortened(comparison.title, _LONGEST_TITLE)
    lines = [f"{title}: {count} report{'s' if count > 1 else ''}, NME in percent", ""]
    lines.append(format_table(_summaries(comparison)))
    if comparison.differences:
        lines += ["", "Not comparable without care:", *(f"  {words}" for words in comparison.differences)]
    return "\n".join(lines)


def comparison_json(comparisons: Sequence[Comparison], files: dict[str, str]) -> dict[str, Any]:
    """All tables as plain numbers and words. files: the file of each report's name."""
    tables = []
    for comparison in comparisons:
        results = {name: report_json(report)["results"] for name, report in comparison.reports.items()}
        tables.append(
            {
                "title": comparison.title,
                "metric": next(iter(comparison.reports.values())).metric,
                "rows": [
                    {"row": row, "report": name, "label": label, **results[name][label]}
                    for row, (name, label) in comparison.rows.items()
                ],
                "settings": {name: dict(report.settings) for name, report in comparison.reports.items()},
                "dropped_worst": {name: report.drop_worst for name, report in comparison.reports.items()},
                "differences": list(comparison.differences),
            }
        )
    return {"units": {"nme": "percent", "yaw": "degrees"}, "files": dict(files), "tables": tables}


def comparison_csv(comparisons: Sequence[Comparison]) -> str:
    """A line a row of all tables: data set, row, images, NME in percent of each bin, averages."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    averages = ("bin_mean", "bin_std", "image_mean", "median")
    heads = [f"nme_percent {name}" for name in (*BIN_NAMES, *averages)]
    writer.writerow(["data_set", "row", "images", *heads])
    for comparison in comparisons:
        for row, summary in _summaries(comparison).items():
            numbers = [*summary.bins, *(getattr(summary, name) for name in averages)]
            cells = ["" if number is None else f"{number:.6f}" for number in numbers]
            writer.writerow([comparison.title, row, summary.count, *cells])
    return stream.getvalue()


def curves(comparison: Comparison) -> dict[str, dict[str, NDArray[np.float64]]]:
    """What is measured -> row -> errors in percent of the images that count.

    What is measured is what follows the comma in a row's label, as in "network, 3D": errors of landmarks in
    the image ("") and in space are not curves for one chart.
    """
    kept = {name: report.kept_errors() for name, report in comparison.reports.items()}
    charts: dict[str, dict[str, NDArray[np.float64]]] = {}
    for row, (name, label) in comparison.rows.items():
        measured = label.partition(", ")[2]
        charts.setdefault(measured, {})[row.removesuffix(f", {measured}")] = 100 * kept[name][label]
    return charts


def _summaries(comparison: Comparison) -> dict[str, NmeSummary]:
    found = {name: report.summaries() for name, report in comparison.reports.items()}
    return {row: found[name][label] for row, (name, label) in comparison.rows.items()}
