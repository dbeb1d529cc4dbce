"""The report as a Markdown page."""

from __future__ import annotations

from typing import Any

from ..machine import heading
from .implementations import COMPILED, CONTIGUOUS, EAGER, FUSED, USUAL

_NOTES = """\
Milliseconds of one call, medians of interleaved blocks of calls, the minimum in brackets. *eager* and
*torch.compile* are the fastest of several formulations in this run, named below; *eager, (N, 3)* is the
fastest whose result is contiguous as the operators' is, and not a strided view. *usual*: what one writes
first (one matrix product in the order (N, 3) and the pose behind it; every mode turned; both dense
shapes; a 4x4 matrix for every vertex, as smplx does). *floor*: the larger of operations over the best rate
and bytes over the best read bandwidth of this run (`b`: bytes set it).
*page faults*: pages of memory that one call touches first, fused and eager.
[How to read this](../../docs/performance.md)."""


def markdown(report: dict[str, Any]) -> str:
    """Machine, limits, the table of all rows, and which formulations won."""
    limits = report["limits"]
    peaks = ", ".join(f"{name} {rate}" for name, rate in limits["peak_gflops"].items())
    low, high = limits["gemm_gflops_drift"]
    reads = ", ".join(f"{size} {rate}" for size, rate in limits["read_gbs"].items())
    lines = [
        "# Benchmark results",
        "",
        *heading(report["machine"]),
        f"Best rates of the run: {peaks} GFLOP/s (the GEMM went from {low} to {high} while the run lasted); "
        f"reading, in GB/s: {reads}.",
        "",
        _NOTES,
        "",
        *_table(report["rows"]),
        "",
        "## The formulations that won",
        "",
        *_formulations(report["rows"]),
    ]
    return "\n".join(lines) + "\n"


def _time(entry: dict[str, Any] | None) -> str:
    return f"{_digits(entry['median_ms'])} ({_digits(entry['minimum_ms'])})" if entry else "-"


def _digits(milliseconds: float) -> str:
    return f"{milliseconds:.3f}" if milliseconds >= 0.1 else f"{milliseconds:.4f}"


def _faults(row: dict[str, Any]) -> str:
    counts = [row[kind].get("page_faults") for kind in (FUSED, EAGER)]
    return " / ".join("?" if count is None else f"{count:.0f}" for count in counts)


def _ratio(ratios: dict[str, float], name: str) -> str:
    return f"{ratios[name]:.2f}" if name in ratios else "-"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    columns = [
        "fused",
        "eager",
        "eager, (N, 3)",
        "torch.compile",
        "usual",
        "floor",
        "eager / fused",
        "compile / fused",
        "usual / fused",
        "fused / floor",
        "page faults",
    ]
    lines = ["| workload | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for row in rows:
        ratios = row["ratios"]
        cells = [_time(row.get(kind)) for kind in (FUSED, EAGER, CONTIGUOUS, COMPILED, USUAL)]
        cells.append(_digits(row["floor_ms"]) + (" b" if row["floor_set_by"] == "bytes" else ""))
        names = ("eager_over_fused", "compiled_over_fused", "usual_over_fused", "fused_over_floor")
        cells += [_ratio(ratios, name) for name in names]
        lines.append(f"| {row['workload']} | " + " | ".join([*cells, _faults(row)]) + " |")
    return lines


def _formulations(rows: list[dict[str, Any]]) -> list[str]:
    lines = ["| workload | eager | eager, (N, 3) | torch.compile |", "|---|---|---|---|"]
    for row in rows:
        names = [row.get(kind, {}).get("formulation", "-") for kind in (EAGER, CONTIGUOUS, COMPILED)]
        lines.append(f"| {row['workload']} | " + " | ".join(names) + " |")
    return lines
