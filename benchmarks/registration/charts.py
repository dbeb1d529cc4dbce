"""Charts of `benchmarks.registration`: time over points, log-log; lines named where they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twodasl.pictures.charts import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, heading, new_figure, style

from ..operators.charts import End, name_ends, save, time_axis
from .page import LABELS

# Ours in one color, told apart by dashes.
_LINES: dict[str, tuple[str, str, Any]] = {
    "fused": (BLUE, "o", "-"),
    "fused, PointIndex": (BLUE, "o", (0, (4, 2))),
    "fused, PointIndex, hint": (BLUE, "o", (0, (1, 1.5))),
    "scipy: cKDTree": (VERMILION, "s", "-"),
    "scipy: cKDTree, not compact": (VERMILION, "s", (0, (4, 2))),
    "open3d: knn": (GREEN, "^", "-"),
    "open3d: registration_icp": (GREEN, "^", "-"),
    "faiss: flat": (PURPLE, "D", "-"),
    "pytorch3d: knn_points": (SKY, "v", "-"),
    "eager: cdist": (ORANGE, "v", "-"),
}


def draw(report: dict[str, Any], folder: Path) -> list[Path]:
    """Writes PNG and SVG of the searches and of the ICPs where there are three sizes; their paths."""
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
        title = "nearest neighbors of N points among N, float32, structures built in every call unless named"
        written += _chart(panels, title, report["machine"], folder / "search-over-points")
    if len(icp) >= 3:
        title = f"ICP, {report['iterations']} point-to-point iterations, N points each, float32"
        written += _chart({"not aligned": icp}, title, report["machine"], folder / "icp-over-points")
    return written


def _chart(
    panels: dict[str, list[dict[str, Any]]], title: str, about: dict[str, Any], stem: Path
) -> list[Path]:
    with style():
        figure = new_figure(1 + 6 * len(panels), 5.4)
        drawn = figure.subplots(1, len(panels), sharey=True, squeeze=False)
        all_ends = []
        for axes, (name, rows) in zip(drawn[0], panels.items(), strict=True):
            all_ends.append(_panel(axes, rows))
            axes.set_title(name, fontweight="bold", fontsize=11)
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
        machine = f"{about['processor']}, {about['threads']} threads, {about['isa']}, {about['date']}"
        heading(figure, f"{title}\n{machine}", 10)
        return save(figure, stem)


def _panel(axes: Any, rows: list[dict[str, Any]]) -> list[End]:
    ends: list[End] = []
    for name, (color, marker, dashes) in _LINES.items():
        sizes = [row["count"] for row in rows if name in row]
        times = [row[name]["median_ms"] for row in rows if name in row]
        if not sizes:
            continue
        axes.plot(sizes, times, marker=marker, color=color, linewidth=1.8, markersize=4, linestyle=dashes)
        ends.append((sizes[-1], times[-1], LABELS[name], color))
    counts = [row["count"] for row in rows]
    axes.set_xscale("log")
    decades = [10**d for d in range(2, 8) if counts[0] <= 10**d <= counts[-1]]
    axes.set_xticks(decades, [f"{size:,}" for size in decades])
    axes.xaxis.minorticks_off()
    axes.grid(True)
    axes.set_xlabel("points N")
    axes.set_xlim(counts[0] * 0.85, counts[-1] * 1.15)
    return ends
