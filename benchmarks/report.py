"""python -m benchmarks.report: measures every workload and writes JSON and a Markdown table.

Medians of interleaved repeats; the result is checked before it is timed; the floor (the larger of operations
over the GEMM peak and bytes over the read bandwidth) comes from the same run.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

import twodasl_ext as te

from . import workloads
from .implementations import COMPILED, EAGER, FUSED, check, implementations
from .measure import MILLISECONDS, interleaved, median, peak_bandwidth, peak_operations

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """Processor, threads, versions, and how busy the machine was."""
    processor = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        processor = names[0] if names else processor
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "processor": processor,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "twodasl_ext": te.build_info()["version"],
        "compiler": te.build_info()["compiler"],
        "isa": te.cpu_capability()["active"],
    }


def measure(workload: workloads.Workload, seconds: float, compiled: bool, peaks: tuple[float, float]) -> dict:
    """One row: medians in milliseconds, ratios and the floor."""
    runs = implementations(workload, compiled=compiled)
    check(workload, runs)
    times = {name: median(values) for name, values in interleaved(runs, seconds).items()}
    floor = MILLISECONDS * max(workload.floor_operations / peaks[0], workload.floor_bytes / peaks[1])
    others = [times[name] for name in (EAGER, COMPILED) if name in times]
    return {
        "workload": workload.name,
        **{f"{name}_ms": round(value, 4) for name, value in times.items()},
        "floor_ms": round(floor, 4),
        "fused_over_floor": round(times[FUSED] / floor, 2),
        "eager_over_fused": round(times[EAGER] / times[FUSED], 2),
        "best_other_over_fused": round(min(others) / times[FUSED], 2),
    }


def busy(about: dict[str, Any]) -> bool:
    """Whether other work ran beside the measurement: more runnable threads than cores, ours not counted."""
    return max(about["load_before"], about["load_after"] - about["threads"]) > 0.5 * about["cores"]


def markdown(report: dict[str, Any]) -> str:
    """The report as a page."""
    about = report["machine"]
    lines = [
        "# Benchmark results",
        "",
        f"{about['date']}, {about['processor']}, threads: {about['threads']}, {about['isa']} kernels, "
        f"torch {about['torch']}, {about['compiler']}. "
        f"Measured peak {report['peak_gflops']} GFLOP/s, read bandwidth {report['bandwidth_gbs']} GB/s.",
        f"Load average before {about['load_before']}, after {about['load_after']}, on {about['cores']} cores"
        + (": the machine was busy, read the ratios only." if busy(about) else "."),
        "Medians of interleaved repeats in milliseconds. "
        "Floor: the larger of operations / peak and bytes / bandwidth.",
        "",
        "| workload | fused | eager | torch.compile | floor | fused / floor | eager / fused |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in report["rows"]:
        compiled = f"{row['compiled_ms']:.3f}" if "compiled_ms" in row else "-"
        lines.append(
            f"| {row['workload']} | {row['fused_ms']:.3f} | {row['eager_ms']:.3f} | {compiled} "
            f"| {row['floor_ms']:.3f} | {row['fused_over_floor']:.2f} | {row['eager_over_fused']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Parses the arguments, measures, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="time for each workload (default 1)")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's own choice)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--only", help="measure workloads whose name contains this")
    parser.add_argument(
        "-o", "--output", type=Path, help="path without suffix (default: benchmarks/results/DATE)"
    )
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    about = machine()
    peaks = (peak_operations(), peak_bandwidth())
    chosen = [
        *workloads.vertices_workloads(),
        *workloads.landmarks_workloads(),
        *workloads.importance_workloads(),
        *workloads.distance_workloads(),
        *workloads.rasterize_workloads(),
    ]
    rows = []
    for workload in chosen:
        if options.only and options.only not in workload.name:
            continue
        rows.append(measure(workload, options.seconds, not options.no_compile, peaks))
        print(json.dumps(rows[-1]), flush=True)
    about["load_after"] = round(os.getloadavg()[0], 2)
    report = {
        "machine": about,
        "peak_gflops": round(peaks[0] / 1e9, 1),
        "bandwidth_gbs": round(peaks[1] / 1e9, 1),
        "rows": rows,
    }
    output = options.output or RESULTS / f"cpu-{about['date']}"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
    output.with_suffix(".md").write_text(markdown(report))
    print(f"wrote {output}.json and {output}.md")


if __name__ == "__main__":
    main()
