"""Charts of `benchmarks.registration`: time over points, log-log; lines named where they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..operators.charts import STYLE, End, name_ends, save, time_axis
from .page import LABELS

# Okabe and Ito's palette, as the other charts; what is ours in one colour, told apart by its dashes.
_LINES: dict[str, tuple[str, str, Any]] = {
    "fused": ("#0072B2", "o", "-"),
    "fused, PointIndex": ("#0072B2", "o", (0, (4, 2))),
    "fused, PointIndex, hint": ("#0072B2", "o", (0, (1, 1.5))),
    "scipy: cKDTree": ("#D55E00", "s", "-"),
    "scipy: cKDTree, not compact": ("#D55E00", "s", (0, (4, 2))),
    "open3d: knn": ("#009E73", "^", "-"),
    "open3d: registration_icp": ("#009E73", "^", "-"),
    "faiss: flat": ("#CC79A7", "D", "-"),
    "pytorch3d: knn_points": ("#56B4E9", "v", "-"),
    "eager: cdist": ("#E69F00", "v", "-"),
}


def draw(report: dict[str, Any], folder: Path) -> list[Path]:
    """Writes PNG and SVG of the searches and of the ICPs where there are three sizes; their paths."""
    import matplotlib

    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    search = [row for row in report["rows"] if row["kind"] == "search"]
    panels = {
        title: [row for row in search if row["aligned"] == aligned]
        for title, aligned in (("not aligned", False), ("aligned", True))
    }
    panels = {title: rows for title, rows in panels.items() if len(rows) >= 3}
    icp = [row for row in report["rows"] if row["kind"] == "icp"]
    written = []
    if panels:
        title = "nearest neighbours of N points among N, float32, structures built in every call unless named"
        written += _chart(panels, title, report["machine"], folder / "search-over-points")
    if len(icp) >= 3:
        title = f"ICP, {report['iterations']} point-to-point iterations, N points each, float32"
        written += _chart({"not aligned": icp}, title, report["machine"], folder / "icp-over-points")
    return written


def _chart(
    panels: dict[str, list[dict[str, Any]]], title: str, about: dict[str, Any], stem: Path
) -> list[Path]:
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        figure, drawn = plt.subplots(
            1,
            len(panels),
            figsize=(1 + 6 * len(panels), 5.4),
            sharey=True,
            squeeze=False,
            layout="constrained",
        )
        all_ends = []
        for axes, (name, rows) in zip(drawn[0], panels.items(), strict=True):
            all_ends.append(_panel(axes, rows))
            axes.set_title(name, loc="left", fontweight="bold", fontsize=11)
        shown = [
            row[name]["median_ms"]
            for rows in panels.values()
            for row in rows
            for name in _LINES
            if name in row
        ]
        time_axis(drawn[0][0], min(shown) / 1.5, max(shown) * 1.5)
        for axes, ends in zip(drawn[0], all_ends, strict=True):
            name_ends(axes, ends)
        figure.suptitle(
            f"{title}\n{about['processor']}, {about['threads']} threads, {about['isa']}, {about['date']}",
            x=0.01,
            ha="left",
            fontsize=10,
            color="#444444",
        )
        return save(figure, stem)


def _panel(axes: Any, rows: list[dict[str, Any]]) -> list[End]:
    ends: list[End] = []
    for name, (colour, marker, dashes) in _LINES.items():
        sizes = [row["count"] for row in rows if name in row]
        times = [row[name]["median_ms"] for row in rows if name in row]
        if not sizes:
            continue
        axes.plot(sizes, times, marker=marker, color=colour, linewidth=1.8, markersize=4, linestyle=dashes)
        ends.append((sizes[-1], times[-1], LABELS[name], colour))
    counts = [row["count"] for row in rows]
    axes.set_xscale("log")
    decades = [10**d for d in range(2, 8) if counts[0] <= 10**d <= counts[-1]]
    axes.set_xticks(decades, [f"{size:,}" for size in decades])
    axes.xaxis.minorticks_off()
    axes.grid(True, which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("points N")
    axes.set_xlim(counts[0] * 0.85, counts[-1] * 1.15)
    return ends
