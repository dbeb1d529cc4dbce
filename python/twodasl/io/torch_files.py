"""Files of `torch.save`, read as data: tensors, numbers, and text, in dictionaries, lists, and tuples.

A `.pt` file is a pickle, which is a program, plus the bytes of its tensors. `torch.load(weights_only=True)`
runs no foreign code, but allocates whatever memory the program asks for, and fails on a damaged one in a
dozen ways. This reader knows the few names that torch writes for tensors, replaces them with its own
stand-ins, and limits each tensor to what the file holds for it. Two layouts are read:

* a zip archive (torch 1.6 and later): `NAME/data.pkl`, and the bytes of each storage in `NAME/data/KEY`;
* the older layout: five pickles in a row (a magic number, a version, the machine, the object, the keys of its
  storages), then for each key its number of entries, int64, and their bytes.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import sys
import zipfile
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ..errors import InputError, reading
from .archives import members, read_member
from .files import regular_file
from .torch_pickle import ForeignName, TensorUnpickler

# Limit for a pickle in bytes; the history of a run of three million steps takes half of it.
_LARGEST = 1 << 26
_LEGACY_MAGIC, _LEGACY_VERSION = 0x1950A86A20F9469CFC6C, 1001


def read_saved(path: str | os.PathLike[str], what: str, advice: str) -> Any:
    """What a file of `torch.save` holds, on the CPU, whatever device it was written from.

    what, advice: for messages: "is not WHAT; ADVICE". Raises InputError naming the file when it is missing,
    no such file, cut off, damaged, or mentions any class or function beyond those of plain tensors.
    """
    with reading(path, what, advice):
        try:
            with open(regular_file(path), "rb") as file:
                magic = file.read(4)
                if not magic:
                    raise InputError(f"{path}: is empty; {advice}")
                if magic != b"PK\x03\x04":
                    return _read_legacy(file)
            with zipfile.ZipFile(path) as archive:
                return _read_archive(archive)
        except ForeignName as error:
            raise InputError(
                f"{path}: holds pickled objects beyond tensors, numbers and text, which are never executed;"
                f" {advice}"
            ) from error


def _read_archive(archive: zipfile.ZipFile) -> Any:
    there = members(archive)
    roots = [name[: -len("data.pkl")] for name in there if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise zipfile.BadZipFile("an archive of something else")
    root, size = roots[0], os.path.getsize(str(archive.filename))
    # torch does not compress, so an archive that declares more than its own size is not from torch.
    if sum(info.file_size for info in there.values()) > size or any(i.compress_type for i in there.values()):
        raise zipfile.BadZipFile("members that claim more than the file holds")
    if (order := there.get(f"{root}byteorder")) and read_member(archive, order) != sys.byteorder.encode():
        raise zipfile.BadZipFile("written on a machine with another byte order")

    def fetch(key: str, dtype: torch.dtype, count: int) -> Tensor:
        info = there[f"{root}data/{key}"]
        if info.file_size != count * dtype.itemsize:
            raise zipfile.BadZipFile("a storage of another size than its tensors say")
        content = read_member(archive, info)
        return torch.frombuffer(content, dtype=dtype) if count else torch.empty(0, dtype=dtype)

    program = there[f"{root}data.pkl"]
    if program.file_size > _LARGEST:
        raise zipfile.BadZipFile(f"more than {_LARGEST >> 20} MiB of numbers and text")
    return TensorUnpickler(io.BytesIO(read_member(archive, program)), fetch).load_plain()


def _read_legacy(file: BinaryIO) -> Any:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = io.BytesIO(file.read(_LARGEST))
    claimed = 0

    def fetch(key: str, dtype: torch.dtype, count: int) -> Tensor:
        nonlocal claimed
        claimed += count * dtype.itemsize
        if claimed > size:
            raise pickle.UnpicklingError("storages that claim more than the file holds")
        return torch.empty(count, dtype=dtype)

    magic, version, machine = (TensorUnpickler(head, fetch).load() for _ in range(3))
    if magic != _LEGACY_MAGIC or version != _LEGACY_VERSION:
        raise pickle.UnpicklingError("a pickle of something else")
    if machine["little_endian"] != (sys.byteorder == "little"):
        raise pickle.UnpicklingError("written on a machine with another byte order")
    reader = TensorUnpickler(head, fetch)
    value = reader.load_plain()
    keys = TensorUnpickler(head, fetch).load_plain()
    if set(keys) != set(reader.storages):
        raise pickle.UnpicklingError("other storages than the tensors need")
    file.seek(head.tell())
    for key in keys:
        storage = reader.storages[key]
        (count,) = struct.unpack("=q", file.read(8))
        content = storage.view(torch.uint8).numpy()
        if count != len(storage) or file.readinto(content) != len(content):  # type: ignore[attr-defined]
            raise pickle.UnpicklingError("a storage that is cut short")
    return value
