"""python -m benchmarks.registration.surface_search: closest points of a mesh, k nearest, and other libraries.

Every library's distances are compared with ours before its time counts. Writes JSON and a Markdown page.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import time
from pathlib import Path
from typing import Any

from ..machine import RESULTS, heading, load, machine
from ..measure import MILLISECONDS, Timing, interleaved
from .neighbor_peers import missing
from .surface_peers import TRIMESH_PAIRS, WORKLOADS, check, inputs, runs

_SLOW = 3.0
"""Seconds; a call that takes longer is timed once, as it is checked."""
_NOTES = f"""\
Milliseconds of one call, medians of interleaved blocks, the minimum in brackets; a time without brackets is
that of a single call. float32; everyone builds the structure in the call, except a *PointIndex*, and uses as
many threads as torch. The points of a mesh come in any order, on its triangles plus normal noise.
trimesh compares a point with every triangle that comes as near as the nearest vertex may be, all at once. It
is given the points in parts of some {TRIMESH_PAIRS // 1_000_000} million pairs, 400 bytes each: 20 mm away,
all of them would take more than 30 GB.
*other / ours*: of the medians, and of the minima in brackets."""


def measure(workload: Any, seconds: float) -> dict[str, Any]:
    """A row of the report."""
    row: dict[str, Any] = {"workload": workload.name}
    often, results = {}, {}
    for name, run in runs(workload).items():
        start = time.perf_counter()
        results[name] = run()
        taken = time.perf_counter() - start
        check(workload, name, results[name], results["fused"])
        if taken > _SLOW:
            row[name] = Timing([MILLISECONDS * taken]).record()
        else:
            often[name] = run
    for name, timing in interleaved(often, seconds, least=5).items():
        row[name] = timing.record()
    inputs.cache_clear()
    return row


def markdown(report: dict[str, Any]) -> str:
    """The page."""
    about = report["machine"]
    lines = ["# Closest points of a mesh and k nearest neighbors", "", *heading(about)]
    lines += [", ".join(f"{k} {v}" for k, v in about["versions"].items()) + ".", "", _NOTES, ""]
    for row in report["rows"]:
        lines += [f"## {row['workload']}", "", "| | ms | other / ours |", "|---|---|---|"]
        ours = row["fused"]
        for name in [name for name in row if name != "workload"]:
            one = row[name]["blocks"] == 1
            text = f"{row[name]['median_ms']:.1f}" + ("" if one else f" ({row[name]['minimum_ms']:.1f})")
            ratio = row[name]["median_ms"] / ours["median_ms"]
            least = row[name]["minimum_ms"] / ours["minimum_ms"]
            other = "" if name.startswith("fused") else f"{ratio:.1f}" + ("" if one else f" ({least:.1f})")
            lines.append(f"| {name} | {text} | {other} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Parses the arguments, measures, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.registration.surface_search")
    parser.add_argument("--seconds", type=float, default=5.0, help="time for each row at least (default 5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="name contains this")
    parser.add_argument("-o", "--output", type=Path, help="path without suffix")
    options = parser.parse_args()
    about = machine()
    about["versions"] = {}
    for package in ("scipy", "open3d", "trimesh", "rtree"):
        try:
            about["versions"][package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    if (reason := missing("open3d: knn")) is not None:  # installed, it may still lack a library of the system
        about["versions"]["open3d"] = f"not run ({reason})"
    rows = [measure(w, options.seconds) for w in WORKLOADS if options.only in w.name]
    about["load_after"] = load()
    report = {"machine": about, "rows": rows}
    output = options.output or RESULTS / f"surface-search-{about['date']}"
    for suffix, text in ((".json", json.dumps(report, indent=1) + "\n"), (".md", markdown(report))):
        output.with_name(output.name + suffix).write_text(text)
    print(markdown(report))


if __name__ == "__main__":
    main()
