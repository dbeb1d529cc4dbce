"""torch.library.opcheck: schema, autograd registration, fake kernels and AOT dispatch of every operator."""

from __future__ import annotations

import pytest
import torch

from .cases import CASES, make

OPCHECK_CASES = [CASES[i] for i in (1, 5, 6)]
ops = torch.ops.twodasl


@pytest.mark.parametrize("case", OPCHECK_CASES, ids=[c.name for c in OPCHECK_CASES])
@pytest.mark.parametrize("storage", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_vertices(case, storage):
    inputs = make(case).to(torch.float64 if storage == torch.float64 else torch.float32)
    mean, modes = inputs.basis(storage).packed()
    c, p = inputs.coefficients, inputs.pose
    torch.library.opcheck(ops.vertices, (mean, modes, case.vertices, c, p))
    torch.library.opcheck(
        ops.vertices, (mean, modes, case.vertices, c.clone().requires_grad_(), p.clone().requires_grad_())
    )
    if storage != torch.bfloat16:
        trained = (mean.clone().requires_grad_(), modes.clone().requires_grad_())
        torch.library.opcheck(ops.vertices, (*trained, case.vertices, c, p))


@pytest.mark.parametrize("case", OPCHECK_CASES, ids=[c.name for c in OPCHECK_CASES])
def test_the_other_forms_of_vertices(case):
    inputs = make(case).to(torch.float32)
    mean, modes = inputs.basis().packed()
    arguments = (mean, modes, case.vertices, inputs.coefficients, inputs.pose)
    torch.library.opcheck(ops.vertices_forward, arguments)
    torch.library.opcheck(ops.vertices_out, (*arguments, torch.empty(case.batch, case.vertices, 3)))


@pytest.mark.parametrize("case", OPCHECK_CASES, ids=[c.name for c in OPCHECK_CASES])
def test_vertices_backward(case):
    inputs = make(case).to(torch.float32)
    mean, modes = inputs.basis().packed()
    for needs in ((True, True), (True, False), (False, True)):
        arguments = (inputs.grad, mean, modes, inputs.coefficients, inputs.pose, None, *needs)
        torch.library.opcheck(ops.vertices_backward, arguments)
        arguments = (inputs.grad, inputs.coefficients, inputs.pose, *needs)
        torch.library.opcheck(ops.vertices_backward_basis, arguments)


@pytest.mark.parametrize("case", OPCHECK_CASES, ids=[c.name for c in OPCHECK_CASES])
def test_importance_weights(case):
    inputs = make(case).to(torch.float32)
    mean, modes, count = inputs.basis().packed_landmarks()
    arguments = (mean, modes, count, inputs.predicted, inputs.target, True, False)
    torch.library.opcheck(ops.importance_weights, arguments)


@pytest.mark.parametrize("case", [*OPCHECK_CASES, CASES[2]], ids=lambda c: c.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_vertex_distance_cost(case, dtype):
    inputs = make(case).to(dtype)
    factor = inputs.basis().packed_distance_factor()
    for ignore_depth, needs in ((False, (False, False)), (True, (True, False)), (False, (True, True))):
        pair = [
            t.clone().requires_grad_(n) for t, n in zip((inputs.predicted, inputs.target), needs, strict=True)
        ]
        torch.library.opcheck(ops.vertex_distance_cost, (factor, *pair, ignore_depth))


@pytest.mark.parametrize("case", [*OPCHECK_CASES, CASES[2]], ids=lambda c: c.name)
def test_vertex_distance_cost_backward(case):
    inputs = make(case).to(torch.float32)
    factor, p, t = inputs.basis().packed_distance_factor(), inputs.predicted, inputs.target
    cost, residual = ops.vertex_distance_cost(factor, p, t, False)
    for pair in ((p, t), (p, None), (None, t)):
        arguments = (torch.ones(1).expand_as(cost), factor, residual, *pair, False)
        torch.library.opcheck(ops.vertex_distance_cost_backward, arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rasterize(dtype):
    generator = torch.Generator().manual_seed(0)
    vertices = torch.rand(2, 30, 3, generator=generator, dtype=dtype) * 20
    triangles = torch.randint(0, 30, (20, 3), generator=generator)
    torch.library.opcheck(ops.rasterize, (vertices, triangles, 12, 17))
