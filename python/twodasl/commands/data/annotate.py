"""`twodasl data annotate`: 3D annotation of photographs by fitting the face model to their points."""

from __future__ import annotations

import argparse
import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...datasets.photos.kinds import KINDS
from ..arguments import add_checkpoint, add_device, add_model, add_output_folder, positive_int
from ..messages import note, quiet
from .check import refuse_inside

if TYPE_CHECKING:
    from ...reconstruction.annotator import Annotator

DESCRIPTION = """\
Fit the face model to the annotated points of every photo of a data set, about what a network says of it, and
write crops and parameters to a folder that training reads as fitted:DIR. Fits that cannot be trusted are left
out and counted.

kinds:
"""


def register(actions: Any) -> None:
    """Describe the command's arguments."""
    kinds = {name: kind.description for name, kind in KINDS.items() if kind.listed}
    parser = actions.add_parser(
        "annotate",
        help="annotate a data set of photos in 3D",
        description=DESCRIPTION + "\n".join(f"  {name:<10} {words}" for name, words in kinds.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", metavar="KIND", help="what the folder holds, see above")
    parser.add_argument("root", metavar="ROOT", type=Path, help="the folder")
    add_checkpoint(parser, required=True)
    add_output_folder(parser, "the annotated faces, new or empty,", required=True)
    add_model(parser, "default: the one in the checkpoint")
    parser.add_argument(
        "--sigma",
        metavar="PIXELS",
        type=_pixels,
        default=1.0,
        help="standard deviation of an annotated point, in pixels of the crop; on the face's outline three"
        " times that (default: 1)",
    )
    parser.add_argument(
        "--batch-size", type=positive_int, default=64, metavar="N", help="photos at a time (default: 64)"
    )
    add_device(parser)
    parser.add_argument(
        "--cache",
        metavar="DIR",
        type=Path,
        help="folder that keeps the list of photos (default: the user's cache)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Annotate, write the folder, print what was left out."""
    from ...datasets.photos.annotated import AnnotatedPhotos
    from ...datasets.photos.fitted_store import refuse_used, write_store
    from ...datasets.photos.sources import open_photos
    from ...datasets.report import MostlyBroken
    from ...devices import usable_device
    from ...errors import InputError
    from ...io.locks import own_folder
    from ...reconstruction.annotate import annotate, crops
    from ...reconstruction.annotator import Annotator
    from ...reconstruction.face_network import FaceNetwork
    from ...weights import weights_file

    show = not quiet()
    refuse_inside(args.root, args.output)
    refuse_used(args.output)
    checkpoint = weights_file(args.checkpoint)
    before = _digest(checkpoint)
    network = FaceNetwork(checkpoint, args.model, usable_device(args.device, "--device"))
    if _digest(checkpoint) != before:
        raise InputError(f"{checkpoint}: was replaced while it was read; give a copy of it")
    with own_folder(args.output):
        refuse_used(args.output)
        photos = open_photos(args.kind, args.root, cache=args.cache, progress=show)
        if not isinstance(photos, AnnotatedPhotos):
            raise InputError(f"{args.root}: is annotated already; give the photos that it was made from")
        annotator = Annotator(network, args.sigma)
        try:
            found = annotate(photos, annotator, batch_size=args.batch_size, progress=show)
        except MostlyBroken as error:
            print("\n".join(error.report.lines()))
            raise
        facts = {"source": {"kind": args.kind, "folder": str(args.root)}, **_facts(annotator, before)}
        write_store(args.output, found.faces, crops(photos, found.rows, show), facts, found.report)
    print("\n".join([*found.report.lines(), _residuals(found.faces.residual)]))
    note(f"wrote {args.output}")
    return 0


def _facts(annotator: Annotator, digest: str) -> dict[str, Any]:
    """What `fitted.json` says of network, face model and fit."""
    from dataclasses import asdict

    network, model = annotator.network, annotator.model
    return {
        "face_model": {"name": model.name, "identity": model.identity, "counts": list(model.counts)},
        "checkpoint": {
            "name": Path(network.checkpoint).name,
            "sha256": digest,
            "step": network.info["step"],
        },
        "fit": {"sigma": annotator.sigma, "limits": asdict(annotator.limits)},
    }


def _residuals(residual: Any) -> str:
    import numpy as np

    middle, most = np.percentile(residual, (50, 95))
    return f"distance from the given points to the model's: median {middle:.1f}, 95 % below {most:.1f} pixels"


def _digest(file: Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    from ...errors import reading
    from ...io.files import regular_file

    found = hashlib.sha256()
    with reading(file, "a checkpoint"), open(regular_file(file, "a checkpoint"), "rb") as stream:
        while block := stream.read(1 << 20):
            found.update(block)
    return found.hexdigest()


def _pixels(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.01 <= number <= 100:
        raise argparse.ArgumentTypeError(f"expected a number from 0.01 to 100, got {text[:40]!r}")
    return number
