"""Which devices have operators in this build, and what to do about one that has none."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from . import _load

REBUILD = (
    "put nvcc (the CUDA toolkit's compiler) on the PATH and run `pip install --force-reinstall --no-deps .` "
    "in the source folder"
)


def problem(device: torch.device) -> str | None:
    """Why tensors on `device` have no operators here, and the remedy; None where they have."""
    if device.type in ("cpu", "meta"):
        return None
    if device.type != "cuda":
        return f"no operators for device {device}; this build has kernels for {', '.join(_load.DEVICES)}"
    if "cuda" not in _load.DEVICES:
        return f"no operators for device {device}; {without_cuda()}"
    outdated = _driver_too_old()
    if outdated is not None:
        return f"no operators for device {device}; {outdated}"
    # A tensor there means that CUDA is already running, so asking does not start it.
    index = torch.cuda.current_device() if device.index is None else device.index
    return _problem_of_gpu(index)


def check_place(device: torch.device, name: str) -> None:
    """ValueError where tensors on `device` have no operators."""
    reason = problem(device)
    if reason is not None:
        raise ValueError(f"{name}: {reason}")


def check_move(move: Callable[[Tensor], Tensor], tensor: Tensor, name: str) -> None:
    """ValueError where `move`, as `nn.Module.to` makes it, cannot be done or ends where no operators are."""
    try:
        device = move(tensor[:0]).device
    except (AssertionError, RuntimeError) as error:  # torch without CUDA, or without a driver
        raise ValueError(f"{name}: it cannot be moved there: {str(error).strip()}") from error
    check_place(device, name)


def without_cuda() -> str:
    """Why the CUDA operators are not loaded, and the remedy."""
    if _load.native.build_info()["cuda"]:  # a CPU build of torch then
        return (
            f"the CUDA operators are built, but torch {torch.__version__} is without CUDA; "
            "install a CUDA build of torch"
        )
    return f"this build has operators for the CPU alone, because no nvcc was found; {REBUILD}"


_DRIVERS = {12: "525", 13: "580"}
"""The oldest driver that knows a major version of CUDA (NVIDIA, "CUDA Compatibility")."""


def _versions() -> tuple[int, int]:
    """The CUDA of the operators and the newest that the driver knows, 13000 being 13.0."""
    library = ctypes.CDLL(str(Path(_load.native.__file__ or "").with_name("_operators_cuda.so")))
    runtime, driver = ctypes.c_int(), ctypes.c_int()
    library.twodasl_cuda_versions(ctypes.byref(runtime), ctypes.byref(driver))
    return runtime.value, driver.value


@lru_cache(maxsize=1)
def _driver_too_old() -> str | None:
    """Why no kernel would start with this machine's driver, although torch's do; None where they do.

    The operators bring their own CUDA runtime, of the nvcc that built them: a driver runs those of its own
    major version and older ones.
    """
    runtime, driver = _versions()
    if driver == 0 or runtime // 1000 <= driver // 1000:
        return None
    major = runtime // 1000
    newer = f"driver {_DRIVERS[major]}" if major in _DRIVERS else "a driver for that"
    known = f"{driver // 1000}.{driver % 1000 // 10}"
    return (
        f"the operators are built with CUDA {major}.{runtime % 1000 // 10}, and this machine's driver knows "
        f"CUDA {known} at most; install {newer} or a newer one, or build with the nvcc of CUDA "
        f"{driver // 1000}: {REBUILD}"
    )


@lru_cache(maxsize=64)
def _problem_of_gpu(index: int) -> str | None:
    architectures = _load.native.build_info()["cuda_architectures"]
    capability = torch.cuda.get_device_capability(index)
    if runs_on(capability, compiled_for(architectures)):
        return None
    return no_kernels(f"cuda:{index}", torch.cuda.get_device_name(index), capability)


def no_kernels(device: str, name: str, capability: tuple[int, int]) -> str:
    """The message for a GPU that none of the compiled kernels runs on."""
    major, minor = capability
    compiled = compiled_for(_load.native.build_info()["cuda_architectures"])
    return (
        f"no operators for device {device}; {name} has compute capability {major}.{minor}, this build has "
        f"kernels for {', '.join(f'{a}.{b}' for a, b in compiled)}; install with "
        f"SKBUILD_CMAKE_DEFINE=TWODASL_CUDA_ARCHITECTURES={major}{minor} `pip install --force-reinstall "
        "--no-deps .` in the source folder, with an nvcc that knows that capability"
    )


def compiled_for(architectures: str) -> list[tuple[int, int]]:
    """ "75;86;100" as build_info() has it -> [(7, 5), (8, 6), (10, 0)]."""
    return [divmod(int(word), 10) for word in architectures.split(";") if word]


def runs_on(capability: tuple[int, int], compiled: list[tuple[int, int]]) -> bool:
    """Whether a GPU of this compute capability runs kernels compiled for those.

    Machine code runs on GPUs of the same major number and no lower minor one; PTX is compiled by the driver
    for anything as new or newer (CUDA C++ Programming Guide, "Binary Compatibility" and "PTX Compatibility").
    """
    if not compiled:
        return False
    same_major = any(major == capability[0] and minor <= capability[1] for major, minor in compiled)
    return same_major or capability >= _of_ptx(compiled)


def _of_ptx(compiled: list[tuple[int, int]]) -> tuple[int, int]:
    """What the PTX is for: the oldest that shares nvcc's front end with the newest, see CMakeLists.txt."""
    newest = max(compiled)
    shared = max((first for first in ((8, 0), (10, 0)) if first <= newest), default=newest)
    return min(architecture for architecture in compiled if architecture >= shared)
