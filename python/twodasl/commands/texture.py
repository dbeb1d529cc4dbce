"""`--texture`: a picture for the mesh, beside the colors of its vertices."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..reconstruction import TEXTURE_SUFFIXES
from .formats import chosen_formats

_DEFAULT, _SMALLEST, _LARGEST = 1024, 64, 8192
_USED = {"obj", "glb", "html"}  # formats that hold a texture


def add_texture(parser: argparse.ArgumentParser) -> None:
    """The option."""
    parser.add_argument(
        "--texture",
        nargs="?",
        const=_DEFAULT,
        type=_size,
        metavar="SIZE",
        help="give NAME.obj a texture too: NAME-texture.png, the photo's own pixels laid out flat, SIZE"
        f" texels wide and high (default: {_DEFAULT}), and NAME.mtl. SIZE also counts for glb and html. Give"
        " photos before it, or write --texture=SIZE",
    )


def check_texture(args: argparse.Namespace, others: Sequence[str] = ()) -> None:
    """Raise InputError where a texture would have the name of another photo's picture.

    others: further names of results beside those of the photos.
    """
    if args.texture is not None and not _USED & {*chosen_formats(args)}:
        raise InputError("--texture: has a use only with obj, glb or html among --format; leave it out")
    if not added(args) or args.faces != "largest":
        return
    photos: list[Path] = args.photos
    for name in (*(photo.stem for photo in photos), *others):
        for photo in photos:
            # Where the file system has no capitals, A-texture.png is a-texture.png.
            if photo.stem.casefold() == f"{name}-texture".casefold():
                raise InputError(
                    f"{photo}: its picture would have the name of a texture, {name}-texture.png; rename it"
                )


def added(args: argparse.Namespace) -> tuple[str, ...]:
    """The suffixes that results get with these arguments."""
    return TEXTURE_SUFFIXES if args.texture is not None and "obj" in chosen_formats(args) else ()


def endings(paths: Sequence[Path], target: Path) -> str:
    """What files have after the name that they share, for people."""
    return " ".join(path.name.removeprefix(os.path.basename(target)) for path in paths)


def _size(word: str) -> int:
    if word.isascii() and word.isdigit() and _SMALLEST <= int(word[:9]) <= _LARGEST:
        return int(word)
    raise argparse.ArgumentTypeError(
        f"expected {_SMALLEST} to {_LARGEST} texels, got {word!r}; photos go before --texture"
    )
