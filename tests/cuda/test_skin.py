"""skin on CUDA against the plain-PyTorch reference in double precision on the CPU."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from ..ext.cases import EPSILON, assert_close
from ..ext.skin_cases import SKIN_CASES, SKIN_NAMES, make_skin


def on_the_reference(parts, grad):
    leaves = [leaf.clone().requires_grad_() for leaf in parts]
    result = reference.skin(*leaves)
    return [result.detach(), *torch.autograd.grad(result, leaves, grad)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("case", SKIN_CASES, ids=SKIN_NAMES)
def test_values_and_gradients(device, case, dtype):
    exact = make_skin(case)
    parts = (exact.vertices, exact.weights, exact.transforms)
    expected = on_the_reference(parts, exact.grad)
    scales = on_the_reference([t.abs() for t in parts], exact.grad.abs())
    inputs = exact.to(dtype).to(device)
    leaves = inputs.leaves()
    result = te.skin(*leaves)
    assert (result.dtype, result.device.type) == (dtype, device.type)
    results = [result.detach(), *torch.autograd.grad(result, leaves, inputs.grad)]
    # Additions in one chain: four a joint, twelve a face, or the 64 vertices that a warp takes of a part.
    chain = max(4 * case.joints, 12 * case.batch, 64) + 20
    for ours, value, scale in zip(results, expected, scales, strict=True):
        assert_close(ours.cpu(), value, scale, chain * EPSILON[dtype])


def test_gradients_of_any_strides_and_each_alone(device):
    inputs = make_skin(SKIN_CASES[7]).to(torch.float32).to(device)
    leaves = inputs.leaves()
    output = te.skin(*leaves)
    for grad in (
        inputs.grad.sum().expand(inputs.grad.shape),
        inputs.grad.transpose(1, 2).contiguous().transpose(1, 2),
    ):
        together = torch.autograd.grad(output, leaves, grad.contiguous(), retain_graph=True)
        for leaf, expected in zip(leaves, together, strict=True):
            (alone,) = torch.autograd.grad(output, leaf, grad, retain_graph=True)
            assert torch.equal(alone, expected)


def test_an_element_depends_on_no_other(device):
    inputs = make_skin(SKIN_CASES[11]).to(torch.float32).to(device)
    leaves = inputs.leaves()
    together = te.skin(*leaves)
    grads = torch.autograd.grad(together, leaves[::2], inputs.grad)
    for i in (0, 5, 149):
        one = [leaves[0][i : i + 1].detach().requires_grad_(), leaves[1], leaves[2][i : i + 1].detach()]
        one[2].requires_grad_()
        alone = te.skin(*one)
        assert torch.equal(alone[0], together[i])
        for a, b in zip(torch.autograd.grad(alone, one[::2], inputs.grad[i : i + 1]), grads, strict=True):
            assert torch.equal(a[0], b[i])
