"""A pytest plugin: operators on CPU tensors run the CUDA kernels in the emulator.

`TWODASL_EMULATED_OPERATORS` names the library, which tests/cuda/run_emulated.sh builds. It registers the CUDA
operators for CPU tensors, replacing the CPU library's; so every test of an operator tests its CUDA kernel.
`TWODASL_EMULATED_RUNS="0:0/2 7:1/4"` runs the first of every two tests in order 0 and then, in the same
process, the second of every four tests whose kernels another order could change in order 7.
`TWODASL_EMULATED_LIST=FILE` adds the names of those tests to the file; with `TWODASL_EMULATED_ONLY=FILE`
every run chooses from the tests named in it.

Here `gradcheck` compares random combinations of a Jacobian's entries, torch's fast mode: a combination takes
two evaluations, and hundreds of them, for every entry, are the same path through the same kernels. Every
entry is compared where the tests run on the CPU's kernels, and on a GPU.
"""

from __future__ import annotations

import ctypes
import functools
import os
import warnings
from collections.abc import Generator
from pathlib import Path

import pytest
import torch

import twodasl_ext  # noqa: F401  (first the CPU's operators, which are then replaced)
from twodasl_ext import _values

LIBRARY = os.environ["TWODASL_EMULATED_OPERATORS"]
RUNS = [word.split(":") for word in os.environ.get("TWODASL_EMULATED_RUNS", "").split()]
"""(order, part) of each run; without any, one run of all tests, in the order of the environment."""
LIST = os.environ.get("TWODASL_EMULATED_LIST")
ONLY = os.environ.get("TWODASL_EMULATED_ONLY")

_VALUES = "values are not checked on CUDA, see tests/cuda/test_icp.py"
_LONG = "hundreds of steps over thousands of points take too long here, tests/cuda/test_icp.py has fewer"
# Tests of the CPU kernels alone, which say nothing about the CUDA ones: a part of the name -> why.
VALUES = "on CUDA values are not checked: see tests/cuda/test_neighbors.py"
OF_THE_CPU_ALONE = {
    "test_nearest_neighbors.py::test_many_points": "100,000 queries take too long here",
    "test_nearest_neighbors.py::test_equal_distances": "800,000 points take too long here",
    "test_nearest_neighbors.py::test_threads_change_no_bit": "threads are the CPU's",
    "test_neighbor_calls.py::test_wrong_points_of_an_index": VALUES,
    "test_neighbor_calls.py::test_wrong_arguments[points: expected finite": VALUES,
    "test_neighbor_calls.py::test_wrong_arguments[query: expected finite": VALUES,
    "test_neighbor_calls.py::test_wrong_arguments[points: expected at least one": VALUES,
    "test_neighbor_calls.py::test_wrong_arguments[lengths: expected numbers": VALUES,
    "test_neighbor_calls.py::test_wrong_arguments[query_lengths: expected numbers": VALUES,
    "test_neighbor_calls.py::test_wrong_arguments[hint: expected indices": VALUES,
    "test_chamfer.py::test_errors": VALUES,
    "test_closest_point.py::test_threads_and_partitions": "threads are the CPU's",
    "test_closest_point.py::test_wrong_arguments[no vertex": VALUES,
    "test_closest_point.py::test_wrong_arguments[high": VALUES,
    "test_closest_point.py::test_wrong_arguments[negative": VALUES,
    "test_closest_point.py::test_wrong_arguments[NaN": VALUES,
    "test_closest_point.py::test_wrong_arguments[a vertex": VALUES,
    "test_k_nearest_neighbors.py::test_threads_change_no_bit": "threads are the CPU's",
    "test_k_nearest_neighbors.py::test_wrong_arguments[lengths": VALUES,
    "test_k_nearest_neighbors.py::test_wrong_arguments[query NaN": VALUES,
    "test_k_nearest_neighbors.py::test_wrong_arguments[points NaN": VALUES,
    "ext/test_fit_": "thousands of fits take too long here, tests/cuda/test_fit_landmarks.py has fewer",
    "test_threads_and_levels": "threads and instruction-set levels are the CPU's",
    "test_emulator": "compiles the emulator itself",
    "test_gpu_benchmark": "is about the benchmark's program",
    "test_skips": "is about runs without the emulator",
    "[inductor]": "inductor's code is the CPU's; with aot_eager the same functions are traced here",
    "test_devices": "is about the messages of the Python functions",
    "test_library": "looks at the built CPU library",
    "test_interruption": "a call on CUDA does not wait for its kernels",
    "test_memory": "reused memory is the CPU's",
    "test_peak_memory": "reused memory is the CPU's",
    "test_a_batch_that_is_too_large": "is about the CPU's memory",
    "closest_point.py::test_the_number_of_threads": "threads are the CPU's",
    "test_iterative_closest_point.py::test_a_known_motion": _LONG,
    "test_iterative_closest_point.py::test_similarity": _LONG,
    "test_iterative_closest_point.py::test_outliers_are_trimmed": _LONG,
    "test_iterative_closest_point.py::test_pairs_beyond": _LONG,
    "test_iterative_closest_point.py::test_point_to_plane_needs": _LONG,
    "test_iterative_closest_point.py::test_elements_do_not_influence": _LONG,
    "test_iterative_closest_point.py::test_a_face_of_real_size": _LONG,
    "test_icp_inputs.py::test_single_clouds_have_no_batch_element": _VALUES,
    "test_icp_inputs.py::test_counts_past_the_points": _VALUES,
    "test_icp_inputs.py::test_opcheck_of_the_steps": "on CUDA the steps are one operator, icp_run",
    "test_icp_transforms.py::test_a_motion_out_of_range": _VALUES,
    "test_messages[ValueError-^source: expected finite": _VALUES,
    "test_messages[ValueError-^target: expected finite": _VALUES,
    "test_messages[ValueError-^normals: expected one that is not zero": _VALUES,
    "test_messages[ValueError-^triangles: expected vertex indices": _VALUES,
    "test_messages[ValueError-^max_distance: expected a pair within": _VALUES,
    "test_messages[ValueError-^initialize's rotation: expected orthonormal": _VALUES,
    "test_messages[ValueError-^initialize's scale: expected positive": _VALUES,
    "test_messages[ValueError-^source_lengths: expected lengths in": _VALUES,
    "test_messages[ValueError-^target_lengths: expected lengths in": _VALUES,
    "rasterize_looks_at_values": "on CUDA values show in the result: tests/cuda/test_rasterize.py",
    "test_the_number_of_threads_changes_no_bit": "threads are the CPU's",
    "test_a_face_does_not_depend_on_its_batch[big batch": "the batch is large for the CPU's threads",
}
if os.environ.get("TWODASL_TENSOR_CORES") == "1":
    OF_THE_CPU_ALONE["test_it_is_really_read_off_the_result"] = "on tensor cores the result is not read"


