"""`twodasl demo`: a photograph reconstructed with the shipped weights, or the method from nothing."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..arguments import add_output_folder, add_settings
from ..messages import note, quiet

DESCRIPTION = """\
Reconstructs a public-domain photograph with the weights that come with the package. With --train it starts
from nothing: trains the small network on faces that the embedded model renders (nothing is downloaded; four
minutes at most on two cores), prints its NME on held-out faces beside the untrained network's, and
reconstructs some of them and the photograph. DIR/checkpoint.pt then serves `twodasl reconstruct`.
"""


def register(subparsers: Any) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="reconstruct a photograph, or train a small network first",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output_folder(parser, "the results", default=Path("demo-output"))
    parser.add_argument("--train", action="store_true", help="train a network first, and measure it")
    add_settings(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    from ...errors import InputError

    if options.set and not options.train:
        raise InputError("--set: changes the training's configuration; give --train with it")
    if not options.train:
        from .photograph import show

        show(options.output, note)
        return 0
    from ...evaluation import format_report
    from ...training import preset
    from .training import demo

    config = preset("demo").with_settings(options.set)
    report = demo(options.output, config=config, say=note, progress=not quiet())
    if quiet():
        print(format_report(report))
    return 0
