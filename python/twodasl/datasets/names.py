"""Names of photos in untrusted lists: whether they stay inside the folder, and lists of one name per line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..errors import InputError, reading
from ..io.files import regular_file
from ..io.text import plain_text

_LONGEST = 255  # maximum length of a file name in bytes
_LARGEST = 1 << 28  # maximum size of a list in bytes; a million photos take about 40 MB


def check_name(name: str) -> None:
    """Raise InputError if a name, relative to a data set's folder, cannot be a file in that folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError("its name leads out of the folder")
    if (
        "\0" in name
        or max((len(part.encode("utf-8", "surrogatepass")) for part in path.parts), default=0) > _LONGEST
    ):
        raise InputError(f"its name is not a file name: it has a zero byte or more than {_LONGEST} bytes")


def check_names(file: Path, names: Iterable[str]) -> None:
    """Raise InputError naming a test set's list if a name in it does not pass `check_name`."""
    for name in names:
        try:
            check_name(name)
        except InputError as error:
            raise InputError(f"{file}: lists {name[:60]!r}, but {error}") from error


def is_name(name: str) -> bool:
    """Whether `check_name` accepts it."""
    try:
        check_name(name)
    except InputError:
        return False
    return True


def read_names(file: Path) -> tuple[str, ...]:
    """The names in a list, one per line; bytes that are not UTF-8 are kept, as in the system's own names.

    Names are not checked here: see `check_name`. Raises InputError naming the file.
    """
    with reading(file, "a list of image names"), open(regular_file(file), "rb") as stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise InputError(
            f"{file}: expected one image name per line, got a file of more than {_LARGEST >> 20} MiB"
        )
    lines = (line.strip() for line in plain_text(file, content).splitlines())
    return tuple(line.decode("utf-8", "surrogateescape") for line in lines if line)
