"""A pytest plugin: the operators of CPU tensors are served by the CUDA kernels, in the emulator.

`TWODASL_EMULATED_OPERATORS` names the library, which tests/cuda/run_emulated.sh builds. It registers the CUDA
operators for CPU tensors, over the CPU library's own; so every test of an operator becomes one of its CUDA
kernel. `TWODASL_EMULATED_PART=1/4` runs the second of every four tests.
"""

from __future__ import annotations

import ctypes
import os
import warnings

import pytest
import torch

import twodasl_ext  # noqa: F401  (first the CPU's operators, which are then replaced)

LIBRARY = os.environ["TWODASL_EMULATED_OPERATORS"]
PART = os.environ.get("TWODASL_EMULATED_PART", "0/1")

# What a test asks of the CPU kernels alone, and so says nothing of the CUDA ones: a part of its name -> why.
VALUES = "on CUDA values are not looked at: see tests/cuda/test_neighbors.py"
OF_THE_CPU_ALONE = {
    "test_nearest_neighbors.py::test_many_points": "100,000 queries take too long here",
    "test_nearest_neighbors.py::test_threads_change_no_bit": "threads are the CPU's",
    "test_nearest_neighbors.py::test_wrong_points_of_an_index": VALUES,
    "test_nearest_neighbors.py::test_wrong_arguments[points: expected finite": VALUES,
    "test_nearest_neighbors.py::test_wrong_arguments[query: expected finite": VALUES,
    "test_nearest_neighbors.py::test_wrong_arguments[points: expected at least one": VALUES,
    "test_nearest_neighbors.py::test_wrong_arguments[lengths: expected numbers": VALUES,
    "test_nearest_neighbors.py::test_wrong_arguments[query_lengths: expected numbers": VALUES,
    "test_nearest_neighbors.py::test_wrong_arguments[hint: expected indices": VALUES,
    "test_chamfer.py::test_errors": VALUES,
    "test_threads_and_levels": "threads and instruction-set levels are the CPU's",
    "test_emulator": "compiles the emulator itself",
    "test_devices": "is about what the facade says",
    "test_library": "looks at the built CPU library",
    "test_memory": "reused memory is the CPU's",
    "test_peak_memory": "reused memory is the CPU's",
}


def pytest_configure(config: pytest.Config) -> None:
    """Puts the emulated kernels in the CPU kernels' place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch tells of every kernel that is replaced
        torch.ops.load_library(LIBRARY)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips what is not about CUDA kernels, and says why; leaves out the other parts' tests."""
    for item in items:
        for part, reason in OF_THE_CPU_ALONE.items():
            if part in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))
    number, parts = (int(word) for word in PART.split("/"))
    others = [item for i, item in enumerate(items) if i % parts != number]
    config.hook.pytest_deselected(items=others)
    items[:] = items[number::parts]


def launches() -> int:
    """How many grids the emulator has run."""
    return ctypes.c_ulonglong.in_dll(ctypes.CDLL(LIBRARY), "twodasl_emulator_launches").value


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A run that started no kernel has tested nothing: its reader has to see that."""
    terminalreporter.write_line(f"emulated launches: {launches()}")
