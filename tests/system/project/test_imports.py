"""What a command imports is what it waits for: short commands leave alone what they do not use."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

NEVER = {
    "h5py",
    "matplotlib",
    "mediapipe",
    "onnxruntime",
    "retinaface",
    "scipy.spatial",
    "skimage",
    "tensorboard",
    "torch._dynamo",
    "torch._inductor",
    "twodasl.synthetic",
    "twodasl.evaluation",
    "twodasl.morphable.procedural.build",
    "twodasl.training.loop",
}


def imported(code: str) -> set[str]:
    """The modules of a fresh interpreter that has run `code`."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print('modules:', *sys.modules)"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split("modules:")[-1].split())


def test_the_package_alone_imports_nothing() -> None:
    assert not imported("import twodasl") & {"numpy", "torch", "cv2", "scipy", *NEVER}


def test_the_operators_import_torch_and_numpy() -> None:
    assert not imported("import twodasl_ext") & {"cv2", "scipy", "twodasl", *NEVER}


def test_the_embedded_head_is_read_and_not_computed() -> None:
    assert not imported("import twodasl; twodasl.load_model('procedural').identity") & {"scipy", *NEVER}


def test_a_reconstruction_imports_no_training_and_no_charts(
    ball_checkpoint, photo_path, photo68, tmp_path
) -> None:
    np.save(tmp_path / "face.npy", photo68)
    words = ["reconstruct", photo_path, "-c", ball_checkpoint, "-l", tmp_path / "face.npy", "-o", tmp_path]
    code = f"from twodasl.cli import main; assert main({[str(word) for word in words]}) == 0"
    modules = imported(code)
    assert (tmp_path / "astronaut.png").is_file()
    assert {"torch", "twodasl_ext", "twodasl.reconstruction.reconstructor"} <= modules
    assert not modules & NEVER


@pytest.mark.parametrize("there", [False, True])
def test_lasting_imports_leave_the_collector_on(there: bool) -> None:
    """Objects made before are set aside once, where torch comes in by it, and never in another's process."""
    before = "import torch" if there else ""
    code = f"""
import gc
{before}
from twodasl.commands.startup import lasting_imports
with lasting_imports():
    assert gc.isenabled() == {there}
    import torch
assert gc.isenabled()
assert (gc.get_freeze_count() == 0) == {there}
"""
    assert "torch" in imported(code)
