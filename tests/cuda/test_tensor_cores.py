"""`vertices` on tensor cores: its error against float64, beside that of the other kernels, and the choice."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te

from ..ext.cases import Case, make
from .operators import on
from .test_tiles import roundings

UNIT = 2.0**-24


def sizes_of(kind: str, inputs):
    """The same inputs with other shares of the mean in the sums."""
    if kind == "a face":  # the modes of a face move vertices by a few hundredths of its size
        inputs.coefficients *= 0.3
    if kind == "no mean":
        inputs.mean.zero_()
    if kind == "all of one sign":  # nothing cancels: every cut goes the same way
        inputs.mean.abs_()
        inputs.modes.abs_()
        inputs.coefficients.abs_()
    return inputs.to(torch.float32).to(torch.float64)


@pytest.mark.parametrize("storage", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("modes", [5, 55])
@pytest.mark.parametrize("kind", ["a face", "no mean", "all of one sign"])
def test_the_error_beside_that_of_multiply_adds(device, tensor_cores, kind, modes, storage):
    exact = sizes_of(kind, make(Case("error", 700, modes, 4, 9)))
    exact.pose[:] = torch.eye(3, 4, dtype=torch.float64)  # the pose is the same arithmetic in both
    inputs = on(exact.to(torch.float32), device)
    rounded = exact.modes.to(storage).to(torch.float64)
    terms = exact.coefficients, rounded
    expected = exact.mean + torch.einsum("bk,knc->bnc", *terms)
    magnitude = exact.mean.abs() + torch.einsum("bk,knc->bnc", *(t.abs() for t in terms))
    basis = inputs.basis(storage)
    errors = []
    for tensor in (False, True):
        tensor_cores(tensor)
        found = te.vertices(basis, inputs.coefficients, inputs.pose).cpu().to(torch.float64)
        error = (found - expected).abs()
        assert (error <= UNIT * roundings(modes, tensor) * magnitude).all()
        errors.append((error.square().mean().sqrt(), error.max()))
    (usual, usual_most), (mean, most) = errors
    units = [f"{float(x / (UNIT * magnitude.mean())):.2f}" for x in (usual, mean, usual_most, most)]
    # Five sums from zero leave multiply-adds little to lose: there the cuts of the tensor cores show.
    times = 3 if (kind, modes) == ("no mean", 5) else 2
    print(
        f"{kind}, {modes} modes, {storage}: RMS {units[0]} and {units[1]}, most {units[2]} and {units[3]} u"
    )
    assert mean <= times * usual
    assert most <= times * usual_most


def test_numbers_of_every_size_are_split(device, tensor_cores):
    """A face and a mode at a time: products over the whole range of exponents lose 8 u and a little."""
    tensor_cores(True)
    generator = torch.Generator().manual_seed(1)
    count = 64
    scale = 2.0 ** torch.linspace(-40, 40, count, dtype=torch.float64)
    modes = torch.randn(1, count, 3, generator=generator, dtype=torch.float64) * scale[None, :, None]
    modes = modes.to(torch.float32)
    coefficients = (
        torch.randn(5, 1, generator=generator) * torch.tensor([1e-20, 1e-3, 1.0, 1e3, 1e20])[:, None]
    )
    landmarks = torch.zeros(0, dtype=torch.int64)
    basis = te.MorphableBasis(torch.zeros(count, 3), modes, landmarks).to(device)
    pose = torch.eye(3, 4).expand(5, 3, 4).contiguous()
    found = te.vertices(basis, coefficients.to(device), pose.to(device)).cpu().to(torch.float64)
    expected = coefficients.to(torch.float64)[:, :, None] * modes.to(torch.float64)[0]
    assert ((found - expected).abs() <= 36 * UNIT * expected.abs()).all()


def test_what_is_not_finite_stays_in_its_face(device, tensor_cores):
    tensor_cores(True)
    inputs = on(make(Case("not finite", 100, 9, 4, 12)).to(torch.float32), device)
    basis = inputs.basis()
    expected = te.vertices(basis, inputs.coefficients, inputs.pose)
    largest = torch.finfo(torch.float32).max  # rounds to infinity in tf32
    for value in (float("nan"), float("inf"), -float("inf"), largest):
        coefficients = inputs.coefficients.clone()
        coefficients[3, 8] = value
        found = te.vertices(basis, coefficients, inputs.pose)
        others = [i for i in range(12) if i != 3]
        assert found[3].isnan().all()
        assert torch.equal(found[others], expected[others])


def test_the_choice_changes_bits_and_is_the_processs(device, tensor_cores):
    inputs = on(make(Case("choice", 300, 20, 4, 40)).to(torch.float32), device)
    basis = inputs.basis()
    results = []
    for tensor in (False, True, False, True):
        tensor_cores(tensor)
        results.append(te.vertices(basis, inputs.coefficients, inputs.pose))
    assert torch.equal(results[0], results[2])
    assert torch.equal(results[1], results[3])
    assert not torch.equal(results[0], results[1])


def test_float64_knows_no_tensor_cores(device, tensor_cores):
    inputs = on(make(Case("float64", 300, 20, 4, 40)), device)
    basis = inputs.basis()
    results = []
    for tensor in (False, True):
        tensor_cores(tensor)
        results.append(te.vertices(basis, inputs.coefficients, inputs.pose))
    assert torch.equal(*results)
