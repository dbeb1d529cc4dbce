"""Reading arrays from the containers of face models: `.npy`, `.npz`, and text.

Every size that a file declares is checked against its content, or against `LARGEST`, before memory is
allocated for it, and any problem becomes an InputError that names the file. Only the reader in
`twodasl.io.pickles` unpickles anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...io import arrays
from ...io.arrays import LARGEST, parse_npy
from ...io.files import regular_file
from ...io.pickles import parse_pickle
from ...io.text import plain_text, reals

Array = NDArray[Any]


def read_npy(path: Path) -> Any:
    """The array of a `.npy` file, or its pickled object (see `io.pickles.read_model_pickle`)."""
    if regular_file(path).stat().st_size > LARGEST:
        raise InputError(f"{path}: expected at most {LARGEST >> 30} GiB, got a larger file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_npy(path, content, objects=parse_pickle)


def read_npz(path: Path, names: Iterable[str]) -> dict[str, Any]:
    """Those of the named arrays that a `.npz` contains, as `arrays.read_npz`; of objects as `read_npy`."""
    return arrays.read_npz(path, names, objects=parse_pickle)


def read_numbers(path: Path) -> NDArray[np.float64]:
    """The numbers in a text file, separated by white space, commas, or semicolons; `#` starts a comment."""
    try:
        with open(regular_file(path), "rb") as stream:
            text = plain_text(path, stream.read(1 << 20))
    except OSError as error:
        raise unreadable(path, error) from error
    lines = [line.partition(b"#")[0] for line in text.splitlines()]
    try:
        return reals(b" ".join(lines).replace(b",", b" ").replace(b";", b" ").split())
    except ValueError as error:
        raise InputError(f"{path}: expected only numbers, got other text among them") from error


def unreadable(path: Path, error: OSError) -> InputError:
    """The error for a file that the system cannot read."""
    return InputError(f"{path}: cannot be read ({error.strerror or error})")
