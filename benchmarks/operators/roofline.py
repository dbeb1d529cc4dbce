"""How near the limit the rows of a results file are: `python -m benchmarks.operators.roofline FILE.json`.

A row's bytes and operations are those of `Workload`; the rates are the best that the file's own run saw. The
last column is the ratio to the fastest eager formulation that an operator at the limit would have: a larger
one is out of reach on that machine.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .implementations import EAGER, FUSED
from .workloads import Workload

_OPERATORS = ("vertices", "landmarks")
_COLUMNS = (
    "MB",
    "Mflop",
    "flop / byte",
    "bytes, ms",
    "operations, ms",
    "bound",
    "fused, ms",
    "fused / limit",
    "fused / sum",
    "eager / fused",
    "eager / limit",
)


def workload(row: dict[str, Any]) -> Workload:
    """The workload that a row of a results file measured."""
    return Workload(
        row["operator"],
        direction=row["direction"],
        vertices=row["vertices"],
        modes=row["modes"],
        batch=row["batch"],
        storage="bfloat16" if "bfloat16" in row["workload"] else "float32",
    )


def bandwidth(reads: dict[str, float], size: float) -> float:
    """Bytes a second: the best of the file's block sizes ("64 MB": GB/s) that are not much smaller."""
    rates = {int(name.split()[0]): rate * 1e9 for name, rate in reads.items()}
    smaller = [megabytes for megabytes in rates if megabytes * 2**20 <= size]
    return max(rate for megabytes, rate in rates.items() if megabytes >= max(smaller, default=0))


def limits(row: dict[str, Any], rates: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds that the bytes take, and the operations."""
    work = workload(row)
    peak = max(rates["peak_gflops"].values()) * 1e9
    by_bytes = work.floor_bytes / bandwidth(rates["read_gbs"], work.floor_bytes)
    return by_bytes * 1e3, work.floor_operations / peak * 1e3


def table(report: dict[str, Any]) -> list[str]:
    """A line for each row of vertices and landmarks, as Markdown."""
    lines = ["| workload | " + " | ".join(_COLUMNS) + " |", "|---|" + "---:|" * len(_COLUMNS)]
    for row in report["rows"]:
        if row["operator"] not in _OPERATORS or row["workload"].endswith("out="):
            continue
        work, (by_bytes, by_operations) = workload(row), limits(row, report["limits"])
        limit, fused = max(by_bytes, by_operations), row[FUSED]["median_ms"]
        cells = [
            f"{work.floor_bytes / 1e6:.3g}",
            f"{work.floor_operations / 1e6:.4g}",
            f"{work.floor_operations / work.floor_bytes:.1f}",
            f"{by_bytes:.3g}",
            f"{by_operations:.3g}",
            "bytes" if by_bytes > by_operations else "operations",
            f"{fused:.3g}",
            f"{fused / limit:.2f}",
            f"{fused / (by_bytes + by_operations):.2f}",
        ]
        eager = row.get(EAGER)
        cells += [f"{eager['median_ms'] / time:.2f}" for time in (fused, limit)] if eager else ["-", "-"]
        lines.append(f"| {row['workload']} | " + " | ".join(cells) + " |")
    return lines


def page(report: dict[str, Any], name: str) -> str:
    """The table with what it is of."""
    about, rates = report["machine"], report["limits"]
    peaks = ", ".join(f"{kernel} {rate}" for kernel, rate in rates["peak_gflops"].items())
    reads = ", ".join(f"{size} {rate}" for size, rate in rates["read_gbs"].items())
    heading = [
        "# How near the limit",
        "",
        f"From {name} ({about['date']}): best rates {peaks} GFLOP/s; reading, in GB/s: {reads}.",
        "",
        "*limit*: the larger of bytes and operations at these rates; *sum*: one after the other. *eager*:",
        "the fastest formulation of that run, addmm and baddbmm where its page says `by component`.",
        "",
    ]
    return "\n".join([*heading, *table(report)]) + "\n"


def main() -> None:
    """Prints the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path, help="a JSON file that benchmarks.operators.report wrote")
    options = parser.parse_args()
    print(page(json.loads(options.results.read_text()), options.results.name), end="")


if __name__ == "__main__":
    main()
