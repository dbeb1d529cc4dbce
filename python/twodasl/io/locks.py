"""Locking a folder so that only one process at a time writes into it."""

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
except ImportError:  # this system has no such locks
    fcntl = None  # type: ignore[assignment]

LOCK = ".twodasl.lock"
"""The lock file in the folder: it names the process that writes there, and is removed when it is done."""

# Folders locked by this process, and the thread that holds each.
_own: dict[Path, int] = {}


@contextmanager
def own_folder(folder: Path) -> Iterator[None]:
    """Reserve a folder, created if necessary, for this process's files while the block runs.

    The system releases the lock however the process ends. The thread that holds a folder may lock it again.
    If the file system does not support locks, the block runs without one, and a line on stderr says so.

    Raises InputError if another process, or another thread of this one, holds it; the message says which.
    """
    key = folder.absolute()
    if _own.get(key) == threading.get_ident() or (folder.exists() and not folder.is_dir()):
        yield  # the code that writes there reports a file in place of a folder
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
    """The open lock file, or None if locking is not available."""
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
        except FileNotFoundError:  # its owner removed the file after it was opened here, and has finished
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
    # Possibly another user's, who holds it; or a folder without write access, which needs no lock.
    with suppress(OSError):
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    return None


def _owner(handle: int) -> str:
    written = re.match(rb"(\d{1,10}) ([\w.-]{1,80})\n", os.pread(handle, 100, 0))
    if written is None:
        return "another process"
    return f"process {int(written[1])} on {written[2].decode('ascii', 'replace')}"
