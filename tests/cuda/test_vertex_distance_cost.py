"""vertex_distance_cost on CUDA: sizes around those of a block's work, batches with and without tiles."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from ..ext.cases import Case, assert_close, make, with_gradients

DTYPES = [torch.float32, torch.float64]


def tiled_batch(device):
    """The fewest faces of which a block takes several: more than one a multiprocessor."""
    # The emulator has four.
    count = torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 4
    return count + 1


def run(basis, predicted, target, grad, **keywords):
    return with_gradients(
        lambda p, t: te.vertex_distance_cost(basis, p, t, **keywords), predicted, target, grad
    )


@pytest.mark.parametrize("ignore_depth", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("modes", [0, 30, 31, 62, 63, 126, 127, 130])
def test_sizes_beside_the_panels(modes, dtype, ignore_depth, device):
    """A panel is 192 of the 3 (K + 1) + 1 features in float32, 96 in float64; values come 192 at a time."""
    exact = make(Case("", 3 * modes + 20, modes, 0, 2))
    grad = torch.tensor([1.0, -0.5], dtype=torch.float64)
    inputs = exact.to(dtype)
    expected = with_gradients(
        lambda p, t: reference.vertex_distance_cost(exact.mean, exact.modes, p, t, ignore_depth=ignore_depth),
        exact.predicted,
        exact.target,
        grad,
    )
    basis, predicted, target = (x.to(device) for x in (inputs.basis(), inputs.predicted, inputs.target))
    results = run(basis, predicted, target, grad.to(device, dtype), ignore_depth=ignore_depth)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    assert_close(results[0].cpu(), expected[0], expected[0], tolerance)
    for result, value in zip(results[1:], expected[1:], strict=True):
        error = (result.cpu().to(torch.float64) - value).norm(dim=1)
        assert (error <= tolerance * value.norm(dim=1)).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tiles_change_no_bit(dtype, device):
    """Whole tiles, and one, two or no faces over; alone a face has a block of its own."""
    batch = tiled_batch(device) + 4
    inputs = make(Case("", 90, 20, 0, batch)).to(dtype)
    basis, grad = inputs.basis().to(device), torch.linspace(-1, 1, batch, dtype=dtype, device=device)
    predicted, target = inputs.predicted.to(device), inputs.target.to(device)
    together = run(basis, predicted, target, grad)
    for faces in (
        slice(0, 1),
        slice(3, 5),
        slice(batch - 1, None),
        slice(1, None),
        slice(2, None),
        slice(3, None),
    ):
        some = run(basis, predicted[faces], target[faces], grad[faces])
        assert all(torch.equal(a, b[faces]) for a, b in zip(some, together, strict=True))


def test_nan_stays_in_its_face_of_a_tile(device):
    batch = tiled_batch(device)
    inputs = make(Case("", 40, 5, 0, batch)).to(torch.float32)
    basis, grad = inputs.basis().to(device), torch.ones(batch, device=device)
    predicted, target = inputs.predicted.to(device), inputs.target.to(device)
    clean = run(basis, predicted, target, grad)
    for place in (0, 11, 12, 16):
        spoiled = predicted.clone()
        spoiled[4, place] = torch.nan
        results = run(basis, spoiled, target, grad)
        others = torch.arange(batch, device=device) != 4
        assert all(torch.equal(a[others], b[others]) for a, b in zip(results, clean, strict=True))
        assert all(torch.isnan(r[4]).any() for r in results)
        assert torch.isnan(results[0][4])
