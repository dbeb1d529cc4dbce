"""Reading only what is a file, and writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .errors import InputError


def regular_file(path: str | os.PathLike[str]) -> Path:
    """The path of a file that can be read to its end; a pipe or a device may never have one.

    Raises InputError where nothing is there, or it is a folder, a pipe, a socket or a device.
    """
    file = Path(path)
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{file}: cannot be read ({reason}); give a file") from error
    if not stat.S_ISREG(mode):
        reason = "is a folder" if stat.S_ISDIR(mode) else "is a pipe, socket or device"
        raise InputError(f"{file}: cannot be read ({reason}); give a regular file")
    return file


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); rename it to `path` when the block succeeds.

    A block that raises, or a process that is killed, leaves `path` as it was. The data is flushed to
    disk before the rename, so that a crash cannot leave an empty file under the final name.
    Raises InputError when the folder cannot be written.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.stem}.", suffix=target.suffix, dir=target.parent)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{target}: cannot be written ({reason}); choose another output folder") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        # mkstemp creates files only the owner may read; give the result ordinary permissions.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def check_sheet_name(path: Path) -> None:
    """Raise InputError where a picture's name does not say which kind of picture it is."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{path}: a sheet is written as .png or .jpg; choose a name that ends so")


def check_targets(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Raise InputError where a file cannot be written, before the work whose result it is to hold is done.

    Nothing is created; a disk that is full is noticed only when the file is written.
    """
    for path in map(Path, paths):
        if path.is_dir():
            raise InputError(f"{path}: is a folder where a file is to go; choose another output")
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            reason = "Permission denied" if parent.is_dir() else "Not a directory"
            raise InputError(f"{path}: cannot be written ({reason}); choose another output folder")


def write_together(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files, all or none of them: each under a temporary name first, then all are renamed.

    Texts are written as UTF-8. Raises InputError when a file cannot be written.
    """
    check_targets(list(contents))
    with ExitStack() as stack:
        for path, content in contents.items():
            temporary = stack.enter_context(atomic_path(path))
            temporary.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
