"""The files of a folder of fitted photos: crops, and the face model's parameters for each.

    images.npy       (n, 120, 120, 3) uint8, BGR crops
    parameters.npy   (n, 12+K) float32, `[3x4 pose | coefficients]`, not whitened
    deviations.npy   (n, 7+K) float32, their standard deviations: turn about x, y, z in radians, growth, shift
                     in crop pixels, coefficients
    landmarks.npy    (n, 68, 3) float32, the model's landmarks with these parameters, crop pixels
    visible.npy      (n, 68) bool, which of them the photo shows
    residual.npy     (n,) float32, how far the fit misses its points, root mean square in crop pixels
    names.txt        a line a photo
    fitted.json      format, version, source, face_model, checkpoint, fit, kept, left_out

`fitted.json` is the last to get its name: a folder without it is no such folder. Nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, reading
from ...geometry.crops import SIZE
from ...io.arrays import read_array
from ...io.files import atomic_paths, regular_file, writing
from ..names import read_names
from ..report import DataReport, Skipped

FORMAT, VERSION = "twodasl-fitted", 1
NOTE = "fitted.json"

# Of standard deviations and residuals, far beyond any fit's; their squares are numbers.
_MOST = 1e9
_FILES = ("images", "parameters", "deviations", "landmarks", "visible", "residual")
_WHAT = "a folder that `twodasl data annotate` wrote"
_LARGEST = 1 << 28  # bytes of fitted.json; a million names take about 40 MB

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FittedFaces:
    """The arrays of n faces, without the crops: see the module's list."""

    names: tuple[str, ...]
    parameters: Floats
    deviations: Floats
    landmarks: Floats
    visible: NDArray[np.bool_]
    residual: Floats


@dataclass(frozen=True, eq=False)
class Store:
    """What a folder holds.

    images: memory-mapped. note: `fitted.json`. report: how many photos were kept, and why others were not.
    """

    images: NDArray[np.uint8]
    faces: FittedFaces
    note: dict[str, Any]
    report: DataReport

    @property
    def model(self) -> tuple[str, str, tuple[int, ...]]:
        """Name, identity and counts of the face model."""
        model = self.note["face_model"]
        return model["name"], model["identity"], tuple(model["counts"])


