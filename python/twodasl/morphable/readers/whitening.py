"""How far 3DDFA's coefficients spread: the part of its parameters' whitening that follows the pose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...io.pickles import read_array_pickle
from .assemble import spreads

# File name and key: 3DDFA's and 3DDFA_V2's.
FILES = (("param_whitening.pkl", "param_std"), ("param_mean_std_62d_120x120.pkl", "std"))
POSE = 12
PUBLISHED = (40, 10)  # the modes of the 62 parameters


def coefficient_spreads(folder: Path, shapes: int, expressions: int) -> tuple[NDArray[np.float64], ...]:
    """Standard deviations of the shape and of the expression coefficients, for at most so many modes.

    Where the bases have more modes than the 62 parameters use, the first 40 and 10 are meant, as in 3DDFA_V2.
    Raises InputError where no file of spreads is there: the bases are not scaled, so they would be guesses.
    """
    found = [(folder / name, key) for name, key in FILES if (folder / name).is_file()]
    if not found:
        names = " or ".join(name for name, _ in FILES)
        raise InputError(f"{folder}: holds bases without their spread; put {names} beside them")
    path, key = found[0]
    content = read_array_pickle(path)
    values = content.get(key) if isinstance(content, dict) else None
    if not isinstance(values, np.ndarray):
        raise InputError(f"{path}: expected a pickled dict with the array {key}")
    if values.size == POSE + sum(PUBLISHED) and shapes >= PUBLISHED[0] and expressions >= PUBLISHED[1]:
        shapes, expressions = PUBLISHED
    if values.size != POSE + shapes + expressions:
        raise InputError(
            f"{path}: expected {POSE} + {shapes} + {expressions} standard deviations, got {values.size}"
        )
    sigma = spreads(path, key, values, values.size)[POSE:]
    return sigma[:shapes], sigma[shapes:]
