"""torch.func over the operators: every transform and nesting, against plain loops and the reference."""

from __future__ import annotations

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, stack_module_state, vjp, vmap

import twodasl_ext as te
from twodasl_ext import reference

from .cases import CASES, Case, make

SAMPLES = 4
CASE = Case("samples of faces", 40, 5, 6, 3)


@pytest.fixture(autouse=True)
def rules_of_our_own():
    """Without a rule, vmap would silently run an operator sample by sample; here that is an error."""
    torch._C._functorch._set_vmap_fallback_enabled(False)
    yield
    torch._C._functorch._set_vmap_fallback_enabled(True)


@pytest.fixture
def inputs():
    return make(CASE).to(torch.float64)


@pytest.fixture
def basis(inputs):
    return inputs.basis()


def samples(tensor, dim=0):
    """Different copies of a tensor along a new dimension."""
    scales = torch.linspace(0.5, 1.5, SAMPLES, dtype=tensor.dtype)
    return torch.stack([tensor * scale for scale in scales], dim=dim)


def looped(function, *stacks):
    results = [function(*parts) for parts in zip(*stacks, strict=True)]
    if isinstance(results[0], torch.Tensor):
        return torch.stack(results)
    return tuple(torch.stack(parts) for parts in zip(*results, strict=True))


def same(result, expected):
    pairs = zip(
        torch.utils._pytree.tree_leaves(result), torch.utils._pytree.tree_leaves(expected), strict=True
    )
    return all(torch.equal(a, b) for a, b in pairs)


def close(result, expected):
    torch.testing.assert_close(result, expected, rtol=1e-12, atol=1e-10)


# ---- vmap ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [te.vertices, te.landmarks], ids=["vertices", "landmarks"])
def test_vmap_folds_samples_into_faces(function, basis, inputs):
    c, p = samples(inputs.coefficients), samples(inputs.pose)
    run = lambda c, p: function(basis, c, p)  # noqa: E731
    assert same(vmap(run)(c, p), looped(run, c, p))
    assert same(vmap(run, in_dims=(0, None))(c, p[0]), looped(run, c, [p[0]] * SAMPLES))
    assert same(
        vmap(run, in_dims=(None, 0), out_dims=2)(c[0], p).movedim(2, 0), looped(run, [c[0]] * SAMPLES, p)
    )
    assert same(vmap(run, in_dims=(1, -1))(c.movedim(0, 1), p.movedim(0, -1)), looped(run, c, p))
    assert same(vmap(run, chunk_size=3)(c, p), looped(run, c, p))
    twice = vmap(vmap(run))(torch.stack((c, 2 * c)), torch.stack((p, p)))
    assert same(twice, torch.stack((looped(run, c, p), looped(run, 2 * c, p))))


def test_vmap_over_one_face_each(basis, inputs):
    run = lambda c, p: te.vertices(basis, c[None], p[None])[0]  # noqa: E731
    assert same(
        vmap(run)(inputs.coefficients, inputs.pose), te.vertices(basis, inputs.coefficients, inputs.pose)
    )


def test_vmap_over_no_faces(basis, inputs):
    c, p = inputs.coefficients.new_empty(SAMPLES, 0, 5), inputs.pose.new_empty(SAMPLES, 0, 3, 4)
    assert vmap(lambda c, p: te.vertices(basis, c, p))(c, p).shape == (SAMPLES, 0, 40, 3)


def test_vmap_over_bases(inputs):
    bases = [te.MorphableBasis(inputs.mean * k, inputs.modes / k, inputs.landmarks) for k in (1, 2, 4)]
    parameters, buffers = stack_module_state(bases)
    model = bases[0]

    class Posed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.basis = model

        def forward(self, c, p):
            return te.vertices(self.basis, c, p), te.landmarks(self.basis, c, p)

    def run(parameters, buffers):
        state = {f"basis.{name}": value for name, value in {**parameters, **buffers}.items()}
        return functional_call(Posed(), state, (inputs.coefficients.float(), inputs.pose.float()))

    posed, marks = vmap(run)(parameters, buffers)
    for k, one in enumerate(bases):
        c, p = inputs.coefficients.float(), inputs.pose.float()
        assert same(posed[k], te.vertices(one, c, p))
        assert same(marks[k], te.landmarks(one, c, p))


