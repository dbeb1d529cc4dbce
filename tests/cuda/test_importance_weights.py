"""importance_weights on CUDA: sizes around those of a block's work, and faces that do not mix."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from ..ext.cases import EPSILON, Case, assert_close, make

# Ten blocks of 16 landmarks are read at a time, fewer share their modes among threads; 60 modes at a time;
# 2048 weights wait in shared memory, 12 of them the pose's.
SIZES = [
    (landmarks, modes)
    for landmarks in (0, 1, 16, 17, 80, 81, 160, 161, 330)
    for modes in (0, 1, 59, 60, 61, 121)
] + [(1, 2036), (1, 2037)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("landmarks", "modes"), SIZES)
def test_sizes_beside_the_tiles(landmarks, modes, dtype, device):
    case = Case("", min(max(landmarks, 1), 50), modes, landmarks, 1 if modes > 1000 else 2)
    exact = make(case)
    inputs = exact.to(dtype)
    basis = inputs.basis().to(device)
    for space, normalize in (("3d", "sum"), ("2d", "max")):
        expected = reference.importance_weights(
            exact.mean,
            exact.modes,
            exact.landmarks,
            exact.predicted,
            exact.target,
            space=space,
            normalize=normalize,
        )
        result = te.importance_weights(
            basis, inputs.predicted.to(device), inputs.target.to(device), space=space, normalize=normalize
        )
        assert_close(result.cpu(), expected, 1.0, max((modes + 20) * EPSILON[dtype], 1e-10))


@pytest.mark.parametrize("normalize", ["sum", "max"])
def test_faces_do_not_mix(normalize, device):
    inputs = make(Case("", 203, 50, 68, 40)).to(torch.float32)
    basis = inputs.basis().to(device)
    predicted, target = inputs.predicted.to(device), inputs.target.to(device)
    together = te.importance_weights(basis, predicted, target, normalize=normalize)
    for i in (0, 17, 39):
        alone = te.importance_weights(basis, predicted[i : i + 1], target[i : i + 1], normalize=normalize)
        assert torch.equal(alone[0], together[i])
    for bad in (torch.nan, torch.inf):
        spoiled = predicted.clone()
        spoiled[5, 20] = bad
        result = te.importance_weights(basis, spoiled, target, normalize=normalize)
        assert torch.isnan(result[5, 20])
        if bad != bad:
            assert torch.isnan(result[5, [0, 12, 61]]).all()
        others = torch.arange(40, device=device) != 5
        assert torch.equal(result[others], together[others])
