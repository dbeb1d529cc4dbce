"""The report of benchmarks.gpu as a page."""

from __future__ import annotations

from typing import Any


def _milliseconds(way: dict[str, Any], kind: str) -> str:
    return f"{way[kind]['median_ms']:.4g}" if kind in way else "-"


def _line(row: dict[str, Any], name: str, way: dict[str, Any]) -> str:
    floor = row["floor_ms"]
    best = way.get("graph", way.get("calls"))
    share = "-" if floor is None or best is None else f"{best['median_ms'] / floor:.1f}"
    times = " | ".join(_milliseconds(way, kind) for kind in ("calls", "graph", "cold"))
    return f"| {name} | {times} | {share} | {'; '.join(way.get('notes', []))} |"


def markdown(report: dict[str, Any]) -> str:
    """Machine, limits, and a table for every row."""
    about, limit = report["machine"], report["limits"]
    lines = [
        "# Operators on a GPU",
        "",
        f"{about['date']}, {about['device']}, torch {about['torch']}, CUDA {about['cuda']}, "
        f"Python {about['python']}, float32 products: {about['float32_matmul_precision']}.",
        "",
        f"Limits measured in this run: a copy moves {limit['copy_bytes_per_second'] / 1e9:.4g} GB/s, "
        f"a float32 GEMM does {limit['float32_operations_per_second'] / 1e12:.4g} Tflop/s. "
        "The floor is what the row needs at these limits.",
        "",
        "Milliseconds, medians. *calls*: one call after the other from Python; *graph*: replays of a "
        "captured CUDA graph; *cold*: replays that find other data in the second-level cache.",
    ]
    for row in report["rows"]:
        floor = "" if row["floor_ms"] is None else f" (floor {row['floor_ms']:.3g} ms)"
        lines += ["", f"## {row['name']}{floor}", ""]
        lines += ["| way | calls | graph | cold | over the floor | notes |", "|---|---:|---:|---:|---:|---|"]
        lines += [_line(row, name, way) for name, way in row["ways"].items()]
    return "\n".join(lines) + "\n"
