"""The program of benchmarks/gpu, without a GPU: what it captures and reports, how its script is called."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as program
from benchmarks.gpu.cases import TINY, Row, rows
from benchmarks.gpu.time import SETS, Stopwatch
from benchmarks.gpu.waits import waits

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]
A = torch.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("run", "operator"),
    [
        (lambda: A @ A.T + A.sum(), None),
        (lambda: A[torch.tensor([0, 2])] * 2.0, None),
        (lambda: A.max().item(), "aten::_local_scalar_dense"),
        (lambda: A[A > 3], "aten::index"),
        (lambda: torch.repeat_interleave(torch.tensor([1, 2])), "aten::repeat_interleave"),
        (lambda: torch.linalg.svd(A), "aten::_linalg_svd"),
    ],
)
def test_what_makes_the_host_wait_is_seen(run, operator):
    assert waits(run) == operator


def test_it_is_seen_in_a_gradient():
    leaf = A.clone().requires_grad_()

    class Waits(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * grad.sum().item()

    assert waits(lambda: torch.autograd.grad(Waits.apply(leaf).sum(), leaf)) == "aten::_local_scalar_dense"


def made(word: str) -> Row:
    return next(make for name, make in rows(CPU, TINY, compiled=False) if word in name)()


def test_a_graph_goes_through_several_bases():
    row = made("vertices forward")
    assert {len(row.of(name)) for name in row.runs} == {SETS}
    results = [run()[0] for run in row.of("fused")]
    assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize(
    ("word", "way"),
    [
        ("iterative_closest_point", "eager: cdist and SVD"),
        ("rasterize", "eager: two scatters"),
    ],
)
def test_baselines_that_wait_are_not_captured(word, way):
    row = made(word)
    taken = program.timed(row, way, Stopwatch(CPU, 0.0))
    assert "makes the host wait" in taken.notes[0]
    assert program.timed(row, "fused", Stopwatch(CPU, 0.0)).notes == []


def test_a_baseline_that_does_not_run_fails_its_row():
    def broken():
        raise TypeError("one argument too many")

    row = Row("a row", {"fused": lambda: (A,), "eager: broken": broken, "eager: wrong": lambda: (A + 1,)})
    found = program.measure(row, Stopwatch(CPU, 0.0), {})
    assert found["failed"] == ["eager: broken", "eager: wrong"]
    assert found["ways"]["eager: broken"] == {"notes": ["FAILED: TypeError: one argument too many"]}


def test_the_program_writes_its_rows(tmp_path, monkeypatch):
    given = ["--dry-run", "--no-compile", "--only", "landmarks", "--name", "some", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmarks.gpu", *given])
    assert program.main() == 0
    report = json.loads((tmp_path / "some.json").read_text())
    assert len(report["rows"]) == 6
    assert all(row["failed"] == [] and row["copy_ms"] > 0 for row in report["rows"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some.json", "some.md"]
    monkeypatch.setattr(
        sys, "argv", ["benchmarks.gpu", "--dry-run", "--only", "no row", "--out", str(tmp_path)]
    )
    assert program.main() == 2


@pytest.mark.parametrize("given", [["--stages", "tests,typo"], ["--stages", ""], ["--what"], ["--build"]])
def test_wrong_arguments_of_the_script(tmp_path, given):
    done = subprocess.run(
        [ROOT / "benchmarks" / "gpu.sh", *given], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr.startswith("benchmarks/gpu.sh: ")
    assert not list(tmp_path.iterdir())
