"""`twodasl export`: a trained network as a file for other runtimes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..weights import SHIPPED
from .arguments import add_checkpoint, add_model, add_output_file
from .messages import note
from .startup import lasting_imports

ONNX = """\
Write the network as an ONNX file: a crop and its landmark map in; parameters, the network's own points where
it has some, and the 68 landmarks out, for batches of any size. onnxruntime has computed the same as torch
before the file lands. Needs the extra `onnx`; using the file takes onnxruntime alone. See docs/export.md.
"""
TORCH = """\
Write the network as a package of torch.export: what `twodasl export onnx` writes, for
torch.export.load(FILE).module(). It is loaded again and compared before it lands. See docs/export.md.
"""


def register(subparsers: Any) -> None:
    """Describe `export onnx` and `export torch`."""
    parser = subparsers.add_parser("export", help="a trained network for ONNX and torch.export")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, suffix, text in (("onnx", ".onnx", ONNX), ("torch", ".pt2", TORCH)):
        action = actions.add_parser(
            name,
            help=f"write a {suffix} file",
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_checkpoint(action, default=Path(SHIPPED[0]))
        add_model(action, "default: the checkpoint's")
        add_output_file(action, f"NAME{suffix}", required=True)
        action.add_argument(
            "--vertices",
            action="store_true",
            help="also give all vertices of the face; the file then holds the face model's modes",
        )
        action.set_defaults(run=run, suffix=suffix)


def run(args: argparse.Namespace) -> int:
    """Write the file, and print its metadata."""
    from ..io.files import check_targets
    from ..weights import weights_file

    path: Path = args.output
    if path.suffix != args.suffix:
        raise InputError(f"{path}: expected a name ending in {args.suffix}, got {path.suffix or 'none'}")
    checkpoint = weights_file(args.checkpoint)
    inputs = [checkpoint] if args.model is None else [checkpoint, args.model]
    check_targets([path], inputs=inputs)
    with lasting_imports():
        import torch

        from ..reconstruction.exporting import export_onnx, export_torch, require_onnx
        from ..reconstruction.face_network import FaceNetwork
    if args.suffix == ".onnx":
        require_onnx()
    network = FaceNetwork(checkpoint, args.model, torch.device("cpu"), once=True)
    write = export_onnx if args.suffix == ".onnx" else export_torch
    for key, value in write(network, path, vertices=args.vertices).items():
        print(f"{key}: {value}")
    note(f"wrote {path} ({path.stat().st_size:,} bytes)")
    return 0