# About tracing, schemas and registration: the kernels that run there are those of other tests.
OF_ANY_ORDER = ("ext/test_compile.py", "ext/test_opcheck.py")

ordered: dict[str, pytest.Item] = {}
"""The tests that another order could change: those of ONLY, or those of the first run that launch any."""


def pytest_configure(config: pytest.Config) -> None:
    """Replaces the CPU kernels by the emulated ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about every replaced kernel
        torch.ops.load_library(LIBRARY)
    _values.LOOKED_AT.clear()  # and the Python functions take the path of CUDA tensors
    torch.autograd.gradcheck = functools.partial(torch.autograd.gradcheck, fast_mode=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips tests that are not about CUDA kernels, with the reason; leaves out the other parts' tests."""
    for item in items:
        for part, reason in OF_THE_CPU_ALONE.items():
            if part in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))
    if ONLY:
        named = set(Path(ONLY).read_text().splitlines())
        ordered.update((item.nodeid, item) for item in items if item.nodeid in named)
    if not RUNS:
        return
    chosen = begin(*RUNS[0], list(ordered.values()) if ONLY else items)
    kept = set(chosen)
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = chosen


def begin(order: str, part: str, candidates: list[pytest.Item]) -> list[pytest.Item]:
    """Sets the order, which the emulator reads at every launch; returns the part's tests."""
    os.environ["TWODASL_EMULATOR_ORDER"] = order
    number, parts = (int(word) for word in part.split("/"))
    return candidates[number::parts]


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Runs the tests of the other runs after those of the first, with fixtures of their own."""
    result = yield
    report = session.config.pluginmanager.get_plugin("terminalreporter")
    for order, part in RUNS[1:]:
        failed, chosen = session.testsfailed, begin(order, part, list(ordered.values()))
        for item, following in zip(chosen, [*chosen[1:], None], strict=True):
            item._initrequest()  # type: ignore[attr-defined]
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
        report.write_line(f"\norder {order}: {len(chosen)} tests, {session.testsfailed - failed} failed")
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Lists the test if it launches a kernel: no other test can depend on the order of threads."""
    before = launches()
    result = yield
    new = item.nodeid not in ordered and not any(part in item.nodeid for part in OF_ANY_ORDER)
    if new and not ONLY and launches() > before:
        ordered[item.nodeid] = item
        if LIST:
            with open(LIST, "a") as file:
                file.write(f"{item.nodeid}\n")
    return result


def launches() -> int:
    """The number of grids that the emulator has run."""
    return ctypes.c_ulonglong.in_dll(ctypes.CDLL(LIBRARY), "twodasl_emulator_launches").value


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Reports the number of launches: a run without any has tested nothing."""
    terminalreporter.write_line(f"emulated launches: {launches()}")
