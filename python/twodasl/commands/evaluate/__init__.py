"""`twodasl evaluate`: errors on a data set, with every choice that changes the number named."""

from __future__ import annotations

from typing import Any


def register(subparsers: Any) -> None:
    """Describe the command's arguments."""
    from . import aflw2000, compare, identity, now, pose, realy, reconstruction, sparse, video

    parser = subparsers.add_parser("evaluate", help="measure alignment and reconstruction errors")
    sets = parser.add_subparsers(dest="dataset", metavar="DATASET", required=True)
    for module in (aflw2000, sparse, pose, reconstruction, now, realy, identity, video, compare):
        module.register(sets)
