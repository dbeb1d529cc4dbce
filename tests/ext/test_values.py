"""Every operator's values against the plain-PyTorch reference in double precision."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from .cases import CASES, EPSILON, NAMES, Inputs, assert_close, make

DTYPES = (torch.float32, torch.float64)


def magnitude(exact: Inputs) -> torch.Tensor:
    """The sum of the absolute values of all terms of a vertex, which rounding is relative to."""
    shape = exact.mean.abs() + torch.einsum("bk,knc->bnc", exact.coefficients.abs(), exact.modes.abs())
    turned = torch.einsum("brc,bnc->bnr", exact.pose[:, :, :3].abs(), shape)
    return turned + exact.pose[:, None, :, 3].abs()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_vertices(case, dtype):
    exact = make(case)
    inputs = exact.to(dtype)
    expected = reference.vertices(exact.mean, exact.modes, exact.coefficients, exact.pose)
    result = te.vertices(inputs.basis(), inputs.coefficients, inputs.pose)
    assert result.dtype == dtype
    # K + 1 roundings in the sum of the modes and four in the pose, each at most one unit of the magnitude.
    assert_close(result, expected, magnitude(exact), (case.modes + 5) * EPSILON[dtype])


@pytest.mark.parametrize("storage", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_vertices_with_half_storage(case, storage):
    exact = make(case)
    inputs = exact.to(torch.float32)
    basis = inputs.basis(storage)
    # Rounding the modes is the storage's whole effect: against the rounded modes the error is float32's.
    rounded = exact.modes.to(storage).to(torch.float64)
    assert torch.equal(basis.modes.to(torch.float64), rounded)
    expected = reference.vertices(exact.mean, rounded, exact.coefficients, exact.pose)
    result = te.vertices(basis, inputs.coefficients, inputs.pose)
    assert result.dtype == torch.float32
    assert_close(result, expected, magnitude(exact), (case.modes + 6) * EPSILON[torch.float32])


@pytest.mark.parametrize("storage", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_landmarks_are_the_vertices_rows(case, storage):
    inputs = make(case).to(torch.float64 if storage == torch.float64 else torch.float32)
    basis = inputs.basis(storage)
    expected = te.vertices(basis, inputs.coefficients, inputs.pose)[:, inputs.landmarks]
    # The same kernel on the same numbers in the same order: the same bits.
    assert torch.equal(te.landmarks(basis, inputs.coefficients, inputs.pose), expected)
    given = te.landmarks(basis, inputs.coefficients, inputs.pose, inputs.landmarks.to(torch.int32))
    assert torch.equal(given, expected)


@pytest.mark.parametrize("space", ["2d", "3d"])
@pytest.mark.parametrize("normalize", ["sum", "max"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_importance_weights(case, dtype, space, normalize):
    exact = make(case)
    inputs = exact.to(dtype)
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
        inputs.basis(), inputs.predicted, inputs.target, space=space, normalize=normalize
    )
    assert result.dtype == dtype
    # The reference subtracts two projections: its own cancellation, about 1e-16 of coordinates of 1e4, is the
    # larger part in double precision. Ours is a norm, accurate to some K roundings of itself.
    tolerance = max((case.modes + 20) * EPSILON[dtype], 1e-10)
    assert_close(result, expected, 1.0, tolerance)


def test_importance_weights_of_a_perfect_prediction_are_zero():
    inputs = make(CASES[6]).to(torch.float32)
    for normalize in ("sum", "max"):
        weights = te.importance_weights(inputs.basis(), inputs.target, inputs.target, normalize=normalize)
        assert torch.equal(weights, torch.zeros_like(weights))


def test_importance_weights_sum_to_one_or_peak_at_one():
    inputs = make(CASES[6]).to(torch.float64)
    weights = te.importance_weights(inputs.basis(), inputs.predicted, inputs.target)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights), dtype=torch.float64))
    peaks = te.importance_weights(inputs.basis(), inputs.predicted, inputs.target, normalize="max").amax(
        dim=1
    )
    assert ((peaks > 0.99) & (peaks < 1)).all()


def test_half_precision_inputs_are_promoted():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    for half in (torch.float16, torch.bfloat16):
        c, p = inputs.coefficients.to(half), inputs.pose.to(half)
        assert torch.equal(te.vertices(basis, c, p), te.vertices(basis, c.float(), p.float()))


def test_non_contiguous_inputs():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    expected = te.vertices(basis, inputs.coefficients, inputs.pose)
    wide = torch.cat((inputs.coefficients, inputs.coefficients), dim=1)
    turned = inputs.pose.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(te.vertices(basis, wide[:, : basis.mode_count], turned), expected)
    one_pose = inputs.pose[:1].expand(5, 3, 4)
    assert torch.equal(
        te.vertices(basis, inputs.coefficients, one_pose),
        te.vertices(basis, inputs.coefficients, one_pose.contiguous()),
    )


def test_a_face_does_not_depend_on_its_batch():
    inputs = make(CASES[9]).to(torch.float32)
    basis = inputs.basis()
    together = te.vertices(basis, inputs.coefficients, inputs.pose)
    for i in range(len(together)):
        alone = te.vertices(basis, inputs.coefficients[i : i + 1], inputs.pose[i : i + 1])
        assert torch.equal(alone[0], together[i])


def test_nan_stays_in_its_face():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    clean = te.vertices(basis, inputs.coefficients, inputs.pose)
    inputs.coefficients[2, 3] = torch.nan
    spoiled = te.vertices(basis, inputs.coefficients, inputs.pose)
    assert torch.isnan(spoiled[2]).all()
    keep = [0, 1, 3, 4]
    assert torch.equal(spoiled[keep], clean[keep])
