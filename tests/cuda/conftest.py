"""Where the tests of CUDA kernels run: on a GPU, in the emulator, or visibly not at all."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from twodasl_ext import _load


def _emulated() -> bool:
    """Whether the plugin of tests/cuda/emulator has put the CUDA kernels in the CPU kernels' place."""
    return "emulated" in sys.modules


def _missing() -> str | None:
    """Why CUDA tensors have no kernels here; None where they have."""
    if "cuda" not in _load.DEVICES:
        return "the CUDA operators are not loaded here"
    if not torch.cuda.is_available():
        return "no GPU is visible"
    return None


@pytest.fixture(scope="session")
def device() -> torch.device:
    """The device whose operators are the CUDA kernels: "cuda", or "cpu" in the emulator."""
    if _emulated():
        return torch.device("cpu")
    reason = _missing()
    if reason is not None:
        pytest.skip(f"{reason}, and the emulator is not in use (tests/cuda/run_emulated.sh)")
    return torch.device("cuda")


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """A real GPU, for what the emulator cannot show: streams, graphs, several devices."""
    reason = "the emulator has no streams" if _emulated() else _missing()
    if reason is not None:
        pytest.skip(reason)
    return torch.device("cuda")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks for a device is marked `cuda`: `-m cuda` is what a machine with a GPU has to run."""
    here = Path(__file__).parent  # the items are those of the whole run
    for item in items:
        if here in item.path.parents and {"device", "gpu"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.cuda)
