"""python -m benchmarks.registration: nearest neighbors and ICP beside other libraries, over the points.

Every search is checked against SciPy's k-d tree, every registration against Open3D's motion, before its time
counts. Writes JSON, a Markdown page and charts; see docs/registration.md.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from ..machine import RESULTS, load, machine
from ..measure import MILLISECONDS, Timing, interleaved
from . import bench_icp, search_memory
from . import charts as registration_charts
from .neighbor_peers import NAMES, PEERS, Expected, missing
from .page import markdown
from .surfaces import PAPER, aligned_pair, unaligned_pair

COUNTS = (1_000, 3_162, 10_000, 31_623, PAPER, 100_000, 316_228, 1_000_000)
ICP_COUNTS = (1_000, 10_000, PAPER, 100_000, 316_228)
MEMORY_COUNTS = (100_000, 316_228, 1_000_000)
ICP_RUNS: dict[str, tuple[str | None, Callable[[Tensor, Tensor], Any]]] = {
    "fused": (None, bench_icp.fused),
    "open3d: registration_icp": ("open3d: knn", bench_icp.open3d_point_to_point),
}
_SLOW = 3.0
"""Seconds; a call that takes longer is timed once, as it is checked."""
_TRIAL = 10_000


@dataclass(frozen=True)
class Workload:
    """As many queries as points, or an ICP between them."""

    kind: str  # "search" or "icp"
    count: int
    aligned: bool = False

    @property
    def name(self) -> str:
        """As `--only` and the report have it."""
        what = "nearest_neighbors" if self.kind == "search" else f"ICP {bench_icp.ITERATIONS} iterations"
        return f"{what} N={self.count} {'aligned' if self.aligned else 'not-aligned'}"

    def clouds(self) -> tuple[Tensor, Tensor]:
        """Queries or source, points or target: (N, 3) float32 each, in millimeters."""
        return aligned_pair(self.count) if self.aligned else unaligned_pair(self.count)


@dataclass
class Patience:
    """Who would take too long, from how long it took with fewer points."""

    limit: float
    """Seconds."""
    seen: dict[tuple[str, str, bool], tuple[int, float]] = field(default_factory=dict)
    """Points and seconds of the last call."""

    def knows(self, workload: Workload, name: str) -> bool:
        """Whether it ran before."""
        return (workload.kind, name, workload.aligned) in self.seen

    def predicted(self, workload: Workload, name: str) -> float:
        """Seconds, 0 of who never ran. Far from the points a tree's searches grow up to N^1.5 in all."""
        count, seconds = self.seen.get((workload.kind, name, workload.aligned), (workload.count, 0.0))
        all_pairs = name in PEERS and PEERS[name].all_pairs
        power = 2.0 if all_pairs else 1.2 if workload.aligned else 1.5
        return seconds * float(workload.count / count) ** power

    def note(self, workload: Workload, name: str, seconds: float) -> None:
        """A call took that long."""
        self.seen[workload.kind, name, workload.aligned] = workload.count, seconds


def workloads(only: list[str], largest: int) -> list[Workload]:
    """Those asked for, small ones first: the times of larger ones are predicted from them."""
    found = [Workload("search", n, aligned) for aligned in (False, True) for n in COUNTS]
    found += [Workload("icp", n) for n in ICP_COUNTS]
    return [w for w in found if w.count <= largest and (not only or any(text in w.name for text in only))]


def _names(workload: Workload) -> list[str]:
    """Those that can run here."""
    if workload.kind == "search":
        return [name for name in NAMES if missing(name) is None]
    return [name for name, (peer, _) in ICP_RUNS.items() if peer is None or missing(peer) is None]


def _make(workload: Workload, name: str, query: Tensor, points: Tensor) -> Callable[[], Any]:
    if workload.kind == "search":
        return PEERS[name].make(query, points)
    return lambda: ICP_RUNS[name][1](query, points)


def _too_long(workload: Workload, name: str, patience: Patience) -> str | None:
    """Why one of the others is left out, or None. Who never ran with fewer points is tried with some."""
    if name.startswith("fused"):
        return None
    if workload.count > _TRIAL and not patience.knows(workload, name):
        trial = replace(workload, count=_TRIAL)
        run = _make(trial, name, *trial.clouds())
        patience.note(trial, name, interleaved({name: run}, 0.0, least=2)[name].minimum / MILLISECONDS)
    seconds = patience.predicted(workload, name)
    return f"some {seconds:.2g} s a call" if seconds > patience.limit else None


