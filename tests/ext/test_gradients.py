"""Every operator's gradients: against autograd through the reference, and by finite differences."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from .cases import CASES, EPSILON, NAMES, SMALL, assert_close, make

DTYPES = (torch.float32, torch.float64)


def reference_gradients(exact, grad):
    """Gradients of mean, modes, coefficients and pose; and the same of absolute values, which rounding is
    relative to."""

    def run(*leaves):
        leaves = [leaf.clone().requires_grad_() for leaf in leaves]
        return torch.autograd.grad(reference.vertices(*leaves), leaves, grads)

    leaves = (exact.mean, exact.modes, exact.coefficients, exact.pose)
    grads = grad
    values = run(*leaves)
    grads = grad.abs()
    return values, run(*(leaf.abs() for leaf in leaves))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_vertices(case, dtype):
    exact = make(case)
    values, scales = reference_gradients(exact, exact.grad)
    inputs = exact.to(dtype)
    leaves = [t.requires_grad_() for t in (inputs.mean, inputs.modes, inputs.coefficients, inputs.pose)]
    basis = te.MorphableBasis(inputs.mean, inputs.modes, storage=dtype)
    results = torch.autograd.grad(te.vertices(basis, inputs.coefficients, inputs.pose), leaves, inputs.grad)
    # Roundings along the longest chain of additions: the vertices of one part in one lane (at most 32 blocks)
    # and its 16 lanes, or the faces of the batch; K modes and the pose besides.
    chain = case.modes + 32 + 16 + case.batch + 8
    for result, expected, scale in zip(results, values, scales, strict=True):
        assert_close(result, expected, scale, chain * EPSILON[dtype])


@pytest.mark.parametrize("storage", [torch.bfloat16, torch.float16], ids=str)
def test_vertices_with_half_storage(storage):
    exact = make(CASES[6])
    exact.modes = exact.modes.to(storage).to(torch.float64)
    values, scales = reference_gradients(exact, exact.grad)
    inputs = exact.to(torch.float32)
    leaves = [inputs.coefficients.requires_grad_(), inputs.pose.requires_grad_()]
    results = torch.autograd.grad(te.vertices(inputs.basis(storage), *leaves), leaves, inputs.grad)
    for result, expected, scale in zip(results, values[2:], scales[2:], strict=True):
        assert_close(result, expected, scale, 120 * EPSILON[torch.float32])


@pytest.mark.parametrize("case", SMALL, ids=[c.name for c in SMALL])
def test_gradcheck(case):
    inputs = make(case)
    leaves = [t.requires_grad_() for t in (inputs.mean, inputs.modes, inputs.coefficients, inputs.pose)]

    def run(mean, modes, coefficients, pose):
        basis = te.MorphableBasis(mean, modes, inputs.landmarks, storage=torch.float64)
        posed = te.vertices(basis, coefficients, pose)
        return posed, te.landmarks(basis, coefficients, pose)

    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize(
    "make_grad",
    [
        lambda g: g.sum().expand(g.shape),
        lambda g: g[:, :1].expand(g.shape),
        lambda g: g[:, :, :1].expand(g.shape),
        lambda g: g.transpose(1, 2).contiguous().transpose(1, 2),
        lambda g: torch.cat((g, g), dim=2)[:, :, ::2],
        lambda g: torch.cat((g, g), dim=1)[:, 1 : g.shape[1] + 1],
    ],
    ids=["zero strides", "expanded vertices", "expanded xyz", "transposed", "strided xyz", "offset"],
)
def test_gradients_of_any_strides(make_grad):
    inputs = make(CASES[6]).to(torch.float32)
    grad = make_grad(inputs.grad)
    leaves = [inputs.mean, inputs.modes, inputs.coefficients, inputs.pose]
    leaves = [t.requires_grad_() for t in leaves]
    output = te.vertices(te.MorphableBasis(*leaves[:2]), *leaves[2:])
    strided = torch.autograd.grad(output, leaves, grad, retain_graph=True)
    dense = torch.autograd.grad(output, leaves, grad.contiguous())
    assert all(torch.equal(a, b) for a, b in zip(strided, dense, strict=True))


def test_only_what_is_needed_is_computed():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    posed = te.vertices(basis, inputs.coefficients, inputs.pose)
    arguments = (inputs.grad, *basis.packed(), inputs.coefficients, inputs.pose, posed)
    all_of_it = torch.ops.twodasl.vertices_backward(*arguments, True, True)
    for needs in ((True, False), (False, True)):
        leaves = [inputs.coefficients.clone(), inputs.pose.clone()]
        for leaf, need in zip(leaves, needs, strict=True):
            leaf.requires_grad_(need)
        te.vertices(basis, *leaves).backward(inputs.grad)
        for leaf, need, expected in zip(leaves, needs, all_of_it, strict=True):
            assert torch.equal(leaf.grad, expected) if need else leaf.grad is None
        part = torch.ops.twodasl.vertices_backward(*arguments, *needs)
        assert [p.shape[0] for p in part] == [5 if need else 0 for need in needs]


def test_what_is_saved_follows_what_is_needed():
    inputs = make(CASES[6]).to(torch.float32)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape) or t, lambda t: t):
        te.vertices(inputs.basis(), inputs.coefficients, inputs.pose.clone().requires_grad_())
        with_pose = len(saved)
        te.vertices(
            te.MorphableBasis(inputs.mean.requires_grad_(), inputs.modes), inputs.coefficients, inputs.pose
        )
    assert with_pose == 4
    assert [shape for shape in saved[with_pose:] if len(shape) == 4] == []  # the modes are not saved for it


def test_a_second_derivative_is_refused():
    inputs = make(CASES[4]).to(torch.float64)
    c = inputs.coefficients.requires_grad_()
    (grad,) = torch.autograd.grad(
        te.vertices(inputs.basis(), c, inputs.pose).square().sum(), c, create_graph=True
    )
    with pytest.raises(RuntimeError, match="second derivative"):
        grad.sum().backward()


def test_weights_carry_no_gradient():
    inputs = make(CASES[6]).to(torch.float32)
    weights = te.importance_weights(inputs.basis(), inputs.predicted.requires_grad_(), inputs.target)
    assert not weights.requires_grad


def test_a_basis_can_be_trained():
    inputs = make(CASES[6]).to(torch.float32)
    goal = te.vertices(inputs.basis(), inputs.coefficients, inputs.pose)
    start = te.MorphableBasis(
        torch.nn.Parameter(torch.zeros_like(inputs.mean)),
        torch.nn.Parameter(torch.zeros_like(inputs.modes)),
        inputs.landmarks,
    )
    assert {name for name, _ in start.named_parameters()} == {"mean", "modes"}
    optimizer = torch.optim.Adam(start.parameters(), lr=1.0)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (te.vertices(start, inputs.coefficients, inputs.pose) - goal).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    assert torch.equal(
        te.landmarks(start, inputs.coefficients, inputs.pose),
        te.vertices(start, inputs.coefficients, inputs.pose)[:, inputs.landmarks],
    )
