"""vertices on CUDA: every kernel and tile gives a face the same bits as alone."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from ..ext.cases import EPSILON, Case, assert_close, make
from ..ext.test_offset_basis import STORAGES, check_all
from .test_tiles import ON_TENSOR_CORES, roundings

ops = torch.ops.twodasl
# Vertices come in tiles of 64 or 32 and are written in rows that begin anywhere within 16 bytes; faces come
# in tiles of 1 to 64, where there are vertices enough for them; coefficients in stretches of 64 or 128 modes.
SIZES = [
    (1024, 16, 33),
    (1025, 17, 65),
    (1343, 65, 20),
    (1086, 8, 100),
    (2047, 3, 9),
    (4100, 5, 5),
    (63, 130, 7),
    (65, 129, 3),
]


@pytest.fixture(params=ON_TENSOR_CORES)
def tensor(request, tensor_cores) -> bool:
    """Whether the tensor cores multiply."""
    tensor_cores(request.param)
    return request.param


def at(size, device, dtype=torch.float32):
    vertices, modes, batch = size
    inputs = make(Case("tiles", vertices, modes, 4, batch)).to(dtype)
    return type(inputs)(**{name: tensor.to(device) for name, tensor in vars(inputs).items()})


@pytest.mark.parametrize("storage", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_face_has_the_bits_that_it_has_alone(device, tensor, size, storage):
    inputs = at(size, device, torch.float64 if storage == torch.float64 else torch.float32)
    basis = inputs.basis(storage)
    together = te.vertices(basis, inputs.coefficients, inputs.pose)
    for i in {0, 1, size[2] // 2, size[2] - 1}:
        alone = te.vertices(basis, inputs.coefficients[i : i + 1], inputs.pose[i : i + 1])
        assert torch.equal(alone[0], together[i])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_against_the_reference(device, tensor, size):
    inputs = at(size, device)
    exact = inputs.to(torch.float64)
    expected = reference.vertices(exact.mean, exact.modes, exact.coefficients, exact.pose)
    shape = exact.mean.abs() + torch.einsum("bk,knc->bnc", exact.coefficients.abs(), exact.modes.abs())
    scale = torch.einsum("brc,bnc->bnr", exact.pose[..., :3].abs(), shape) + exact.pose[:, None, :, 3].abs()
    # Of multiply-adds K + 1 roundings in the sum of the modes and four in the pose, each at most one unit of
    # the magnitude.
    # `roundings` has one more, for modes that were rounded to be stored.
    bound = (roundings(size[1], tensor) - 1) * EPSILON[torch.float32]
    assert_close(te.vertices(inputs.basis(), inputs.coefficients, inputs.pose), expected, scale, bound)


@pytest.mark.parametrize("size", [SIZES[0], SIZES[3], SIZES[6]], ids=str)
@pytest.mark.parametrize("offset", [0, 1, 2, 3])
def test_nothing_around_the_result_is_touched(device, tensor, size, offset):
    inputs = at(size, device)
    basis = inputs.basis()
    expected = te.vertices(basis, inputs.coefficients, inputs.pose)
    memory = torch.full((expected.numel() + 8,), 7.0, device=device)
    out = memory[offset : offset + expected.numel()].view(expected.shape)
    te.vertices(basis, inputs.coefficients, inputs.pose, out=out)
    assert torch.equal(out, expected)
    assert (memory[:offset] == 7).all()
    assert (memory[offset + expected.numel() :] == 7).all()


@pytest.mark.parametrize("storage", STORAGES, ids=str)
def test_a_basis_may_begin_anywhere(gpu, storage):
    check_all(gpu, storage)  # the emulator has tests/ext/test_offset_basis.py


@pytest.mark.parametrize("batch", [17, 300])
def test_gradients_in_tiles_of_every_size_have_the_same_bits(device, tensor, batch):
    inputs = at((130, 45, batch), device)
    basis = inputs.basis()
    posed = te.vertices(basis, inputs.coefficients, inputs.pose)
    packed = basis.packed()

    def gradients(faces, posed, grad):
        given = inputs.coefficients[faces], inputs.pose[faces]
        return ops.vertices_backward(grad, *packed, *given, posed, True, True)

    strided = inputs.grad.transpose(1, 2).contiguous().transpose(1, 2)
    for result in (posed, None):
        together = gradients(slice(None), result, inputs.grad)
        for a, b in zip(together, gradients(slice(None), result, strided), strict=True):
            assert torch.equal(a, b)
        for i in (0, 16, batch - 1):
            part = slice(i, i + 1)
            alone = gradients(part, None if result is None else result[part], inputs.grad[part])
            for a, b in zip(alone, together, strict=True):
                assert torch.equal(a[0], b[i])


def test_a_face_that_is_not_finite_spoils_no_other(device, tensor):
    inputs = at((1025, 6, 20), device)
    basis = inputs.basis()
    expected = te.vertices(basis, inputs.coefficients, inputs.pose)
    coefficients, pose = inputs.coefficients.clone(), inputs.pose.clone()
    coefficients[3, 2], pose[11, 1, 3] = float("nan"), float("inf")
    leaves = coefficients.requires_grad_(), pose.requires_grad_()
    result = te.vertices(basis, *leaves)
    gradients = torch.autograd.grad(result, leaves, inputs.grad)
    plain = inputs.coefficients.clone().requires_grad_(), inputs.pose.clone().requires_grad_()
    usual = torch.autograd.grad(te.vertices(basis, *plain), plain, inputs.grad)
    others = [i for i in range(20) if i not in (3, 11)]
    assert result[3].isnan().all()
    assert torch.equal(result[others], expected[others])
    for a, b in zip(gradients, usual, strict=True):
        assert torch.equal(a[others], b[others])
