"""nearest_rotation on CUDA: batches around whole warps, and matrices that are not finite."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("batch", [0, 1, 31, 32, 33, 500])
def test_batches(batch, dtype, device):
    generator = torch.Generator().manual_seed(batch)
    turns = reference.nearest_rotation(torch.randn(batch, 3, 3, generator=generator, dtype=torch.float64))
    values = torch.rand(batch, 3, generator=generator, dtype=torch.float64) + 0.5  # far from ambiguous
    matrices = (turns * values[:, None] @ turns.mT @ turns).to(device, dtype)
    result = te.nearest_rotation(matrices)
    expected = reference.nearest_rotation(matrices.cpu().double())
    # Rounding the result, and eight times what double precision leaves of gaps of at least one.
    assert torch.allclose(result.cpu().double(), expected, rtol=0, atol=torch.finfo(dtype).eps + 8e-15)
    for i in range(0, batch, 97):
        assert torch.equal(te.nearest_rotation(matrices[i]), result[i])


def test_numbers_that_are_not_finite_stay_in_their_matrix(device):
    matrices = torch.randn(70, 3, 3, generator=torch.Generator().manual_seed(1)).to(device)
    clean = te.nearest_rotation(matrices)
    spoiled = matrices.clone()
    for i, bad in ((3, torch.nan), (40, torch.inf), (69, -torch.inf)):
        spoiled[i, i % 3, 1] = bad
    result = te.nearest_rotation(spoiled)
    bad = torch.zeros(70, dtype=torch.bool, device=device)
    bad[[3, 40, 69]] = True
    assert result[bad].isnan().all()
    assert torch.equal(result[~bad], clean[~bad])
