"""The cached list of a data set's usable photos.

A folder of a million photos must not be scanned each time a run starts. `build_listing` reads every
annotation and every image once, excludes the broken ones, and collects in arrays everything that a sample
needs except the pixels; `read_listing` keeps them in one `.npz` in a cache folder, named after kind and
folder. The list is current as long as its sources have the same times and sizes: the annotation files, and
all folders of photos, whose times change when a file is added, removed, or renamed. A photo overwritten in
place is not noticed; rebuilding is up to the user.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from ...arguments import path_of
from ...errors import InputError, reading
from ...geometry.crops import SIZE, Crop, crop_from_landmarks
from ...io.arrays import read_npz
from ...io.files import atomic_path
from ...io.images import read_image
from ...landmarks import eighteen_from_21, eighteen_from_68
from ...landmarks.sparse_crop import crop_from_sparse_landmarks
from ...progress import progress_bar
from ..names import check_name
from ..report import DataReport

VERSION = 4

# With fewer visible points, the position of the face is unknown.
MIN_VISIBLE = 4
# Minimum number of photo pixels under the crop, and maximum size of a crop relative to the photo's longer
# side. Anything beyond is in other units than pixels, or has one point far off.
MIN_FACE, MAX_FACE = 16, 3
# Photos between two updates of the progress bar.
_CHUNK = 256
_THREADS = 4

CACHE_REMEDY = "the list of photos is kept there; set TWODASL_CACHE to a folder that can be written"

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Annotation:
    """A photo's annotation in a data set; L is 68, 21, or 18.

    points: (L, 2) image pixels, NaN where not annotated; None if only `raw` is known. visible: (L,) bool.
    crop: where the face is; None: around `points`. is_crop: whether the photo is the crop itself, with
    `points` in pixels of a 120x120 crop. yaw: radians, or NaN. raw: (62,) 3DDFA's camera, for an image whose
    y axis points up, and coefficients, see `basel.py`; or None. fit_points: (68, 2) image pixels, NaN where
    not annotated: more than training is shown, for `twodasl data annotate`; or None.
    """

    points: Floats | None
    visible: NDArray[np.bool_] | None = None
    crop: Crop | None = None
    is_crop: bool = False
    yaw: float = float("nan")
    raw: Floats | None = None
    fit_points: Floats | None = None


@dataclass(frozen=True, eq=False)
class Scan:
    """A data set's photos before they are read.

    files: names relative to the root, with /. annotate: returns the annotation of files[i], or raises
    InputError. watched: files and folders whose change makes the list outdated. upright: see
    `images.read_image`.
    """

    files: tuple[str, ...]
    annotate: Callable[[int], Annotation]
    watched: tuple[Path, ...]
    upright: bool = False


@dataclass(frozen=True, eq=False)
class Listing:
    """n usable photos.

    names: relative to the root. boxes: (n, 4) float64 crop boxes. points: (n, L, 2) float32 crop pixels, NaN
    where not annotated; L = 0 if only `raw` is known. visible: (n, L) bool. yaw: (n,) float32 radians or NaN.
    raw: (n, 62) float32, `basel.py`'s numbers in the crop, or (n, 0). fit_points: (n, 68, 2) float32 crop
    pixels, NaN where not annotated; (n, 0, 2) where no photo has any.
    """

    names: tuple[str, ...]
    boxes: Floats
    points: NDArray[np.float32]
    visible: NDArray[np.bool_]
    yaw: NDArray[np.float32]
    raw: NDArray[np.float32]
    fit_points: NDArray[np.float32]
    upright: bool
    report: DataReport


def read_listing(
    kind: str,
    root: Path,
    scan: Callable[[Path], Scan],
    *,
    cache: str | os.PathLike[str] | None = None,
    rebuild: bool = False,
    progress: bool = True,
) -> Listing:
    """The cached list of a data set if it is current; otherwise a new one, which is then cached.

    cache: its folder; None: see `default_cache`. Raises InputError if the folder cannot be written or is one
    of the photos', or if more than half of the photos are unusable.
    """
    folder = default_cache() if cache is None else path_of(cache, "a folder", "cache")
    place = root.resolve()
    digest = hashlib.sha256(f"{kind}\n{place}".encode("utf-8", "surrogateescape")).hexdigest()
    file = folder / f"{kind}-{digest[:20]}.npz"
    if not rebuild and (found := _load(file, place)) is not None:
        return found
    with atomic_path(file.with_suffix(".probe"), remedy=CACHE_REMEDY):
        pass  # fail before the work, not after it, if the folder cannot be written
    file.with_suffix(".probe").unlink(missing_ok=True)  # another process may have got this far too
    photos = scan(root)
    if folder.resolve() in {place / path.relative_to(root) for path in photos.watched}:
        # Each list written there would make itself outdated.
        raise InputError(f"{folder}: is a folder of the data set's photos; choose another cache folder")
    stamps = [(str(path), *stamp) for path in photos.watched if (stamp := _stamp(path)) is not None]
    listing = build_listing(root, photos, kind, progress)
    listing.report.refuse_if_broken(root)
    _save(file, place, listing, stamps)
    return listing


def default_cache() -> Path:
    """`TWODASL_CACHE`, or `twodasl` in the user's cache folder (`XDG_CACHE_HOME`, else `~/.cache`)."""
    own = os.environ.get("TWODASL_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "twodasl"


def build_listing(root: Path, photos: Scan, label: str = "photos", progress: bool = True) -> Listing:
    """Read every annotation and image of a data set once, in parallel; broken ones are excluded."""
    rows: list[_Row] = []
    failures: list[tuple[str, str]] = []
    count = len(photos.files)
    with (
        ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) as threads,
        progress_bar(
            total=count, description=f"listing {label}", unit="photo", show=progress, announce_from=1000
        ) as bar,
    ):
        for start in range(0, count, _CHUNK):
            part = range(start, min(start + _CHUNK, count))
            for found in threads.map(partial(_row, root, photos), part):
                if isinstance(found, _Row):
                    rows.append(found)
                else:
                    failures.append(found)
            bar.update(len(part))
    sizes = {len(row.points) for row in rows}
    if len(sizes) > 1:  # if a data set mixes schemes, all have the network's 18 points in common
        rows = [_as_eighteen(row) for row in rows]
    points = next(iter(sizes)) if len(sizes) == 1 else 18
    numbers = max((len(row.raw) for row in rows), default=0)
    more = max((len(row.fit_points) for row in rows), default=0)
    none = np.full((more, 2), np.nan)
    fit_points = [row.fit_points if len(row.fit_points) else none for row in rows]
    return Listing(
        tuple(row.name for row in rows),
        np.array([row.crop.box for row in rows], np.float64).reshape(len(rows), 4),
        np.array([row.points for row in rows], np.float32).reshape(len(rows), points, 2),
        np.array([row.visible for row in rows], np.bool_).reshape(len(rows), points),
        np.array([row.yaw for row in rows], np.float32),
        np.array([row.raw for row in rows], np.float32).reshape(len(rows), numbers),
        np.array(fit_points, np.float32).reshape(len(rows), more, 2),
        photos.upright,
        DataReport.of(len(rows), failures),
    )


