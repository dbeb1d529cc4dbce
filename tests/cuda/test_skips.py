"""The summary of a run without a GPU: one line for all tests that need one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ("test_nearest_rotation.py", "test_streams_and_graphs.py")


@pytest.mark.parametrize("fold", [True, False], ids=["folded", "listed"])
def test_tests_without_a_device_are_one_line_or_listed(fold):
    options = ["-q", "-p", "no:cacheprovider", *([] if fold else ["--no-fold-skipped"])]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(str(HERE / name) for name in FILES)],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    *_, total = done.stdout.splitlines()
    skipped = int(total.split(" skipped")[0].split()[-1])
    lines = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert skipped > 30
    if fold:
        (line,) = lines
        assert line.startswith(f"SKIPPED [{skipped}] ")
        assert "run_emulated.sh" in line
    else:
        assert len(lines) == skipped
