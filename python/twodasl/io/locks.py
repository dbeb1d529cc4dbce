"""A folder that one process at a time writes into."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError
from .files import passing, writing

try:
    import fcntl
except ImportError:  # no such locks on this system
    fcntl = None  # type: ignore[assignment]

LOCK = ".twodasl.lock"
"""The file in the folder; it says who writes there, and is gone when nobody does."""

# Folders of this process, and the thread that has each.
_own: dict[Path, int] = {}


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Keep a folder, which is made if need be, for this process's files while the block lasts.

    The system takes the lock back however the process ends. The thread that has a folder may ask for it
    again. Where the file system knows no locks one line on stderr says so, and the block runs without.

    Raises InputError when another process has it, or this one elsewhere; the message says which.
    """
    key = folder.absolute()
    if _own.get(key) == threading.get_ident() or (folder.exists() and not folder.is_dir()):
        yield  # what writes into a file as a folder says so
        return
    made = [parent for parent in (key, *key.parents) if not parent.exists()]
    try:
        with _locked(folder):
            _own[key] = threading.get_ident()
            try:
                yield
            finally:
                del _own[key]
    finally:
        with suppress(OSError):  # the first that is not empty
            for parent in made:
                parent.rmdir()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = _acquired(folder)
    if handle is not None:
        passing.add(folder.absolute() / LOCK)
    try:
        yield
    finally:
        passing.discard(folder.absolute() / LOCK)
        if handle is not None:
            with suppress(OSError):
                os.unlink(folder / LOCK)
            os.close(handle)


def _acquired(folder: Path) -> int | None:
    """The open lock file, or None where there is no lock to be had."""
    while True:
        handle = _opened(folder / LOCK)
        if handle is None:
            return None
        try:
            if fcntl is None:
                raise OSError(0, "not on this system")
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle), os.stat(folder / LOCK)):
                with suppress(OSError):  # only for the message
                    os.truncate(handle, 0)
                    os.write(handle, f"{os.getpid()} {socket.gethostname()}\n".encode())
                return handle
        except BlockingIOError as error:
            owner = _owner(handle)
            os.close(handle)
            raise InputError(
                f"{folder}: in use by {owner}; wait until it has ended, or choose another output folder"
            ) from error
        except FileNotFoundError:  # its owner removed the file after it was opened here, and ended
            pass
        except OSError as error:
            reason = error.strerror or error
            print(f"{folder}: cannot be locked ({reason}); let no other run write there", file=sys.stderr)
            os.close(handle)
            return None
        os.close(handle)


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    # Another user's, perhaps, who has it; or a folder where nothing can be written, which needs no lock.
    with suppress(OSError):
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    return None


def _owner(handle: int) -> str:
    written = re.match(rb"(\d{1,10}) ([\w.-]{1,80})\n", os.pread(handle, 100, 0))
    if written is None:
        return "another process"
    return f"process {int(written[1])} on {written[2].decode('ascii', 'replace')}"
