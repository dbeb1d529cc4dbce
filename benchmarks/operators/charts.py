"""Charts of a report's sweeps: time over batch and over vertices, log-log, each line named where it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twodasl.pictures.charts import BLUE, GREEN, MUTED, VERMILION, heading, new_figure, style

from .implementations import COMPILED, EAGER, FUSED
from .workloads import BOTH, FORWARD, SWEEPS, Workload

# Markers as well as colors, for prints in gray.
_LINES = {
    FUSED: ("twodasl_ext", BLUE, "o"),
    EAGER: ("eager", VERMILION, "s"),
    COMPILED: ("torch.compile", GREEN, "^"),
}
End = tuple[float, float, str, str]
"""Where a line ends, its label, and its color."""
_TITLES = {FORWARD: "forward", BOTH: "forward + backward"}
_AXES = {"batch": "faces in a batch", "vertices": "vertices N"}


def draw(report: dict[str, Any], folder: Path) -> list[Path]:
    """Writes PNG and SVG of every sweep that the report has rows of; gives back their paths."""
    rows = {row["workload"]: row for row in report["rows"]}
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, sweep in SWEEPS.items():
        measured = [workload for workload in sweep if workload.name in rows]
        if len({getattr(workload, name) for workload in measured}) >= 3:
            own = {workload.name: rows[workload.name] for workload in measured}
            written += _sweep(name, measured, own, report["machine"], folder)
    return written


def _sweep(
    name: str, sweep: list[Workload], rows: dict[str, Any], about: dict[str, Any], folder: Path
) -> list[Path]:
    with style():
        figure = new_figure(11, 4.8)
        panels = figure.subplots(1, 2, sharey=True)
        all_ends = []
        for axes, direction in zip(panels, (FORWARD, BOTH), strict=True):
            workloads = [w for w in sweep if w.direction == direction]
            all_ends.append(_panel(axes, name, workloads, [rows[w.name] for w in workloads]))
            axes.set_title(_TITLES[direction], fontweight="bold", fontsize=11)
        shown = [row[kind]["median_ms"] for row in rows.values() for kind in _LINES if kind in row]
        shown += [row["floor_ms"] for row in rows.values()]
        time_axis(panels[0], min(shown) / 1.5, max(shown) * 1.5)
        for axes, ends in zip(panels, all_ends, strict=True):
            name_ends(axes, ends)
        first = sweep[0]
        fixed = f"N = {first.vertices:,} vertices" if name == "batch" else f"batch {first.batch}"
        words = f"vertices, {fixed}, K = {first.modes} modes, float32; the best formulation of each kind\n"
        words += f"{about['processor']}, {about['threads']} threads, {about['isa']}, torch {about['torch']}, "
        heading(figure, words + about["date"], 10)
        return save(figure, folder / f"time-over-{name}")


def save(figure: Any, stem: Path) -> list[Path]:
    """Write a figure as PNG and SVG; give back their paths."""
    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg")]
    for path in paths:
        # No date in the file: the same numbers give the same picture.
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, metadata=metadata)
    return paths


def _panel(axes: Any, name: str, sweep: list[Workload], rows: list[dict[str, Any]]) -> list[End]:
    sizes = [getattr(workload, name) for workload in sweep]
    ends: list[End] = []
    last = sizes[-1]
    for kind, (label, color, marker) in _LINES.items():
        if all(kind in row for row in rows):
            times = [row[kind]["median_ms"] for row in rows]
            axes.plot(sizes, times, marker=marker, color=color, linewidth=2, markersize=5)
            ratio = times[-1] / rows[-1][FUSED]["median_ms"]
            ends.append(
                (last, times[-1], label if kind == FUSED else f"{label}, {ratio:.1f}× as long", color)
            )
    floors = [row["floor_ms"] for row in rows]
    axes.plot(sizes, floors, color=MUTED, linewidth=1.5, linestyle=(0, (4, 2)))
    axes.fill_between(sizes, floors, [1e-9] * len(floors), color=MUTED, alpha=0.10, linewidth=0)
    ends.append((last, floors[-1], "hardware floor", MUTED))
    axes.set_xscale("log", base=2 if name == "batch" else 10)
    axes.set_xticks(sizes, [f"{size}" if size < 1000 else f"{size / 1000:.0f}k" for size in sizes])
    axes.xaxis.minorticks_off()
    axes.grid(True)
    axes.set_xlabel(_AXES[name])
    axes.set_xlim(sizes[0] * 0.85, sizes[-1] * 1.15)
    return ends


def time_axis(axes: Any, low: float, high: float) -> None:
    """Milliseconds, of all panels: they share it."""
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    steps = (1, 2, 5) if high / low < 500 else (1,)
    decades = range(-5, 6)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    ticks = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.minorticks_off()
    axes.set_ylabel("milliseconds per call")


def name_ends(axes: Any, ends: list[End], gap: float = 14.0) -> None:
    """Label each line on the right of its last point; labels at one x are kept `gap` points apart.

    A line that ends alone before the others is labeled above its last point: on the right the others pass.
    """
    axes.figure.canvas.draw()
    scale = 72 / axes.figure.dpi
    previous: dict[float, float] = {}
    last = max(x for x, *_ in ends)
    for x, y, label, color in sorted(ends, key=lambda end: end[1]):
        place = axes.transData.transform((x, y))[1] * scale
        shift = max(0.0, previous.get(x, -float("inf")) + gap - place)
        previous[x] = place + shift
        alone = x < last and sum(x == other for other, *_ in ends) == 1
        axes.annotate(
            label,
            (x, y),
            xytext=(0, 7) if alone else (8, shift),
            ha="center" if alone else "left",
            textcoords="offset points",
            color=color,
            va="center" if x == last else "baseline",
            fontsize=9.5,
            annotation_clip=False,
        )
