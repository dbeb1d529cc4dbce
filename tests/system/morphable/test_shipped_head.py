"""The embedded head is one file: the same numbers everywhere, and its code still makes it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from twodasl.cli import main
from twodasl.morphable import MorphableModel, load_model, procedural_model
from twodasl.morphable.procedural import SHIPPED
from twodasl.morphable.procedural.blendshapes import stored
from twodasl.morphable.procedural.blendshapes.stored import StoredShapes
from twodasl.morphable.procedural.build import STEP, largest_difference
from twodasl.morphable.readers import recognize

IDENTITY = "d926a27b83af591c0a5e8b5deb3e482c38b42cce0a252a6ac7ff12c417f7506f"
"""Checkpoints hold it: another one is another face model, and theirs are rejected."""


@pytest.mark.parametrize("threads", ["1", "2"])
def test_its_identity_is_one_constant(threads: str) -> None:
    code = "from twodasl import load_model; print(load_model('procedural').identity)"
    counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | counts
    )
    assert done.stdout == f"{IDENTITY}\n"


def test_the_name_means_the_file() -> None:
    assert load_model("procedural") is procedural_model()
    assert recognize.read_file(SHIPPED).identity == IDENTITY
    assert SHIPPED.stat().st_size < 2**21 + 2**19


def test_its_code_reproduces_it(tmp_path, capsys) -> None:
    """Bit for bit with NumPy 1.26 and 2.4 under AVX-512; elsewhere a number that rounding moves across the
    middle between two steps may come out one step off."""
    files = tmp_path / "head.npz", tmp_path / "arkit.npz"
    assert main(["models", "head", "-o", str(files[0]), "--arkit", str(files[1])]) == 0
    said = capsys.readouterr().out
    made = MorphableModel.load(tmp_path / "head.npz")
    apart = largest_difference(made, procedural_model())
    assert apart <= STEP
    assert ("bit for bit" if apart == 0 else "but for rounding") in said
    assert f"identity {made.identity}" in said
    shapes, shipped = StoredShapes.load(files[1]), StoredShapes.load(stored.SHIPPED)
    apart = shapes.largest_difference(shipped)
    assert apart <= stored.STEP
    assert ("shapes: the same as" if apart == 0 else "shapes: the shipped ones but for rounding") in said


def test_another_head_is_told_from_it() -> None:
    head = procedural_model()
    assert largest_difference(head, head) == 0
    fewer = head.truncated(40, 9)
    assert largest_difference(fewer, head) == float("inf")
