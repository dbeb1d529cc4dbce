"""Numbers in text that strangers wrote: ASCII digits and nothing else, whatever Python would take.

Python's `float` and `int` also take `1_000` and digits of other alphabets, and a table of words takes the
room of its longest one for each. Words are bytes here, as they are in the file.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError

# Those of four bytes first: UTF-32's little-endian mark begins with UTF-16's.
_WIDE = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# int64 holds every number of so many digits.
_WHOLE = re.compile(rb"[+-]?[0-9]{1,18}")


def plain_text(path: str | os.PathLike[str], content: bytes) -> bytes:
    """The bytes of a text file in UTF-8 or ASCII, without a byte-order mark.

    Raises InputError naming the file where the mark is another encoding's.
    """
    if content.startswith(_WIDE):
        raise InputError(f"{path}: is text in UTF-16 or UTF-32; save it as UTF-8")
    return content.removeprefix(codecs.BOM_UTF8)


def whole(word: bytes) -> int:
    """A whole number of at most 18 ASCII digits. Raises ValueError for any other word."""
    if not _WHOLE.fullmatch(word):
        raise ValueError(f"{word[:20]!r} is no whole number")
    return int(word)


def reals(words: Sequence[bytes]) -> NDArray[np.float64]:
    """(n,) of n numbers in decimal notation; NaN and infinity by name. Raises ValueError for other words."""
    if b"_" in b"".join(words):
        raise ValueError("a number with an underscore")
    return np.fromiter(map(float, words), np.float64, len(words))
