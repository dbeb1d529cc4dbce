"""Opening regular files only, and writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..arguments import path_of
from ..errors import InputError

_PREFIX, _LONGEST_SUFFIX = ".twodasl-", 16
# Files this process is writing now, and folders it has already cleared of dead processes' leftovers.
_open: set[Path] = set()
_swept: set[Path] = set()
_asking = threading.Lock()

passing: set[Path] = set()
"""Other files of this process that are to go when it ends, whichever way."""


def regular_file(path: str | os.PathLike[str], expected: str = "a file") -> Path:
    """Return the path once it is known to be a regular file, which can be opened without blocking.

    Call it before opening an untrusted name: a pipe could block forever, and a device has no end. `expected`
    tells the user what should be there. Raises InputError naming the path.
    """
    file = path_of(path, expected)
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{file}: cannot be read ({reason}); expected {expected}") from error
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
        raise InputError(f"{file}: is {kind}, not a regular file; expected {expected}")
    return file


@contextmanager
def atomic_path(
    path: str | os.PathLike[str], *, remedy: str = "choose another output folder"
) -> Iterator[Path]:
    """Yield a temporary path next to `path` (same suffix); rename it to `path` when the block succeeds.

    Like `atomic_paths`, for a single file.
    """
    with atomic_paths([path], remedy=remedy) as (temporary,):
        yield temporary


@contextmanager
def atomic_paths(
    paths: Sequence[str | os.PathLike[str]], *, remedy: str = "choose another output folder"
) -> Iterator[list[Path]]:
    """Yield temporary paths next to `paths`; rename all of them when the block succeeds.

    If the block raises, or the process is killed, every path is left as it was. All data are flushed to disk
    before the first rename, so neither a full disk nor a crash leaves only some of the files, or an empty
    one. Temporary files of a killed process are removed the next time a process writes into their folder.
    Raises InputError, ending with `remedy`, if a file cannot be written.
    """
    targets = [path_of(path, "a file to write") for path in paths]
    if any(target in _open for target in targets):  # a temporary path of an outer block: it will be renamed
        yield targets
        return
    check_targets(targets, remedy=remedy)
    with ExitStack() as stack:
        with _explained(targets, remedy):
            temporaries = [stack.enter_context(_temporary(target)) for target in targets]
        with _explained(targets, remedy, temporaries):
            yield temporaries
        with _explained(targets, remedy):
            for temporary in temporaries:
                with open(temporary, "rb+") as written:
                    os.fsync(written.fileno())
            for temporary, target in zip(temporaries, targets, strict=True):
                os.replace(temporary, target)


@contextmanager
def _explained(
    targets: Sequence[Path], remedy: str, temporaries: Sequence[Path] | None = None
) -> Iterator[None]:
    """Turn write errors, which name a temporary file or none, into InputError naming the intended file."""
    try:
        yield
    except BrokenPipeError:  # the reader of our output is gone
        raise
    except OSError as error:
        names = {str(own): target for own, target in zip(temporaries or (), targets, strict=False)}
        meant = names.get(str(error.filename))
        # numpy's own error about a truncated write has no errno
        full = error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
        # Inside the caller's block an error may concern another file, which it then names.
        if temporaries is not None and meant is None and not (error.filename is None and full):
            raise
        reason = error.strerror or error
        if full:
            remedy = f"make room there, or {remedy}"
        raise InputError(f"{meant or targets[0]}: cannot be written ({reason}); {remedy}") from error


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Name `target` in an OSError of the block that concerns it or names no file (such as a full disk)."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and Path(error.filename) != target:
            raise
        with _explained([target], "choose another output folder"):
            raise


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A file next to `target`, locked as long as this process lives, and removed afterwards."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    # Short, because the target's own name may already have the maximum length.
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    while True:
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=suffix, dir=target.parent)
        temporary = Path(name)
        _lock(handle)
        if temporary.exists():  # otherwise another process's cleanup came in between
            break
        os.close(handle)
    _open.add(temporary)
    try:
        # mkstemp creates files that only the owner can read; give the result ordinary permissions.
        with _asking:  # the mask is the process's: of two threads, one would keep the other's 0
            mask = os.umask(0)
            os.umask(mask)
        os.fchmod(handle, 0o666 & ~mask)
        yield temporary
    finally:
        _open.discard(temporary)
        temporary.unlink(missing_ok=True)
        os.close(handle)


def remove_passing() -> None:
    """Remove what this process would remove at its end; for one that ends at once."""
    for path in (*_open, *passing):
        with suppress(OSError):
            path.unlink()


def _lock(handle: int, wait: bool = True) -> bool:
    """Try to lock the file; the lock is released when the process ends, however that happens."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
    return True


def _sweep(folder: Path) -> None:
    """Remove temporary files of killed processes: those that nobody has locked."""
    place = folder.absolute()
    if place in _swept:
        return
    _swept.add(place)
    for entry in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # in use by another process, or already gone
            handle = os.open(entry, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if stat.S_ISREG(os.fstat(handle).st_mode) and _lock(handle, wait=False):
                    entry.unlink()
            finally:
                os.close(handle)


def check_targets(
    paths: Sequence[str | os.PathLike[str]],
    *,
    inputs: Sequence[str | os.PathLike[str]] = (),
    remedy: str = "choose another output folder",
) -> None:
    """Raise InputError if a file cannot be written, before the work whose result it will hold.

    Nothing is created; a full disk only shows when the file is written. A result may not replace any of
    `inputs`, the files it is made from.
    """
    read = {os.path.realpath(path) for path in inputs if os.path.isfile(path)}
    for path in [path_of(path, "a file to write") for path in paths]:
        if os.path.realpath(path) in read:
            raise InputError(f"{path}: is an input and would be overwritten by the results; {remedy}")
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            mode = stat.S_IFREG  # a new file; problems with its folder are reported below
        except (OSError, ValueError) as error:  # a name that is too long or contains a null byte
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{path}: cannot be written ({reason}); {remedy}") from error
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: is a folder, expected a file; choose another output")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path}: is not a regular file and is not replaced; choose another output")
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            reason = "Permission denied" if parent.is_dir() else "Not a directory"
            raise InputError(f"{path}: cannot be written ({reason}); {remedy}")


def write_together(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files, all or none: each under a temporary name first, then all are renamed.

    Text is written as UTF-8; anything in a quoted file name that is not valid UTF-8 becomes an escape that
    JSON can read. Raises InputError if a file cannot be written.
    """
    with atomic_paths(list(contents)) as temporaries:
        for temporary, (path, content) in zip(temporaries, contents.items(), strict=True):
            data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
            with writing(path):
                temporary.write_bytes(data)
