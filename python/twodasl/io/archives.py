"""Untrusted zip archives (`.npz`, `.pt`): no more is read than the directory declares.

A few bytes of an archive may claim to be gigabytes. Callers therefore check the declared sizes of members
before reading one, and a member is never read beyond its declared size.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from zipfile import BadZipFile, ZipFile, ZipInfo

from ..errors import reading
from .files import regular_file

# zipfile inflates these piece by piece; with the others it inflates whole members.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 1
_PIECE = 1 << 22


@contextmanager
def opened_archive(
    path: str | os.PathLike[str], what: str, advice: str = "copy it again"
) -> Iterator[ZipFile]:
    """The archive, and the guard `errors.reading` about the reading of it, whose arguments these are."""
    with reading(path, what, advice), ZipFile(regular_file(path)) as archive:
        yield archive


def members(archive: ZipFile) -> dict[str, ZipInfo]:
    """Members by name. Raises BadZipFile if two share a name."""
    found = {info.filename: info for info in archive.infolist()}
    if len(found) != len(archive.infolist()):
        raise BadZipFile("two members with the same name")
    return found


def read_member(archive: ZipFile, info: ZipInfo) -> bytearray:
    """A member's bytes, as many as it declares. Raises BadZipFile and others if they are not there."""
    if info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED:
        raise BadZipFile("a member that is encrypted or of an unusual compression")
    content = bytearray()  # grows with the actual content, not with the declared size
    with archive.open(info) as stream:
        while piece := stream.read(min(_PIECE, info.file_size - len(content))):
            content += piece
    if len(content) != info.file_size:
        raise BadZipFile("a member that is shorter than it claims")
    return content
