"""`twodasl demo`: from nothing to a trained network and reconstructed faces."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..arguments import add_output_folder, add_settings
from ..messages import note, quiet

DESCRIPTION = """\
Trains the small network on faces that the embedded model renders (nothing is downloaded; four minutes at most
on two cores), prints its NME on held-out faces beside the untrained network's, and reconstructs some of them
and a public-domain photograph. DIR/checkpoint.pt then serves `twodasl reconstruct`.
"""


def register(subparsers: Any) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "demo",
        help="train a small network on embedded synthetic faces and reconstruct a photograph",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output_folder(parser, "checkpoint, report and meshes", default=Path("demo-output"))
    add_settings(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    from ...evaluation import format_report
    from ...training import preset
    from .run import demo

    config = preset("demo").with_settings(options.set)
    report = demo(options.output, config=config, say=note, progress=not quiet())
    if quiet():
        print(format_report(report))
    return 0
