"""twodasl: 3D face reconstruction and dense alignment from a single photograph.

`FaceReconstructor` turns a photo into a mesh, `MorphableModel` and `load_model` provide face models, and the
command `twodasl` does the rest. The names below are imported when they are first used, so that
`import twodasl` alone costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from .morphable import ARKIT_NAMES, MorphableModel, arkit_shapes, from_arkit, load_model, to_arkit
    from .reconstruction.reconstructor import FaceReconstructor, Reconstruction
    from .scans import ScanFit, fit_scan

__all__ = [
    "ARKIT_NAMES",
    "FaceReconstructor",
    "InputError",
    "MorphableModel",
    "Reconstruction",
    "ScanFit",
    "__version__",
    "arkit_shapes",
    "fit_scan",
    "from_arkit",
    "load_model",
    "to_arkit",
]

_HOMES = {
    "FaceReconstructor": ".reconstruction.reconstructor",
    "Reconstruction": ".reconstruction.reconstructor",
    "MorphableModel": ".morphable",
    "ScanFit": ".scans",
    "fit_scan": ".scans",
    "load_model": ".morphable",
    "ARKIT_NAMES": ".morphable",
    "arkit_shapes": ".morphable",
    "from_arkit": ".morphable",
    "to_arkit": ".morphable",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return _version()
    if name in _HOMES:
        return getattr(import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("twodasl")
    except PackageNotFoundError:
        return "0+not.installed"
