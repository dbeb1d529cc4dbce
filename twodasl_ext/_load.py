"""Finds and loads the compiled libraries: the only file that knows their names.

In an installed package they are beside this file. When Python is started in a source folder, which then
shadows the installed package, they are taken from the installed distribution if both have the same interface
number.
"""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import torch

INTERFACE = 11
"""Which schemas, packed layout and native module fit: raise it when one changes. CMakeLists.txt reads it."""

_CPU_LIBRARY = "_operators_cpu.so"
_CUDA_LIBRARY = "_operators_cuda.so"
_NATIVE_MODULE = "_native" + importlib.machinery.EXTENSION_SUFFIXES[0]
_REMEDY = "run `pip install .` in the source folder (add --force-reinstall if it is installed already)"


def version() -> str:
    """The version of the installed distribution, as in `twodasl.__version__`."""
    try:
        return importlib.metadata.version("twodasl")
    except importlib.metadata.PackageNotFoundError:
        return "0+not.installed"


def _installed_folder() -> Path | None:
    """The folder of the installed twodasl_ext, if the distribution is installed and holds the libraries."""
    try:
        distribution = importlib.metadata.distribution("twodasl")
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in distribution.files or ():
        if file.name == _CPU_LIBRARY and file.parent.name == "twodasl_ext":
            folder = Path(str(file.locate())).parent
            if (folder / _CPU_LIBRARY).is_file():
                return folder
    return None


def _find_folder() -> Path:
    here = Path(__file__).resolve().parent
    if (here / _CPU_LIBRARY).is_file():
        return here
    installed = _installed_folder()
    if installed is None:
        raise ImportError(
            f"twodasl_ext: the compiled operators ({_CPU_LIBRARY}) are not in {here} "
            f"and no installed twodasl has them; {_REMEDY}."
        )
    return installed


def _load_native(folder: Path) -> ModuleType:
    path = folder / _NATIVE_MODULE
    name = "twodasl_ext._native"
    if not path.is_file():
        raise ImportError(
            f"twodasl_ext: {folder} holds no {_NATIVE_MODULE}: it was built for another Python than "
            f"{sys.version_info.major}.{sys.version_info.minor}; {_REMEDY}."
        )
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except ImportError as error:
        raise ImportError(f"twodasl_ext: {path} does not load: {error}. To repair: {_REMEDY}.") from error
    sys.modules[name] = module
    return module


def _check(native: ModuleType, folder: Path) -> None:
    found = getattr(native, "INTERFACE", None)
    if found != INTERFACE:
        raise ImportError(
            f"twodasl_ext: the libraries in {folder} have interface {found}, "
            f"the sources in {Path(__file__).parent} need {INTERFACE}; {_REMEDY}."
        )
    wanted = os.environ.get("TWODASL_ISA")
    levels = native.build_info()["isa_levels"]
    if wanted is not None and wanted not in levels:
        raise ImportError(f"twodasl_ext: TWODASL_ISA is {wanted!r}; expected one of {', '.join(levels)}.")
    tensor_cores = os.environ.get("TWODASL_TENSOR_CORES")
    if tensor_cores not in (None, "0", "1"):
        raise ImportError(f"twodasl_ext: TWODASL_TENSOR_CORES is {tensor_cores!r}; expected 0 or 1.")


def _load_operators(path: Path, native: ModuleType) -> None:
    try:
        torch.ops.load_library(str(path))
    except OSError as error:
        built = native.build_info()["built_with_torch"]
        raise ImportError(
            f"twodasl_ext: {path} does not load under torch {torch.__version__} "
            f"(built with the headers of torch {built}, needs torch 2.10 or newer; "
            f"CUDA {torch.version.cuda}): "
            f"{error.__cause__ or error}"
        ) from error


def _load() -> tuple[ModuleType, tuple[str, ...]]:
    folder = _find_folder()
    native = _load_native(folder)
    _check(native, folder)
    _load_operators(folder / _CPU_LIBRARY, native)
    # Long calls run Python's signal handlers, so that Ctrl-C stops them.
    hook = ctypes.c_void_p(native.interruption_hook())
    ctypes.CDLL(str(folder / _CPU_LIBRARY)).twodasl_set_interruption_hook(hook)
    # This depends on the build, not on the machine: a GPU may become visible later, and asking starts CUDA.
    if native.build_info()["cuda"] and torch.version.cuda is not None:
        path = folder / _CUDA_LIBRARY
        if not path.is_file():
            raise ImportError(
                f"twodasl_ext: {folder} was built with CUDA operators, but lacks {path.name}; {_REMEDY}."
            )
        _load_operators(path, native)
        return native, ("cpu", "cuda")
    return native, ("cpu",)


native: ModuleType
DEVICES: tuple[str, ...]
"""Device types that have kernels in this build ("meta" tensors only propagate shapes)."""

native, DEVICES = _load()
