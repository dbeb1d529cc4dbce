"""k_nearest_neighbors against sorting all pairs, bit for bit: any cloud, any k, any number of threads."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from .test_nearest_neighbors import CLOUDS, DTYPES, SCALES, normal


def assert_exact(query, points, k, **keywords):
    distances, indices = te.k_nearest_neighbors(query, points, k, **keywords)
    expected = reference.k_nearest_neighbors(query, points, k, **keywords)
    assert torch.equal(indices, expected[1])
    assert torch.equal(distances, expected[0])
    assert distances.dtype == query.dtype
    return distances, indices


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", CLOUDS, ids=lambda c: c.__name__)
def test_brute_force(shape, dtype):
    for seed, k in enumerate((1, 2, 7, 8, 16, 33, 64)):
        generator = torch.Generator().manual_seed(seed)
        batch, queries, more = (int(torch.randint(1, n, (1,), generator=generator)) for n in (4, 90, 500))
        points = shape(generator, batch, k + more - 1, 3).to(dtype)
        other = CLOUDS[seed % len(CLOUDS)](generator, batch, queries, 3).to(dtype)
        distances, indices = assert_exact(other, points, k)
        first = te.nearest_neighbors(other, points)
        assert torch.equal(distances[..., 0], first[0])
        assert torch.equal(indices[..., 0], first[1])
        assert_exact(other + 1e10, points, k)  # so far that most distances are equal
        assert_exact(points[:, :queries], points, k)  # its own


def test_many_equally_far():
    """Ties at the last place, of points in many leaves and in any order."""
    for seed, (span, k) in enumerate(((3, 5), (6, 8), (9, 16), (14, 40), (30, 3))):
        generator = torch.Generator().manual_seed(seed)
        query, points = (torch.randint(0, span, (2, n, 3), generator=generator).float() for n in (300, 3000))
        points[1] = points[1, points[1, :, 0].argsort(descending=True)]
        assert_exact(query, points, k)
        assert_exact(query + 0.5, points, k)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_coordinates_of_any_scale(dtype):
    for seed, scale in enumerate(SCALES[dtype]):
        generator = torch.Generator().manual_seed(seed)
        query, points = (normal(generator, 2, n, 3).clamp(-3, 3) * scale for n in (40, 120))
        assert_exact(query.to(dtype), points.to(dtype), 9)
        assert_exact(query.to(dtype), points.to(dtype) / 1e10, 9)
        assert_exact(query.sign().to(dtype) * torch.finfo(dtype).max, points.to(dtype), 5)
        mixed = torch.cat((points / scale, points), 1).to(dtype)  # some overflow and some do not
        assert_exact((query / scale).to(dtype), mixed[:, 115:], 20)


def test_lengths_and_an_index():
    generator = torch.Generator().manual_seed(3)
    query, points = normal(generator, 4, 30, 3).float(), normal(generator, 4, 50, 3).float()
    lengths = torch.tensor([50, 20, 3, 0])
    for b in range(4):
        points[b, lengths[b] :] = torch.nan  # never read
    distances, indices = assert_exact(query, points, 8, lengths=lengths)
    assert torch.equal((indices >= 0).sum(-1), lengths.clamp(max=8)[:, None].expand(-1, 30))
    assert torch.equal(torch.isinf(distances), indices < 0)
    again = te.k_nearest_neighbors(query, te.PointIndex(points, lengths), 8)
    assert torch.equal(again[0], distances)
    assert torch.equal(again[1], indices)


def test_shapes_and_strides():
    generator = torch.Generator().manual_seed(4)
    query = normal(generator, 3, 40, 2).permute(2, 1, 0)
    points = normal(generator, 1, 90, 6)[..., ::2].expand(2, -1, -1)
    assert_exact(query, points, 6)
    assert_exact(query[0], points[0], 90 - 26)
    half = te.k_nearest_neighbors(query[0].half(), points[0].half(), 4)
    assert torch.equal(
        half[0], te.k_nearest_neighbors(query[0].half().float(), points[0].half().float(), 4)[0]
    )
    for empty in (torch.zeros(2, 0, 3), torch.zeros(0, 3)):
        many = torch.zeros(*empty.shape[:-2], 9, 3)
        assert te.k_nearest_neighbors(empty, many, 4)[0].shape == (*empty.shape[:-1], 4)


def test_threads_change_no_bit():
    before = torch.get_num_threads()
    generator = torch.Generator().manual_seed(5)
    query, points = normal(generator, 2, 2000, 3).float(), (normal(generator, 2, 1500, 3) * 9).round().float()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            leaves = [t.clone().requires_grad_() for t in (query, points)]
            distances, indices = te.k_nearest_neighbors(*leaves, 8)
            grads = torch.autograd.grad(distances, leaves, torch.linspace(-1, 1, 32000).reshape(2, 2000, 8))
            results.append((distances.detach(), indices, *grads))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_gradients():
    generator = torch.Generator().manual_seed(6)
    query, points = (normal(generator, 2, n, 3).requires_grad_() for n in (6, 7))
    lengths = torch.tensor([7, 2])

    def distances(q, p):
        found = te.k_nearest_neighbors(q, p, 3, lengths=lengths)[0]
        return torch.where(torch.isinf(found), 0.0, found)

    assert torch.autograd.gradcheck(distances, (query, points), check_forward_ad=True)
    expected = reference.k_nearest_neighbors(query, points, 3, lengths=lengths)[0]
    expected = torch.where(torch.isinf(expected), 0.0, expected)
    for needed in ([query, points], [query], [points]):
        ours = torch.autograd.grad(distances(query, points).sum(), needed)
        theirs = torch.autograd.grad(expected.sum(), needed, retain_graph=True)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)
    assert not te.k_nearest_neighbors(query, points, 2)[1].requires_grad
    first = torch.autograd.grad(distances(query, points).sum(), query, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="second derivative is not implemented"):
        torch.autograd.grad(first.sum(), query)


def test_transforms_compile_and_opcheck():
    generator = torch.Generator().manual_seed(7)
    query, points = normal(generator, 3, 20, 3), normal(generator, 3, 30, 3)
    expected = te.k_nearest_neighbors(query, points, 5)
    mapped = torch.func.vmap(lambda q, p: te.k_nearest_neighbors(q, p, 5))(query, points)
    torch._dynamo.reset()
    traced = torch.compile(te.k_nearest_neighbors, fullgraph=True, backend="aot_eager")(query, points, 5)
    for other in (mapped, traced):
        assert all(torch.equal(a, b) for a, b in zip(other, expected, strict=True))
    tree = te.PointIndex(points).tree
    for needs in ((False, False), (True, True), (True, False)):
        pair = [t.clone().requires_grad_(n) for t, n in zip((query, points), needs, strict=True)]
        torch.library.opcheck(torch.ops.twodasl.k_nearest_neighbors, (*pair, *tree, None, 5))


CLOUD = torch.zeros(2, 9, 3)
WRONG = {
    "too many": (ValueError, "k: expected at most 9, the number of points, got 10", (CLOUD, CLOUD, 10), {}),
    "none": (ValueError, "k: expected a number from 1 to 64, got 0", (CLOUD, CLOUD, 0), {}),
    "more than 64": (ValueError, "k: expected a number from 1 to 64, got 65", (CLOUD, CLOUD, 65), {}),
    "no number": (TypeError, "k: expected a number from 1 to 64, got 2.5", (CLOUD, CLOUD, 2.5), {}),
    "rank": (ValueError, r"points: expected \(B, N, 3\)", (CLOUD, CLOUD[0], 1), {}),
    "batch": (ValueError, r"points: expected \(2, P, 3\) for a query of 2", (CLOUD, CLOUD[:1], 1), {}),
    "dtype": (TypeError, "points: expected torch.float32 like query", (CLOUD, CLOUD.double(), 1), {}),
    "lengths": (
        ValueError,
        r"lengths: expected numbers in \[0, 9\], got 10",
        (CLOUD, CLOUD, 1),
        {"lengths": torch.tensor([9, 10])},
    ),
    "two lengths": (
        ValueError,
        "lengths: expected None with a PointIndex",
        (CLOUD, te.PointIndex(CLOUD), 1),
        {"lengths": torch.tensor([9, 9])},
    ),
    "query NaN": (ValueError, "query: expected finite numbers", (CLOUD / 0, CLOUD, 1), {}),
    "points NaN": (ValueError, "points: expected finite numbers", (CLOUD, CLOUD / 0, 1), {}),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arguments(kind):
    error, message, arguments, keywords = WRONG[kind]
    with pytest.raises(error, match=message):
        te.k_nearest_neighbors(*arguments, **keywords)
