"""`twodasl demo`: from nothing to a trained network and reconstructed faces."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

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
    parser.add_argument(
        "-o", "--output", metavar="DIR", type=Path, default=Path("demo-output"), help="default: demo-output"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the training preset `demo`, for example stage1.steps=100",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the demo."""
    from ...training import preset
    from .run import demo

    demo(options.output, config=preset("demo").with_settings(options.set))
    return 0