@dataclass(frozen=True, eq=False)
class _Row:
    name: str
    crop: Crop
    points: Floats
    visible: NDArray[np.bool_]
    yaw: float
    raw: Floats
    fit_points: Floats


def _row(root: Path, photos: Scan, index: int) -> _Row | tuple[str, str]:
    """A photo's entry in the list, or its name and the reason for excluding it."""
    name = photos.files[index]
    try:
        check_name(name)
        with reading(root / name, "a photo with landmarks"):
            note = photos.annotate(index)
            height, width = read_image(root / name, upright=photos.upright).shape[:2]
            return _placed(name, note, height, width)
    except InputError as error:
        # The reason without the file's name, so that equal reasons are counted together.
        message = str(error)
        head, colon, rest = message.partition(": ")
        return name, rest if colon and PurePosixPath(name).stem in head else message


def _placed(name: str, note: Annotation, height: int, width: int) -> _Row:
    """An annotation in crop pixels. Raises InputError if it does not fit the image."""
    raw = np.empty(0) if note.raw is None else np.array(note.raw, np.float64)
    if not np.isfinite(raw).all():
        raise InputError("its parameters are not finite numbers")
    if note.points is None:
        crop = note.crop or Crop(0, 0, width, height)
        points, visible = np.empty((0, 2)), np.empty(0, np.bool_)
    else:
        crop, points, visible = _points_in_crop(note, height, width)
    if len(raw):
        raw[:12] = crop.pose(raw[:12].reshape(3, 4), height).ravel()
    more = (
        np.empty((0, 2)) if note.fit_points is None else np.asarray(crop.to_crop(note.fit_points), np.float64)
    )
    return _Row(name, crop, points, visible, note.yaw, raw, more)


