"""The error when memory runs out: torch's reason, in torch's exception class."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
import torch

from twodasl_ext._operator import autograd_call, guarded

PROGRAM = """
import resource, torch, twodasl_ext as te

torch.set_num_threads(1)
basis = te.MorphableBasis(torch.zeros(50000, 3), torch.zeros(2, 50000, 3))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**30, used + 2**30))
coefficients, pose = torch.zeros(4000, 2), torch.zeros(4000, 3, 4)
for call in (
    lambda: te.vertices(basis, coefficients, pose),
    lambda: te.rasterize(torch.zeros(1, 4, 3), torch.zeros(1, 3, dtype=torch.int64), 20000),
):
    try:
        call()
    except RuntimeError as error:
        print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS")
def test_a_batch_that_is_too_large_says_that_memory_ran_out():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    said = [line for line in done.stdout.splitlines() if line.startswith("twodasl: ")]
    assert len(said) == 2, done.stdout
    for line, elements in zip(said, (4000 * 50000 * 3, 20000**2), strict=True):
        assert f"out of memory: allocating {elements} elements" in line
        assert "API call" not in line
        if torch.__version__ >= "2.13":  # older versions do not pass the message on
            assert "allocate" in line.split("failed: ")[1]


def test_a_full_gpu_is_torchs_own_class():
    def full(size: int) -> None:
        raise RuntimeError("twodasl: CUDA out of memory: allocating 12 elements of 4 bytes failed: Tried to")

    def other(size: int) -> None:
        raise RuntimeError("twodasl: something else")

    with pytest.raises(torch.OutOfMemoryError, match="allocating 12 elements"):
        guarded(full)(3)
    with pytest.raises(RuntimeError, match="something else") as caught:
        guarded(other)(3)
    assert type(caught.value) is RuntimeError


@pytest.mark.parametrize(
    "context", [contextlib.nullcontext, lambda: torch.device("cpu")], ids=["plain", "mode"]
)
@pytest.mark.parametrize("needing", [False, True])
def test_a_full_gpu_is_the_same_on_every_path(context, needing):
    def full(value: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("twodasl: CUDA out of memory: allocating 12 elements of 4 bytes failed: Tried to")

    call = autograd_call("example", full, full, setup_context=full, backward=full, vmap=full)
    with context(), pytest.raises(torch.OutOfMemoryError, match="allocating 12 elements"):
        call(torch.zeros(3, requires_grad=needing))
