"""Every operator has a kernel for CUDA tensors: in the emulator's library, and under a CUDA torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import _load

OF_THE_CPU_ALONE = {"huge_copy", "release_memory", "icp_sorted", "icp_step"}
"""Operators about the CPU's memory, and the steps of a loop that is one operator on CUDA, icp_run."""

OF_CUDA_ALONE = {"icp_run"}

IN_PYTHON = {"basis_factor", "basis_vertices", "basis_vertices_backward", "basis_vertices_forward"}
"""Operators for graphs, on any device: they look up what is derived from a basis and call the others."""

LISTING = """
import json, torch, twodasl_ext
names = [n for n in torch._C._dispatch_get_all_op_names() if n.startswith("twodasl::")]
has = torch._C._dispatch_has_kernel_for_dispatch_key
print(json.dumps({
    "cuda": torch.version.cuda,
    "gpu": torch.cuda.is_available(),
    "devices": twodasl_ext._load.DEVICES,
    "operators": {n.removeprefix("twodasl::"): has(n, "CUDA") for n in names},
}))
"""


def names() -> list[str]:
    found = [n for n in torch._C._dispatch_get_all_op_names() if n.startswith("twodasl::")]
    return sorted({n.removeprefix("twodasl::") for n in found} - OF_THE_CPU_ALONE - IN_PYTHON)


@pytest.mark.parametrize("name", names())
def test_every_operator_has_a_cuda_kernel(device, name):
    if device.type == "cuda":
        assert torch._C._dispatch_has_kernel_for_dispatch_key(f"twodasl::{name}", "CUDA")
        return
    if name in OF_CUDA_ALONE:
        return
    # The emulator's kernel replaced the CPU's, which torch lists as inactive.
    registered = torch._C._dispatch_dump(f"twodasl::{name}").splitlines()
    kernels = [line.split(":")[0] for line in registered if line.startswith("CPU")]
    assert kernels == ["CPU", "CPU (inactive)"]


@pytest.mark.slow
def test_the_cuda_library_loads_under_a_cuda_torch(tmp_path):
    """Even without a GPU: loading it does not start CUDA."""
    python = os.environ.get("TWODASL_CUDA_PYTHON")
    if python is None:
        pytest.skip("TWODASL_CUDA_PYTHON names no Python that has a CUDA build of torch")
    if not te.build_info()["cuda"]:
        pytest.skip("built without nvcc: there is no CUDA library")
    # A copy, so that nothing else of this Python's packages comes along.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(_load.__file__).parent, tmp_path / "twodasl_ext", ignore=ignored)
    for library in Path(_load.native.__file__).parent.glob("_*.so"):
        shutil.copy(library, tmp_path / "twodasl_ext")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}){LISTING}"
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["cuda"] is not None
    assert found["devices"] == ["cpu", "cuda"]
    without = {name for name, has in found["operators"].items() if not has}
    assert without == OF_THE_CPU_ALONE | IN_PYTHON
