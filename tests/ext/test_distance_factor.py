"""The distance factor: weights and subsets of vertices, what is saved, wrong ones."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

import twodasl_ext as te
from twodasl_ext import reference

from .cases import CASES, assert_close, make, with_gradients


def brute_force(exact, weights, predicted, target):
    """Weighted mean of the squared distances of both dense shapes."""
    shapes = [
        reference.vertices(exact.mean, exact.modes, p[:, 12:], p[:, :12].reshape(-1, 3, 4))
        for p in (predicted, target)
    ]
    return (shapes[0] - shapes[1]).square().sum(dim=2) @ (weights / weights.sum())


@pytest.mark.parametrize("kind", ["weights", "mask", "one vertex", "numpy"])
@pytest.mark.parametrize("case", [CASES[1], CASES[6], CASES[11]], ids=lambda c: c.name)
def test_weights(case, kind):
    exact = make(case)
    generator = torch.Generator().manual_seed(1)
    random = torch.rand(case.vertices, generator=generator, dtype=torch.float64)
    weights = {
        "weights": random * (random > 0.3),
        "mask": random > 0.5,
        "one vertex": (torch.arange(case.vertices) == 7).int(),
        "numpy": random.numpy().astype(np.float32),
    }[kind]
    inputs = exact.to(torch.float32)
    basis = inputs.basis()
    factor = basis.distance_factor(weights)
    features = 3 * (case.modes + 1) + 1
    assert factor.shape == (min(case.vertices, features), features)
    assert factor.dtype == torch.float32
    grad = torch.linspace(1, 2, case.batch)
    expected = with_gradients(
        lambda p, t: brute_force(exact, torch.as_tensor(weights).to(torch.float64), p, t),
        exact.predicted,
        exact.target,
        grad.to(torch.float64),
    )
    results = with_gradients(
        lambda p, t: te.vertex_distance_cost(basis, p, t, factor=factor),
        inputs.predicted,
        inputs.target,
        grad,
    )
    # One vertex: the features of a row mostly cancel, and rounding is relative to what cancels.
    tolerance = 1e-4 if kind == "one vertex" else 1e-5
    assert_close(results[0], expected[0], expected[0], tolerance)
    for result, value in zip(results[1:], expected[1:], strict=True):
        error = (result.to(torch.float64) - value).norm(dim=1)
        assert (error <= tolerance * value.norm(dim=1)).all()
    equal = basis.distance_factor()
    assert torch.equal(equal, inputs.basis().distance_factor())


def test_equal_weights_of_any_size_are_no_weights():
    inputs = make(CASES[6])
    basis = inputs.basis()
    expected = te.vertex_distance_cost(basis, inputs.predicted, inputs.target)
    for size in (1.0, 1e300, 1e-300):
        factor = basis.distance_factor(torch.full((203,), size, dtype=torch.float64))
        cost = te.vertex_distance_cost(basis, inputs.predicted, inputs.target, factor=factor)
        torch.testing.assert_close(cost, expected)


def test_a_factor_that_changes_in_place_is_read_again():
    inputs = make(CASES[6])
    basis = inputs.basis()
    factor = basis.distance_factor().clone()
    before = te.vertex_distance_cost(basis, inputs.predicted, inputs.target, factor=factor)
    assert torch.equal(before, te.vertex_distance_cost(basis, inputs.predicted, inputs.target, factor=factor))
    factor *= 2
    after = te.vertex_distance_cost(basis, inputs.predicted, inputs.target, factor=factor)
    assert torch.equal(after, 4 * before)


def test_the_factor_is_not_saved_but_follows_what_is():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    expected = te.vertex_distance_cost(basis, inputs.predicted, inputs.target)
    state = copy.deepcopy(basis.state_dict())
    assert set(state) == {"mean", "modes", "landmarks"}
    other = te.MorphableBasis(torch.zeros(203, 3), torch.zeros(50, 203, 3), inputs.landmarks)
    te.vertex_distance_cost(other, inputs.predicted, inputs.target)
    other.load_state_dict(state)
    assert torch.equal(te.vertex_distance_cost(other, inputs.predicted, inputs.target), expected)
    other.load_state_dict({**state, "modes": 2 * state["modes"]})
    assert not torch.equal(te.vertex_distance_cost(other, inputs.predicted, inputs.target), expected)


def test_a_call_without_values_leaves_no_factor_behind():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    with FakeTensorMode(allow_non_fake_inputs=True):
        cost = te.vertex_distance_cost(basis, torch.empty(4, 62), torch.empty(4, 62))
    assert cost.shape == (4,)
    assert torch.isfinite(te.vertex_distance_cost(basis, inputs.predicted, inputs.target)).all()


def test_converting_the_basis_rebuilds_the_factor():
    exact = make(CASES[6])
    inputs = exact.to(torch.float32)
    basis = inputs.basis()
    te.vertex_distance_cost(basis, inputs.predicted, inputs.target)
    cost = te.vertex_distance_cost(basis.double(), exact.predicted, exact.target)
    expected = reference.vertex_distance_cost(exact.mean, exact.modes, exact.predicted, exact.target)
    torch.testing.assert_close(cost, expected, rtol=1e-9, atol=0)


def test_rounding_the_modes_rebuilds_the_factor():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    te.vertex_distance_cost(basis, inputs.predicted, inputs.target)
    cost = te.vertex_distance_cost(basis.bfloat16(), inputs.predicted, inputs.target)
    rounded = inputs.basis(torch.bfloat16)
    assert torch.equal(cost, te.vertex_distance_cost(rounded, inputs.predicted, inputs.target))


def test_wrong_weights():
    inputs = make(CASES[6]).to(torch.float32)
    basis, good = inputs.basis(), torch.ones(203)

    def spoiled(value):
        weights = good.clone()
        weights[5] = value
        return weights

    cases = [
        (ValueError, r"^weights: expected \(203,\) for a basis of 203 vertices, got \(202,\)$", good[1:]),
        (ValueError, r"^weights: expected \(203,\) .*, got \(203, 1\)$", good[:, None]),
        (ValueError, r"^weights: expected finite numbers, not negative, got -1.0 at vertex 5$", spoiled(-1)),
        (ValueError, r"^weights: expected finite numbers, .*, got nan at vertex 5$", spoiled(torch.nan)),
        (ValueError, r"^weights: expected finite numbers, .*, got inf at vertex 5$", spoiled(torch.inf)),
        (ValueError, r"^weights: expected at least one that is not zero, got none$", 0 * good),
        (ValueError, r"^weights: expected device cpu like the basis, got meta$", good.to("meta")),
        (TypeError, r"^weights: expected real numbers or bool, got torch.complex64$", good + 0j),
        (TypeError, r"^weights: expected numbers, got list: ", ["a"] * 203),
        (TypeError, r"^weights: expected a dense tensor", good.to_sparse()),
    ]
    for error, message, weights in cases:
        with pytest.raises(error, match=message):
            basis.distance_factor(weights)
    trained = te.MorphableBasis(inputs.mean, torch.nn.Parameter(inputs.modes))
    with pytest.raises(ValueError, match=r"^basis: one that is being trained has no constant"):
        trained.distance_factor(good)


def test_wrong_factors():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    factor = basis.distance_factor()
    shape = r"^factor: expected \(at most 154, 154\) for a basis of 50 modes, .*, got "
    cases = [
        (ValueError, shape + r"\(154, 153\)$", factor[:, 1:]),
        (ValueError, shape + r"\(155, 154\)$", torch.zeros(155, 154)),
        (ValueError, shape + r"\(154,\)$", factor[0]),
        (TypeError, r"^factor: expected torch.float32 like the basis, got torch.float64$", factor.double()),
        (TypeError, r"^factor: expected a torch.Tensor, got int$", 3),
        (ValueError, r"^factor: expected device cpu like the basis, got meta$", factor.to("meta")),
        (ValueError, r"^factor: expected an upper triangular matrix, .*, got numbers below", factor.T),
        (ValueError, r"^factor: is a constant, got one that requires", factor.clone().requires_grad_()),
    ]
    for error, message, wrong in cases:
        with pytest.raises(error, match=message):
            te.vertex_distance_cost(basis, inputs.predicted, inputs.target, factor=wrong)
    trained = te.MorphableBasis(inputs.mean, torch.nn.Parameter(inputs.modes))
    with pytest.raises(ValueError, match=r"^factor: expected None for a basis that is being trained"):
        te.vertex_distance_cost(trained, inputs.predicted, inputs.target, factor=factor)
