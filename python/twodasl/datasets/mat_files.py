"""Numeric arrays of annotations in MATLAB files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..io.matlab import read_mat

LARGEST = 64 << 20
"""Limit in bytes for a file, and for the variables read from it."""


def read_variables(file: Path, shapes: Mapping[str, Sequence[int | None]]) -> dict[str, NDArray[np.float64]]:
    """The named variables of a MATLAB 5 to 7 file as float64; None in a shape means any length.

    Raises InputError naming the file if it is missing or broken, or if a variable is missing, has another
    shape, or does not hold finite real numbers.
    """
    if file.is_file() and file.stat().st_size > LARGEST:
        raise InputError(f"{file}: is larger than {LARGEST >> 20} MiB; expected a MATLAB file of landmarks")
    variables = read_mat(file, shapes, LARGEST)
    found = {}
    for name, shape in shapes.items():
        if name not in variables:
            raise InputError(f"{file}: has no variable {name}")
        array = variables[name]
        sizes = ", ".join("n" if size is None else str(size) for size in shape)
        wanted = f"expected {name} ({sizes}) of numbers"
        if not isinstance(array, np.ndarray):
            raise InputError(f"{file}: {wanted}, got {'struct' if isinstance(array, dict) else array}")
        fits = array.ndim == len(shape) and all(
            want is None or want == got for want, got in zip(shape, array.shape, strict=True)
        )
        if not fits:
            raise InputError(f"{file}: {wanted}, got {array.shape} {array.dtype}")
        found[name] = array.astype(np.float64)
        if not np.isfinite(found[name]).all():
            raise InputError(f"{file}: {name} holds NaN or infinity")
    return found
