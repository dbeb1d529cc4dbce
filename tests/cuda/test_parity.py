"""Every operator on CUDA against the plain-PyTorch reference in double precision on the CPU.

In the emulator `device` is the CPU, whose operators are then the CUDA kernels; the reference is torch's own.
"""

from __future__ import annotations

import os

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from ..ext.cases import CASES, EPSILON, NAMES, SMALL, assert_close, make
from . import operators
from .test_tiles import roundings

DTYPES = (torch.float32, torch.float64)


def magnitude(exact):
    """The sum of the absolute values of all terms of a vertex, which rounding is relative to."""
    shape = exact.mean.abs() + torch.einsum("bk,knc->bnc", exact.coefficients.abs(), exact.modes.abs())
    turned = torch.einsum("brc,bnc->bnr", exact.pose[:, :, :3].abs(), shape)
    return turned + exact.pose[:, None, :, 3].abs()


@pytest.mark.parametrize("storage", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_vertices_and_landmarks(device, case, storage):
    dtype = torch.float64 if storage == torch.float64 else torch.float32
    exact = make(case)
    inputs = operators.on(exact.to(dtype), device)
    basis = inputs.basis(storage)
    result = te.vertices(basis, inputs.coefficients, inputs.pose)
    assert (result.dtype, result.device.type) == (dtype, device.type)
    rounded = exact.modes.to(storage).to(torch.float64)
    expected = reference.vertices(exact.mean, rounded, exact.coefficients, exact.pose)
    # K + 1 roundings in the sum of the modes and four in the pose; the rounded modes are a little larger.
    # On tensor cores few modes may lose more; some GPUs have them by default.
    asked = os.environ.get("TWODASL_TENSOR_CORES", "1" if device.type == "cuda" else "0") == "1"
    bound = max(roundings(case.modes, tensor) for tensor in {False, asked and dtype == torch.float32})
    assert_close(result.cpu(), expected, magnitude(exact), bound * EPSILON[dtype])
    # The same sums in the same order: the same bits.
    rows = te.landmarks(basis, inputs.coefficients, inputs.pose)
    assert torch.equal(rows, result[:, inputs.landmarks])
    assert torch.equal(te.landmarks(basis, inputs.coefficients, inputs.pose, inputs.landmarks), rows)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_gradients_of_vertices(device, case, dtype):
    exact = make(case)

    def through_the_reference(grad, *leaves):
        leaves = [leaf.clone().requires_grad_() for leaf in leaves]
        return torch.autograd.grad(reference.vertices(*leaves), leaves, grad)

    leaves = (exact.mean, exact.modes, exact.coefficients, exact.pose)
    values = through_the_reference(exact.grad, *leaves)
    scales = through_the_reference(exact.grad.abs(), *(leaf.abs() for leaf in leaves))
    inputs = operators.on(exact.to(dtype), device)
    leaves = [t.requires_grad_() for t in (inputs.mean, inputs.modes, inputs.coefficients, inputs.pose)]
    basis = te.MorphableBasis(inputs.mean, inputs.modes, storage=dtype)
    results = torch.autograd.grad(te.vertices(basis, inputs.coefficients, inputs.pose), leaves, inputs.grad)
    # Roundings along the longest chain of additions, whichever way a sum over vertices or faces is split.
    chain = case.modes + 64 + 16 + case.batch + 8
    for result, expected, scale in zip(results, values, scales, strict=True):
        assert_close(result.cpu(), expected, scale, chain * EPSILON[dtype])


@pytest.mark.parametrize("space", ["2d", "3d"])
@pytest.mark.parametrize("normalize", ["sum", "max"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_importance_weights(device, case, dtype, space, normalize):
    exact = make(case)
    inputs = operators.on(exact.to(dtype), device)
    options = {"space": space, "normalize": normalize}
    expected = reference.importance_weights(
        exact.mean, exact.modes, exact.landmarks, exact.predicted, exact.target, **options
    )
    result = te.importance_weights(inputs.basis(), inputs.predicted, inputs.target, **options)
    # The reference subtracts two projections, and so cancels to about 1e-10 of a weight in double precision.
    assert_close(result.cpu(), expected, 1.0, max((case.modes + 20) * EPSILON[dtype], 1e-10))


@pytest.mark.parametrize("ignore_depth", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_vertex_distance_cost(device, case, dtype, ignore_depth):
    exact = make(case)
    inputs = operators.on(exact.to(dtype), device)
    basis = inputs.basis()
    leaves = [t.clone().requires_grad_() for t in (inputs.predicted, inputs.target)]
    cost = te.vertex_distance_cost(basis, *leaves, ignore_depth=ignore_depth)
    found = [cost, *torch.autograd.grad(cost.sum(), leaves)]
    leaves = [t.clone().requires_grad_() for t in (exact.predicted, exact.target)]
    value = reference.vertex_distance_cost(exact.mean, exact.modes, *leaves, ignore_depth=ignore_depth)
    expected = [value, *torch.autograd.grad(value.sum(), leaves)]
    # The factor is a QR decomposition: its error grows with the size of the features, not entry by entry.
    tolerance = 1e-3 if dtype == torch.float32 else 1e-9
    for result, wanted in zip(found, expected, strict=True):
        scale = wanted.detach().abs().amax() if wanted.numel() else 1.0
        assert_close(result.detach().cpu(), wanted.detach(), scale, tolerance)


def test_a_distance_factor_made_on_the_device(device):
    inputs = operators.on(make(CASES[6]).to(torch.float32), device)
    basis = inputs.basis()
    weights = torch.arange(basis.vertex_count, device=device) % 3
    factor = basis.distance_factor(weights)
    assert factor.device.type == device.type
    cost = te.vertex_distance_cost(basis, inputs.predicted, inputs.target, factor=factor)
    posed = [
        te.vertices(basis, p[:, 12:], p[:, :12].reshape(-1, 3, 4)) for p in (inputs.predicted, inputs.target)
    ]
    squared = (posed[0] - posed[1]).double().square().sum(dim=2)
    expected = (squared * weights).sum(dim=1) / weights.sum()
    torch.testing.assert_close(cost.double(), expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_nearest_neighbors_are_those_of_brute_force_bit_by_bit(device, dtype):
    query, points, lengths = operators.clouds(torch.device("cpu"), dtype)
    query[0, :5] = points[0, :5]  # at distance 0
    points[2, 10:20] = points[2, 0]  # of equal distances the lowest index
    expected = reference.nearest_neighbors(query, points, lengths=lengths)
    there = query.to(device), points.to(device), lengths.to(device)
    index = te.PointIndex(there[1], there[2])
    hint = torch.randint(0, 333, query.shape[:2], generator=torch.Generator().manual_seed(0)).to(device)
    for found in (
        te.nearest_neighbors(there[0], there[1], lengths=there[2]),
        te.nearest_neighbors(there[0], index),
        te.nearest_neighbors(there[0], index, hint=torch.minimum(hint, there[2][:, None] - 1)),
    ):
        for result, wanted in zip(found, expected, strict=True):
            assert torch.equal(result.cpu(), wanted)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rasterize_is_brute_force(device, dtype):
    vertices, triangles = operators.scene(torch.device("cpu"), dtype)
    expected = reference.rasterize(vertices, triangles, (48, 64))
    result = te.rasterize(vertices.to(device), triangles.to(device), (48, 64))
    assert torch.equal(result[0].cpu(), expected[0])
    assert torch.equal(result[2].cpu(), expected[2])
    torch.testing.assert_close(
        result[1].cpu(), expected[1], rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-6
    )


def test_nearest_rotation(device):
    matrices = torch.randn(500, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = reference.nearest_rotation(matrices)
    result = te.nearest_rotation(matrices.to(device)).cpu()
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_iterative_closest_point_finds_a_motion(device, dtype):
    generator = torch.Generator().manual_seed(5)
    target = torch.randn(2, 800, 3, generator=generator, dtype=torch.float64)
    turn = reference.nearest_rotation(
        torch.eye(3).double() + 0.05 * torch.randn(2, 3, 3, generator=generator)
    )
    shift = torch.tensor([[0.05, -0.02, 0.03], [0.0, 0.1, 0.0]], dtype=torch.float64)
    source = (target[:, :600] - shift[:, None]) @ turn  # the inverse motion
    found = te.iterative_closest_point(source.to(device, dtype), target.to(device, dtype))
    tolerance = 1e-4 if dtype == torch.float32 else 1e-9
    torch.testing.assert_close(found.rotation.cpu().double(), turn, rtol=0, atol=tolerance)
    torch.testing.assert_close(found.translation.cpu().double(), shift, rtol=0, atol=tolerance)
    assert bool(found.converged.all())
    assert found.rotation.device.type == device.type


@pytest.mark.parametrize("case", SMALL, ids=[c.name for c in SMALL])
def test_gradcheck(device, case):
    inputs = operators.on(make(case), device)
    leaves = [t.requires_grad_() for t in (inputs.mean, inputs.modes, inputs.coefficients, inputs.pose)]

    def run(mean, modes, coefficients, pose):
        basis = te.MorphableBasis(mean, modes, inputs.landmarks, storage=torch.float64)
        return te.vertices(basis, coefficients, pose), te.landmarks(basis, coefficients, pose)

    assert torch.autograd.gradcheck(run, leaves)
    basis = operators.on(make(case), device).basis()
    pair = [t.requires_grad_() for t in (inputs.predicted, inputs.target)]
    assert torch.autograd.gradcheck(lambda p, t: te.vertex_distance_cost(basis, p, t), pair)
