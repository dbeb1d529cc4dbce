"""Where the tests of CUDA kernels run: on a GPU, in the emulator, or as a visible skip."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
import torch

from twodasl_ext import _load


def _emulated() -> bool:
    """Whether the plugin of tests/cuda/emulator has replaced the CPU kernels by the CUDA ones."""
    return "emulated" in sys.modules


def _missing() -> str | None:
    """Why CUDA tensors have no kernels here; None if they have."""
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
    return _real_device()


@pytest.fixture(scope="session")
def gpu() -> torch.device:
    """A real GPU, for what the emulator cannot show: streams, graphs, several devices."""
    if _emulated():
        pytest.skip("the emulator has no streams")
    return _real_device()


def _library() -> ctypes.CDLL:
    """The loaded CUDA operators, a GPU's or the emulator's."""
    if _emulated():
        return ctypes.CDLL(os.environ["TWODASL_EMULATED_OPERATORS"])
    return ctypes.CDLL(str(Path(_load.native.__file__).with_name("_operators_cuda.so")))


@pytest.fixture
def multiprocessors(device: torch.device) -> Generator[Callable[[int], None]]:
    """Sets for how many multiprocessors launches choose their tiles: see csrc/cuda/multiprocessors.cu."""
    number = ctypes.c_int.in_dll(_library(), "twodasl_multiprocessors")

    def pretend(count: int) -> None:
        number.value = count

    before = number.value
    yield pretend
    number.value = before


@pytest.fixture
def tensor_cores(device: torch.device) -> Generator[Callable[[bool], None]]:
    """Chooses whether `vertices` multiplies on tensor cores: see csrc/cuda/tensor_cores.cu.

    Skips where a GPU has none for tf32.
    """
    if device.type == "cuda" and torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("this GPU has no tensor cores for tf32")
    number = ctypes.c_int.in_dll(_library(), "twodasl_tensor_cores")

    def choose(wanted: bool) -> None:
        number.value = int(wanted)

    before = number.value
    yield choose
    number.value = before


@pytest.fixture
def launched(device: torch.device) -> Callable[[], tuple[int, ...]] | None:
    """In the emulator: the last launch's blocks in x and y, and threads. A GPU does not tell."""
    if not _emulated():
        return None
    grid = (ctypes.c_uint * 3).in_dll(_library(), "twodasl_emulator_grid")
    return lambda: tuple(grid)


@pytest.fixture(scope="session", autouse=True)
def _few_multiprocessors() -> Generator[None]:
    """TWODASL_MULTIPROCESSORS sets it for all tests: `benchmarks/gpu.sh` does for NVIDIA's checkers."""
    wanted = os.environ.get("TWODASL_MULTIPROCESSORS")
    if wanted is None or (not _emulated() and _missing() is not None):
        yield
        return
    number = ctypes.c_int.in_dll(_library(), "twodasl_multiprocessors")
    number.value = int(wanted)
    yield
    number.value = 0


def _real_device() -> torch.device:
    reason = _missing()
    if reason is not None:
        pytest.skip(f"{reason}; tests/cuda/run_emulated.sh runs most of these tests without a GPU")
    return torch.device("cuda")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests that need a device as `cuda`: a machine with a GPU runs `-m cuda`."""
    here = Path(__file__).parent  # `items` are those of the whole run
    for item in items:
        if here in item.path.parents and {"device", "gpu"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.cuda)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Gives all skips without a device one location, so that the summary folds hundreds into one line.

    `pytest --no-fold-skipped` (8.3 and newer) lists them.
    """
    report = yield
    if report.when == "setup" and report.skipped and item.get_closest_marker("cuda"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.longrepr = (str(Path(__file__).parent), None, reason)  # type: ignore[assignment]
    return report
