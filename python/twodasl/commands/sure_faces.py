"""Which results `twodasl reconstruct` is sure enough of: --min-confidence, and the warning without it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..reconstruction import DOUBTFUL

if TYPE_CHECKING:
    from ..reconstruction.reconstructor import FaceReconstructor, Reconstruction


def add_min_confidence(parser: argparse.ArgumentParser) -> None:
    """The option."""
    parser.add_argument(
        "--min-confidence",
        metavar="SHARE",
        type=float,
        help="write no face of a lower confidence, 0 to 1: the probability that its alignment is good"
        f" (default: write all, with a warning below {DOUBTFUL:g})",
    )


def check_min_confidence(args: argparse.Namespace) -> None:
    """Raise InputError for what is no probability."""
    least = args.min_confidence
    if least is not None and not 0 <= least <= 1:
        raise InputError(f"--min-confidence: expected a number from 0 to 1, got {least:g}")


def check_confidence_known(args: argparse.Namespace, reconstructor: FaceReconstructor) -> None:
    """Raise InputError where faces will have none."""
    if args.min_confidence is not None and reconstructor.info.get("confidence") is None:
        raise InputError(
            f"--min-confidence: {args.checkpoint} does not say how sure its faces are; give weights that"
            " `twodasl weights export` made of a network with points of its own"
        )


def unsure(face: Reconstruction, least: float | None) -> bool:
    """Whether the face is to be left out."""
    return least is not None and face.confidence is not None and face.confidence < least


def too_unsure(photo: Path, faces: list[Reconstruction], least: float) -> InputError:
    """The error of a photo all of whose faces are left out."""
    highest = max(face.confidence or 0.0 for face in faces)
    which = "the face" if len(faces) == 1 else f"the surest of {len(faces)} faces"
    return InputError(
        f"{photo}: expected a confidence of at least {least:g} (--min-confidence), got {highest:.2f} for"
        f" {which}; there may be no face, or its place is wrong: see --landmarks and --box"
    )


def doubt(face: Reconstruction, name: str, least: float | None) -> str:
    """A warning about a face that is left out or is not likely to be aligned; "" where there is none."""
    if face.confidence is None:
        return ""
    if unsure(face, least):
        return f"{name} is left out, its confidence is {face.confidence:.2f}"
    if face.confidence < DOUBTFUL:
        return (
            f"the confidence of {name} is only {face.confidence:.2f}; there may be no face, or its place is"
            " wrong"
        )
    return ""
