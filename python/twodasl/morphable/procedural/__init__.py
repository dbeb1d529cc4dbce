"""The embedded face model: a head sculpted in code, usable without a license form, shipped as a file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ..model import MorphableModel

SHIPPED = Path(__file__).resolve().parents[2] / "resources" / "procedural-head.npz"
"""The output of `twodasl models head`: a file, so that the head has the same values everywhere."""


@cache
def procedural_model() -> MorphableModel:
    """The embedded model: 40 shape and 15 expression modes, and colors with their own modes.

    Coefficient 1 is one standard deviation of every mode. Loaded once per process; the same bits on every
    machine. `build.build_head` computes it.
    """
    return MorphableModel.load(SHIPPED)
