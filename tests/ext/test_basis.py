"""MorphableBasis: what it keeps, saves, moves and converts."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import torch

import twodasl_ext as te

from .cases import CASES, make


@pytest.fixture
def inputs():
    return make(CASES[6]).to(torch.float32)


def test_it_gives_back_what_it_was_given(inputs):
    basis = inputs.basis()
    assert torch.equal(basis.mean, inputs.mean)
    assert torch.equal(basis.modes, inputs.modes)
    assert torch.equal(basis.landmarks, inputs.landmarks)
    assert (basis.vertex_count, basis.mode_count, basis.dtype, basis.storage) == (
        203,
        50,
        torch.float32,
        torch.float32,
    )
    assert not basis.trained
    assert "vertices=203, modes=50, landmarks=68" in repr(basis)


def test_it_copies(inputs):
    basis = inputs.basis()
    before = te.vertices(basis, inputs.coefficients, inputs.pose)
    inputs.mean.zero_()
    inputs.modes.zero_()
    inputs.landmarks.zero_()
    assert torch.equal(te.vertices(basis, inputs.coefficients, inputs.pose), before)
    assert basis.landmarks.any()


def test_numpy(inputs):
    basis = te.MorphableBasis(
        inputs.mean.double().numpy(),
        np.asfortranarray(inputs.modes.numpy()),
        inputs.landmarks.numpy().astype(np.int32),
    )
    assert torch.equal(
        te.landmarks(basis, inputs.coefficients, inputs.pose),
        te.landmarks(inputs.basis(), inputs.coefficients, inputs.pose),
    )


@pytest.mark.parametrize("storage", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_state_dict_round_trip(inputs, storage):
    basis = inputs.basis(storage)
    basis.distance_factor()
    saved = io.BytesIO()
    torch.save(basis.state_dict(), saved)
    saved.seek(0)
    state = torch.load(saved, weights_only=True)
    assert set(state) == {"mean", "modes", "landmarks"}
    other = te.MorphableBasis(
        torch.zeros_like(inputs.mean),
        torch.zeros_like(inputs.modes),
        torch.zeros(68, dtype=torch.long),
        storage=storage,
    )
    assert other.load_state_dict(state).missing_keys == []
    c, p = inputs.coefficients.to(basis.dtype), inputs.pose.to(basis.dtype)
    assert torch.equal(te.vertices(other, c, p), te.vertices(basis, c, p))
    assert torch.equal(te.landmarks(other, c, p), te.landmarks(basis, c, p))
    assert torch.equal(other.distance_factor(), basis.distance_factor())


def test_loading_the_wrong_state(inputs):
    basis = inputs.basis()
    state = basis.state_dict()
    before = basis.modes.clone()
    with pytest.raises(RuntimeError, match=r"modes: expected \(50, 203, 3\), got \(4, 203, 3\)"):
        basis.load_state_dict({**state, "modes": state["modes"][:4]})
    with pytest.raises(RuntimeError, match="Missing key"):
        basis.load_state_dict({"mean": state["mean"], "landmarks": state["landmarks"]})
    with pytest.raises(RuntimeError, match="Unexpected key"):
        basis.load_state_dict({**state, "albedo": state["mean"]})
    assert torch.equal(basis.modes, before)


def test_loading_forgets_the_old_distance_factor(inputs):
    basis = inputs.basis()
    basis.distance_factor()
    basis.load_state_dict({**basis.state_dict(), "modes": basis.modes * 2})
    fresh = te.MorphableBasis(inputs.mean, inputs.modes * 2)
    assert torch.equal(basis.distance_factor(), fresh.distance_factor())


def test_conversions(inputs):
    exact = inputs.basis().double()
    assert (exact.dtype, exact.storage) == (torch.float64, torch.float64)
    assert te.vertices(exact, inputs.coefficients.double(), inputs.pose.double()).dtype == torch.float64
    for half in (torch.bfloat16, torch.float16):
        narrow = inputs.basis().to(half)
        assert (narrow.dtype, narrow.storage) == (torch.float32, half)
        assert torch.equal(narrow.mean, inputs.mean)
        assert torch.equal(
            te.vertices(narrow, inputs.coefficients, inputs.pose),
            te.vertices(inputs.basis(half), inputs.coefficients, inputs.pose),
        )
    trained = te.MorphableBasis(torch.nn.Parameter(inputs.mean), torch.nn.Parameter(inputs.modes)).half()
    assert trained.dtype == torch.float32
    assert torch.equal(trained.modes, inputs.modes)


def test_meta_and_copies(inputs):
    basis = copy.deepcopy(inputs.basis())
    assert torch.equal(basis.modes, inputs.modes)
    meta = basis.to("meta")
    shape = te.vertices(meta, inputs.coefficients.to("meta"), inputs.pose.to("meta")).shape
    assert shape == (5, 203, 3)


def test_a_mean_that_is_unfrozen_later_gets_its_gradient(inputs):
    basis = inputs.basis()
    basis.mean.requires_grad_()
    te.vertices(basis, inputs.coefficients, inputs.pose).sum().backward()
    te.landmarks(basis, inputs.coefficients, inputs.pose).sum().backward()
    assert basis.mean.grad.abs().sum() > 0


def test_the_distance_factor_is_the_root_of_the_second_moments(inputs):
    basis = inputs.basis(torch.float64)
    factor = basis.distance_factor()
    features = torch.cat((basis.mean[None], basis.modes)).transpose(0, 1).flatten(1)
    features = torch.cat((features, torch.ones(203, 1)), dim=1)
    torch.testing.assert_close(factor.T @ factor, features.T @ features / 203)
    assert basis.distance_factor() is factor


def same_everywhere(basis, other, inputs):
    c, p = inputs.coefficients.to(basis.dtype), inputs.pose.to(basis.dtype)
    predicted, target = inputs.predicted.to(basis.dtype), inputs.target.to(basis.dtype)
    for function, arguments in (
        (te.vertices, (c, p)),
        (te.landmarks, (c, p)),
        (te.importance_weights, (predicted, target)),
    ):
        assert torch.equal(function(basis, *arguments), function(other, *arguments))


def trained(inputs):
    return te.MorphableBasis(
        torch.nn.Parameter(inputs.mean), torch.nn.Parameter(inputs.modes), inputs.landmarks
    )


@pytest.mark.parametrize("make_basis", [lambda i: i.basis(), lambda i: i.basis(torch.bfloat16), trained])
def test_copies_of_every_kind_work(inputs, make_basis):
    basis = make_basis(inputs)
    same_everywhere(basis, copy.deepcopy(basis), inputs)
    same_everywhere(basis, pickle.loads(pickle.dumps(basis)), inputs)
    # As torch.nn.DataParallel makes one: parameters become plain attributes.
    replica = basis._replicate_for_data_parallel()
    for name, parameter in basis._parameters.items():
        setattr(replica, name, parameter.detach().clone())
    for name, buffer in basis._buffers.items():
        setattr(replica, name, None if buffer is None else buffer.clone())
    same_everywhere(basis, replica, inputs)
    assert (replica.mode_count, replica.vertex_count, replica.dtype) == (50, 203, torch.float32)


def test_operators_see_every_change_of_a_basis(inputs):
    basis = inputs.basis()
    te.landmarks(basis, inputs.coefficients, inputs.pose)
    other = te.MorphableBasis(inputs.mean + 1, 2 * inputs.modes, inputs.landmarks.flip(0))
    basis.load_state_dict(other.state_dict())
    same_everywhere(basis, other, inputs)
    same_everywhere(basis.double(), other.double(), inputs)
    basis.mean.requires_grad_()
    c, p = inputs.coefficients.double(), inputs.pose.double()
    assert te.vertices(basis, c, p).requires_grad
    basis.mean.requires_grad_(False)
    assert not te.vertices(basis, c, p).requires_grad
    basis.to("meta")
    with pytest.raises(ValueError, match=r"^coefficients: expected device meta like the basis, got cpu$"):
        te.vertices(basis, c, p)
    narrow = inputs.basis().half()
    same_everywhere(narrow, inputs.basis(torch.float16), inputs)
    posed = te.vertices(narrow.float(), inputs.coefficients, inputs.pose)
    assert torch.equal(te.landmarks(narrow, inputs.coefficients, inputs.pose), posed[:, inputs.landmarks])
