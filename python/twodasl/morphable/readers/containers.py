"""Arrays out of the containers in which face models travel: `.npy`, `.npz` and text.

Every size that a file claims is compared with what the file holds, or with `LARGEST`, before memory is set
aside for it, and whatever is wrong becomes an InputError that names the file. Nothing is unpickled but by the
reader of `data.pickles`.
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
    """The array of a `.npy` file, or what its pickled object holds (see `data.pickles.read_model_pickle`)."""
    if regular_file(path).stat().st_size > LARGEST:
        raise InputError(f"{path}: expected at most {LARGEST >> 30} GiB, got a larger file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    return parse_npy(path, content, objects=parse_pickle)


def read_npz(path: Path, names: Iterable[str]) -> dict[str, Any]:
    """Those of the named arrays that a `.npz` has, as `arrays.read_npz`; of objects as `read_npy`."""
    return arrays.read_npz(path, names, objects=parse_pickle)


def read_numbers(path: Path) -> NDArray[np.float64]:
    """The numbers of a text file, separated by white space, commas or semicolons; `#` starts a comment."""
    try:
        with open(regular_file(path), "rb") as stream:
            text = plain_text(path, stream.read(1 << 20))
    except OSError as error:
        raise unreadable(path, error) from error
    lines = [line.partition(b"#")[0] for line in text.splitlines()]
    try:
        return reals(b" ".join(lines).replace(b",", b" ").replace(b";", b" ").split())
    except ValueError as error:
        raise InputError(f"{path}: expected numbers alone, got other text among them") from error


def unreadable(path: Path, error: OSError) -> InputError:
    """What to say of a file that the system does not let read."""
    return InputError(f"{path}: cannot be read ({error.strerror or error})")
