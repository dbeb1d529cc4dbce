"""Which files `twodasl reconstruct` writes of a face: --format and --no-pictures."""

from __future__ import annotations

import argparse

from ..errors import InputError
from ..reconstruction import DEFAULT_FORMATS, FORMATS

_PICTURED = ("png", "glb")  # what has a picture in it, of the formats that are written by default


def add_formats(parser: argparse.ArgumentParser) -> None:
    """The two options."""
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        action="extend",
        type=_formats,
        help=f"what to write, separated by commas: {', '.join(FORMATS)}; html is a page with the head, the"
        f" photo and sliders (default: {','.join(DEFAULT_FORMATS)})",
    )
    parser.add_argument(
        "--no-pictures",
        action="store_true",
        help="write no NAME.png and, unless --format asks for it, no NAME.glb: drawing and textures take most"
        " of the time",
    )


def chosen_formats(args: argparse.Namespace) -> tuple[str, ...]:
    """What the options say. Raises InputError where they contradict each other."""
    if args.format is None:
        return tuple(each for each in DEFAULT_FORMATS if each not in _PICTURED or not args.no_pictures)
    if args.no_pictures and "png" in args.format:
        raise InputError("--no-pictures: contradicts --format png; give one of them")
    return tuple(each for each in FORMATS if each in args.format)


def _formats(word: str) -> list[str]:
    names = [name.strip().lower().removeprefix(".") for name in word.split(",")]
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(FORMATS)}, got {name[:40]!r}")
    return names