@pytest.mark.parametrize("space", ["2d", "3d"])
def test_vmap_of_importance_weights(basis, inputs, space):
    run = lambda p, t: te.importance_weights(basis, p, t, space=space)  # noqa: E731
    predicted, target = samples(inputs.predicted), samples(inputs.target)
    assert same(vmap(run)(predicted, target), looped(run, predicted, target))
    assert same(
        vmap(run, in_dims=(1, None))(predicted.movedim(0, 1), target[0]),
        looped(run, predicted, [target[0]] * SAMPLES),
    )


def test_vmap_of_rasterize():
    generator = torch.Generator().manual_seed(0)
    vertices = torch.rand(SAMPLES, 2, 30, 3, generator=generator) * 20
    triangles = torch.randint(0, 30, (SAMPLES, 20, 3), generator=generator)
    run = lambda v, t: te.rasterize(v, t, (24, 20))  # noqa: E731
    assert same(
        vmap(run, in_dims=(0, None))(vertices, triangles[0]),
        looped(run, vertices, [triangles[0]] * SAMPLES),
    )
    assert same(vmap(run)(vertices, triangles), looped(run, vertices, triangles))


def test_vmap_of_rasterize_looks_at_values():
    run = lambda v, t: te.rasterize(v, t, (24, 20))  # noqa: E731
    vertices, triangles = torch.rand(SAMPLES, 2, 30, 3), torch.zeros(SAMPLES, 20, 3, dtype=torch.int64)
    triangles[2, 5, 1] = 30
    with pytest.raises(RuntimeError, match="triangles refer to vertices that do not exist"):
        vmap(run)(vertices, triangles)


def test_vmap_of_landmarks_with_indices(basis, inputs):
    indices = torch.tensor([[0, 3], [39, 1], [7, 7]])
    run = lambda i: te.landmarks(basis, inputs.coefficients, inputs.pose, i)  # noqa: E731
    assert same(vmap(run)(indices), looped(run, indices))


def test_gradients_flow_through_vmap(basis, inputs):
    run = lambda c, p: te.vertices(basis, c, p)  # noqa: E731
    leaves = [samples(inputs.coefficients).requires_grad_(), samples(inputs.pose).requires_grad_()]
    mapped = torch.autograd.grad(vmap(run)(*leaves).square().sum(), leaves)
    expected = torch.autograd.grad(looped(run, *leaves).square().sum(), leaves)
    assert same(mapped, expected)


# ---- reverse mode ----------------------------------------------------------------------------------------


def loss(basis, c, p):
    return te.vertices(basis, c, p).square().sum() + te.landmarks(basis, c, p).sin().sum()


def test_grad_and_vjp(basis, inputs):
    c, p = inputs.coefficients, inputs.pose
    leaves = [c.clone().requires_grad_(), p.clone().requires_grad_()]
    expected = torch.autograd.grad(loss(basis, *leaves), leaves)
    assert same(grad(lambda c, p: loss(basis, c, p), argnums=(0, 1))(c, p), expected)
    assert same(grad(lambda c: loss(basis, c, p))(c), expected[0])
    output, pull = vjp(lambda c, p: te.vertices(basis, c, p), c, p)
    assert same(output, te.vertices(basis, c, p))
    assert same(pull(inputs.grad), torch.autograd.grad(te.vertices(basis, *leaves), leaves, inputs.grad))


def test_gradients_of_every_sample(basis, inputs):
    one = grad(lambda c, p: loss(basis, c, p), argnums=(0, 1))
    c, p = samples(inputs.coefficients), samples(inputs.pose)
    assert same(vmap(one)(c, p), looped(one, c, p))
    assert same(vmap(one, in_dims=(0, None))(c, p[0]), looped(one, c, [p[0]] * SAMPLES))
    assert same(vmap(grad(lambda c: loss(basis, c, p[0])))(c), looped(one, c, [p[0]] * SAMPLES)[0])
    # The reverse: one gradient of a vmapped function.
    total = grad(lambda c: vmap(lambda c: loss(basis, c, p[0]))(c).sum())
    assert same(total(c), looped(one, c, [p[0]] * SAMPLES)[0])


@pytest.mark.parametrize("jacobian", [jacrev, jacfwd])
def test_jacobians(basis, inputs, jacobian):
    c, p = inputs.coefficients, inputs.pose
    run = lambda c, p: te.landmarks(basis, c, p)  # noqa: E731
    mean, modes = inputs.mean[inputs.landmarks], inputs.modes[:, inputs.landmarks]
    expected = jacrev(lambda c, p: reference.vertices(mean, modes, c, p), argnums=(0, 1))(c, p)
    close(jacobian(run, argnums=(0, 1))(c, p), expected)
    close(vmap(jacobian(run))(samples(c), samples(p))[1], jacobian(run)(samples(c)[1], samples(p)[1]))


