"""The spread of 3DDFA's coefficients: the part of its parameter whitening that follows the pose."""

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
    """Standard deviations of the shape and expression coefficients, for the given numbers of modes.

    If the bases have more modes than the 62 parameters use, the first 40 and 10 are used, as in 3DDFA_V2.
    Raises InputError if no file of standard deviations is found: the bases are not scaled, so the values
    would be guesses.
    """
    found = [(folder / name, key) for name, key in FILES if (folder / name).is_file()]
    if not found:
        names = " or ".join(name for name, _ in FILES)
        raise InputError(f"{folder}: has bases without their standard deviations; put {names} next to them")
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
