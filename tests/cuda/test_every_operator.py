"""Properties of every operator on CUDA: repeated runs, schemas, tensors on different devices."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te

from ..ext.cases import CASES, make
from . import operators

ops = torch.ops.twodasl


@pytest.fixture(scope="module")
def calls(device):
    return operators.calls(device)


def test_every_operator_is_here(calls):
    assert tuple(calls) == operators.NAMES


@pytest.mark.parametrize("name", operators.NAMES)
def test_the_same_bits_every_time(calls, name):
    first = calls[name]()
    assert first
    for _ in range(3):
        for a, b in zip(calls[name](), first, strict=True):
            # As bits: NaN equals NaN.
            assert torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))


def test_opcheck(device):
    inputs = operators.on(make(CASES[5]).to(torch.float32), device)
    basis = inputs.basis()
    (mean, modes), (c, pose) = basis.packed(), (inputs.coefficients, inputs.pose)
    leaves = c.clone().requires_grad_(), pose.clone().requires_grad_()
    torch.library.opcheck(ops.vertices, (mean, modes, basis.vertex_count, *leaves))
    torch.library.opcheck(ops.vertices_backward, (inputs.grad, mean, modes, c, pose, None, True, True))
    torch.library.opcheck(ops.vertices_backward_basis, (inputs.grad, c, pose, True, True))
    rows = basis.packed_landmarks()
    torch.library.opcheck(ops.importance_weights, (*rows, inputs.predicted, inputs.target, True, False))
    factor = basis.packed_distance_factor()
    torch.library.opcheck(ops.vertex_distance_cost, (factor, inputs.predicted, inputs.target, False))
    corners, triangles = operators.scene(device)
    torch.library.opcheck(ops.rasterize, (corners, triangles, 12, 17))


def test_a_basis_moves_to_the_device_and_back(device):
    inputs = make(CASES[6]).to(torch.float32)
    basis = inputs.basis(torch.bfloat16)
    basis.distance_factor()
    saved = {name: tensor.clone() for name, tensor in basis.state_dict().items()}
    basis.to(device)
    assert basis.device.type == device.type
    for name, tensor in basis.state_dict().items():
        assert torch.equal(tensor.cpu(), saved[name])
    there = operators.on(inputs, device)
    # A basis made there is the same.
    made = there.basis(torch.bfloat16)
    for ours, other in zip(basis.packed(), made.packed(), strict=True):
        assert torch.equal(ours, other)
    basis.to("cpu")
    assert torch.equal(basis.modes, saved["modes"])


def test_tensors_of_two_devices_are_an_error_and_no_crash(gpu):
    inputs = make(CASES[6]).to(torch.float32)
    here, there = inputs.basis(), operators.on(inputs, gpu)
    with pytest.raises(ValueError, match=r"^coefficients: expected device cpu like the basis, got cuda:0"):
        te.vertices(here, there.coefficients, there.pose)
    with pytest.raises(ValueError, match=r"^pose: expected device cuda:0 like the basis, got cpu"):
        te.vertices(there.basis(), there.coefficients, inputs.pose)
    mean, modes = there.basis().packed()
    count = here.vertex_count
    # Called directly, without the Python checks.
    with pytest.raises(RuntimeError, match="another device"):
        ops.vertices(mean, modes, count, inputs.coefficients, there.pose)
    with pytest.raises(RuntimeError, match="another device"):
        ops.vertices(mean, here.packed()[1], count, there.coefficients, there.pose)
