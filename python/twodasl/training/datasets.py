"""The two sets of faces that a configuration names: synthetic ones, or photos on disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from ..datasets.basel import is_raw_basis
from ..datasets.photos.photo_set import PhotoSet
from ..datasets.photos.sources import open_source
from ..errors import InputError
from ..geometry.crops import SIZE
from ..morphable import MorphableModel
from ..synthetic import SyntheticFaces
from .config import TrainingConfig
from .random_streams import SyntheticSeed
from .streams import FaceDataset, Joined, LandmarksOnly

# What a pooled face needs besides its pixels: landmarks, visibility, parameters.
_EXTRA_BYTES = 2048


def configured_faces(config: TrainingConfig, model: MorphableModel, progress: bool = True) -> FaceDataset:
    """The 3D-annotated faces.

    Raises InputError where `data.face_source` has no parameters of this face model, and says why.
    """
    if not config.data.face_source:
        return SyntheticFaces(model, config.data.faces, config.seed + SyntheticSeed.FACES)
    return _with_parameters(config, "face_source", config.data.face_source, model, progress)


def configured_photos(
    config: TrainingConfig, model: MorphableModel, progress: bool = True
) -> FaceDataset | None:
    """The faces of which only the visible 2D landmarks are used, or None where the run has none."""
    if not config.photo_batch:
        return None
    if config.data.photo_source:
        return LandmarksOnly(_open(config, config.data.photo_source, None, progress))
    if not config.data.photos:
        return None
    return LandmarksOnly(SyntheticFaces(model, config.data.photos, config.seed + SyntheticSeed.PHOTOS))


def configured_fitted(
    config: TrainingConfig, model: MorphableModel, progress: bool = True
) -> FaceDataset | None:
    """The photos with 3D annotation that come beside the 3D-annotated faces, or None where there are none.

    Raises InputError where `data.fitted_source` has no parameters of this face model, and says why.
    """
    if not config.fitted_batch:
        return None
    sources = config.data.fitted_sources
    if not sources:
        raise InputError(
            f"data.fitted_source: expected fitted:FOLDER for fitted_batch={config.fitted_batch}, got nothing;"
            " `twodasl data annotate` makes such a folder"
        )
    sets = [_with_parameters(config, "fitted_source", source, model, progress) for source in sources]
    layouts = [_layout(part) for part in sets]
    for source, layout in zip(sources, layouts, strict=True):
        if layout != layouts[0]:
            raise InputError(
                f"data.fitted_source: {sources[0]} and {source} have samples of other kinds, which make no"
                " batch together; give one of them as data.face_source"
            )
    return sets[0] if len(sets) == 1 else Joined(sets)


def _layout(faces: FaceDataset) -> dict[str, tuple[int, ...]]:
    """What the samples hold: names and shapes."""
    return {key: tuple(getattr(value, "shape", ())) for key, value in faces[0].items()} if len(faces) else {}


def check_memory(sets: Iterable[FaceDataset], copies: int = 1) -> None:
    """Raise InputError where the machine cannot hold all sets' pools, so many times (once a process)."""
    count = sum(map(len, sets)) * copies
    needed = count * (3 * SIZE * SIZE + _EXTRA_BYTES)
    installed = _installed_memory()
    if installed is not None and needed > 0.9 * installed:
        raise InputError(
            f"data.pool: {count:,} faces need {needed / 2**30:.0f} GiB in memory, this machine has"
            f" {installed / 2**30:.0f} GiB; set data.pool=false and some data.workers"
        )


def _with_parameters(
    config: TrainingConfig, key: str, source: str, model: MorphableModel, progress: bool
) -> FaceDataset:
    faces = _open(config, source, model, progress)
    if faces.without_parameters:
        raise InputError(
            f"data.{key}: faces with 3D annotation need parameters of the face model {model.name!r}:"
            f" {faces.without_parameters}"
        )
    return faces


def _open(config: TrainingConfig, source: str, model: MorphableModel | None, progress: bool) -> PhotoSet:
    data = config.data
    basis = data.basis
    if not basis and is_raw_basis(data.model):
        basis = data.model
    photos = open_source(source, model=model, basis=basis, cache=data.cache, progress=progress)
    if progress and photos.report.lost:
        print(f"{source}: " + "\n".join(photos.report.lines()), file=sys.stderr)
    return photos


def _installed_memory() -> int | None:
    """Bytes of memory in this machine, where the system says so."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
