"""A basis whose tensors are changed or replaced: every operator uses their current values."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

import twodasl_ext as te

from .cases import CASES, make


@pytest.fixture
def inputs():
    return make(CASES[6]).to(torch.float32)


def results(basis, inputs):
    return (
        te.vertices(basis, inputs.coefficients, inputs.pose),
        te.landmarks(basis, inputs.coefficients, inputs.pose),
        te.vertex_distance_cost(basis, inputs.predicted, inputs.target),
        te.importance_weights(basis, inputs.predicted, inputs.target),
    )


def check(basis, inputs):
    fresh = te.MorphableBasis(basis.mean.detach(), basis.modes.detach(), basis.landmarks)
    for ours, expected in zip(results(basis, inputs), results(fresh, inputs), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-3)


def train(basis):
    basis.mean.requires_grad_()
    torch.nn.init.normal_(basis.mean)
    basis.mean.requires_grad_(False)


CHANGES = {
    "mean in place": lambda b: b.mean.mul_(10),
    "modes in place": lambda b: b.modes.mul_(2),
    "a view of the modes": lambda b: b.modes[0].zero_(),
    "mean replaced": lambda b: setattr(b, "mean", b.mean * 3),
    "mean as a parameter": lambda b: setattr(b, "mean", torch.nn.Parameter(b.mean * 3)),
    "modes replaced": lambda b: setattr(b, "modes", b.modes * 3),
    "data replaced": lambda b: setattr(b.mean, "data", b.mean * 3),
    "data replaced twice": lambda b: [setattr(b.modes, "data", b.modes * 3) for _ in range(2)],
    "swapped": lambda b: torch.utils.swap_tensors(b.mean, b.mean * 3),
    "fewer landmarks": lambda b: setattr(b, "landmarks", torch.tensor([1, 2, 3])),
    "landmarks in place": lambda b: b.landmarks.copy_(b.landmarks.flip(0)),
    "trained, then frozen": train,
    "loaded": lambda b: b.load_state_dict({k: v.flip(0) for k, v in b.state_dict().items()}),
    "assigned": lambda b: b.load_state_dict({k: v.flip(0) for k, v in b.state_dict().items()}, assign=True),
    "emptied and filled": lambda b: [t.fill_(1) for t in b.to_empty(device="cpu").buffers()],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_is_seen(inputs, change):
    basis = inputs.basis()
    results(basis, inputs)
    with torch.no_grad():
        change(basis)
    check(basis, inputs)
    check(copy.deepcopy(basis), inputs)
    check(pickle.loads(pickle.dumps(basis)), inputs)


def test_an_average_of_a_basis_whose_mean_alone_was_trained(inputs):
    basis = te.MorphableBasis(torch.nn.Parameter(inputs.mean), inputs.modes, inputs.landmarks)
    average = copy.deepcopy(basis).requires_grad_(False)
    results(average, inputs)
    average.mean.data.mul_(0.5).add_(basis.mean.data, alpha=2)  # what torch does not count
    check(average, inputs)


def test_the_same_entries_before_and_after_the_first_cost(inputs):
    basis = inputs.basis()
    average = AveragedModel(basis, use_buffers=True)
    before = {k: v.clone() for k, v in basis.state_dict().items()}
    names = [name for name, _ in basis.named_buffers()]
    results(basis, inputs)
    average.update_parameters(basis)
    saved = io.BytesIO()
    torch.save(basis.state_dict(), saved)
    saved.seek(0)
    after = torch.load(saved, weights_only=True)
    assert list(after) == list(before) == names == ["mean", "modes", "landmarks"]
    assert all(torch.equal(after[name], before[name]) for name in names)
    basis.load_state_dict({**after, "distance_factor": torch.zeros(3)})  # as earlier versions saved


def test_a_trained_basis_has_one_name_for_each_parameter(inputs):
    basis = te.MorphableBasis(torch.nn.Parameter(inputs.mean), torch.nn.Parameter(inputs.modes))
    assert [n for n, _ in basis.named_parameters()] == ["mean", "modes"] == list(basis.state_dict())


def test_assigning_to_meta(inputs):
    with torch.device("meta"):
        basis = te.MorphableBasis(torch.empty(203, 3), torch.empty(50, 203, 3), torch.empty(68).long())
    basis.load_state_dict(inputs.basis().state_dict(), assign=True)
    assert basis.device.type == "cpu"
    check(basis, inputs)


def test_a_compiled_call_sees_a_change_in_place(inputs):
    basis = inputs.basis()
    torch._dynamo.reset()
    compiled = torch.compile(lambda: results(basis, inputs), fullgraph=True, backend="aot_eager")
    for _ in range(2):
        for ours, expected in zip(compiled(), results(basis, inputs), strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-3)
        basis.mean.mul_(2)
        basis.modes.mul_(1.5)


def test_wrong_replacements(inputs):
    basis = inputs.basis()
    for name, value, error, message in (
        ("mean", inputs.mean[:5], ValueError, r"^modes: expected \(K, 5, 3\)"),
        ("mean", inputs.mean.half(), TypeError, "^mean: expected float32 or float64, got torch.float16"),
        ("modes", inputs.modes.double(), TypeError, "^modes: expected torch.float32 like the mean"),
        ("landmarks", torch.tensor([203]), ValueError, r"^landmarks: expected vertex indices in \[0, 203\)"),
    ):
        wrong = copy.deepcopy(basis)
        setattr(wrong, name, value)
        with pytest.raises(error, match=message):
            te.landmarks(wrong, inputs.coefficients, inputs.pose)


@pytest.mark.skipif(torch.version.cuda is not None, reason="a torch without CUDA")
def test_moving_to_cuda_without_cuda(inputs):
    with pytest.raises(ValueError, match=r"^basis: it cannot be moved there: "):
        inputs.basis().to("cuda")
