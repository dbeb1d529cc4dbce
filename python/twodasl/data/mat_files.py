"""Variables of MATLAB files that strangers made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError


def read_variables(file: Path, shapes: Mapping[str, Sequence[int | None]]) -> dict[str, NDArray[np.float64]]:
    """The named variables of a MATLAB file up to v7 as float64; None in a shape is any length.

    Raises InputError naming the file when it is missing or broken, or a variable is missing, of another
    shape, or not of finite real numbers.
    """
    from scipy.io import loadmat

    try:
        content = loadmat(file, variable_names=list(shapes))
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error})") from error
    except Exception as error:  # scipy's reader raises many kinds on broken files
        raise InputError(f"{file}: expected a MATLAB file, got one that cannot be read ({error})") from error
    found = {}
    for name, shape in shapes.items():
        array = content.get(name)
        if array is None:
            raise InputError(f"{file}: has no variable {name}")
        fits = array.ndim == len(shape) and all(
            want is None or want == got for want, got in zip(shape, array.shape, strict=True)
        )
        if not fits or array.dtype.kind not in "fiu":
            wanted = ", ".join("n" if size is None else str(size) for size in shape)
            got = f"{array.shape} {array.dtype}"
            raise InputError(f"{file}: expected {name} ({wanted}) of numbers, got {got}")
        found[name] = np.array(array, np.float64)
        if not np.isfinite(found[name]).all():
            raise InputError(f"{file}: {name} holds NaN or infinity")
    return found
