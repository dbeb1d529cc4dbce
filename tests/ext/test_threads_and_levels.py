"""The same bits for every number of threads; every compiled instruction-set level in its own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch

import twodasl_ext as te

from .cases import CASES, make

THREADS_CASES = [CASES[i] for i in (6, 9, 10)]


@pytest.fixture
def restore_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run_everything(case, factor=None):
    """What the operators give; without a `factor` the basis builds its own."""
    inputs = make(case).to(torch.float32)
    leaves = [t.requires_grad_() for t in (inputs.mean, inputs.modes, inputs.coefficients, inputs.pose)]
    trained = te.MorphableBasis(inputs.mean, inputs.modes, inputs.landmarks)
    basis = te.MorphableBasis(inputs.mean.detach(), inputs.modes.detach(), inputs.landmarks)
    posed = te.vertices(trained, inputs.coefficients, inputs.pose)
    results = [posed, *torch.autograd.grad(posed, leaves, inputs.grad)]
    results.append(te.landmarks(basis, inputs.coefficients, inputs.pose))
    results.append(te.importance_weights(basis, inputs.predicted, inputs.target))
    pair = [inputs.predicted.requires_grad_(), inputs.target.requires_grad_()]
    cost = te.vertex_distance_cost(basis, *pair, factor=factor)
    results.extend([cost, *torch.autograd.grad(cost, pair, torch.linspace(-1, 1, case.batch))])
    screen = posed.detach()[:3] / 20 + 16
    triangles = torch.arange(case.vertices // 3 * 3).reshape(-1, 3)
    results.extend(te.rasterize(screen, triangles, (37, 41)))
    return [r.detach().clone() for r in results]


def distance_factor(case):
    inputs = make(case).to(torch.float32)
    return te.MorphableBasis(inputs.mean, inputs.modes, inputs.landmarks).distance_factor()


@pytest.mark.parametrize("case", THREADS_CASES, ids=[c.name for c in THREADS_CASES])
def test_the_number_of_threads_changes_no_bit(case, restore_threads):
    torch.set_num_threads(1)
    alone = run_everything(case)
    # The factor is LAPACK's, whose threads wait in loops: more of them than cores take minutes for
    # thousands of rows.
    factor = None if case.vertices < 1000 else distance_factor(case)
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        for _ in range(2):
            assert all(torch.equal(a, b) for a, b in zip(alone, run_everything(case, factor), strict=True))


@pytest.mark.parametrize("case", THREADS_CASES, ids=[c.name for c in THREADS_CASES])
def test_two_threads_build_the_same_factor(case, restore_threads):
    torch.set_num_threads(1)
    alone = distance_factor(case)
    torch.set_num_threads(2)
    assert torch.equal(alone, distance_factor(case))


def runnable_levels():
    levels = te.build_info()["isa_levels"]
    return levels[: levels.index(te.cpu_capability()["best"]) + 1]


SUITE = [
    "test_values.py",
    "test_gradients.py",
    "test_vertex_distance_cost.py",
    "test_distance_factor.py",
    "test_nearest_neighbors.py",
    "test_icp_plane.py::test_a_step_is_the_shortest_of_least_squares",
    "test_skin.py::test_values",
    "test_skin.py::test_gradients",
    "test_closest_point.py::test_brute_force_in_any_unit",
    "test_closest_point.py::test_ties_go_to_the_lowest_triangle",
    "test_k_nearest_neighbors.py::test_brute_force",
    "test_k_nearest_neighbors.py::test_coordinates_of_any_scale",
    "test_fit_values.py",
    "test_fit_gradients.py::test_the_reference_agrees",
]


@pytest.mark.parametrize("level", runnable_levels())
def test_every_level_passes_the_numerical_tests(level):
    if level == te.cpu_capability()["active"]:
        pytest.skip(f"{level} is the level that this whole run uses")
    here = os.path.dirname(__file__)
    environment = {**os.environ, "TWODASL_ISA": level, "OMP_NUM_THREADS": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
    ]
    command += [os.path.join(here, name) for name in SUITE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("level", runnable_levels())
def test_the_environment_chooses_the_level(level):
    program = "import json, twodasl_ext as te; print(json.dumps(te.cpu_capability()))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TWODASL_ISA": level},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["active"] == level


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("TWODASL_ISA", "mmx", "TWODASL_ISA is 'mmx'; expected one of"),
        ("TWODASL_TENSOR_CORES", "yes", "TWODASL_TENSOR_CORES is 'yes'; expected 0 or 1."),
    ],
)
def test_an_unknown_choice_is_an_error(name, wrong, said):
    done = subprocess.run(
        [sys.executable, "-c", "import twodasl_ext"],
        env={**os.environ, name: wrong},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert said in done.stderr
