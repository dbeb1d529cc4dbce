"""A pytest plugin: the operators of CPU tensors are served by the CUDA kernels, in the emulator.

`TWODASL_EMULATED_OPERATORS` names the library, which tests/cuda/run_emulated.sh builds. It registers the CUDA
operators for CPU tensors, over the CPU library's own; so every test of an operator becomes one of its CUDA
kernel.
"""

from __future__ import annotations

import os
import warnings

import pytest
import torch

import twodasl_ext  # noqa: F401  (first the CPU's operators, which are then replaced)

LIBRARY = os.environ["TWODASL_EMULATED_OPERATORS"]

# What a test asks of the CPU kernels alone, and so says nothing of the CUDA ones: a part of its name -> why.
OF_THE_CPU_ALONE = {
    "test_threads_and_levels": "threads and instruction-set levels are the CPU's",
    "test_library": "looks at the built CPU library",
    "test_memory": "reused memory is the CPU's",
    "test_peak_memory": "reused memory is the CPU's",
    "test_rasterize_looks_at_values": "on CUDA values show in the result: tests/cuda/test_rasterize.py",
    "test_the_number_of_threads_changes_no_bit": "threads are the CPU's",
    "test_a_face_does_not_depend_on_its_batch[big batch": "the batch is large for the CPU's threads",
}


def pytest_configure(config: pytest.Config) -> None:
    """Puts the emulated kernels in the CPU kernels' place."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch tells of every kernel that is replaced
        torch.ops.load_library(LIBRARY)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skips what is not about CUDA kernels, and says why."""
    for item in items:
        for part, reason in OF_THE_CPU_ALONE.items():
            if part in item.nodeid:
                item.add_marker(pytest.mark.skip(reason=reason))
