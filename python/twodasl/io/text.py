"""Numbers in untrusted text: ASCII digits only.

Python's `float` and `int` also accept `1_000` and digits of other alphabets, and a NumPy table of words
reserves the room of the longest word for each. Words are bytes here, as in the file.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

# The four-byte marks first: UTF-32's little-endian mark starts with UTF-16's.
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# int64 holds any number with this many digits.
_WHOLE = re.compile(rb"[+-]?[0-9]{1,18}")


def plain_text(path: str | os.PathLike[str], content: bytes) -> bytes:
    """The bytes of a UTF-8 or ASCII text file, without a byte-order mark.

    Raises InputError naming the file if the mark is that of another encoding.
    """
    if content.startswith(_WIDE):
        raise InputError(f"{path}: is text in UTF-16 or UTF-32; save it as UTF-8")
    return content.removeprefix(codecs.BOM_UTF8)


def whole(word: bytes) -> int:
    """A whole number of at most 18 ASCII digits. Raises ValueError for any other word."""
    if not _WHOLE.fullmatch(word):
        raise ValueError(f"{word[:20]!r} is not a whole number")
    return int(word)


def reals(words: Sequence[bytes]) -> NDArray[np.float64]:
    """(n,) float64 from n decimal numbers; NaN and infinity by name. Raises ValueError for other words."""
    if b"_" in b"".join(words):
        raise ValueError("a number with an underscore")
    return np.fromiter(map(float, words), np.float64, len(words))
