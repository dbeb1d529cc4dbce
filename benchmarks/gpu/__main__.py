"""python -m benchmarks.gpu: every operator on a GPU beside eager and compiled PyTorch.

Writes OUT/NAME.json and OUT/NAME.md: the machine, what it can do at most, and the time of every way of
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
from .time import Stopwatch, Taken, limits
from .waits import waits


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


def floor(row: Row, watch: Stopwatch, limit: dict[str, float]) -> dict[str, float | None]:
    """Milliseconds that the row's workload needs at the machine's limits; None where no formula says."""
    if row.workload is None:
        return {"floor_ms": None, "copy_ms": None, "operations_ms": None}
    copy = watch.copy_ms(row.workload.floor_bytes)
    operations = 1e3 * row.workload.floor_operations / limit["float32_operations_per_second"]
    return {"floor_ms": max(copy, operations), "copy_ms": copy, "operations_ms": operations}


def measure(row: Row, watch: Stopwatch, limit: dict[str, float]) -> dict[str, Any]:
    """One row of the report. `failed`: ways, baselines too, that do not run or give another result."""
    wrong = check(row)
    found: dict[str, Any] = {"name": row.name, **floor(row, watch, limit), "ways": {}}
    for name in row.runs:
        if name not in wrong:
            try:
                found["ways"][name] = timed(row, name, watch).record()
                continue
            except RuntimeError as error:
                wrong[name] = " ".join(str(error).split())[:300]
        found["ways"][name] = {"notes": [f"FAILED: {wrong[name]}"]}
    # An operator that cannot be captured has broken its promise; of another way it is a remark.
    if watch.device.type == "cuda":
        wrong |= {
            name: "not captured"
            for name, way in found["ways"].items()
            if name.startswith("fused") and "graph" not in way and name not in wrong
        }
    found["failed"] = list(wrong)
    return found


def timed(row: Row, name: str, watch: Stopwatch) -> Taken:
    """A way's times. Eager formulations may wait for a result, which no graph can: looked for first."""
    runs = row.of(name)
    operator = waits(runs[0]) if name.startswith("eager") else None
    return watch.take(runs, uncaptured=None if operator is None else f"{operator} makes the host wait")


def shown(way: dict[str, Any]) -> str:
    """The time that a way would be judged by, or why there is none."""
    best = way.get("graph", way.get("calls"))
    return "; ".join(way["notes"]) if best is None else f"{best['median_ms']:.4g} ms"


def main() -> int:
    """Parses the arguments, measures, writes; 1 where an operator or a baseline failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder (default gpu-results)")
    parser.add_argument("--seconds", type=float, default=0.25, help="for each way of running (default 0.25)")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--without", metavar="WORD", help="leaves out rows whose name contains this")
    parser.add_argument("--name", default="gpu", help="of the files (default gpu)")
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
    failures: list[str] = []
    for title, make in rows(device, sizes, compiled=not options.no_compile):
        if options.only not in title or (options.without is not None and options.without in title):
            continue
        try:
            row = make()
        except (ImportError, RuntimeError, ValueError) as error:  # the rest is still of use
            failures.append(f"{title}: it could not be made: {error}")
            print(failures[-1], file=sys.stderr)
            continue
        result = measure(row, watch, limit)
        failures += [f"{title}: {name}" for name in result["failed"]]
        report["rows"].append(result)
        print(result["name"], *(f"{n}: {shown(way)}" for n, way in result["ways"].items()), sep="\n    ")
        # After every row: what is measured is not lost with what follows.
        (options.out / f"{options.name}.json").write_text(json.dumps(report, indent=1) + "\n")
        (options.out / f"{options.name}.md").write_text(markdown(report))
    if not report["rows"]:
        print("benchmarks.gpu: no row has such a name", file=sys.stderr)
        return 2
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