def refuse_used(folder: Path) -> None:
    """Raise InputError unless a folder is empty or not there; files that begin with .twodasl do not count."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file, expected a folder; choose another output folder")
    if folder.is_dir():
        with reading(folder, "a folder"):
            used = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(".twodasl"))
        if used:
            raise InputError(
                f"{folder}: expected an empty or new folder, found {used[0]!r} in it; choose another output"
                " folder, or remove it first"
            )


def write_store(
    folder: Path,
    faces: FittedFaces,
    images: Iterable[NDArray[np.uint8]],
    note: Mapping[str, Any],
    report: DataReport,
) -> None:
    """Write all files of a folder, or none.

    Args:
        folder: new or empty; the caller holds its lock (`io.locks.own_folder`).
        faces: n of them.
        images: their n crops (120, 120, 3) uint8, one at a time: they need not fit into memory.
        note: source, face_model, checkpoint, fit: what `fitted.json` says beside format, version and counts.
        report: of the photos left out.

    Raises InputError if a file cannot be written.
    """
    count = len(faces.names)
    left_out = [{"reason": g.reason, "count": g.count, "names": list(g.names)} for g in report.skipped]
    head = {"format": FORMAT, "version": VERSION, **note, "kept": count, "left_out": left_out}
    arrays = {key: getattr(faces, key) for key in _FILES[1:]}
    paths = [*(folder / f"{key}.npy" for key in _FILES), folder / "names.txt", folder / NOTE]
    with atomic_paths(paths) as temporaries, writing(folder):
        _write_images(temporaries[0], images, count)
        for temporary, array in zip(temporaries[1:], arrays.values(), strict=False):
            with open(temporary, "wb") as stream:
                np.save(stream, array, allow_pickle=False)
        lines = "".join(f"{_line(name)}\n" for name in faces.names)
        temporaries[-2].write_bytes(lines.encode("utf-8", "surrogateescape"))
        temporaries[-1].write_text(json.dumps(head, indent=1) + "\n", encoding="ascii")


def read_store(folder: Path) -> Store:
    """The contents of a folder, sizes, types and values checked.

    Raises InputError naming the file that is missing or damaged, or belongs to another format or version.
    """
    if not (folder / NOTE).exists():
        raise InputError(f"{folder}: expected {_WHAT}, found no {NOTE} in it")
    note = _read_note(folder / NOTE)
    names = read_names(folder / "names.txt")
    count, modes = len(names), sum(note["face_model"]["counts"][1:])
    shapes: dict[str, tuple[type, tuple[int, ...]]] = {
        "images": (np.uint8, (count, SIZE, SIZE, 3)),
        "parameters": (np.float32, (count, 12 + modes)),
        "deviations": (np.float32, (count, 7 + modes)),
        "landmarks": (np.float32, (count, 68, 3)),
        "visible": (np.bool_, (count, 68)),
        "residual": (np.float32, (count,)),
    }
    if note["kept"] != count or not count:
        raise InputError(
            f"{folder / 'names.txt'}: expected {note['kept']} names, as {NOTE} says, got {count}; copy the"
            " folder again"
        )
    arrays = {key: _read(folder / f"{key}.npy", *shapes[key]) for key in _FILES}
    for key in ("deviations", "residual"):
        wrong = np.argwhere((arrays[key] < 0) | (arrays[key] > _MOST))
        if len(wrong):
            raise InputError(
                f"{folder / f'{key}.npy'}: expected numbers from 0 to {_MOST:g}, got"
                f" {arrays[key][tuple(wrong[0])]:g} in row {wrong[0][0]}; annotate the photos again"
            )
    images = arrays.pop("images")
    groups = tuple(Skipped(entry["reason"], tuple(entry["names"])) for entry in note["left_out"])
    return Store(images, FittedFaces(names, **arrays), note, DataReport(count, groups))


def read_images(folder: Path, count: int) -> NDArray[np.uint8]:
    """The crops (count, 120, 120, 3) alone, memory-mapped."""
    return _read(folder / "images.npy", np.uint8, (count, SIZE, SIZE, 3))


def _write_images(file: Path, images: Iterable[NDArray[np.uint8]], count: int) -> None:
    head = {"descr": "|u1", "fortran_order": False, "shape": (count, SIZE, SIZE, 3)}
    with open(file, "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, head)
        written = 0
        for image in images:
            stream.write(np.ascontiguousarray(image, np.uint8).reshape(SIZE, SIZE, 3).tobytes())
            written += 1
    if written != count:
        raise ValueError(f"images: expected {count}, got {written}")


def _line(name: str) -> str:
    """A name as a line of its own, which no line break may divide."""
    return name.replace("\r", "?").replace("\n", "?").strip() or "?"


def _read(file: Path, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """One array; memory-mapped if it holds bytes, whole otherwise, and then finite."""
    array = read_array(file, kinds="fub")
    if array.shape != shape or array.dtype != dtype:
        raise InputError(
            f"{file}: expected {np.dtype(dtype).name} {shape}, as {NOTE} and names.txt say, got {array.dtype}"
            f" {array.shape}; copy the folder again"
        )
    if dtype is np.uint8:
        return array
    if dtype is np.float32 and not np.isfinite(array).all():
        row = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InputError(
            f"{file}: expected finite numbers, got NaN or infinity in row {row}; copy the folder again"
        )
    if dtype is np.bool_ and (array.view(np.uint8) > 1).any():
        raise InputError(f"{file}: expected bytes 0 and 1, got others; copy the folder again")
    return np.array(array)


def _read_note(file: Path) -> dict[str, Any]:
    with (
        reading(file, f"the {NOTE} of {_WHAT}"),
        open(regular_file(file, f"{NOTE} of {_WHAT}"), "rb") as stream,
    ):
        content = stream.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise InputError(
                f"{file}: expected a small file, got more than {_LARGEST >> 20} MiB; copy it again"
            )
        note = json.loads(content)
        if not isinstance(note, dict) or note.get("format") != FORMAT:
            raise InputError(f"{file}: is not the {NOTE} of {_WHAT}")
        if note.get("version") != VERSION:
            raise InputError(
                f"{file}: is of version {str(note.get('version'))[:40]!r}, this twodasl reads version"
                f" {VERSION}; annotate the photos again"
            )
        _check_note(note)
    return note


def _check_note(note: dict[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError where a part that is used is not what it should be."""
    model, kept = note["face_model"], note["kept"]
    counts = model["counts"]
    if not all(isinstance(model[key], str) for key in ("name", "identity")):
        raise ValueError("face_model has a name or an identity that is no text")
    if len(counts) != 3 or not all(type(n) is int and 0 <= n <= 10**7 for n in (*counts, kept)):
        raise ValueError("face_model's counts or the number kept are no whole numbers")
    for entry in note["left_out"]:
        if not all(isinstance(text, str) for text in (entry["reason"], *entry["names"])):
            raise ValueError("left_out has a reason or a name that is no text")
