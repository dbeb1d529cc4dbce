"""vertex_distance_cost: values and gradients against both dense shapes, the same bits, degenerate cases."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from .cases import CASES, SMALL, Case, assert_close, make, with_gradients

DTYPES = (torch.float32, torch.float64)
BIG = Case("big batch", 130, 20, 0, 1000)  # enough faces for several threads
OUT_OF_A_TILE = Case("other sizes of tiles", 400, 33, 0, 13)


def steps(exact):
    """The change of each parameter that moves the vertices by about one unit: its natural scale."""
    pose = torch.ones(3, 4, dtype=torch.float64)
    pose[:, :3] = 1 / exact.mean.square().mean().sqrt()
    return torch.cat((pose.flatten(), 1 / exact.modes.square().mean(dim=(1, 2)).sqrt()))


@pytest.mark.parametrize("ignore_depth", [False, True])
@pytest.mark.parametrize("distance", [1.0, 1e-4])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", [*CASES, OUT_OF_A_TILE], ids=lambda c: c.name)
def test_value_and_gradients(case, dtype, distance, ignore_depth):
    exact = make(case)
    exact.predicted = exact.target + distance * (exact.predicted - exact.target)
    exact = exact.to(dtype).to(torch.float64)
    inputs, basis = exact.to(dtype), exact.to(dtype).basis()
    grad = torch.linspace(-2, 1, case.batch, dtype=dtype)
    expected = with_gradients(
        lambda p, t: reference.vertex_distance_cost(exact.mean, exact.modes, p, t, ignore_depth=ignore_depth),
        exact.predicted,
        exact.target,
        grad.to(torch.float64),
    )
    results = with_gradients(
        lambda p, t: te.vertex_distance_cost(basis, p, t, ignore_depth=ignore_depth),
        inputs.predicted,
        inputs.target,
        grad,
    )
    # Relative to the cost and to the gradient themselves, close predictions included: both are made of
    # differences. In double precision the error is that of the reference, which subtracts two shapes.
    tolerance = 1e-5 if dtype == torch.float32 else 1e-9
    assert_close(results[0], expected[0], expected[0], tolerance)
    for scale in (1.0, steps(exact)):
        for result, value in zip(results[1:], expected[1:], strict=True):
            error = ((result.to(torch.float64) - value) * scale).norm(dim=1)
            assert (error <= tolerance * (value * scale).norm(dim=1)).all()
    if ignore_depth:
        assert not results[1][:, 11].any()
        assert not results[2][:, 11].any()


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("case", SMALL, ids=[c.name for c in SMALL])
def test_gradcheck(case, trained):
    inputs = make(case)
    basis = te.MorphableBasis(inputs.mean, inputs.modes.requires_grad_(trained), storage=torch.float64)
    # Small steps: the cost is quadratic in millimeters, and its third-order terms must not show.
    leaves = ((inputs.predicted / 60).requires_grad_(), (inputs.target / 60).requires_grad_())
    for ignore_depth in (False, True):
        assert torch.autograd.gradcheck(
            lambda p, t, i=ignore_depth: te.vertex_distance_cost(basis, p, t, ignore_depth=i),
            leaves,
            atol=1e-4,
        )


# ---- the same bits -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", [OUT_OF_A_TILE, BIG], ids=lambda c: c.name)
def test_a_face_does_not_depend_on_its_batch(case, dtype):
    inputs = make(case).to(dtype)
    basis = inputs.basis()
    grad = torch.linspace(-1, 1, case.batch, dtype=dtype)

    def run(faces):
        return with_gradients(
            lambda p, t: te.vertex_distance_cost(basis, p, t),
            inputs.predicted[faces],
            inputs.target[faces],
            grad[faces],
        )

    together = run(slice(None))
    for faces in (slice(0, 1), slice(4, 6), slice(1, case.batch), slice(case.batch - 5, None)):
        assert all(torch.equal(a, b[faces]) for a, b in zip(run(faces), together, strict=True))


def test_the_number_of_threads_changes_no_bit():
    inputs = make(BIG).to(torch.float32)
    basis = inputs.basis()

    def run():
        return with_gradients(
            lambda p, t: te.vertex_distance_cost(basis, p, t),
            inputs.predicted,
            inputs.target,
            torch.linspace(-1, 1, BIG.batch),
        )

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = run()
        for threads in (2, 3, 7):
            torch.set_num_threads(threads)
            for _ in range(2):
                assert all(torch.equal(a, b) for a, b in zip(run(), alone, strict=True))
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("case", [CASES[0], CASES[1], CASES[6]], ids=lambda c: c.name)
def test_identical_parameters_cost_nothing(case):
    inputs = make(case).to(torch.float32)
    basis = inputs.basis()
    results = with_gradients(
        lambda p, t: te.vertex_distance_cost(basis, p, t),
        inputs.target,
        inputs.target,
        torch.ones(case.batch),
    )
    assert not any(r.any() for r in results)


def test_nan_stays_in_its_face():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    run = lambda p: with_gradients(  # noqa: E731
        lambda p, t: te.vertex_distance_cost(basis, p, t), p, inputs.target, torch.ones(5)
    )
    clean = run(inputs.predicted)
    for place in (0, 11, 12, 61):
        predicted = inputs.predicted.clone()
        predicted[2, place] = torch.nan
        spoiled = run(predicted)
        assert torch.isnan(spoiled[0][2])
        keep = [0, 1, 3, 4]
        assert all(torch.equal(a[keep], b[keep]) for a, b in zip(spoiled, clean, strict=True))
        assert all(torch.isnan(s[2]).any() for s in spoiled)


# ---- inputs and outputs ------------------------------------------------------------------------------------


def test_inputs_of_any_strides_and_half_precision():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    expected = te.vertex_distance_cost(basis, inputs.predicted, inputs.target)
    turned = inputs.predicted.T.contiguous().T
    wide = torch.cat((inputs.target, inputs.target), dim=1)[:, : inputs.target.shape[1]]
    assert torch.equal(te.vertex_distance_cost(basis, turned, wide), expected)
    one = inputs.target[:1].expand_as(inputs.predicted)
    assert torch.equal(
        te.vertex_distance_cost(basis, inputs.predicted, one),
        te.vertex_distance_cost(basis, inputs.predicted, one.contiguous()),
    )
    half = inputs.predicted.to(torch.bfloat16)
    assert torch.equal(
        te.vertex_distance_cost(basis, half, inputs.target),
        te.vertex_distance_cost(basis, half.float(), inputs.target),
    )


@pytest.mark.parametrize(
    "make_grad",
    [
        lambda g: g[:1].expand(5),
        lambda g: torch.stack((g, -g), dim=1)[:, 1],
        lambda g: torch.cat((g, g))[3:8],
    ],
    ids=["zero stride", "strided", "offset"],
)
def test_gradients_of_any_stride(make_grad):
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    grad = make_grad(torch.linspace(1, 2, 5))
    pair = (inputs.predicted, inputs.target)
    run = lambda p, t: te.vertex_distance_cost(basis, p, t)  # noqa: E731
    strided, dense = with_gradients(run, *pair, grad), with_gradients(run, *pair, grad.contiguous())
    assert all(torch.equal(a, b) for a, b in zip(strided, dense, strict=True))


def test_the_sum_s_gradient():
    inputs = make(CASES[6]).to(torch.float32)
    expected = with_gradients(
        lambda p, t: te.vertex_distance_cost(inputs.basis(), p, t),
        inputs.predicted,
        inputs.target,
        torch.ones(5),
    )
    predicted = inputs.predicted.requires_grad_()
    te.vertex_distance_cost(inputs.basis(), predicted, inputs.target).sum().backward()
    assert torch.equal(predicted.grad, expected[1])


def test_only_what_is_needed_is_computed_and_saved():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    pair = (inputs.predicted, inputs.target)
    factor = basis.packed_distance_factor()
    cost, residual = torch.ops.twodasl.vertex_distance_cost(factor, *pair, False)
    expected = torch.ops.twodasl.vertex_distance_cost_backward(
        torch.ones_like(cost), factor, residual, *pair, False
    )
    for needs in ((True, False), (False, True)):
        given = [t if need else None for t, need in zip(pair, needs, strict=True)]
        part = torch.ops.twodasl.vertex_distance_cost_backward(
            torch.ones_like(cost), factor, residual, *given, False
        )
        assert [len(p) for p in part] == [5 if need else 0 for need in needs]
        leaves = [t.clone().requires_grad_(need) for t, need in zip(pair, needs, strict=True)]
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, s=saved: s.append(t) or t, lambda t: t):
            te.vertex_distance_cost(basis, *leaves).sum().backward()
        assert len([t for t in saved if t.shape == (5, 62)]) == 1
        for leaf, need, value in zip(leaves, needs, expected, strict=True):
            assert torch.equal(leaf.grad, value) if need else leaf.grad is None


def test_the_first_call_may_be_in_inference_mode():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    with torch.inference_mode():
        expected = te.vertex_distance_cost(basis, inputs.predicted, inputs.target)
        factor = basis.distance_factor(torch.ones(203))
        te.vertex_distance_cost(basis, inputs.predicted, inputs.target, factor=factor)
    predicted = inputs.predicted.requires_grad_()
    cost = te.vertex_distance_cost(basis, predicted, inputs.target)
    assert torch.equal(cost, expected)
    (cost + te.vertex_distance_cost(basis, predicted, inputs.target, factor=factor)).sum().backward()


def test_a_second_derivative_is_refused():
    inputs = make(CASES[4])
    predicted = inputs.predicted.requires_grad_()
    cost = te.vertex_distance_cost(inputs.basis(), predicted, inputs.target)
    (grad,) = torch.autograd.grad(cost.sum(), predicted, create_graph=True)
    with pytest.raises(RuntimeError, match=r"vertex_distance_cost: the second derivative"):
        grad.sum().backward()


def test_a_trained_basis_gets_its_gradient():
    exact = make(CASES[6])
    basis = te.MorphableBasis(exact.mean, torch.nn.Parameter(exact.modes), storage=torch.float64)
    te.vertex_distance_cost(basis, exact.predicted, exact.target).sum().backward()
    modes = exact.modes.clone().requires_grad_()
    reference.vertex_distance_cost(exact.mean, modes, exact.predicted, exact.target).sum().backward()
    torch.testing.assert_close(basis.modes.grad, modes.grad)
    later = exact.basis()
    te.vertex_distance_cost(later, exact.predicted, exact.target)
    later.mean.requires_grad_()
    te.vertex_distance_cost(later, exact.predicted, exact.target).sum().backward()
    assert later.mean.grad.any()


def test_meta():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis().to("meta")
    pair = [inputs.predicted.to("meta").requires_grad_(), inputs.target.to("meta")]
    cost = te.vertex_distance_cost(basis, *pair, factor=basis.distance_factor(torch.ones(203, device="meta")))
    (cost + te.vertex_distance_cost(basis, *pair)).sum().backward()
    assert cost.shape == (5,)
    assert pair[0].grad.shape == (5, 62)


def test_direct_calls_are_checked_too():
    inputs = make(CASES[6]).to(torch.float32)
    factor, p, t = inputs.basis().packed_distance_factor(), inputs.predicted, inputs.target
    forward = torch.ops.twodasl.vertex_distance_cost
    backward = torch.ops.twodasl.vertex_distance_cost_backward
    cost, residual = forward(factor, p, t, False)
    for operator, message, arguments in [
        (forward, "factor has the wrong shape", (factor[:1], p, t, False)),
        (forward, "factor has the wrong shape", (factor, p[:, :30], t[:, :30], False)),
        (forward, "predicted has the wrong shape", (factor, p[:, :11], t[:, :11], False)),
        (forward, "target has the wrong shape", (factor, p, t[:3], False)),
        (forward, "target has the wrong dtype", (factor, p, t.double(), False)),
        (forward, "factor has the wrong dtype", (factor.half(), p.half(), t.half(), False)),
        (backward, "residual has the wrong shape", (cost, factor, residual[:, :2], p, t, False)),
        (backward, "grad has the wrong shape", (cost[:2], factor, residual, p, t, False)),
        (backward, "grad has the wrong dtype", (cost.double(), factor, residual, p, t, False)),
        (backward, "target has the wrong shape", (cost, factor, residual, p, t[:, 1:], False)),
        (backward, "neither predicted nor target", (cost, factor, residual, None, None, False)),
    ]:
        with pytest.raises(RuntimeError, match=f"twodasl: {message}"):
            operator(*arguments)
