"""One row of the report: the formulations of a workload screened, the best of each kind timed in turn."""

from __future__ import annotations

from typing import Any

from ..measure import Timing, interleaved
from .implementations import (
    COMPILED,
    CONTIGUOUS,
    EAGER,
    FUSED,
    USUAL,
    USUAL_FORMULATIONS,
    Implementation,
    check,
    implementations,
)
from .limits import Limits
from .workloads import Workload

# Formulations so much slower than the best of their kind in the screening are not timed further.
_WORTH_TIMING = 1.25


def screen(found: list[Implementation]) -> dict[str, float]:
    """Milliseconds of the quickest of a few calls of each, to leave out what is clearly slower."""
    runs = {i.name: i.run for i in found}
    times = {name: t.minimum for name, t in interleaved(runs, 0.0, least=1, block_ms=1.0).items()}
    for group in _kinds(found).values():
        near = [i for i in group if times[i.name] <= 2 * min(times[j.name] for j in group)]
        again = interleaved({i.name: i.run for i in near}, 0.0, least=2, block_ms=1.0)
        times.update({name: min(times[name], timing.minimum) for name, timing in again.items()})
    return times


def finalists(found: list[Implementation], screened: dict[str, float]) -> list[Implementation]:
    """The fused one, the usual one, and of every other kind those near the best (contiguous is a kind)."""
    chosen = [i for i in found if i.kind == FUSED or _usual(i)]
    for group in _kinds(found).values():
        best = min(screened[i.name] for i in group)
        chosen += [i for i in group if screened[i.name] <= _WORTH_TIMING * best and i not in chosen]
    return chosen


def _usual(implementation: Implementation) -> bool:
    return implementation.kind == EAGER and implementation.formulation in USUAL_FORMULATIONS


def _kinds(found: list[Implementation]) -> dict[str, list[Implementation]]:
    kinds = {
        FUSED: [i for i in found if i.kind == FUSED],
        EAGER: [i for i in found if i.kind == EAGER],
        CONTIGUOUS: [i for i in found if i.kind == EAGER and i.contiguous],
        COMPILED: [i for i in found if i.kind == COMPILED],
    }
    if kinds[CONTIGUOUS] == kinds[EAGER]:  # nothing to tell apart
        del kinds[CONTIGUOUS]
    return {kind: group for kind, group in kinds.items() if group}


def measure(workload: Workload, seconds: float, kinds: tuple[str, ...], limits: Limits) -> dict[str, Any]:
    """The row without its floor, which needs the limits of the whole run: see `complete`."""
    found = implementations(workload, kinds)
    check(workload, found)
    screened = screen(found)
    chosen = finalists(found, screened)
    timings = interleaved({i.name: i.run for i in chosen}, seconds)
    gemm = limits.sample()
    row: dict[str, Any] = {
        "workload": workload.name,
        "operator": workload.operator,
        "direction": workload.direction,
        "batch": workload.batch,
        "vertices": workload.vertices,
        "modes": workload.modes,
    }
    for kind, group in _kinds(found).items():
        best = min((i for i in group if i.name in timings), key=lambda i: timings[i.name].median)
        row[kind] = _record(best, timings[best.name])
    for usual in filter(_usual, chosen):
        row[USUAL] = _record(usual, timings[usual.name])
    row["screened_ms"] = {name: round(value, 4) for name, value in screened.items()}
    row["gemm_gflops"] = round(gemm / 1e9, 1)
    return row


def _record(implementation: Implementation, timing: Timing) -> dict[str, Any]:
    record = timing.record()
    if implementation.formulation:
        record.update(formulation=implementation.formulation, contiguous=implementation.contiguous)
    return record


def complete(row: dict[str, Any], workload: Workload, limits: Limits) -> None:
    """Adds the floor and the ratios of medians; of minima under `ratios_of_minima`."""
    floor, kind = limits.floor(workload)
    row["floor_ms"], row["floor_set_by"] = round(floor, 6), kind
    row["ratios"] = _ratios(row, floor, "median_ms")
    row["ratios_of_minima"] = _ratios(row, floor, "minimum_ms")


def _ratios(row: dict[str, Any], floor: float, statistic: str) -> dict[str, float]:
    fused = row[FUSED][statistic]
    others = {kind: row[kind][statistic] for kind in (EAGER, CONTIGUOUS, COMPILED) if kind in row}
    ratios = {f"{kind}_over_fused": value / fused for kind, value in others.items()}
    ratios["best_other_over_fused"] = min(others.values()) / fused
    if USUAL in row:
        ratios["usual_over_fused"] = row[USUAL][statistic] / fused
    ratios["fused_over_floor"] = fused / floor
    return {name: float(f"{ratio:.3g}") for name, ratio in ratios.items()}