def _points_in_crop(note: Annotation, height: int, width: int) -> tuple[Crop, Floats, NDArray[np.bool_]]:
    assert note.points is not None
    annotated = np.asarray(np.isfinite(note.points).all(axis=1))
    visible = annotated if note.visible is None else annotated & note.visible
    if visible.sum() < MIN_VISIBLE:
        raise InputError(f"fewer than {MIN_VISIBLE} landmarks are visible")
    if note.is_crop:
        crop, points = Crop(0, 0, width, height), note.points
        shown = ((points > -0.5) & (points < SIZE - 0.5)).all(axis=1)
    else:
        shown = ((note.points > -0.5) & (note.points < [width - 0.5, height - 0.5])).all(axis=1)
        crop = note.crop or _crop_about(note.points)
        points = np.asarray(crop.to_crop(note.points), np.float64)
        side = crop.x1 - crop.x0
        if not MIN_FACE <= side <= MAX_FACE * max(height, width):
            size = "too small to see" if side < MIN_FACE else "far larger than the picture"
            raise InputError(f"its landmarks mark a face that is {size}")
    if 2 * (visible & shown).sum() < visible.sum():
        raise InputError("more than half of its landmarks lie outside the picture")
    inside = ((points > -0.5) & (points < SIZE - 0.5)).all(axis=1)
    return crop, np.where(annotated[:, None], points, np.nan), visible & inside


def _crop_about(points: Floats) -> Crop:
    if len(points) != 68:
        return crop_from_sparse_landmarks(points)
    if np.isfinite(points).all():
        return crop_from_landmarks(points)
    return crop_from_sparse_landmarks(eighteen_from_68(points))


def _as_eighteen(row: _Row) -> _Row:
    convert = {68: eighteen_from_68, 21: eighteen_from_21}.get(len(row.points))
    if convert is None:
        return row
    visible = np.asarray(convert(row.visible[:, None].astype(float)))[:, 0] == 1
    return replace(row, points=np.asarray(convert(row.points)), visible=visible)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Time and size of a file, time of a folder; None if it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, 0 if path.is_dir() else status.st_size


_ARRAYS = ("boxes", "points", "visible", "yaw", "raw", "fit_points")


def _save(file: Path, root: Path, listing: Listing, stamps: list[tuple[str, int, int]]) -> None:
    head = {"version": VERSION, "root": str(root), "upright": listing.upright, "stamps": stamps}
    # Names end with a null byte, which no path contains; text arrays would pad them all to the longest.
    names = b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in listing.names)
    if file.exists() and not file.is_file():  # such as a pipe; a folder is kept, and reported
        with suppress(OSError):
            file.unlink()
    with atomic_path(file, remedy=CACHE_REMEDY) as temporary, open(temporary, "wb") as stream:
        np.savez(
            stream,
            head=np.frombuffer(json.dumps(head).encode(), np.uint8),
            report=np.frombuffer(listing.report.to_json().encode("utf-8", "surrogateescape"), np.uint8),
            names=np.frombuffer(names, np.uint8),
            **{key: getattr(listing, key) for key in _ARRAYS},
        )


def _load(file: Path, root: Path) -> Listing | None:
    """The list in a file if it exists and is complete and current."""
    try:
        arrays = read_npz(file, ("head", "report", "names", *_ARRAYS))
        head = json.loads(arrays["head"].tobytes())
        if head["version"] != VERSION or head["root"] != str(root):
            return None
        if any(_stamp(Path(path)) != (time, size) for path, time, size in head["stamps"]):
            return None
        names = arrays["names"].tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
        report = DataReport.from_json(arrays["report"].tobytes().decode("utf-8", "surrogateescape"))
        parts = {key: arrays[key] for key in _ARRAYS}
        count, (_, points, _), (_, numbers) = len(names), parts["points"].shape, parts["raw"].shape
        more = 68 if parts["fit_points"].shape[1] else 0
        whole = {
            "boxes": (np.float64, (count, 4)),
            "points": (np.float32, (count, points, 2)),
            "visible": (np.bool_, (count, points)),
            "yaw": (np.float32, (count,)),
            "raw": (np.float32, (count, numbers)),
            "fit_points": (np.float32, (count, more, 2)),
        }
        if any((parts[key].dtype, parts[key].shape) != of for key, of in whole.items()):
            return None
        if report.kept != count or not np.isfinite(parts["boxes"]).all():
            return None
        return Listing(tuple(names), upright=bool(head["upright"]), report=report, **parts)
    except Exception:  # damaged, or from another program: make it again
        return None
