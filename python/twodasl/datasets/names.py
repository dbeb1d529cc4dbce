"""Names of photos in strangers' lists: where they lead, and lists of them, a name a line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from ..errors import InputError, reading
from ..io.files import regular_file
from ..io.text import plain_text

_LONGEST = 255  # bytes of a file's name that file systems take
_LARGEST = 1 << 28  # bytes of a list; of a million photos it has some 40 MB


def check_name(name: str) -> None:
    """Raise InputError where a name, relative to a data set's folder, cannot be a file in that folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError("its name leads out of the folder")
    if (
        "\0" in name
        or max((len(part.encode("utf-8", "surrogatepass")) for part in path.parts), default=0) > _LONGEST
    ):
        raise InputError(f"its name is no file's: it has a zero byte or more than {_LONGEST} bytes")


def check_names(file: Path, names: Iterable[str]) -> None:
    """Raise InputError naming a test set's list where a name in it does not pass `check_name`."""
    for name in names:
        try:
            check_name(name)
        except InputError as error:
            raise InputError(f"{file}: lists {name[:60]!r}, but {error}") from error


def is_name(name: str) -> bool:
    """Whether `check_name` lets it pass."""
    try:
        check_name(name)
    except InputError:
        return False
    return True


def read_names(file: Path) -> tuple[str, ...]:
    """The names in a list, one a line; bytes that are no UTF-8 stay in them as the system's own names do.

    Nothing is said about where they lead: see `check_name`. Raises InputError naming the file.
    """
    with reading(file, "a list of image names"), open(regular_file(file), "rb") as stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise InputError(
            f"{file}: expected an image name a line, got a file of more than {_LARGEST >> 20} MiB"
        )
    lines = (line.strip() for line in plain_text(file, content).splitlines())
    return tuple(line.decode("utf-8", "surrogateescape") for line in lines if line)
