"""Zip archives that strangers made (`.npz`, `.pt`): nothing is read that the directory does not account for.

A few bytes of an archive may claim to be gigabytes. So the caller compares what members claim with what it
accepts before it reads one, and a member is read no further than it claims.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from zipfile import BadZipFile, ZipFile, ZipInfo

from ..errors import InputError
from .files import regular_file

# zipfile inflates these a piece at a time, and the others' whole member at once.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_PIECE = 1 << 22


@contextmanager
def opened_archive(path: str | os.PathLike[str], kind: str) -> Iterator[ZipFile]:
    """The archive, and one guard about the reading of it: whatever is raised becomes the file's InputError.

    kind: what it is to be, for messages: "is no KIND", "is a damaged KIND".
    """
    regular_file(path)
    opened = False
    try:
        with ZipFile(path) as archive:
            opened = True
            yield archive
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except MemoryError as error:
        raise InputError(f"{path}: needs more memory than there is; close other programs") from error
    except Exception as error:  # a damaged archive stops zipfile, zlib and numpy in many ways
        if not opened:
            raise InputError(f"{path}: is no {kind} (or is cut short); copy it again") from error
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: is a damaged {kind} ({reason}); copy it again") from error


def members(archive: ZipFile) -> dict[str, ZipInfo]:
    """The members by name. Raises BadZipFile where two share one."""
    found = {info.filename: info for info in archive.infolist()}
    if len(found) != len(archive.infolist()):
        raise BadZipFile("two members of one name")
    return found


def read_member(archive: ZipFile, info: ZipInfo) -> bytearray:
    """A member's bytes, as many as it claims. Raises BadZipFile and others where they are not there."""
    if info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED:
        raise BadZipFile("a member that is encrypted or of an unusual compression")
    content = bytearray()  # grows with what is there, not with what is claimed
    with archive.open(info) as stream:
        while piece := stream.read(min(_PIECE, info.file_size - len(content))):
            content += piece
    if len(content) != info.file_size:
        raise BadZipFile("a member that is shorter than it claims")
    return content
