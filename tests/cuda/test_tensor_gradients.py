"""The gradients of `vertices` on tensor cores: error against float64, bits, and what is not read."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from ..ext.cases import Case, make
from .operators import on
from .test_tensor_cores import UNIT, sizes_of

ops = torch.ops.twodasl


def roundings(vertices: int) -> tuple[int, int]:
    """How many unit roundoffs of the terms a coefficient's and the pose's gradient may lose.

    See csrc/cuda/vertices_tensor_gradient.h.
    """
    blocks = (vertices + 15) // 16
    stretches = (blocks + 383) // 384
    return 63 + stretches, 73 + stretches


def expected_of(exact, rounded) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
    """The gradients of coefficients and pose in double precision, and of the absolute values of all terms."""

    def run(mean, modes, coefficients, pose, grad):
        leaves = coefficients.clone().requires_grad_(), pose.clone().requires_grad_()
        return torch.autograd.grad(reference.vertices(mean, modes, *leaves), leaves, grad)

    terms = exact.mean, rounded, exact.coefficients, exact.pose, exact.grad
    return run(*terms), run(*(t.abs() for t in terms))


def gradients(basis, inputs, grad=None, posed=None, need=(True, True)):
    given = inputs.coefficients, inputs.pose
    return ops.vertices_backward(inputs.grad if grad is None else grad, *basis.packed(), *given, posed, *need)


@pytest.mark.parametrize("storage", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("vertices", "modes"), [(700, 5), (700, 55), (6200, 20)])
@pytest.mark.parametrize("kind", ["a face", "no mean", "all of one sign"])
def test_the_error_beside_that_of_multiply_adds(device, tensor_cores, kind, vertices, modes, storage):
    exact = sizes_of(kind, make(Case("error", vertices, modes, 4, 9 if vertices < 1000 else 3)))
    if kind == "all of one sign":
        exact.grad.abs_()
        exact.pose.abs_()
    inputs = on(exact.to(torch.float32), device)
    basis = inputs.basis(storage)
    expected, magnitude = expected_of(exact, exact.modes.to(storage).to(torch.float64))
    posed = te.vertices(basis, inputs.coefficients, inputs.pose)
    errors = []
    for tensor in (False, True):
        tensor_cores(tensor)
        found = gradients(basis, inputs, posed=posed)
        units = [
            (a.cpu().to(torch.float64) - b).abs() / (UNIT * size)
            for a, b, size in zip(found, expected, magnitude, strict=True)
        ]
        errors.append([(float(unit.square().mean().sqrt()), float(unit.max())) for unit in units])
    # Tensor cores cut toward zero. Where all terms have one sign, the cuts add up as the terms do, and the
    # roundings of multiply-adds cancel until little more is left than that of the result. With both signs,
    # sums are far smaller than their terms, and a few tenths of a unit are not worth comparing.
    least = (2.5, 4.0) if kind == "all of one sign" else (0.1, 0.3)
    for name, bound, usual, own in zip(("c", "pose"), roundings(vertices), *errors, strict=True):
        print(
            f"{kind}, {vertices} vertices, {modes} modes, {storage}, {name}: "
            f"RMS {usual[0]:.2f} and {own[0]:.2f}, most {usual[1]:.2f} and {own[1]:.2f} u"
        )
        assert own[1] <= bound
        assert own[0] <= max(2 * usual[0], least[0])
        assert own[1] <= max(2 * usual[1], least[1])


SIZES = [(1, 1, 1), (37, 0, 3), (17, 13, 65), (250, 29, 33), (130, 50, 70), (90, 56, 20), (100, 120, 18)]
"""Every number of tiles of columns and of pairs of warps, several groups of faces and chunks of modes."""


@pytest.mark.parametrize("storage", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_against_the_reference(device, tensor_cores, size, storage):
    tensor_cores(True)
    vertices, modes, batch = size
    exact = make(Case("sizes", vertices, modes, 1, batch))
    inputs = on(exact.to(torch.float32), device)
    found = gradients(inputs.basis(storage), inputs)
    expected, magnitude = expected_of(exact, exact.modes.to(storage).to(torch.float64))
    for a, b, size_of, bound in zip(found, expected, magnitude, roundings(vertices), strict=True):
        assert a.shape == b.shape
        assert ((a.cpu().to(torch.float64) - b).abs() <= bound * UNIT * size_of).all()


@pytest.mark.parametrize("size", [SIZES[2], SIZES[4], SIZES[6]], ids=str)
def test_a_face_has_the_bits_that_it_has_alone(device, tensor_cores, multiprocessors, size):
    tensor_cores(True)
    inputs = on(make(Case("alone", size[0], size[1], 1, size[2])).to(torch.float32), device)
    basis = inputs.basis()
    together = gradients(basis, inputs)
    multiprocessors(1)
    for a, b in zip(together, gradients(basis, inputs), strict=True):
        assert torch.equal(a, b)
    for i in (0, 15, 16, size[2] - 1):
        part = slice(i, i + 1)
        given = inputs.coefficients[part], inputs.pose[part], None, True, True
        alone = ops.vertices_backward(inputs.grad[part], *basis.packed(), *given)
        for a, b in zip(alone, together, strict=True):
            assert torch.equal(a[0], b[i])


@pytest.mark.parametrize(
    "make_grad",
    [
        lambda g: g.sum().expand(g.shape),
        lambda g: g[:, :1].expand(g.shape),
        lambda g: g[:1].expand(g.shape),
        lambda g: g[:, :, :1].expand(g.shape),
        lambda g: g.transpose(1, 2).contiguous().transpose(1, 2),
        lambda g: torch.cat((g, g), dim=2)[:, :, ::2],
        lambda g: torch.cat((g, g), dim=1)[:, 1 : g.shape[1] + 1],
    ],
    ids=["sum", "vertices", "faces", "axes", "transposed", "every other", "shifted"],
)
def test_strides_change_no_bit(device, tensor_cores, make_grad):
    tensor_cores(True)
    inputs = on(make(Case("strides", 83, 11, 1, 18)).to(torch.float32), device)
    basis, grad = inputs.basis(), make_grad(inputs.grad)
    expected = gradients(basis, inputs, grad.clone(memory_format=torch.contiguous_format))
    for a, b in zip(gradients(basis, inputs, grad), expected, strict=True):
        assert torch.equal(a, b)


def test_what_is_not_needed_is_not_there_and_changes_nothing(device, tensor_cores):
    tensor_cores(True)
    inputs = on(make(Case("needed", 83, 60, 1, 5)).to(torch.float32), device)
    basis = inputs.basis()
    coefficients, pose = gradients(basis, inputs)
    some = gradients(basis, inputs, need=(True, False))
    assert torch.equal(some[0], coefficients)
    assert some[1].shape == (0, 3, 4)
    some = gradients(basis, inputs, need=(False, True))
    assert torch.equal(some[1], pose)
    assert some[0].shape == (0, 60)


def test_the_result_is_not_read(device, tensor_cores):
    inputs = on(make(Case("result", 83, 11, 1, 5)).to(torch.float32), device)
    basis = inputs.basis()
    wrong = torch.full_like(inputs.grad, float("nan"))
    tensor_cores(True)
    for a, b in zip(gradients(basis, inputs, posed=wrong), gradients(basis, inputs), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.finfo(torch.float32).max], ids=str)
def test_a_gradient_that_is_not_finite_stays_in_its_face(device, tensor_cores, value):
    tensor_cores(True)
    inputs = on(make(Case("not finite", 100, 9, 1, 20)).to(torch.float32), device)
    basis, grad = inputs.basis(), inputs.grad.clone()
    grad[3, 41, 1] = value  # the largest rounds to infinity in tf32
    others = [i for i in range(20) if i != 3]
    for found, usual in zip(gradients(basis, inputs, grad), gradients(basis, inputs), strict=True):
        assert not found[3].isfinite().any(dim=-1).all()
        assert torch.equal(found[others], usual[others])


def test_the_choice_changes_bits_and_is_the_processs(device, tensor_cores):
    inputs = on(make(Case("choice", 300, 20, 1, 20)).to(torch.float32), device)
    basis = inputs.basis()
    results = []
    for tensor in (False, True, False, True):
        tensor_cores(tensor)
        results.append(gradients(basis, inputs))
    for first, second, third, fourth in zip(*results, strict=True):
        assert torch.equal(first, third)
        assert torch.equal(second, fourth)
        assert not torch.equal(first, second)


def test_float64_knows_no_tensor_cores(device, tensor_cores):
    inputs = on(make(Case("float64", 300, 20, 1, 20)), device)
    basis = inputs.basis()
    results = []
    for tensor in (False, True):
        tensor_cores(tensor)
        results.append(gradients(basis, inputs))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
