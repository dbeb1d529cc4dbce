"""What the commands under `twodasl evaluate` have in common on their way in: predictions and networks."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..arguments import add_checkpoint, add_device, add_model, non_negative_int, positive_int

if TYPE_CHECKING:
    from ...datasets.sparse_basis import SparseBasis
    from ...geometry.parameters import Whitening
    from ...reconstruction.reconstructor import FaceReconstructor

# Each source's own options and their defaults; a command may lack some of them.
_APPLIES_WITH: dict[str, tuple[str, object]] = {
    "basis_dir": ("--predictions", None),
    "whitening": ("--predictions", None),
    "unwhitened": ("--predictions", False),
    "crop_pixels": ("--predictions", False),
    "landmarks": ("--checkpoint", None),
    "crops": ("--checkpoint", "data"),
    "refinements": ("--checkpoint", None),
    "points": ("--checkpoint", "auto"),
    "fit": ("--checkpoint", False),
    "dense_model": ("--predictions", None),
}


def add_source(parser: Any) -> None:
    """--root, and one of --predictions and --checkpoint."""
    parser.add_argument("--root", required=True, metavar="ROOT", type=Path, help="folder of the data set")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--predictions", type=Path, metavar="FILE", help="predictions, a .npy file")
    add_checkpoint(source)
    add_model(parser, "default: the checkpoint's")


def add_prediction_options(parser: Any) -> Any:
    """How the file of predictions is read; returns the group for what a command adds."""
    group = parser.add_argument_group("with --predictions")
    group.add_argument(
        "--basis-dir", type=Path, metavar="DIR", help="folder with u_base.txt, w_shp_base.txt, ..."
    )
    group.add_argument(
        "--whitening",
        type=Path,
        metavar="FILE",
        help="mean and std (default: param_whitening.pkl beside the basis)",
    )
    group.add_argument("--unwhitened", action="store_true", help="the parameters are not whitened")
    group.add_argument("--crop-pixels", action="store_true", help="the landmarks are in crop pixels")
    return group


def add_network_options(parser: Any, landmarks: str, choices: str) -> Any:
    """How the network is asked; `landmarks` is the default of its landmark input."""
    group = parser.add_argument_group("with --checkpoint")
    group.add_argument(
        "--landmarks",
        metavar=choices,
        help=f"the network's landmark input (default: {landmarks}; FILE: a .npy, image pixels)",
    )
    group.add_argument(
        "--refinements",
        type=non_negative_int,
        metavar="N",
        help="feed the network's own landmarks back N times (default: 0 with landmarks, or for a network with"
        " points of its own; else 1)",
    )
    group.add_argument(
        "--batch-size", type=positive_int, default=32, metavar="N", help="images at a time (default: 32)"
    )
    add_device(group)
    return group


def refuse_options_of_the_other_source(options: argparse.Namespace) -> None:
    """An option that would change nothing is a misunderstanding, and misunderstood numbers get published."""
    other = "--predictions" if options.checkpoint is not None else "--checkpoint"
    for name, (source, default) in _APPLIES_WITH.items():
        if source == other and getattr(options, name, default) != default:
            raise InputError(
                f"--{name.replace('_', '-')}: has a meaning only with {source}, which is not given"
            )


def run_distributed(options: argparse.Namespace, measure: Callable[[argparse.Namespace], int]) -> int:
    """Run a command's `measure`; under torchrun each process evaluates its share of the images."""
    from ...devices import usable_device
    from ...distributed import ToldElsewhere, device_here, joined

    options.device = device_here(options.device)
    cuda = options.checkpoint is not None and usable_device(options.device, "--device").type == "cuda"
    with joined(cuda):
        try:
            return measure(options)
        except ToldElsewhere:
            return 2


def decoder(
    options: argparse.Namespace, root: Path
) -> tuple[SparseBasis | None, Whitening | None, dict[str, str]]:
    """The face model that predicted parameters belong to, their whitening, and a description of both."""
    from ...datasets.sparse_basis import WHITENING_FILE, SparseBasis, read_sparse_basis, read_whitening
    from ...evaluation.predictions import find_basis_folder
    from ...morphable import load_model

    if options.basis_dir is not None and options.model is not None:
        raise InputError("--basis-dir, --model: expected one of them, got both")
    folder = options.basis_dir
    if options.model is not None:
        basis = SparseBasis.from_model(load_model(options.model))
    else:
        folder = folder or find_basis_folder(root)
        if folder is None:
            return None, None, {}
        basis = read_sparse_basis(folder)
    words = {"decoded with": basis.name}
    if options.unwhitened:
        return basis, None, words | {"whitening": "none (--unwhitened)"}
    file = options.whitening or (folder / WHITENING_FILE if folder is not None else None)
    if file is None:
        raise InputError("--model: expected --whitening FILE or --unwhitened with it, got neither")
    return basis, read_whitening(file), words | {"whitening": str(file)}


def network_words(options: argparse.Namespace, reconstructor: FaceReconstructor) -> dict[str, str]:
    """A description of the network, its face model and its passes."""
    model = reconstructor.model
    shown = "default" if options.refinements is None else str(options.refinements)
    return {
        "network": f"{options.checkpoint}, step {reconstructor.info.get('step', 'unknown')}",
        "face model": f"{model.name} ({'/'.join(map(str, model.counts))} vertices/shapes/expressions)",
        "refinements": f"{shown} (0 with landmarks or own points, else 1, unless given)",
    }
