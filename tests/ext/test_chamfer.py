"""Chamfer distances against the full distance matrix."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference


def clouds(dtype=torch.float64, seed=0, sizes=(40, 57)):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(3, n, 3, generator=generator, dtype=dtype) for n in sizes)


@pytest.mark.parametrize("squared", [True, False])
@pytest.mark.parametrize("name", ["chamfer_distance", "one_sided_distance"])
def test_values_and_gradients(name, squared):
    a, b = (c.requires_grad_() for c in clouds())
    value = getattr(te, name)(a, b, squared=squared)
    expected = getattr(reference, name)(a, b, squared=squared)
    # The same few operations in double precision; sums run in another order.
    torch.testing.assert_close(value, expected, rtol=1e-13, atol=0)
    weights = torch.tensor([1.0, -2, 0.5], dtype=torch.float64)
    for got, wanted in zip(
        torch.autograd.grad(value, (a, b), weights),
        torch.autograd.grad(expected, (a, b), weights),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-14)
    few = [c.requires_grad_() for c in clouds(sizes=(5, 7))]
    assert torch.autograd.gradcheck(lambda x, y: getattr(te, name)(x, y, squared=squared), few)


@pytest.mark.parametrize("squared", [True, False])
def test_lengths_leave_out_what_is_past_them(squared):
    a, b = clouds()
    a_lengths, b_lengths = torch.tensor([40, 1, 17]), torch.tensor([3, 57, 20], dtype=torch.int32)
    alone = [
        te.chamfer_distance(a[i : i + 1, :n], b[i : i + 1, :m], squared=squared)
        for i, (n, m) in enumerate(zip(a_lengths.tolist(), b_lengths.tolist(), strict=True))
    ]
    for i in range(3):  # values there are ignored
        a[i, a_lengths[i] :] = torch.nan
        b[i, b_lengths[i] :] = torch.inf
    a.requires_grad_()
    value = te.chamfer_distance(a, b, a_lengths=a_lengths, b_lengths=b_lengths, squared=squared)
    torch.testing.assert_close(value, torch.cat(alone), rtol=1e-13, atol=0)
    value.sum().backward()
    assert torch.isfinite(a.grad).all()
    assert (a.grad[1, 1:] == 0).all()


def test_the_same_cloud_is_at_distance_zero_with_gradient_zero():
    a = clouds()[0].requires_grad_()
    for squared in (True, False):
        value = te.chamfer_distance(a, a.detach().flip(1), squared=squared)
        assert (value == 0).all()
        assert (torch.autograd.grad(value.sum(), a)[0] == 0).all()


def test_single_clouds_and_a_point_against_many():
    a, b = clouds()
    assert torch.equal(te.chamfer_distance(a[0], b[0]), te.chamfer_distance(a, b)[0])
    origin, far = torch.zeros(1, 3), torch.tensor([[3.0, 4, 0], [0, 0, 1]])
    assert te.one_sided_distance(origin, far) == 1
    assert te.one_sided_distance(far, origin) == 13
    assert te.one_sided_distance(far, origin, squared=False) == 3
    assert te.chamfer_distance(far, origin) == 14


def test_errors():
    a, b = clouds()
    with pytest.raises(ValueError, match=r"expected"):
        te.chamfer_distance(a, b[..., :2])
    with pytest.raises(TypeError, match=r"expected torch.float64"):
        te.chamfer_distance(a, b.float())
    spoiled = a.clone()
    spoiled[2, 5, 1] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        te.chamfer_distance(spoiled, b)
    with pytest.raises(ValueError, match=r"^a_lengths: expected lengths in \[1, 40\], got 0"):
        te.chamfer_distance(a, b, a_lengths=torch.tensor([40, 0, 3]))
