"""Synthetic faces per second: one core drawing in batches, and two processes filling a pool.

Run with `pytest benchmarks/training/bench_synthetic.py`, and `-m slow` for the pools, which take a minute or
two; `faces_per_second` is in the extra information of each row.
Before anything is timed, the samples are checked: landmarks against the reference operator in float64, and
batches against single samples, bit for bit.
"""

from __future__ import annotations

import pytest
import torch
from twodasl.geometry.crops import flip_y
from twodasl.morphable import load_model, split_parameters
from twodasl.synthetic import SyntheticFaces, SyntheticOptions
from twodasl.training import FacePool

from twodasl_ext import reference

BATCH = 64
POOL = 2048


def checked(faces: SyntheticFaces) -> SyntheticFaces:
    """The dataset, after its first samples were compared with what they claim to be."""
    samples = faces.batch(range(8))
    model = faces.model
    pose, coefficients = split_parameters(torch.stack([sample["parameters"] for sample in samples]).double())
    arrays = (torch.from_numpy(array) for array in (model.mean, model.modes, model.landmarks))
    mean, modes, indices = arrays
    expected = reference.landmarks(mean.double(), modes.double(), indices, coefficients, pose)
    expected[..., 1] = flip_y(expected[..., 1])
    found = torch.stack([sample["landmarks"] for sample in samples]).double()
    # Pixels; float32 sums of K terms of up to a few hundred.
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    for index in (0, 7):
        assert torch.equal(faces[index]["image"], samples[index]["image"])
    return faces


@pytest.mark.parametrize("supersampling", [1.0, 1.5, 2.0])
def bench_one_core(benchmark, supersampling):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    faces = SyntheticFaces(
        load_model("procedural"), 100_000, options=SyntheticOptions(supersampling=supersampling)
    )
    checked(faces)
    benchmark.group = f"synthetic faces, one core, batches of {BATCH}"
    benchmark.name = f"supersampling {supersampling:g}"
    benchmark.pedantic(lambda: faces.batch(range(BATCH)), rounds=8, warmup_rounds=1)
    torch.set_num_threads(threads)
    benchmark.extra_info["faces_per_second"] = BATCH / benchmark.stats.stats.min


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def bench_pool(benchmark, workers):
    faces = SyntheticFaces(load_model("procedural"), POOL)
    checked(faces)
    benchmark.group = f"pool of {POOL} synthetic faces, start of the processes included"
    benchmark.name = f"{workers} workers"
    benchmark.pedantic(lambda: FacePool(faces, workers, progress=False), rounds=2)
    benchmark.extra_info["faces_per_second"] = POOL / benchmark.stats.stats.min
