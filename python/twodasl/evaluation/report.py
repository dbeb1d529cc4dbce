"""Reports of an evaluation: the printed table, JSON, and one CSV line an image."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import atomic_path
from .nme import BIN_NAMES, NmeSummary, summarize, yaw_bins

METRIC = "NME: mean distance of the landmarks over sqrt(w*h) of the ground truth's 68-point box, percent"
AVERAGING = "bin mean: each yaw bin counts alike (the literature's mean); image mean: each image counts alike"


@dataclass(frozen=True)
class Report:
    """What was measured, on what, and how.

    settings: words for each choice that changes a number (ground truth, yaw source, crops, ...), in the order
    in which they are printed. names (n), yaw_degrees (n,): the images. errors: for each row of the table its
    label and NME fractions (n,).
    """

    title: str
    settings: Mapping[str, str]
    names: Sequence[str]
    yaw_degrees: NDArray[np.floating]
    errors: Mapping[str, NDArray[np.float64]]

    def summaries(self) -> dict[str, NmeSummary]:
        """The table's rows, in percent."""
        return {label: summarize(values, self.yaw_degrees) for label, values in self.errors.items()}


def format_table(summaries: Mapping[str, NmeSummary]) -> str:
    """A plain-text table of NMEs in percent: a row each, a column for each yaw bin and for both means.

    A bin without images shows a dash. Rows may come from different sets of images; the counts of the bins are
    printed under each distinct set.
    """
    heads = [*BIN_NAMES, "bin mean", "image mean"]
    width = max([len("|yaw| in degrees"), *(len(label) for label in summaries)])
    lines = [f"{'|yaw| in degrees':<{width}}" + "".join(f"{head:>12}" for head in heads)]
    previous: tuple[int, ...] | None = None
    for label, summary in summaries.items():
        if summary.counts != previous:
            previous = summary.counts
            cells: list[str] = [str(count) for count in (*summary.counts, summary.count, summary.count)]
            cells[-2] = f"{3 - len(summary.empty_bins)} bins"
            lines.append(f"{'images':<{width}}" + "".join(f"{cell:>12}" for cell in cells))
        values = (*summary.bins, summary.bin_mean, summary.image_mean)
        cells = ["-" if value is None else f"{value:.4f}" for value in values]
        lines.append(f"{label:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def format_report(report: Report, worst: int = 0) -> str:
    """The text that the command prints: title, settings, table, notes and, if asked, the worst images."""
    summaries = report.summaries()
    settings = {**report.settings, "metric": METRIC, "averaging": AVERAGING}
    width = max(len(name) for name in settings)
    lines = [report.title, *(f"  {name:<{width}}  {text}" for name, text in settings.items()), ""]
    lines.append(format_table(summaries))
    first = next(iter(summaries.values()))
    if first.empty_bins:
        lines.append(f"No image in {', '.join(first.empty_bins)}: the bin mean is that of the other bins.")
    if first.beyond_90:
        lines.append(f"{first.beyond_90} image(s) beyond 90 degrees count in the last bin.")
    if worst > 0:
        lines += ["", *_worst_lines(report, worst)]
    return "\n".join(lines)


def _worst_lines(report: Report, worst: int) -> list[str]:
    label, errors = next(iter(report.errors.items()))
    order = np.argsort(-errors, kind="stable")[:worst]
    lines = [f"Worst {len(order)} of {label}: NME, yaw, image"]
    return lines + [f"{100 * errors[i]:10.4f} {report.yaw_degrees[i]:8.1f}  {report.names[i]}" for i in order]


def report_json(report: Report) -> dict[str, Any]:
    """The report as plain numbers and words; an empty bin is null. Percent and degrees, as `units` says."""
    results = {
        label: {
            "bins": dict(zip(BIN_NAMES, summary.bins, strict=True)),
            "counts": dict(zip(BIN_NAMES, summary.counts, strict=True)),
            "bin_mean": summary.bin_mean,
            "image_mean": summary.image_mean,
            "images": summary.count,
            "images_beyond_90_degrees": summary.beyond_90,
        }
        for label, summary in report.summaries().items()
    }
    return {
        "title": report.title,
        "metric": METRIC,
        "averaging": AVERAGING,
        "units": {"nme": "percent", "yaw": "degrees"},
        "settings": dict(report.settings),
        "results": results,
    }


def write_json(path: str | os.PathLike[str], report: Report) -> None:
    """Write `report_json`. Raises InputError when the folder cannot be written."""
    with atomic_path(path) as temporary:
        text = json.dumps(report_json(report), indent=2, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def write_csv(path: str | os.PathLike[str], report: Report) -> None:
    """Write a line an image: name, yaw in degrees, yaw bin, and the NME in percent of each table row."""
    bins = yaw_bins(report.yaw_degrees)
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            ["image", "yaw_degrees", "yaw_bin", *(f"nme_percent {label}" for label in report.errors)]
        )
        for i, name in enumerate(report.names):
            values = [f"{100 * errors[i]:.6f}" for errors in report.errors.values()]
            writer.writerow([name, f"{report.yaw_degrees[i]:.4f}", BIN_NAMES[bins[i]], *values])
