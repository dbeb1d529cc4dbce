"""The report of benchmarks.gpu as a page."""

from __future__ import annotations

from typing import Any


def _milliseconds(way: dict[str, Any], kind: str) -> str:
    return f"{way[kind]['median_ms']:.4g}" if kind in way else "-"


def _line(row: dict[str, Any], name: str, way: dict[str, Any]) -> str:
    floor = row["floor_ms"]
    best = way.get("graph", way.get("calls"))
    share = "-" if floor is None or best is None else f"{best['median_ms'] / floor:.1f}"
    times = " | ".join(_milliseconds(way, kind) for kind in ("calls", "graph"))
    return f"| {name} | {times} | {share} | {'; '.join(way.get('notes', []))} |"


def _floor(row: dict[str, Any]) -> str:
    if row["floor_ms"] is None:
        return ""
    parts = f"copy {row['copy_ms']:.3g}, multiply-adds {row['operations_ms']:.3g}"
    return f" (floor {row['floor_ms']:.3g} ms: {parts})"


def markdown(report: dict[str, Any]) -> str:
    """Machine, limits, and a table for every row."""
    about, limit = report["machine"], report["limits"]
    lines = [
        "# Operators on a GPU",
        "",
        f"{about['date']}, {about['device']}, torch {about['torch']}, CUDA {about['cuda']}, "
        f"Python {about['python']}, float32 products: {about['float32_matmul_precision']}.",
        "",
        f"Limits measured in this run: a large copy moves {limit['copy_bytes_per_second'] / 1e9:.4g} GB/s, "
        f"a float32 GEMM does {limit['float32_operations_per_second'] / 1e12:.4g} Tflop/s. The floor of a "
        "row is a copy of as many bytes as its workload must move, or its multiply-adds at the GEMM's rate.",
        "",
        "Milliseconds of one call, medians. *calls*: one call after the other from Python; *graph*: in a "
        "captured CUDA graph of up to 20 calls. Those of fused and eager ways go through four bases in turn, "
        "as the copy goes through four buffers, so that none finds its basis in the second-level cache; "
        "compiled ways have one, and may find it there.",
    ]
    for row in report["rows"]:
        lines += ["", f"## {row['name']}{_floor(row)}", ""]
        lines += ["| way | calls | graph | over the floor | notes |", "|---|---:|---:|---:|---|"]
        lines += [_line(row, name, way) for name, way in row["ways"].items()]
    return "\n".join(lines) + "\n"
