"""Reports of 3D reconstruction: the printed text and the JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import path_of
from ..io.files import write_together
from .mesh_pairs import Measured
from .nme import BIN_NAMES, NmeSummary, summarize, yaw_bins
from .report import AVERAGING, format_table

NORMALIZER = "sqrt(w*h) of the ground truth mesh's box in x and y, percent"

METRICS = {
    "nearest": "mean over all true vertices of the distance to the nearest predicted vertex",
    "authors-matlab": "mean over each 50th vertex of the distance to the predicted vertex of the same index",
}
"""What each protocol averages, in words."""

ALIGNMENTS = {
    "nearest": "iterative closest points, true vertex to nearest predicted one, rigid",
    "authors-matlab": "each 50th vertex, centered; nearest points, Horn's quaternion, rotation alone, until"
    " the mean squared distance changes by at most 0.01 squared units",
}

_WORST = 5
_LISTED = 20  # skipped files that the text names; the JSON names all


@dataclass(frozen=True)
class ReconstructionReport:
    """What was measured, on what, and how.

    settings: words for each choice that changes a number, in the order in which they are printed. measured: n
    faces and what was skipped. yaw_degrees: (n,) of the measured faces, or None. without_truth: predictions
    that nothing was compared with. warnings: sentences of `mesh_misuse.mesh_warnings`.
    """

    protocol: str
    settings: Mapping[str, str]
    measured: Measured
    yaw_degrees: NDArray[np.floating] | None = None
    without_truth: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def all_settings(self) -> dict[str, str]:
        """The settings with the protocol's own words."""
        words = {
            "protocol": self.protocol,
            "alignment": ALIGNMENTS[self.protocol],
            "metric": f"{METRICS[self.protocol]}, over {NORMALIZER}",
        }
        return {**self.settings, **words}

    def summary(self) -> NmeSummary | None:
        """Yaw bins in percent, or None without yaw."""
        return None if self.yaw_degrees is None else summarize(self.measured.nme, self.yaw_degrees)


def format_reconstruction(report: ReconstructionReport) -> str:
    """The text that the command prints."""
    settings = report.all_settings
    summary = report.summary()
    if summary is not None:
        settings["averaging"] = AVERAGING
    width = max(len(name) for name in settings)
    percent = 100 * report.measured.nme
    lines = [f"3D reconstruction, {len(percent)} faces"]
    lines += [f"  {name:<{width}}  {text}" for name, text in settings.items()]
    lines += ["", f"{'NME in percent':<18}{'mean':>12}{'median':>12}{'best':>12}{'worst':>12}"]
    numbers = (percent.mean(), np.median(percent), percent.min(), percent.max())
    lines.append(f"{len(percent):<6}{'faces':<12}" + "".join(f"{number:>12.4f}" for number in numbers))
    distances = np.array([error.mean_distance for error in report.measured.errors])
    lines.append(
        f"Mean distance in the meshes' units: {distances.mean():.6g} (median {np.median(distances):.6g})"
    )
    if summary is not None:
        lines += ["", format_table({"NME in percent": summary})]
        if summary.empty_bins:
            lines.append(
                f"No face in {', '.join(summary.empty_bins)}: the bin mean is that of the other bins."
            )
    if report.warnings:
        lines += ["", *(f"Warning: {words}" for words in report.warnings)]
    lines += ["", *_worst_lines(report), *_skipped_lines(report)]
    return "\n".join(lines)


def _worst_lines(report: ReconstructionReport) -> list[str]:
    errors, names = report.measured.nme, report.measured.names
    order = np.argsort(-errors, kind="stable")[:_WORST]
    lines = ["Worst: NME in percent, face", *(f"{100 * errors[i]:10.4f}  {names[i]}" for i in order)]
    loose = sum(not error.converged for error in report.measured.errors)
    if loose:
        lines.append(
            f"The alignment of {loose} face(s) reached its limit of iterations before it stood still."
        )
    return lines


def _skipped_lines(report: ReconstructionReport) -> list[str]:
    lines = []
    skipped = list(report.measured.skipped.values())
    if skipped:
        lines += [
            "",
            f"Skipped, and in no number above: {len(skipped)} of {len(skipped) + len(report.measured.names)}",
        ]
        lines += [f"  {' '.join(reason.split())}" for reason in skipped[:_LISTED]]
        if len(skipped) > _LISTED:
            lines.append(f"  and {len(skipped) - _LISTED} more")
    if report.without_truth:
        lines.append(f"Predictions without a ground truth: {len(report.without_truth)}")
    return lines


def reconstruction_json(report: ReconstructionReport) -> dict[str, Any]:
    """The report as plain numbers and words; percent, degrees and the meshes' units, as `units` says."""
    percent = 100 * report.measured.nme
    summary = report.summary()
    faces = []
    for i, (pair, error) in enumerate(zip(report.measured.pairs, report.measured.errors, strict=True)):
        face = {
            "name": pair.name,
            "predicted": str(pair.predicted),
            "truth": str(pair.truth),
            "nme": float(percent[i]),
            "mean_distance": error.mean_distance,
            "normalizer": error.normalizer,
            "iterations": error.iterations,
            "converged": error.converged,
        }
        if report.yaw_degrees is not None:
            face["yaw"] = float(report.yaw_degrees[i])
            face["yaw_bin"] = BIN_NAMES[int(yaw_bins(report.yaw_degrees[i : i + 1])[0])]
        faces.append(face)
    results: dict[str, Any] = {
        "faces": len(percent),
        "mean": float(percent.mean()),
        "median": float(np.median(percent)),
        "mean_distance": float(np.mean([error.mean_distance for error in report.measured.errors])),
    }
    if summary is not None:
        results |= {
            "bins": dict(zip(BIN_NAMES, summary.bins, strict=True)),
            "counts": dict(zip(BIN_NAMES, summary.counts, strict=True)),
            "bin_mean": summary.bin_mean,
            "image_mean": summary.image_mean,
            "images_beyond_90_degrees": summary.beyond_90,
        }
    return {
        "title": "3D reconstruction",
        "protocol": report.protocol,
        "units": {"nme": "percent", "yaw": "degrees", "mean_distance": "meshes", "normalizer": "meshes"},
        "settings": report.all_settings,
        "results": results,
        "faces": faces,
        "skipped": dict(report.measured.skipped),
        "without_truth": list(report.without_truth),
        "warnings": list(report.warnings),
    }


def write_reconstruction_json(path: str | os.PathLike[str], report: ReconstructionReport) -> None:
    """Write `reconstruction_json`. Raises InputError when the folder cannot be written."""
    write_together({path_of(path, "a file to write"): reconstruction_text(report)})


def reconstruction_text(report: ReconstructionReport) -> str:
    """`reconstruction_json` as text."""
    return json.dumps(reconstruction_json(report), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