def measure(workload: Workload, seconds: float, patience: Patience, bar: Any) -> dict[str, Any]:
    """A row of the report: the times of all, and who was left out."""
    query, points = workload.clouds()
    row: dict[str, Any] = {"workload": workload.name, **asdict(workload), "left_out": {}}
    expected = Expected(query, points) if workload.kind == "search" else None
    results: dict[str, Any] = {}
    often: dict[str, Callable[[], Any]] = {}
    for name in _names(workload):
        bar.set_postfix_str(f"N={workload.count} {name}")
        if why := _too_long(workload, name, patience):
            row["left_out"][name] = why
            continue
        run = _make(workload, name, query, points)
        start = time.perf_counter()
        results[name] = run()
        taken = time.perf_counter() - start
        if expected is not None:
            expected.check(results[name], name)
        patience.note(workload, name, taken)
        if taken > _SLOW:
            row[name] = Timing([MILLISECONDS * taken]).record()
        else:
            often[name] = run
    if workload.kind == "icp" and len(results) == 2:
        bench_icp.compare(*results.values())
    bar.set_postfix_str(f"N={workload.count}, in turn")
    for name, timing in interleaved(often, seconds if often else 0.0, least=3).items():
        row[name] = timing.record()
        patience.note(workload, name, timing.median / MILLISECONDS)
    return row


def memory(largest: int, bar: Any) -> list[dict[str, Any]]:
    """How far the peak rises, of those whose time allows a million points."""
    names = [name for name in NAMES if missing(name) is None and not PEERS[name].all_pairs]
    rows = []
    for count in [n for n in MEMORY_COUNTS if n <= largest]:
        bar.set_postfix_str(f"memory, N={count}")
        rows.append(
            {"count": count, "peak_bytes": {name: search_memory.growth(name, count) for name in names}}
        )
        bar.update()
    return rows


def run(
    selected: list[Workload], seconds: float, patience: Patience, largest: int, peak: bool
) -> dict[str, Any]:
    """Measures all; the report as JSON holds it."""
    began = time.monotonic()
    about = machine()
    about["peers"] = {name: why for name in NAMES if (why := missing(name))}
    about["versions"] = _versions()
    sizes = sum(n <= largest for n in MEMORY_COUNTS) if peak else 0
    rows = []
    with tqdm(total=len(selected) + sizes, desc="measuring", unit="row", disable=None) as bar:
        for workload in selected:
            rows.append(measure(workload, seconds, patience, bar))
            bar.update()
        used = memory(largest, bar) if peak else []
    about.update(load_after=load(), minutes=round((time.monotonic() - began) / 60, 1))
    return {"machine": about, "iterations": bench_icp.ITERATIONS, "rows": rows, "memory": used}


def _versions() -> dict[str, str]:
    """Of the installed libraries."""
    found = {}
    for package in ("scipy", "open3d", "open3d-cpu", "faiss-cpu", "pytorch3d"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def main() -> None:
    """Parses the arguments, measures, writes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.registration",
        description=__doc__.splitlines()[0],
        epilog="Everyone takes all cores that the process may use; taskset gives it fewer.",
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each row at least (default 2)")
    parser.add_argument(
        "--patience",
        type=float,
        default=60.0,
        help="leave out calls that take longer, in seconds (default 60)",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="name contains this; repeat"
    )
    parser.add_argument(
        "--largest", type=int, default=COUNTS[-1], metavar="N", help="no more points than this"
    )
    parser.add_argument("--no-memory", action="store_true", help="leave the peak memory out")
    parser.add_argument("--images", type=Path, help="folder of the charts (default: beside the results)")
    parser.add_argument(
        "--draw", type=Path, metavar="JSON", help="draw the charts of a results file, no more"
    )
    parser.add_argument(
        "-o", "--output", type=Path, help="path without suffix (default: results/registration-DATE)"
    )
    options = parser.parse_args()
    if options.draw:
        report = json.loads(options.draw.read_text())
        drawn = registration_charts.draw(report, options.images or options.draw.parent)
        print("\n".join(map(str, drawn)))
        return
    selected = workloads(options.only, options.largest)
    if not selected:
        parser.error("--only, --largest: no workload left")
    peak = not options.no_memory and not options.only
    if peak and not search_memory.measurable():
        parser.error("the peak memory needs Linux's /proc/self/clear_refs; --no-memory leaves it out")
    report = run(selected, options.seconds, Patience(options.patience), options.largest, peak)
    output = options.output or RESULTS / f"registration-{report['machine']['date']}"
    output.parent.mkdir(parents=True, exist_ok=True)
    written = [output.with_name(output.name + suffix) for suffix in (".json", ".md")]
    written[0].write_text(json.dumps(report, indent=1) + "\n")
    written[1].write_text(markdown(report))
    written += registration_charts.draw(report, options.images or output.parent)
    print("wrote " + ", ".join(map(str, written)))


if __name__ == "__main__":
    main()
