"""Data sets of photos by name: `KIND:FOLDER` in a configuration, two arguments on the command line."""

from __future__ import annotations

import os
from importlib import import_module

from ...arguments import flag, path_of
from ...errors import InputError
from ...morphable import MorphableModel
from ..basel import is_raw_basis, read_raw_basis
from .annotated import AnnotatedPhotos
from .kinds import KINDS, split_source
from .listing import read_listing
from .photo_set import PhotoSet


def open_photos(
    kind: str,
    root: str | os.PathLike[str],
    *,
    model: MorphableModel | None = None,
    basis: str | os.PathLike[str] | None = None,
    cache: str | os.PathLike[str] | None = None,
    rebuild: bool = False,
    progress: bool = True,
) -> PhotoSet:
    """Open a data set of photos.

    Args:
        kind: one of `KINDS`.
        root: its folder.
        model: the face model in whose parameters samples are wanted, of 300W-LP and `fitted`.
        basis: the folder of 3DDFA's basis, to which those parameters belong, see `read_raw_basis`; None: the
            data set's own folder, if the basis is there.
        cache: the folder for the list of photos, see `listing.py`; `fitted` has none.
        rebuild: make that list again.
        progress: show a progress bar while it is made (on a terminal).

    Returns:
        `AnnotatedPhotos`, or `FittedPhotos` of the kind `fitted`.

    Raises:
        InputError: an unknown kind, a folder that is missing or of another kind, or one with more than half
            of its photos unusable.
    """
    if kind not in KINDS:
        raise InputError(f"{kind!r}: unknown kind of data set; known are {', '.join(KINDS)}")
    rebuild, progress = flag(rebuild, "rebuild"), flag(progress, "progress")
    folder = path_of(root, "a folder", "root")
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected {KINDS[kind].description}")
    module = import_module(f".{KINDS[kind].module}", __package__)
    if not KINDS[kind].listed:
        found: PhotoSet = module.open_folder(folder, model)
        return found
    listing = read_listing(kind, folder, module.scan, cache=cache, rebuild=rebuild, progress=progress)
    place = path_of(basis, "a folder", "basis") if basis else folder
    raw = read_raw_basis(place) if basis or is_raw_basis(place) else None
    return AnnotatedPhotos(folder, listing, raw, model)


def open_source(
    source: str,
    *,
    model: MorphableModel | None = None,
    basis: str = "",
    cache: str = "",
    progress: bool = True,
) -> PhotoSet:
    """As `open_photos`, of one text `KIND:FOLDER`; "" for what is not given."""
    kind, root = split_source(source)
    return open_photos(kind, root, model=model, basis=basis or None, cache=cache or None, progress=progress)
