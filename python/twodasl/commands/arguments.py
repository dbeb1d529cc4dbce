"""Arguments that several commands have: one letter, one name and one description each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

MODEL = "'procedural' (the embedded one), a .npz, or another file or folder of docs/data-formats.md"
"""What a face model is named by."""


def add_output_folder(parser: Any, contents: str, **options: Any) -> None:
    """-o, --output DIR: `contents` says what is written into it. options: required or default."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        help=f"folder to write {contents} to{_default(options)}",
        **options,
    )


def add_output_file(parser: Any, contents: str, **options: Any) -> None:
    """-o, --output FILE: `contents` says what is written. options: required or default."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=Path,
        help=f"file to write {contents} to{_default(options)}",
        **options,
    )


def add_model(parser: Any, note: str = "", **options: Any) -> None:
    """-m, --model MODEL. note: what is particular to the command."""
    shown = f"; {note}" if note else ""
    parser.add_argument(
        "-m",
        "--model",
        metavar="MODEL",
        help=f"face model: {MODEL}{shown}{_default(options)}",
        **options,
    )


def add_checkpoint(parser: Any, **options: Any) -> None:
    """-c, --checkpoint, --weights FILE."""
    default = options.get("default")
    parser.add_argument(
        "-c",
        "--checkpoint",
        "--weights",
        metavar="NAME|FILE",
        type=Path,
        help="the trained network: a checkpoint, as `twodasl train` writes it; weights, as `twodasl weights"
        " export` writes them; or the name of weights that come with the package, see `twodasl weights list`"
        + (f" (default: {default})" if default is not None else ""),
        **options,
    )


def add_device(parser: Any) -> None:
    """--device DEVICE."""
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        default="cpu",
        help="where to compute: cpu, cuda or cuda:N (default: cpu)",
    )


def add_seed(parser: Any) -> None:
    """--seed N."""
    parser.add_argument(
        "--seed", metavar="N", type=non_negative_int, default=0, help="seed of the random faces (default: 0)"
    )


def add_settings(parser: Any) -> None:
    """--set KEY=VALUE."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting of the training, as in stage1.steps=500; may be repeated",
    )


def add_verbosity(parser: Any) -> None:
    """-q, --quiet and -v, --verbose."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print reports, warnings and errors only: no progress, no names of written files",
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="also print versions, times, and the traceback of an error",
    )


def non_negative_int(text: str) -> int:
    """An argument's whole number, 0 or more."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text[:40]!r}")
    return int(text)


def positive_int(text: str) -> int:
    """An argument's whole number, 1 or more."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text[:40]!r}")
    return int(text)


def _default(options: dict[str, Any]) -> str:
    return f" (default: {options['default']})" if options.get("default") is not None else ""
