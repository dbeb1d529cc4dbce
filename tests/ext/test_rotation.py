"""nearest_rotation against the float64 SVD, and its rule for matrices without a unique answer."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotations(count, seed):
    return reference.nearest_rotation(normal(count, 3, 3, seed=seed))


def with_singular_values(values, count=500, seed=1, reflected=False):
    """(count, 3, 3) of random singular vectors and these values, with determinant of the sign asked for."""
    left, right = rotations(count, seed), rotations(count, seed + 1)
    signed = torch.tensor(values, dtype=torch.float64)
    signed[2] = -signed[2] if reflected else signed[2]
    return (left * signed) @ right.mT


def assert_proper(result, tolerance):
    identity = torch.eye(3, dtype=torch.float64)
    result = result.double()
    assert (result @ result.mT - identity).abs().max() <= tolerance
    handedness = (torch.linalg.cross(result[:, 0], result[:, 1]) * result[:, 2]).sum(dim=1)
    assert (handedness - 1).abs().max() <= tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_random_covariances(dtype):
    """The answer is as sensitive as 1 / (s_2 + s_3), s_3 negative for a reflection: so is the bound."""
    matrices = normal(4000, 3, 3).to(dtype)
    result = te.nearest_rotation(matrices)
    assert result.dtype == dtype
    expected = reference.nearest_rotation(matrices.double())
    s = torch.linalg.svdvals(matrices.double())
    gap = s[:, 1] + torch.linalg.det(matrices.double()).sign() * s[:, 2]
    bound = 64 * 2.0**-53 * s[:, 0] / gap + torch.finfo(dtype).eps
    error = (result.double() - expected).abs().amax(dim=(1, 2))
    assert (error <= bound).all(), (error / bound).max()
    assert_proper(result, 16 * torch.finfo(dtype).eps)


@pytest.mark.parametrize(
    ("values", "reflected"),
    [
        ((1, 1, 1), False),  # any gap is wide
        ((1, 1, 1e-3), False),
        ((3, 1, 1), False),
        ((5, 2, 0), False),  # points in a plane
        ((5, 2, 1), True),
        ((5, 2, 1e-9), True),
        ((1e-150, 1e-151, 1e-152), False),  # squares vanish
        ((1e200, 1e199, 1e198), False),  # squares overflow
    ],
    ids=str,
)
def test_one_best_rotation(values, reflected):
    matrices = with_singular_values(values, reflected=reflected)
    result = te.nearest_rotation(matrices)
    scaled = matrices / matrices.abs().amax(dim=(1, 2), keepdim=True)
    assert (result - reference.nearest_rotation(scaled)).abs().max() <= 1e-12
    assert_proper(result, 1e-14)


@pytest.mark.parametrize(
    ("values", "reflected"),
    [((1, 0, 0), False), ((2, 1, 1), True), ((1, 1, 1), True), ((0, 0, 0), False), ((4, 1e-14, 0), False)],
    ids=str,
)
def test_many_best_rotations(values, reflected):
    """Rank 1, the zero matrix, and reflections whose two smaller singular values are equal."""
    matrices = with_singular_values(values, reflected=reflected)
    result = te.nearest_rotation(matrices)
    assert_proper(result, 1e-14)
    best = (reference.nearest_rotation(matrices) * matrices).sum(dim=(1, 2))
    # The value that is maximized is as good as the SVD's.
    assert ((result * matrices).sum(dim=(1, 2)) >= best - 1e-12 * max(values)).all()


def test_what_is_left_open_does_not_turn():
    """Of all rotations that take u to v the one about u x v turns least; zeros give the identity."""
    u, v = (torch.nn.functional.normalize(normal(300, 3, seed=s), dim=1) for s in (3, 4))
    result = te.nearest_rotation(v[:, :, None] * u[:, None])
    angle = (((result.diagonal(dim1=1, dim2=2).sum(dim=1) - 1) / 2).clamp(-1, 1)).acos()
    torch.testing.assert_close(angle, (u * v).sum(dim=1).acos(), rtol=0, atol=1e-7)
    torch.testing.assert_close((result @ u[..., None])[..., 0], v, rtol=0, atol=1e-12)
    assert torch.equal(te.nearest_rotation(torch.zeros(2, 3, 3)), torch.eye(3).expand(2, 3, 3))
    opposite = te.nearest_rotation(torch.diag(torch.tensor([-1.0, 0, 0])))
    assert_proper(opposite[None], 1e-6)
    assert opposite[0, 0] == -1


def test_a_rotation_is_its_own_nearest():
    given = rotations(1000, 7)
    torch.testing.assert_close(te.nearest_rotation(given), given, rtol=0, atol=1e-14)
    half_turns = torch.diag_embed(torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1]]))
    assert torch.equal(te.nearest_rotation(half_turns), half_turns)


def test_shapes_bad_numbers_and_arguments():
    matrices = normal(5, 3, 3)
    assert torch.equal(te.nearest_rotation(matrices[2]), te.nearest_rotation(matrices)[2])
    assert te.nearest_rotation(matrices[:0]).shape == (0, 3, 3)
    for bad in (torch.nan, torch.inf, -torch.inf):
        spoiled = matrices.clone()
        spoiled[3, 1, 2] = bad
        result = te.nearest_rotation(spoiled)
        assert result[3].isnan().all()
        assert torch.equal(result[:3], te.nearest_rotation(matrices)[:3])
    with pytest.raises(ValueError, match=r"^matrices: expected \(B, 3, 3\) or \(3, 3\), got \(3, 4\)$"):
        te.nearest_rotation(torch.zeros(3, 4))
    with pytest.raises(TypeError, match=r"^matrices: expected float32 or float64, got torch.int64$"):
        te.nearest_rotation(torch.zeros(3, 3, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"^matrices: expected a torch.Tensor, got list$"):
        te.nearest_rotation([[1.0]])
    assert not te.nearest_rotation(matrices.clone().requires_grad_()).requires_grad


def test_opcheck_vmap_and_threads():
    matrices = normal(2000, 3, 3)
    torch.library.opcheck(torch.ops.twodasl.nearest_rotation, (matrices[:4],))
    mapped = torch.func.vmap(te.nearest_rotation)(matrices.reshape(20, 100, 3, 3))
    assert torch.equal(mapped.reshape(-1, 3, 3), te.nearest_rotation(matrices))
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(te.nearest_rotation(matrices))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0], r) for r in results)
