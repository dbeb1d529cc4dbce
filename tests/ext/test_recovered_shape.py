"""The pose's gradient recovers the shape before the pose from the result, where that is accurate enough."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from .cases import EPSILON, Case, assert_close, make

CASE = Case("a face", 1003, 13, 20, 11)


def rotations(batch: int, seed: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator, dtype=torch.float64)).Q


def poses(kind: str, batch: int) -> torch.Tensor:
    """Poses (B, 3, 4) in double precision: easy ones, and those from which a shape cannot be recovered."""
    turn = rotations(batch) * torch.linspace(0.5, 3, batch, dtype=torch.float64)[:, None, None]
    shift = torch.linspace(-60, 60, 3 * batch, dtype=torch.float64).reshape(batch, 3, 1)
    if kind == "mirrored":
        turn = turn * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    if kind == "flat":  # a projection loses the depth
        turn = turn * torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)[:, None]
    if kind == "nearly flat":
        turn = turn * torch.tensor([1.0, 1.0, 1e-4], dtype=torch.float64)[:, None]
    if kind == "zero":
        turn = turn * 0
    if kind == "far away":  # the translation uses up the result's digits
        shift = shift + 1e6
    if kind == "mixed":
        turn[::3, 2] = 0
        shift[1::3] += 1e6
    return torch.cat((turn, shift), dim=2).float().double()


def gradients(inputs, pose, dtype, posed):
    inputs = inputs.to(dtype)
    basis = inputs.basis(dtype)
    arguments = (inputs.grad, *basis.packed(), inputs.coefficients, pose.to(dtype), posed, True, True)
    return torch.ops.twodasl.vertices_backward(*arguments)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["easy", "mirrored", "flat", "nearly flat", "zero", "far away", "mixed"])
def test_against_the_reference(kind, dtype):
    exact = make(CASE)
    pose = poses(kind, CASE.batch)
    leaf = pose.clone().requires_grad_()
    posed = reference.vertices(exact.mean, exact.modes, exact.coefficients, leaf)
    (expected,) = torch.autograd.grad(posed, leaf, exact.grad)
    leaf = pose.abs().requires_grad_()
    sizes = reference.vertices(exact.mean.abs(), exact.modes.abs(), exact.coefficients.abs(), leaf)
    (scale,) = torch.autograd.grad(sizes, leaf, exact.grad.abs())
    inputs = exact.to(dtype)
    result = te.vertices(inputs.basis(dtype), inputs.coefficients, pose.to(dtype))
    _, grad = gradients(exact, pose, dtype, result)
    # As many roundings as when the shape is synthesized: recovering it adds a few and saves K.
    assert_close(grad, expected, scale, (CASE.modes + 32 + 16 + 8) * EPSILON[dtype])


def test_it_is_really_read_off_the_result():
    """A wrong result shows in the gradients of the faces that use it, and only in those."""
    inputs = make(CASE).to(torch.float32)
    pose = poses("mixed", CASE.batch)
    posed = te.vertices(inputs.basis(), inputs.coefficients, pose.float())
    _, right = gradients(inputs, pose, torch.float32, posed)
    _, wrong = gradients(inputs, pose, torch.float32, posed + 100.0)
    used = (right[:, :, :3] != wrong[:, :, :3]).flatten(1).any(dim=1)
    assert used.tolist() == [i % 3 == 2 for i in range(CASE.batch)]
    _, without = gradients(inputs, pose, torch.float32, None)
    assert torch.equal(right[~used], without[~used])


def test_a_face_does_not_depend_on_its_batch():
    inputs = make(CASE).to(torch.float32)
    pose = poses("mixed", CASE.batch).float()
    basis = inputs.basis()

    def run(part):
        leaves = [inputs.coefficients[part].requires_grad_(), pose[part].requires_grad_()]
        return torch.autograd.grad(te.vertices(basis, *leaves), leaves, inputs.grad[part])

    together = run(slice(None))
    for i in range(CASE.batch):
        for alone, whole in zip(run(slice(i, i + 1)), together, strict=True):
            assert torch.equal(alone[0], whole[i])


def test_writing_into_the_result_is_no_error():
    inputs = make(CASE).to(torch.float32)
    basis = inputs.basis()
    pose = poses("easy", CASE.batch).float()

    def gradient(write):
        leaf = pose.clone().requires_grad_()
        posed = te.vertices(basis, inputs.coefficients, leaf)
        if write:
            posed[..., 1] *= -1
        else:
            posed = posed * torch.tensor([1.0, -1.0, 1.0])
        posed.backward(inputs.grad)
        return leaf.grad

    torch.testing.assert_close(gradient(True), gradient(False), rtol=1e-5, atol=1e-2)


def test_the_result_lives_as_long_as_the_saved_tensors():
    inputs = make(CASE).to(torch.float32)
    leaf = poses("easy", CASE.batch).float().requires_grad_()
    posed = te.vertices(inputs.basis(), inputs.coefficients, leaf)
    node = posed.grad_fn
    (first,) = torch.autograd.grad(posed, leaf, inputs.grad, retain_graph=True)
    assert node.posed is not None
    (second,) = torch.autograd.grad(posed, leaf, inputs.grad)
    assert node.posed is None
    assert torch.equal(first, second)


def test_the_pose_alone_decides_whether_a_result_is_kept():
    inputs = make(CASE).to(torch.float32)
    posed = te.vertices(inputs.basis(), inputs.coefficients.requires_grad_(), inputs.pose)
    assert posed.grad_fn.posed is None
