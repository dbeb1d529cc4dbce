"""torch.compile without a graph break, forward and backward; torch.export of a model with the operators."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.func import grad, jacrev, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx

import twodasl_ext as te
from twodasl_ext import _whole

from .cases import CASES, make


@pytest.fixture(autouse=True)
def fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def loss(basis, inputs, coefficients, pose):
    parameters = torch.cat((pose.flatten(1), coefficients), dim=1)
    weights = te.importance_weights(basis, parameters, inputs.target, space="2d", normalize="max")
    posed = te.vertices(basis, coefficients, pose)
    marks = te.landmarks(basis, coefficients, pose)
    cost = te.vertex_distance_cost(basis, parameters, inputs.target)
    return (
        (weights * (parameters - inputs.target).square()).sum()
        + posed.square().mean()
        + marks.sin().sum()
        + cost.sum()
    )


def test_the_operators_compile_into_one_graph():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    # aot_eager traces forward and backward as inductor would, without needing a compiler on the machine.
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for batch in (5, 3):
        gradients = []
        for function in (loss, compiled):
            part = make(CASES[6]).to(torch.float32)
            part.target = part.target[:batch]
            leaves = [part.coefficients[:batch].requires_grad_(), part.pose[:batch].requires_grad_()]
            value = function(basis, part, *leaves)
            gradients.append([value.detach(), *torch.autograd.grad(value, leaves)])
        for eager, traced in zip(*gradients, strict=True):
            torch.testing.assert_close(traced, eager)


@pytest.mark.parametrize("built", [False, True])
def test_the_distance_factor_is_built_once(built, monkeypatch):
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    built_for = []
    build = _whole._factors._make
    monkeypatch.setattr(
        _whole._factors, "_make", lambda *tensors: built_for.append(tensors) or build(*tensors)
    )

    def run(predicted):
        return te.vertex_distance_cost(basis, predicted, inputs.target)

    if built:
        run(inputs.predicted)

    graphs = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(run, fullgraph=True, backend=graphs)
    results = [compiled(inputs.predicted) for _ in range(3)]
    assert graphs.frame_count == 1
    assert len(built_for) == 1
    for result in results:
        torch.testing.assert_close(result, run(inputs.predicted))
    basis.load_state_dict({**basis.state_dict(), "modes": 2 * inputs.modes})
    after = compiled(inputs.predicted)
    fresh = te.MorphableBasis(inputs.mean, 2 * inputs.modes)
    torch.testing.assert_close(after, te.vertex_distance_cost(fresh, inputs.predicted, inputs.target))


def test_a_weighted_distance_cost_compiles():
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    factor = basis.distance_factor(torch.arange(203) % 3 == 0)

    def run(predicted, factor):
        return te.vertex_distance_cost(basis, predicted, inputs.target, ignore_depth=True, factor=factor)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    predicted = inputs.predicted.requires_grad_()
    gradients = []
    for function in (run, compiled):
        (gradient,) = torch.autograd.grad(function(predicted, factor).sum(), predicted)
        gradients.append(gradient)
    torch.testing.assert_close(*gradients)


def test_rasterize_compiles():
    generator = torch.Generator().manual_seed(0)
    vertices = torch.rand(2, 30, 3, generator=generator) * 20
    triangles = torch.randint(0, 30, (20, 3), generator=generator)
    compiled = torch.compile(te.rasterize, fullgraph=True, backend="aot_eager")
    for traced, eager in zip(
        compiled(vertices, triangles, 24), te.rasterize(vertices, triangles, 24), strict=True
    ):
        assert torch.equal(traced, eager)


def test_a_trained_basis_compiles():
    inputs = make(CASES[5]).to(torch.float32)
    basis = te.MorphableBasis(
        torch.nn.Parameter(inputs.mean), torch.nn.Parameter(inputs.modes), inputs.landmarks
    )

    def run(coefficients, pose):
        return (
            te.vertices(basis, coefficients, pose).square().sum()
            + te.landmarks(basis, coefficients, pose).sum()
        )

    expected = torch.autograd.grad(run(inputs.coefficients, inputs.pose), list(basis.parameters()))
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    result = torch.autograd.grad(compiled(inputs.coefficients, inputs.pose), list(basis.parameters()))
    for a, b in zip(result, expected, strict=True):
        torch.testing.assert_close(a, b)


def needs_a_compiler(backend):
    if backend == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("inductor needs a C++ compiler")


BACKENDS = ("aot_eager", "inductor")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_dynamic_batch_is_compiled_once(backend):
    needs_a_compiler(backend)
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()
    counter = CompileCounterWithBackend(backend)
    run = lambda c, p: te.vertices(basis, c, p).sum() + te.landmarks(basis, c, p).sin().sum()  # noqa: E731
    compiled = torch.compile(run, fullgraph=True, dynamic=True, backend=counter)
    for batch in (5, 4, 3):
        leaves = [t[:batch].clone().requires_grad_() for t in (inputs.coefficients, inputs.pose)]
        result, expected = (torch.autograd.grad(f(*leaves), leaves) for f in (compiled, run))
        # Another rounding of sin's derivative moves a sum of canceling terms by more than its last bits.
        torch.testing.assert_close(result, expected, rtol=2e-5, atol=1e-3)
    assert counter.frame_count == 1
    called = [str(node.target) for node in counter.graphs[0].graph.nodes if node.op == "call_function"]
    assert called.count("twodasl.basis_vertices.default") == called.count("twodasl.vertices.default") == 1
    assert not [name for name in called if "functorch" in name or "vertices_forward" in name]


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_transforms(backend):
    needs_a_compiler(backend)
    inputs = make(CASES[5]).to(torch.float32)
    basis = inputs.basis()
    c, p = inputs.coefficients, inputs.pose
    samples = (torch.stack((c, 2 * c)), torch.stack((p, p)))
    posed = lambda c, p: te.vertices(basis, c, p)  # noqa: E731
    gradient = grad(lambda c, p: te.landmarks(basis, c, p).sin().sum(), argnums=(0, 1))
    weights = lambda a, b: te.importance_weights(basis, a, b)  # noqa: E731
    parameters = (torch.stack((inputs.predicted,) * 2), torch.stack((inputs.target,) * 2))
    for function, arguments in (
        (vmap(posed), samples),
        (gradient, (c, p)),
        (vmap(gradient), samples),
        (jacrev(posed), (c, p)),
        (lambda c, p: jvp(posed, (c, p), (c.sin(), p.sin())), (c, p)),
        (vmap(weights), parameters),
        (grad(lambda a, b: (weights(a, b) * a).sum()), (inputs.predicted, inputs.target)),
    ):
        torch._dynamo.reset()
        compiled = torch.compile(function, fullgraph=True, backend=backend)
        # Coordinates of hundreds, summed in another order around the operator: single precision's rounding.
        torch.testing.assert_close(compiled(*arguments), function(*arguments), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_out_compiles(backend):
    needs_a_compiler(backend)
    inputs = make(CASES[5]).to(torch.float32)
    basis = inputs.basis()

    def run(c, p, out):
        return te.vertices(basis, c, p, out=out) * 2

    out = torch.empty(9, 17, 3)
    doubled = torch.compile(run, fullgraph=True, backend=backend)(inputs.coefficients, inputs.pose, out)
    assert torch.equal(out, te.vertices(basis, inputs.coefficients, inputs.pose))
    assert torch.equal(doubled, 2 * out)


def test_autocast_compiles():
    inputs = make(CASES[5]).to(torch.float32)
    basis = inputs.basis()
    weight = torch.eye(5, requires_grad=True)

    def run(weight):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return te.vertices(basis, inputs.coefficients @ weight, inputs.pose)

    output = torch.compile(run, fullgraph=True, backend="aot_eager")(weight)
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, run(weight))
    result, expected = (torch.autograd.grad(o.sum(), weight)[0] for o in (output, run(weight)))
    torch.testing.assert_close(result, expected, rtol=1e-2, atol=1e-2 * expected.abs().max().item())


def test_a_compiled_module_follows_its_basis():
    """What the graph read when it was compiled must not outlive a change of the basis."""
    inputs = make(CASES[5]).to(torch.float32)
    basis = inputs.basis()
    compiled = torch.compile(lambda c, p: te.landmarks(basis, c, p), fullgraph=True, backend="aot_eager")
    c, p = inputs.coefficients, inputs.pose
    assert torch.equal(compiled(c, p), te.landmarks(basis, c, p))
    basis.load_state_dict({**basis.state_dict(), "modes": 3 * inputs.modes, "mean": inputs.mean + 1})
    assert torch.equal(compiled(c, p), te.landmarks(basis, c, p))
    basis.double()
    assert torch.equal(compiled(c.double(), p.double()), te.landmarks(basis, c.double(), p.double()))
    basis.mean.requires_grad_()
    assert compiled(c.double(), p.double()).requires_grad


class Everything(torch.nn.Module):
    """Every operator in one model."""

    def __init__(self, basis, triangles):
        super().__init__()
        self.basis = basis
        self.register_buffer("triangles", triangles)

    def forward(self, coefficients, pose):
        parameters = torch.cat((pose.flatten(1), coefficients), dim=1)
        posed = te.vertices(self.basis, coefficients, pose)
        return (
            posed,
            te.landmarks(self.basis, coefficients, pose),
            te.importance_weights(self.basis, parameters, parameters * 1.1),
            te.vertex_distance_cost(self.basis, parameters, parameters * 1.1, ignore_depth=True),
            *te.rasterize(posed / 10 + 12, self.triangles, 24),
        )


@pytest.mark.parametrize("strict", [False, True])
def test_a_model_with_every_operator_exports(strict, tmp_path):
    inputs = make(CASES[6]).to(torch.float32)
    model = Everything(inputs.basis(), torch.arange(201).reshape(-1, 3))
    batch = torch.export.Dim("batch", min=2, max=64)
    arguments = (inputs.coefficients, inputs.pose)
    program = torch.export.export(model, arguments, dynamic_shapes=({0: batch}, {0: batch}), strict=strict)
    called = {str(node.target).split(".")[1] for node in program.graph.nodes if "twodasl" in str(node.target)}
    assert {"vertices", "importance_weights", "rasterize"} <= called
    assert "vertices_forward" not in called
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2").module()
    twice = (inputs.coefficients.repeat(2, 1), inputs.pose.repeat(2, 1, 1))
    for result, expected in zip(loaded(*twice), model(*twice), strict=True):
        torch.testing.assert_close(result, expected)


def test_what_make_fx_traces():
    inputs = make(CASES[5]).to(torch.float32)
    basis = inputs.basis()
    c = inputs.coefficients.clone().requires_grad_()
    for pre_dispatch in (False, True):
        graph = make_fx(lambda c, p: te.vertices(basis, c, p), pre_dispatch=pre_dispatch)(c, inputs.pose)
        called = [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]
        assert called == ["twodasl.basis_vertices.default"]
