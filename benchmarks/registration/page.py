"""The report of `benchmarks.registration` as a Markdown page."""

from __future__ import annotations

from typing import Any

from ..machine import heading

LABELS = {
    "fused": "ours",
    "fused, PointIndex": "ours, ready index",
    "fused, PointIndex, hint": "ours, index and hints",
    "scipy: cKDTree": "SciPy cKDTree",
    "scipy: cKDTree, not compact": "SciPy, not compact",
    "open3d: knn": "Open3D",
    "faiss: flat": "FAISS flat",
    "pytorch3d: knn_points": "PyTorch3D",
    "eager: cdist": "torch.cdist",
    "open3d: registration_icp": "Open3D",
}
OURS = tuple(name for name in LABELS if name.startswith("fused"))

_NOTES = """\
Milliseconds of one call, medians of interleaved blocks of calls, the minimum in brackets; a time without
brackets is that of a single call. N queries among N points, float32: two different people's faces, *aligned*
or one turned by 20 degrees and 24 mm away, the points in rows as a scanner has them. *ours*, and all of the
others, build their structure in every call; a *ready index* was built before; *hints* are the neighbors
that the queries had before they moved by one degree and 0.9 mm. *not compact* is SciPy's tree with
`balanced_tree=False, compact_nodes=False`. FAISS and torch.cdist compare all pairs. *best other / ours* has
the fastest of the others over *ours*. `-`: left out, see below."""
_ICP_NOTES = """\
{iterations} point-to-point iterations from the same start, the pair that is not aligned; both arrive at the
same motion."""
_MEMORY_NOTES = """\
Bytes by which the peak of a process rose, for each of N points, while it found the neighbors of N queries:
structure and result, without the clouds themselves. A number that stays the same is memory linear in N."""


def markdown(report: dict[str, Any]) -> str:
    """Machine, the searches, the registrations, the memory, and who was left out."""
    about, rows = report["machine"], report["rows"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    lines = ["# Nearest neighbors and ICP beside other libraries", "", *heading(about)]
    lines += [f"{versions}." if versions else "No other library was installed.", ""]
    for aligned in (False, True):
        some = [row for row in rows if row["kind"] == "search" and row["aligned"] == aligned]
        if some:
            lines += [f"## nearest_neighbors, {'aligned' if aligned else 'not aligned'}", ""]
            lines += [_NOTES, ""] if not aligned or len(some) == len(rows) else []
            lines += [*_table(some), ""]
    icp = [row for row in rows if row["kind"] == "icp"]
    if icp:
        notes = _ICP_NOTES.format(iterations=report["iterations"])
        lines += ["## iterative_closest_point", "", notes, "", *_table(icp), ""]
    if report["memory"]:
        lines += ["## Peak memory", "", _MEMORY_NOTES, "", *_memory(report["memory"]), ""]
    return "\n".join([*lines, *_left_out(about, rows)]) + "\n"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    names = [name for name in LABELS if any(name in row for row in rows)]
    head = ["N", *(LABELS[name] for name in names), "best other / ours"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---:|" * len(head)]
    for row in rows:
        others = [row[name]["median_ms"] for name in names if name in row and name not in OURS]
        ratio = f"{min(others) / row['fused']['median_ms']:.3g}" if others and "fused" in row else "-"
        cells = [f"{row['count']:,}", *(_time(row.get(name)) for name in names), ratio]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _time(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "-"
    median = f"{entry['median_ms']:.3g}" if entry["median_ms"] < 100 else f"{entry['median_ms']:,.0f}"
    minimum = f"{entry['minimum_ms']:.3g}" if entry["minimum_ms"] < 100 else f"{entry['minimum_ms']:,.0f}"
    return f"{median} ({minimum})" if entry["blocks"] > 1 else median


def _memory(rows: list[dict[str, Any]]) -> list[str]:
    names = list(rows[0]["peak_bytes"])
    head = ["N", *(LABELS[name] for name in names)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---:|" * len(head)]
    for row in rows:
        cells = [f"{row['peak_bytes'][name] / row['count']:.0f}" for name in names]
        lines.append("| " + " | ".join([f"{row['count']:,}", *cells]) + " |")
    return lines


def _left_out(about: dict[str, Any], rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"* {LABELS[name]}: {why}" for name, why in about["peers"].items()]
    for row in rows:
        lines += [f"* {LABELS[name]}, {row['workload']}: {why}" for name, why in row["left_out"].items()]
    return (
        ["## Left out", "", "Not installed, or too slow by what fewer points took:", "", *lines]
        if lines
        else []
    )
