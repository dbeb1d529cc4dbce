"""A report as files: JSON with every number, and CSV of the table and of the images."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import Any

from ..arguments import path_of
from ..io.files import write_together
from .nme import BIN_NAMES, yaw_bins
from .report import Report


def report_json(report: Report) -> dict[str, Any]:
    """The report as plain numbers and words; an empty bin is null. Percent and degrees, as `units` says.

    `results` holds the table; `per_image` every image, also those that `dropped_worst` leaves out of it.
    """
    results = {
        label: {
            "bins": dict(zip(BIN_NAMES, summary.bins, strict=True)),
            "counts": dict(zip(BIN_NAMES, summary.counts, strict=True)),
            "bin_mean": summary.bin_mean,
            "bin_std": summary.bin_std,
            "image_mean": summary.image_mean,
            "median": summary.median,
            "images": summary.count,
            "images_beyond_90_degrees": summary.beyond_90,
        }
        for label, summary in report.summaries().items()
    }
    yaw = report.yaw_degrees
    return {
        "title": report.title,
        "metric": report.metric,
        "averaging": report.all_settings().get("averaging"),
        "units": {"nme": "percent", "yaw": "degrees", "pose": "degrees"},
        "settings": dict(report.settings),
        "dropped_worst": report.drop_worst,
        "results": results,
        "pose": {label: errors.to_dict() for label, errors in report.pose.items()},
        "notes": list(report.notes),
        "per_image": {
            "name": list(report.names),
            "yaw": None if yaw is None else [float(angle) for angle in yaw],
            "nme": {label: (100 * errors).tolist() for label, errors in report.errors.items()},
        },
    }


def json_text(report: Report) -> str:
    """`report_json` as text."""
    return json.dumps(report_json(report), indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def table_csv(report: Report) -> str:
    """The table: a line a row: label, images, count and NME in percent of each bin, averages."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    bins = [f"{what} {name}" for what in ("images", "nme_percent") for name in BIN_NAMES]
    averages = ["bin_mean", "bin_std", "image_mean", "median"]
    writer.writerow(["row", "images", *bins, *averages])
    for label, summary in report.summaries().items():
        numbers = [*summary.bins, *(getattr(summary, name) for name in averages)]
        cells = ["" if number is None else f"{number:.6f}" for number in numbers]
        writer.writerow([label, summary.count, *summary.counts, *cells])
    return stream.getvalue()


def images_csv(report: Report) -> str:
    """A line an image: name, yaw in degrees, yaw bin, and the NME in percent of each table row."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    yaw = report.yaw_degrees
    bins = None if yaw is None else yaw_bins(yaw)
    labels = [f"nme_percent {label}" for label in report.errors]
    writer.writerow(["image", *([] if yaw is None else ["yaw_degrees", "yaw_bin"]), *labels])
    for i, name in enumerate(report.names):
        angle = [] if yaw is None or bins is None else [f"{yaw[i]:.4f}", BIN_NAMES[bins[i]]]
        writer.writerow([name, *angle, *(f"{100 * errors[i]:.6f}" for errors in report.errors.values())])
    return stream.getvalue()


def write_json(path: str | os.PathLike[str], report: Report) -> None:
    """Write `report_json`. Raises InputError when the folder cannot be written."""
    write_together({path_of(path, "a file to write"): json_text(report)})
