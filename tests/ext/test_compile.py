"""torch.compile without a graph break, forward and backward; torch.export of a model with the operators."""

from __future__ import annotations

import pytest
import torch
import torch._dynamo.testing

import twodasl_ext as te

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
def test_the_distance_factor_is_built_once(built):
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis()

    def run(predicted):
        return te.vertex_distance_cost(basis, predicted, inputs.target)

    if built:
        run(inputs.predicted)

    graphs = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(run, fullgraph=True, backend=graphs)
    results = [compiled(inputs.predicted) for _ in range(3)]
    # A graph that builds and keeps it, and one that reads what is there.
    assert graphs.frame_count == (1 if built else 2)
    assert basis.state_dict()["distance_factor"] is not None
    for result in results:
        torch.testing.assert_close(result, run(inputs.predicted))
    state = {k: v for k, v in basis.state_dict().items() if k != "distance_factor"}
    basis.load_state_dict({**state, "modes": 2 * state["modes"]})
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


def test_a_model_with_the_operators_exports():
    inputs = make(CASES[6]).to(torch.float32)

    class Decoder(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.basis = inputs.basis()

        def forward(self, coefficients, pose):
            points = te.landmarks(self.basis, coefficients, pose)
            parameters = torch.cat((pose.flatten(1), coefficients), dim=1)
            return points, te.vertex_distance_cost(self.basis, parameters, 2 * parameters)

    model = Decoder()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(
        model, (inputs.coefficients, inputs.pose), dynamic_shapes=({0: batch}, {0: batch})
    )
    twice = (inputs.coefficients.repeat(2, 1), inputs.pose.repeat(2, 1, 1))
    torch.testing.assert_close(program.module()(*twice), model(*twice))
