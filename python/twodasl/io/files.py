"""Reading only what is a file, and writing files so that a reader never sees half of one."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..arguments import path_of
from ..errors import InputError

_PREFIX, _LONGEST_SUFFIX = ".twodasl-", 16
# What this process is writing now, and the folders in which it has looked for what dead processes left.
_open: set[Path] = set()
_swept: set[Path] = set()

passing: set[Path] = set()
"""Other files of this process that are to go when it ends, whichever way."""


def regular_file(path: str | os.PathLike[str], expected: str = "a file") -> Path:
    """The path, once it is known to lead to a regular file, which can be opened without waiting for anybody.

    A reader of untrusted names calls it before it opens: a pipe would make it wait for ever, and a device has
    no end. `expected` says in the message what should be there. Raises InputError naming the path.
    """
    file = path_of(path, expected)
    try:
        mode = file.stat().st_mode
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
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
    """Yield a temporary path beside `path` (same suffix); rename it to `path` when the block succeeds.

    As `atomic_paths` does for several files.
    """
    with atomic_paths([path], remedy=remedy) as (temporary,):
        yield temporary


@contextmanager
def atomic_paths(
    paths: Sequence[str | os.PathLike[str]], *, remedy: str = "choose another output folder"
) -> Iterator[list[Path]]:
    """Yield a temporary path beside each of `paths`; rename all of them when the block succeeds.

    A block that raises, or a process that is killed, leaves every path as it was. All data are flushed to
    disk before the first is renamed, so that neither a full disk nor a crash leaves some of the files, or an
    empty one. A killed process's temporary files go when the next one writes into their folder.
    Raises InputError, which ends with `remedy`, when a file cannot be written.
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
    """Failures of writing, which name a temporary file or none, as InputError that names the file meant."""
    try:
        yield
    except BrokenPipeError:  # the reader of what is printed has gone
        raise
    except OSError as error:
        names = {str(own): target for own, target in zip(temporaries or (), targets, strict=False)}
        meant = names.get(str(error.filename))
        # numpy's own error of a write that was cut short has no number.
        full = error.errno in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
        # Inside a caller's block an error may be of another file, which it then names.
        if temporaries is not None and meant is None and not (error.filename is None and full):
            raise
        reason = error.strerror or error
        if full:
            remedy = f"make room there, or {remedy}"
        raise InputError(f"{meant or targets[0]}: cannot be written ({reason}); {remedy}") from error


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Name `target` in an OSError of the block that is about it, or names no file, as a full disk's does."""
    try:
        yield
    except OSError as error:
        if error.filename is not None and Path(error.filename) != target:
            raise
        with _explained([target], "choose another output folder"):
            raise


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A file beside `target`, locked as long as this process lives, and gone afterwards."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    # Short, because the target's own name may be as long as names can be.
    suffix = target.suffix if len(os.fsencode(target.suffix)) <= _LONGEST_SUFFIX else ""
    while True:
        handle, name = tempfile.mkstemp(prefix=_PREFIX, suffix=suffix, dir=target.parent)
        temporary = Path(name)
        _lock(handle)
        if temporary.exists():  # else another process's sweep came between the two calls
            break
        os.close(handle)
    _open.add(temporary)
    try:
        # mkstemp creates files only the owner may read; give the result ordinary permissions.
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
    """Whether this process now holds the file's lock, which ends with the process, however that ends."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
    return True


def _sweep(folder: Path) -> None:
    """Remove the temporary files of processes that were killed: those whose locks nobody holds."""
    place = folder.absolute()
    if place in _swept:
        return
    _swept.add(place)
    for entry in place.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another's, or gone by now
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
    """Raise InputError where a file cannot be written, before the work whose result it is to hold is done.

    Nothing is created; a disk that is full is noticed only when the file is written. Nor may a result replace
    one of `inputs`, what it is made from.
    """
    read = {os.path.realpath(path) for path in inputs if os.path.isfile(path)}
    for path in [path_of(path, "a file to write") for path in paths]:
        if os.path.realpath(path) in read:
            raise InputError(f"{path}: is read here and would be overwritten by the results; {remedy}")
        try:
            mode = path.stat().st_mode
        except (FileNotFoundError, NotADirectoryError):
            mode = stat.S_IFREG  # a new file; what is wrong with its folder is named below
        except (OSError, ValueError) as error:  # a name that is too long, or has a zero byte
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(f"{path}: cannot be written ({reason}); {remedy}") from error
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: is a folder where a file is to go; choose another output")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path}: is not a regular file and is not replaced; choose another output")
        parent = next(folder for folder in path.absolute().parents if folder.exists())
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
            reason = "Permission denied" if parent.is_dir() else "Not a directory"
            raise InputError(f"{path}: cannot be written ({reason}); {remedy}")


def write_together(contents: Mapping[Path, str | bytes]) -> None:
    """Write several files, all or none of them: each under a temporary name first, then all are renamed.

    Texts are written as UTF-8; what is no UTF-8 in a file's name they quote becomes an escape, as JSON reads
    it. Raises InputError when a file cannot be written.
    """
    with atomic_paths(list(contents)) as temporaries:
        for temporary, (path, content) in zip(temporaries, contents.items(), strict=True):
            data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
            with writing(path):
                temporary.write_bytes(data)