@pytest.mark.parametrize("transform", ["grad", "vmap grad", "jacrev"])
def test_a_module_that_trains_its_basis(inputs, transform):
    class Posed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.basis = te.MorphableBasis(
                torch.nn.Parameter(inputs.mean),
                torch.nn.Parameter(inputs.modes),
                inputs.landmarks,
                storage=torch.float64,
            )

        def forward(self, c, p):
            return te.landmarks(self.basis, c, p)

    model = Posed()
    state = {name: value.detach() for name, value in model.named_parameters()}
    run = lambda state, c, p: functional_call(model, state, (c, p))  # noqa: E731
    expected_run = lambda state, c, p: reference.vertices(  # noqa: E731
        state["basis.mean"], state["basis.modes"], c, p
    )[:, inputs.landmarks]
    c, p = inputs.coefficients, inputs.pose
    results = []
    for function in (run, expected_run):
        scalar = lambda *arguments, function=function: function(*arguments).sin().sum()  # noqa: E731
        if transform == "grad":
            results.append(grad(scalar)(state, c, p))
        elif transform == "vmap grad":
            results.append(vmap(grad(scalar), in_dims=(None, 0, 0))(state, samples(c), samples(p)))
        else:
            results.append(jacrev(function)(state, c[:1], p[:1]))
    close(*results)


def test_a_second_derivative_is_refused_in_words(basis, inputs):
    run = lambda c: te.vertices(basis, c, inputs.pose).square().sum()  # noqa: E731
    for twice in (grad(lambda c: grad(run)(c).sum()), jacrev(jacrev(run)), jacfwd(jacrev(run))):
        with pytest.raises(RuntimeError, match="vertices: the second derivative is not implemented"):
            twice(inputs.coefficients)


# ---- forward mode ----------------------------------------------------------------------------------------


def test_tangents_of_everything(inputs):
    """Mean and modes as well: forward mode is the same sum of products as the definition."""
    generator = torch.Generator().manual_seed(1)
    primals = (inputs.mean, inputs.modes, inputs.coefficients, inputs.pose)
    tangents = tuple(torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in primals)
    expected = jvp(reference.vertices, primals, tangents)

    def run(mean, modes, c, p):
        basis = te.MorphableBasis(torch.nn.Parameter(inputs.mean), torch.nn.Parameter(inputs.modes))
        basis = basis.double()
        state = {"basis.mean": mean, "basis.modes": modes}

        class Posed(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.basis = basis

            def forward(self):
                return te.vertices(self.basis, c, p)

        return functional_call(Posed(), state, ())

    close(jvp(run, primals, tangents), expected)


def test_dual_numbers(basis, inputs):
    c, p = inputs.coefficients, inputs.pose
    _, expected = jvp(lambda c: te.vertices(basis, c, p), (c,), (c.sin(),))
    for leaf in (c, c.clone().requires_grad_()):
        with forward_ad.dual_level():
            dual = te.vertices(basis, forward_ad.make_dual(leaf, c.sin()), p)
            assert same(forward_ad.unpack_dual(dual).tangent, expected)


def test_weights_are_constants_in_every_mode(basis, inputs):
    run = lambda p: te.importance_weights(basis, p, inputs.target)  # noqa: E731
    weights = run(inputs.predicted)
    value, tangent = jvp(run, (inputs.predicted,), (inputs.target,))
    assert same(value, weights)
    assert not tangent.any()
    total = grad(lambda p: (run(p) * p).sum())(inputs.predicted)
    assert same(total, weights)
    each = vmap(grad(lambda p: (run(p) * p).sum()))(samples(inputs.predicted))
    assert same(each, looped(run, samples(inputs.predicted)))


def test_errors_keep_their_words_under_transforms(basis, inputs):
    wrong = samples(inputs.coefficients[:, :2])
    with pytest.raises(ValueError, match=r"^coefficients: expected \(B, 5\) .* got \(3, 2\)$"):
        vmap(lambda c: te.vertices(basis, c, inputs.pose))(wrong)
    with pytest.raises(RuntimeError, match=r"out= does not work under torch.func"):
        vmap(lambda c: te.vertices(basis, c, inputs.pose, out=torch.empty(3, 40, 3).double()))(
            samples(inputs.coefficients)
        )


def test_another_case_in_single_precision():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis(torch.bfloat16)
    run = lambda c: te.vertices(basis, c, inputs.pose)  # noqa: E731
    c = samples(inputs.coefficients)
    assert same(vmap(run)(c), looped(run, c))
