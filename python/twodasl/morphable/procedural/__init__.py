"""The embedded face model: a head sculpted in code, free of any license form, and shipped as a file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..model import MorphableModel

SHIPPED = Path(__file__).resolve().parents[2] / "resources" / "procedural-head.npz"
"""What `twodasl models head` wrote: one file, so that the head is the same numbers wherever it is read."""


@cache
def procedural_model() -> MorphableModel:
    """The embedded model: 40 shape and 10 expression modes, colors with their own modes.

    Coefficient 1 is one standard deviation of every mode. Read once in a process; the same bits on every
    machine. `build.build_head` is how it was made.
    """
    return MorphableModel.load(SHIPPED)
