"""`twodasl evaluate`: errors on a data set, with every choice that changes the number named."""

from __future__ import annotations

from typing import Any


def register(subparsers: Any) -> None:
    """Describe the command's arguments."""
    from . import evaluate_aflw2000, evaluate_compare, evaluate_reconstruction, evaluate_sparse

    parser = subparsers.add_parser("evaluate", help="measure alignment and reconstruction errors")
    sets = parser.add_subparsers(dest="dataset", metavar="DATASET", required=True)
    for module in (evaluate_aflw2000, evaluate_sparse, evaluate_reconstruction, evaluate_compare):
        module.register(sets)
