"""The table of limits: its arithmetic, and that the committed page is what its results file gives."""

from __future__ import annotations

import json

import pytest

from benchmarks.machine import RESULTS
from benchmarks.operators.roofline import bandwidth, limits, page, table

ROW = {
    "workload": "vertices forward B=2 N=16 K=1",
    "operator": "vertices",
    "direction": "forward",
    "batch": 2,
    "vertices": 16,
    "modes": 1,
    "fused": {"median_ms": 4.0},
    "eager": {"median_ms": 12.0},
}
# 6 * 16 * 2 + 18 * 16 * 2 = 768 operations; 3 * 16 * (4 + 4) + 12 * 16 * 2 + 4 * 2 * 13 = 872 bytes.
RATES = {"peak_gflops": {"gemm": 768e-9, "convolution": 1e-12}, "read_gbs": {"1 MB": 436e-9}}


def test_a_limit_is_the_work_over_the_rate():
    assert limits(ROW, RATES) == pytest.approx((2000.0, 1000.0))
    half = dict(ROW, workload="vertices forward B=2 N=16 K=1 bfloat16")
    assert limits(half, RATES)[0] == pytest.approx((872 - 96) / 436 * 1e3)  # two bytes less for each of 48


def test_a_row_is_compared_with_the_larger_limit():
    (line,) = table({"rows": [ROW, dict(ROW, operator="skin")], "limits": RATES})[2:]
    assert [cell.strip() for cell in line.split("|")][7:13] == ["bytes", "4", "0.00", "0.00", "3.00", "0.01"]


def test_bandwidth_is_of_blocks_as_large():
    reads = {"1 MB": 9.0, "4 MB": 5.0, "16 MB": 6.0}
    assert bandwidth(reads, 2.0**19) == 9e9
    assert bandwidth(reads, 2.0**22) == 6e9
    assert bandwidth(reads, 2.0**30) == 6e9


def test_the_committed_page_is_of_its_results():
    name = "cpu-2026-11-30-two-threads"
    expected = page(json.loads((RESULTS / f"{name}.json").read_text()), f"{name}.json")
    assert (RESULTS / "roofline-2026-11-30-two-threads.md").read_text() == expected
