"""python -m benchmarks.gpu: every operator on a GPU beside eager and compiled PyTorch.

Writes OUT/gpu.json and OUT/gpu.md: the machine, what it can do at most, and the time of every way of
computing every row. `--dry-run` runs the whole program on the CPU at tiny sizes: it shows that the program
works, and its times mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

import twodasl_ext as te

from .cases import TINY, Row, Sizes, check, rows
from .table import markdown
from .time import Stopwatch, limits


def machine(device: torch.device) -> dict[str, Any]:
    """GPU, versions, date."""
    about: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "device": "the CPU: a dry run, whose times mean nothing",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "twodasl_ext": te.build_info(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }
    if device.type == "cuda":
        seen = torch.cuda.get_device_properties(device)
        about["device"] = seen.name
        about["capability"] = f"{seen.major}.{seen.minor}"
        about["memory_gib"] = round(seen.total_memory / 2**30, 1)
        about["multiprocessors"] = seen.multi_processor_count
        about["l2_mib"] = round(seen.L2_cache_size / 2**20, 1)
    return about


def floor_ms(row: Row, limit: dict[str, float]) -> float | None:
    """Milliseconds that the row's workload needs at the machine's limits; None where no formula says."""
    if row.workload is None:
        return None
    by_bytes = row.workload.floor_bytes / limit["copy_bytes_per_second"]
    by_operations = row.workload.floor_operations / limit["float32_operations_per_second"]
    return 1e3 * max(by_bytes, by_operations)


def measure(row: Row, watch: Stopwatch, limit: dict[str, float]) -> dict[str, Any]:
    """One row of the report."""
    wrong = check(row)
    found: dict[str, Any] = {"name": row.name, "floor_ms": floor_ms(row, limit), "ways": {}}
    for name, run in row.runs.items():
        if name in wrong:
            found["ways"][name] = {"notes": [wrong[name]]}
            continue
        try:
            taken = watch.take(run)
        except RuntimeError as error:
            found["ways"][name] = {"notes": [" ".join(str(error).split())[:300]]}
            continue
        found["ways"][name] = taken.record()
    found["failed"] = [name for name in wrong if name.startswith("fused")]
    return found


def shown(way: dict[str, Any]) -> str:
    """The time that a way would be judged by, or why there is none."""
    best = way.get("graph", way.get("calls"))
    return "; ".join(way["notes"]) if best is None else f"{best['median_ms']:.4g} ms"


def main() -> int:
    """Parses the arguments, measures, writes; 1 where an operator failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder (default gpu-results)")
    parser.add_argument("--seconds", type=float, default=0.25, help="for each way of running (default 0.25)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, at tiny sizes")
    options = parser.parse_args()
    device = torch.device("cpu" if options.dry_run else "cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        print("benchmarks.gpu: no GPU is in sight; --dry-run tries the program without one", file=sys.stderr)
        return 2
    watch = Stopwatch(device, options.seconds)
    limit = limits(watch, *((1, 64) if options.dry_run else (1024, 8192)))
    report: dict[str, Any] = {"machine": machine(device), "limits": limit, "rows": []}
    options.out.mkdir(parents=True, exist_ok=True)
    sizes = TINY if options.dry_run else Sizes()
    failed = False
    for make in rows(device, sizes, compiled=not options.no_compile):
        try:
            row = make()
        except (ImportError, RuntimeError, ValueError) as error:  # the rest is still of use
            print(f"a row could not be made: {error}", file=sys.stderr)
            failed = True
            continue
        if options.only not in row.name:
            continue
        result = measure(row, watch, limit)
        failed = failed or bool(result["failed"])
        report["rows"].append(result)
        print(result["name"], *(f"{n}: {shown(way)}" for n, way in result["ways"].items()), sep="\n    ")
        # After every row: what is measured is not lost with what follows.
        (options.out / "gpu.json").write_text(json.dumps(report, indent=1) + "\n")
        (options.out / "gpu.md").write_text(markdown(report))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
