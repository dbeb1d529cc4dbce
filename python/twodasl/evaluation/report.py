"""The report of an evaluation, and the text that is printed of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..io.terminal import shortened
from .nme import BIN_NAMES, NmeSummary, best_images, summarize
from .pose import PoseErrors

METRIC = "NME: mean distance of the landmarks over sqrt(w*h) of the ground truth's 68-point box, percent"
AVERAGING = "bin mean: each yaw bin counts alike (the literature's mean); image mean: each image counts alike"
_LONGEST_LABEL = 60  # characters of a row's label that are printed


@dataclass(frozen=True)
class Report:
    """What was measured, on what, and how.

    settings: words for each choice that changes a number (ground truth, yaw source, crops, ...), in the order
    in which they are printed. names (n), yaw_degrees (n,) or None where it is not known: the images. errors:
    for each row of the table its label and NME fractions (n,). drop_worst: images left out of each row's
    numbers, its own worst. metric: what a number is. notes: sentences on what could not be measured. pose:
    for some rows, the errors of the angles.
    """

    title: str
    settings: Mapping[str, str]
    names: Sequence[str]
    yaw_degrees: NDArray[np.floating] | None
    errors: Mapping[str, NDArray[np.float64]]
    drop_worst: int = 0
    metric: str = METRIC
    notes: Sequence[str] = ()
    pose: Mapping[str, PoseErrors] = field(default_factory=dict)

    def kept(self) -> dict[str, NDArray[np.int64]]:
        """For each row of the table, the images that count."""
        return {label: best_images(values, self.drop_worst) for label, values in self.errors.items()}

    def kept_errors(self) -> dict[str, NDArray[np.float64]]:
        """For each row of the table, the NME fractions that count."""
        kept = self.kept()
        return {label: values[kept[label]] for label, values in self.errors.items()}

    def summaries(self) -> dict[str, NmeSummary]:
        """The table's rows, in percent."""
        yaw, found = self.yaw_degrees, {}
        for label, rows in self.kept().items():
            found[label] = summarize(self.errors[label][rows], None if yaw is None else yaw[rows])
        return found

    def worst(self, count: int) -> NDArray[np.int64]:
        """The images in which the table's first row is worst, the worst first, dropped ones among them."""
        return np.argsort(-next(iter(self.errors.values())), kind="stable")[:count]

    def all_settings(self) -> dict[str, str]:
        """The settings with the metric's and the averaging's own words."""
        words = {**self.settings, "metric": self.metric}
        if self.yaw_degrees is not None:
            words["averaging"] = AVERAGING
        if self.drop_worst:
            words["dropped"] = f"the {self.drop_worst} worst images of each row (--drop-worst)"
        return words


def format_table(summaries: Mapping[str, NmeSummary]) -> str:
    """A plain-text table of NMEs in percent: a row each, a column for each yaw bin and for both means.

    A bin without images shows a dash. Rows may come from different sets of images; the counts of the bins are
    printed under each distinct set. Where no row knows its yaw, the columns are images, mean and median.
    """
    summaries = {_row(label, place): summary for place, (label, summary) in enumerate(summaries.items(), 1)}
    if all(summary.bin_mean is None for summary in summaries.values()):
        return _format_without_yaw(summaries)
    heads = [*BIN_NAMES, "bin mean", "image mean"]
    width = max([len("|yaw| in degrees"), *(len(label) for label in summaries)])
    lines = [f"{'|yaw| in degrees':<{width}}" + "".join(f"{head:>12}" for head in heads)]
    previous: tuple[int, ...] | None = None
    for label, summary in summaries.items():
        if (*summary.counts, summary.count) != previous:
            previous = (*summary.counts, summary.count)
            cells: list[str] = [str(count) for count in summary.counts]
            cells += [f"{3 - len(summary.empty_bins)} bins", str(summary.count)]
            lines.append(f"{'images':<{width}}" + "".join(f"{cell:>12}" for cell in cells))
        values = (*summary.bins, summary.bin_mean, summary.image_mean)
        cells = ["-" if value is None else f"{value:.4f}" for value in values]
        lines.append(f"{label:<{width}}" + "".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def _row(label: str, place: int) -> str:
    """A row's label, as long as leaves the columns in sight; the row's number tells long ones apart."""
    return label if len(label) <= _LONGEST_LABEL else f"{place}. {shortened(label, _LONGEST_LABEL - 5)}"


def _format_without_yaw(summaries: Mapping[str, NmeSummary]) -> str:
    width = max([len("NME in percent"), *(len(label) for label in summaries)])
    lines = [f"{'NME in percent':<{width}}{'images':>12}{'image mean':>12}{'median':>12}"]
    for label, summary in summaries.items():
        lines.append(f"{label:<{width}}{summary.count:>12}{summary.image_mean:>12.4f}{summary.median:>12.4f}")
    return "\n".join(lines)


def format_report(report: Report, worst: int = 0) -> str:
    """The text that the command prints: title, settings, table, notes and, if asked, the worst images."""
    summaries = report.summaries()
    settings = report.all_settings()
    width = max(len(name) for name in settings)
    lines = [report.title, *(f"  {name:<{width}}  {text}" for name, text in settings.items()), ""]
    lines.append(format_table(summaries))
    first = next(iter(summaries.values()))
    if report.yaw_degrees is not None and first.empty_bins:
        lines.append(f"No image in {', '.join(first.empty_bins)}: the bin mean is that of the other bins.")
    if first.beyond_90:
        lines.append(f"{first.beyond_90} image(s) beyond 90 degrees count in the last bin.")
    lines += [errors.line(label) for label, errors in report.pose.items()]
    lines += report.notes
    if worst > 0:
        lines += ["", *_worst_lines(report, worst)]
    return "\n".join(lines)


def _worst_lines(report: Report, worst: int) -> list[str]:
    label, errors = next(iter(report.errors.items()))
    order, yaw = report.worst(worst), report.yaw_degrees
    lines = [f"Worst {len(order)} of {label}: NME, {'' if yaw is None else 'yaw, '}image"]
    for i in order:
        angle = "" if yaw is None else f" {yaw[i]:8.1f}"
        lines.append(f"{100 * errors[i]:10.4f}{angle}  {report.names[i]}")
    return lines
