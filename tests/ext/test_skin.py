"""skin: values and gradients against the float64 reference, transforms, bad inputs, threads."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, jvp, vmap

import twodasl_ext as te
from twodasl_ext import reference

from .cases import EPSILON, assert_close
from .skin_cases import SKIN_CASES, SKIN_NAMES, make_skin

DTYPES = (torch.float32, torch.float64)
HEAD, BODY = SKIN_CASES[6], SKIN_CASES[7]
ops = torch.ops.twodasl


def reference_gradients(leaves, grads):
    """Gradients of vertices, weights and transforms by autograd through the reference."""
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    return torch.autograd.grad(reference.skin(*leaves), leaves, grads)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SKIN_CASES, ids=SKIN_NAMES)
def test_values(case, dtype):
    exact = make_skin(case)
    parts = (exact.vertices, exact.weights, exact.transforms)
    inputs = exact.to(dtype)
    result = te.skin(inputs.vertices, inputs.weights, inputs.transforms)
    assert result.dtype == dtype
    # A joint rounds its product with the weight and four sums; every joint adds one.
    magnitude = reference.skin(*(t.abs() for t in parts))
    assert_close(result, reference.skin(*parts), magnitude, (4 * case.joints + 4) * EPSILON[dtype])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", SKIN_CASES, ids=SKIN_NAMES)
def test_gradients(case, dtype):
    exact = make_skin(case)
    parts = (exact.vertices, exact.weights, exact.transforms)
    values = reference_gradients(parts, exact.grad)
    scales = reference_gradients([t.abs() for t in parts], exact.grad.abs())
    inputs = exact.to(dtype)
    leaves = inputs.leaves()
    results = torch.autograd.grad(te.skin(*leaves), leaves, inputs.grad)
    # The longest chains of additions: four a joint; twelve a face; in one lane the vertices of one part, at
    # most 32 blocks of 16, or a fourth of them.
    chain = max(4 * case.joints, 12 * case.batch, 256) + 20
    for result, expected, scale in zip(results, values, scales, strict=True):
        assert_close(result, expected, scale, chain * EPSILON[dtype])


@pytest.mark.parametrize("case", [c for c in SKIN_CASES if c.vertices <= 20], ids=lambda c: c.name)
def test_gradcheck(case):
    assert torch.autograd.gradcheck(te.skin, make_skin(case).leaves())


def test_matrices_of_four_rows():
    inputs = make_skin(HEAD).to(torch.float32)
    last = torch.full((HEAD.batch, HEAD.joints, 1, 4), torch.nan)  # it is not read
    four = torch.cat((inputs.transforms, last), dim=2).requires_grad_()
    result = te.skin(inputs.vertices, inputs.weights, four)
    assert torch.equal(result, te.skin(inputs.vertices, inputs.weights, inputs.transforms))
    result.backward(inputs.grad)
    leaves = inputs.leaves()
    te.skin(*leaves).backward(inputs.grad)
    assert torch.equal(four.grad[:, :, :3], leaves[2].grad)
    assert torch.equal(four.grad[:, :, 3], torch.zeros(HEAD.batch, HEAD.joints, 4))


def test_one_rigid_joint_moves_the_mesh():
    inputs = make_skin(HEAD)
    whole = torch.ones(HEAD.vertices, 1, dtype=torch.float64)
    moved = te.skin(inputs.vertices, whole, inputs.transforms[:, :1])
    turn, shift = inputs.transforms[:, 0, :, :3], inputs.transforms[:, 0, :, 3]
    torch.testing.assert_close(moved, inputs.vertices @ turn.mT + shift[:, None])


def test_half_precision_is_promoted():
    inputs = make_skin(HEAD).to(torch.float32)
    for half in (torch.float16, torch.bfloat16):
        w, m = inputs.weights.to(half), inputs.transforms.to(half)
        assert torch.equal(te.skin(inputs.vertices, w, m), te.skin(inputs.vertices, w.float(), m.float()))


@pytest.mark.parametrize("case", SKIN_CASES[2:6:3], ids=SKIN_NAMES[2:6:3])
def test_opcheck(case):
    inputs = make_skin(case).to(torch.float32)
    v, w, m, g = inputs.vertices, inputs.weights, inputs.transforms, inputs.grad
    torch.library.opcheck(ops.skin_forward, (v, w, m))
    torch.library.opcheck(ops.skin, tuple(inputs.leaves()))
    torch.library.opcheck(ops.skin, (v, w.clone().requires_grad_(), m))
    for pair in ((v, m), (v, None), (None, m)):
        torch.library.opcheck(ops.skin_backward, (g, pair[0], w, pair[1]))
    torch.library.opcheck(ops.skin_backward_weights, (g, v, m))


def test_each_gradient_alone_is_the_same():
    inputs = make_skin(BODY).to(torch.float32)
    leaves = inputs.leaves()
    together = torch.autograd.grad(te.skin(*leaves), leaves, inputs.grad)
    for i, expected in enumerate(together):
        some = [leaf if i == at else leaf.detach() for at, leaf in enumerate(leaves)]
        (alone,) = torch.autograd.grad(te.skin(*some), leaves[i], inputs.grad)
        assert torch.equal(alone, expected)


@pytest.mark.parametrize(
    "make_grad",
    [
        lambda g: g.sum().expand(g.shape),
        lambda g: g[:, :1].expand(g.shape),
        lambda g: g.transpose(1, 2).contiguous().transpose(1, 2),
        lambda g: torch.cat((g, g), dim=2)[:, :, ::2],
    ],
    ids=["zero strides", "expanded vertices", "transposed", "strided xyz"],
)
def test_gradients_and_inputs_of_any_strides(make_grad):
    inputs = make_skin(BODY).to(torch.float32)
    leaves, strided = inputs.leaves(), make_grad(inputs.grad)
    output = te.skin(*leaves)
    results = torch.autograd.grad(output, leaves, strided, retain_graph=True)
    for a, b in zip(results, torch.autograd.grad(output, leaves, strided.contiguous()), strict=True):
        assert torch.equal(a, b)
    turned = make_grad(inputs.vertices)
    assert torch.equal(
        te.skin(turned, inputs.weights.T.contiguous().T, inputs.transforms),
        te.skin(turned.contiguous(), inputs.weights, inputs.transforms),
    )
    for view in (
        inputs.transforms.mT.contiguous().mT,
        inputs.transforms[:1].expand(BODY.batch, -1, -1, -1),
        inputs.transforms.flip(1).transpose(0, 1).contiguous().transpose(0, 1),
    ):
        assert torch.equal(
            te.skin(inputs.vertices, inputs.weights, view),
            te.skin(inputs.vertices, inputs.weights, view.contiguous()),
        )


def test_an_element_depends_on_no_other():
    inputs = make_skin(SKIN_CASES[11]).to(torch.float32)
    leaves = inputs.leaves()
    together = te.skin(*leaves)
    grads = torch.autograd.grad(together, leaves[::2], inputs.grad)
    for i in (0, 63, 64, 149):
        one = [leaves[0][i : i + 1].detach().requires_grad_(), leaves[1], leaves[2][i : i + 1].detach()]
        one[2].requires_grad_()
        alone = te.skin(*one)
        assert torch.equal(alone[0], together[i])
        for a, b in zip(torch.autograd.grad(alone, one[::2], inputs.grad[i : i + 1]), grads, strict=True):
            assert torch.equal(a[0], b[i])
    spoiled = inputs.vertices.clone()
    spoiled[7, 30, 1] = torch.nan
    result = te.skin(spoiled, inputs.weights, inputs.transforms)
    assert result[7, 30].isnan().all()
    result[7, 30] = together[7, 30]
    assert torch.equal(result, together)


def test_threads_change_no_bit():
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            for case in (SKIN_CASES[10], SKIN_CASES[11]):
                inputs = make_skin(case).to(torch.float32)
                leaves = inputs.leaves()
                posed = te.skin(*leaves)
                results.append((posed, *torch.autograd.grad(posed, leaves, inputs.grad)))
    finally:
        torch.set_num_threads(before)
    for i, tensors in enumerate(results):
        assert all(torch.equal(a, b) for a, b in zip(tensors, results[i % 2], strict=True))


def test_transforms_of_torch_func():
    inputs = make_skin(SKIN_CASES[5])
    v, w, m = inputs.vertices, inputs.weights, inputs.transforms
    samples = torch.stack((v, 2 * v))
    expected = torch.stack((te.skin(v, w, m), te.skin(2 * v, w, m)))
    assert torch.equal(vmap(lambda v: te.skin(v, w, m))(samples), expected)
    weights = torch.stack((w, w.sin()))
    looped = vmap(te.skin, in_dims=(None, 0, None))(v, weights, m)
    assert torch.equal(looped[1], te.skin(v, w.sin(), m))
    tangents = (v.sin(), w.cos(), m.sin())
    for function in (te.skin, reference.skin):
        value, tangent = jvp(function, (v, w, m), tangents)
        results = grad(lambda *a, f=function: f(*a).sin().sum(), argnums=(0, 1, 2))(v, w, m)
        per_sample = vmap(grad(lambda v, w, f=function: f(v, w, m).sin().sum(), argnums=1))(samples, weights)
        if function is te.skin:
            ours = (value, tangent, *results, per_sample)
        else:
            torch.testing.assert_close(ours, (value, tangent, *results, per_sample))
    leaf = v.clone().requires_grad_()
    (first,) = torch.autograd.grad(te.skin(leaf, w, m).sin().sum(), leaf, create_graph=True)
    with pytest.raises(RuntimeError, match=r"second derivative .*; use twodasl_ext\.reference\.skin"):
        first.sum().backward()


def test_compile():
    inputs = make_skin(HEAD).to(torch.float32)
    leaves = inputs.leaves()
    torch._dynamo.reset()
    compiled = torch.compile(te.skin, fullgraph=True, backend="aot_eager")
    for function in (te.skin, compiled):
        result = function(*leaves)
        gradients = torch.autograd.grad(result.sin().sum(), leaves)
        if function is te.skin:
            expected = (result, *gradients)
    torch.testing.assert_close((result, *gradients), expected)
    four = torch.nn.functional.pad(leaves[2], (0, 0, 0, 1))
    assert torch.equal(compiled(leaves[0], leaves[1], four), expected[0])
    torch._dynamo.reset()


def test_wrong_arguments():
    inputs = make_skin(HEAD).to(torch.float32)
    v, w, m = inputs.vertices, inputs.weights, inputs.transforms
    for error, message, arguments in (
        (ValueError, r"^vertices: expected \(B, N, 3\), got \(203, 3\)$", (v[0], w, m)),
        (TypeError, r"^vertices: expected float32 or float64, got torch.int64$", (v.long(), w, m)),
        (TypeError, r"^vertices: expected float32 or float64, got torch.float16$", (v.half(), w, m)),
        (ValueError, r"^weights: expected \(203, J\) for 203 vertices, .*, got \(5, 203\)$", (v, w.T, m)),
        (ValueError, r"^weights: expected \(203, J\)", (v, w.expand(5, -1, -1), m)),
        (
            TypeError,
            r"^weights: expected torch.float32 like the vertices .*torch.float64$",
            (v, w.double(), m),
        ),
        (TypeError, r"^weights: expected a torch.Tensor, got list$", (v, [1.0], m)),
        (
            ValueError,
            r"^transforms: expected \(5, 5, 3, 4\) or \(5, 5, 4, 4\) for a batch of 5 and 5 joints, got",
            (v, w, m[:, :4]),
        ),
        (ValueError, r"^transforms: expected \(5, 5, 3, 4\)", (v, w, m[:1])),
        (ValueError, r"^transforms: expected \(5, 5, 3, 4\)", (v, w, m.flatten(2))),
        (ValueError, r"^transforms: expected device cpu like the vertices, got meta$", (v, w, m.to("meta"))),
        (TypeError, r"^transforms: expected a dense tensor", (v, w, m.to_sparse())),
    ):
        with pytest.raises(error, match=message):
            te.skin(*arguments)
    assert te.skin(v.to("meta"), w.to("meta"), m.to("meta")).shape == v.shape
    for bad in ((v, w[:7], m), (v, w, m[:3]), (v, w.double(), m)):
        with pytest.raises(RuntimeError, match=r"twodasl: (weights|transforms) has the wrong (shape|dtype)"):
            ops.skin(*bad)
    for bad in ((v[:2], w, m), (v, w, m[:, :3])):
        with pytest.raises(RuntimeError, match="has the wrong shape"):
            ops.skin_backward(inputs.grad, *bad)
