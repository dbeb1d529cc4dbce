"""python -m benchmarks.operators.report: measures every workload; writes JSON, a Markdown table and charts.

Each result is checked against the reference in double precision before anything is timed. Implementations are
timed in turn; the machine's own limits are looked at again after every row; see docs/performance.md.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from ..machine import RESULTS, load, machine
from . import charts, workloads
from .implementations import EAGER, FUSED, KINDS, supported
from .limits import Limits
from .rows import complete, measure
from .tables import markdown


def chosen(only: list[str], sweeps: bool) -> list[workloads.Workload]:
    """The default table's workloads, then those that only a sweep has."""
    found = workloads.default_workloads()
    for sweep in workloads.SWEEPS.values() if sweeps else ():
        found += [workload for workload in sweep if workload not in found]
    return [w for w in found if supported(w) and (not only or any(text in w.name for text in only))]


def run(selected: list[workloads.Workload], seconds: float, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Measures the workloads; the report as JSON holds it."""
    began = time.monotonic()
    about, limits, rows = machine(), Limits(), []
    limits.sample(seconds=1.0)
    for workload in selected:
        rows.append(measure(workload, seconds, kinds, limits))
        complete(rows[-1], workload, limits)
        print(f"{workload.name}: {_line(rows[-1])}", flush=True)
    for row, workload in zip(rows, selected, strict=True):  # with the best limits of the whole run
        complete(row, workload, limits)
    about.update(load_after=load(), minutes=round((time.monotonic() - began) / 60, 1))
    return {"machine": about, "limits": limits.record(), "rows": rows}


def _line(row: dict[str, Any]) -> str:
    times = ", ".join(
        f"{kind} {entry['median_ms']:.3f} ms"
        for kind, entry in row.items()
        if isinstance(entry, dict) and "median_ms" in entry
    )
    return f"{times}; floor {row['floor_ms']:.3f} ms; {row['ratios']['best_other_over_fused']} times"


def main() -> None:
    """Parses the arguments, measures, writes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.operators.report", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each workload (default 1)")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's own choice)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="name contains this; repeat"
    )
    parser.add_argument(
        "--sweeps", action="store_true", help="also over batch and vertices, and draw the charts"
    )
    parser.add_argument("--images", type=Path, help="folder of the charts (default: beside the results)")
    parser.add_argument(
        "--draw", type=Path, metavar="JSON", help="draw the charts of a results file, no more"
    )
    parser.add_argument("-o", "--output", type=Path, help="path without suffix (default: results/cpu-DATE)")
    options = parser.parse_args()
    if options.draw:
        report = json.loads(options.draw.read_text())
        print("\n".join(map(str, charts.draw(report, options.images or options.draw.parent))))
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    kinds = (FUSED, EAGER) if options.no_compile else KINDS
    report = run(chosen(options.only, options.sweeps), options.seconds, kinds)
    output = options.output or RESULTS / f"cpu-{report['machine']['date']}"
    output.parent.mkdir(parents=True, exist_ok=True)
    written = [output.with_name(output.name + suffix) for suffix in (".json", ".md")]
    written[0].write_text(json.dumps(report, indent=1) + "\n")
    written[1].write_text(markdown(report))
    if options.sweeps:
        written += charts.draw(report, options.images or output.parent)
    print("wrote " + ", ".join(map(str, written)))


if __name__ == "__main__":
    main()
