"""Charts of a report's sweeps: time over batch and over vertices, log-log, each line named where it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .implementations import COMPILED, EAGER, FUSED
from .workloads import BOTH, FORWARD, SWEEPS, Workload

# Okabe and Ito's palette, which survives the common kinds of colour blindness; markers for the rest.
_LINES = {
    FUSED: ("twodasl_ext", "#0072B2", "o"),
    EAGER: ("eager", "#D55E00", "s"),
    COMPILED: ("torch.compile", "#009E73", "^"),
}
_FLOOR = "#6b6b6b"
STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "twodasl",  # ids that are the same every time
}
End = tuple[float, float, str, str]
"""Where a line ends, what it is called, and its colour."""
_TITLES = {FORWARD: "forward", BOTH: "forward + backward"}
_AXES = {"batch": "faces in a batch", "vertices": "vertices N"}


def draw(report: dict[str, Any], folder: Path) -> list[Path]:
    """Writes PNG and SVG of every sweep that the report has rows of; gives back their paths."""
    import matplotlib

    matplotlib.use("Agg")
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
    import matplotlib.pyplot as plt

    with plt.rc_context(STYLE):
        figure, panels = plt.subplots(1, 2, figsize=(11, 4.8), sharey=True, layout="constrained")
        all_ends = []
        for axes, direction in zip(panels, (FORWARD, BOTH), strict=True):
            workloads = [w for w in sweep if w.direction == direction]
            all_ends.append(_panel(axes, name, workloads, [rows[w.name] for w in workloads]))
            axes.set_title(_TITLES[direction], loc="left", fontweight="bold", fontsize=11)
        shown = [row[kind]["median_ms"] for row in rows.values() for kind in _LINES if kind in row]
        shown += [row["floor_ms"] for row in rows.values()]
        time_axis(panels[0], min(shown) / 1.5, max(shown) * 1.5)
        for axes, ends in zip(panels, all_ends, strict=True):
            name_ends(axes, ends)
        first = sweep[0]
        fixed = f"N = {first.vertices:,} vertices" if name == "batch" else f"batch {first.batch}"
        figure.suptitle(
            f"vertices, {fixed}, K = {first.modes} modes, float32; the best formulation of each kind\n"
            f"{about['processor']}, {about['threads']} threads, {about['isa']}, torch {about['torch']}, "
            f"{about['date']}",
            x=0.01,
            ha="left",
            fontsize=10,
            color="#444444",
        )
        return save(figure, folder / f"time-over-{name}")


def save(figure: Any, stem: Path) -> list[Path]:
    """PNG and SVG of a figure, which is closed; their paths."""
    import matplotlib.pyplot as plt

    paths = [stem.with_name(f"{stem.name}.{suffix}") for suffix in ("png", "svg")]
    for path in paths:
        # No date in the file: the same numbers give the same picture.
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(path, dpi=160, metadata=metadata)
    plt.close(figure)
    return paths


def _panel(axes: Any, name: str, sweep: list[Workload], rows: list[dict[str, Any]]) -> list[End]:
    sizes = [getattr(workload, name) for workload in sweep]
    ends: list[End] = []
    last = sizes[-1]
    for kind, (label, colour, marker) in _LINES.items():
        if all(kind in row for row in rows):
            times = [row[kind]["median_ms"] for row in rows]
            axes.plot(sizes, times, marker=marker, color=colour, linewidth=2, markersize=5)
            ratio = times[-1] / rows[-1][FUSED]["median_ms"]
            ends.append(
                (last, times[-1], label if kind == FUSED else f"{label}, {ratio:.1f}× as long", colour)
            )
    floors = [row["floor_ms"] for row in rows]
    axes.plot(sizes, floors, color=_FLOOR, linewidth=1.5, linestyle=(0, (4, 2)))
    axes.fill_between(sizes, floors, [1e-9] * len(floors), color=_FLOOR, alpha=0.10, linewidth=0)
    ends.append((last, floors[-1], "hardware's floor", _FLOOR))
    axes.set_xscale("log", base=2 if name == "batch" else 10)
    axes.set_xticks(sizes, [f"{size}" if size < 1000 else f"{size / 1000:.0f}k" for size in sizes])
    axes.xaxis.minorticks_off()
    axes.grid(True, which="major", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
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
    axes.set_ylabel("milliseconds a call")


def name_ends(axes: Any, ends: list[End], gap: float = 14.0) -> None:
    """Labels right of the last points, moved apart where lines end close together (points of 1/72 inch)."""
    axes.figure.canvas.draw()
    scale = 72 / axes.figure.dpi
    previous = -float("inf")
    for x, y, label, colour in sorted(ends, key=lambda end: end[1]):
        place = axes.transData.transform((x, y))[1] * scale
        shift = max(0.0, previous + gap - place)
        previous = place + shift
        axes.annotate(
            label,
            (x, y),
            xytext=(8, shift),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=9.5,
            annotation_clip=False,
        )
