"""nearest_neighbors against brute force, bit for bit: any cloud, any hint, any number of threads."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import twodasl_ext as te
from twodasl_ext import reference

DTYPES = [torch.float32, torch.float64]


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def sphere(generator, *shape):
    points = normal(generator, *shape)
    return points / points.norm(dim=-1, keepdim=True)


def clusters(generator, *shape):
    """Crowds of every size from 1 to 1e-30, and an outlier: no grid of one size tells them apart."""
    scale = 10.0 ** -torch.randint(0, 31, shape[:-1], generator=generator)
    points = normal(generator, *shape) * scale[..., None]
    points[:, :1] = 1e6
    return points


def lattice(generator, *shape):
    """Many equal points, and many equal distances between different ones."""
    return (normal(generator, *shape) * 2).round()


def line(generator, *shape):
    return normal(generator, *shape[:-1], 1) * torch.tensor([1.0, 2.0, -3.0], dtype=torch.float64)


def plane(generator, *shape):
    points = normal(generator, *shape)
    points[..., 2] = 0.25
    return points


def one_place(generator, *shape):
    return normal(generator, 1, 1, 3).expand(shape)


def two_places(generator, *shape):
    return torch.randint(0, 2, (*shape[:-1], 1), generator=generator).double().expand(shape)


def zeros(generator, *shape):
    """Of both signs."""
    return torch.where(normal(generator, *shape) > 0, 0.0, -0.0)


def missing(generator, *shape):
    """A scan whose missing points are (0, 0, 0)."""
    return normal(generator, *shape) * (normal(generator, *shape[:-1], 1) > 0)


def crowds(generator, *shape):
    """Many points in a few places."""
    return normal(generator, 7, 3)[torch.randint(0, 7, shape[:-1], generator=generator)]


def backwards(generator, *shape):
    """A line whose last point comes first on the curve."""
    return torch.linspace(1, 0, shape[-2], dtype=torch.float64)[:, None].expand(shape)


CLOUDS = [normal, sphere, clusters, lattice, line, plane, one_place, two_places, zeros]
CLOUDS += [missing, crowds, backwards]


def assert_exact(query, points, **keywords):
    distances, indices = te.nearest_neighbors(query, points, **keywords)
    expected = reference.nearest_neighbors(query, points, **keywords)
    assert torch.equal(indices, expected[1])
    assert torch.equal(distances, expected[0])
    assert distances.dtype == query.dtype
    return distances, indices


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", CLOUDS, ids=lambda c: c.__name__)
def test_brute_force(shape, dtype):
    for seed in range(20):
        generator = torch.Generator().manual_seed(seed)
        batch, queries, count = (int(torch.randint(1, n, (1,), generator=generator)) for n in (4, 90, 600))
        points = shape(generator, batch, count, 3).to(dtype)
        other = CLOUDS[seed % len(CLOUDS)](generator, batch, queries, 3).to(dtype)
        assert_exact(other, points)  # not aligned
        assert_exact(other + 1000, points)  # far away
        assert_exact(other + 1e10, points)  # so far that most distances are equal
        assert_exact(points[:, torch.randint(0, count, (queries,), generator=generator)], points)  # its own
        near = points[:, :queries] + 1e-3 * normal(generator, batch, min(queries, count), 3).to(dtype)
        assert_exact(near, points)


SCALES = {
    torch.float32: (1e-38, 1e-20, 1e18, 1e20, 1e38),
    torch.float64: (1e-300, 1e-160, 1e152, 1e155, 1e307),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_coordinates_of_any_scale(dtype):
    """Squares that vanish are ties; squares that overflow everywhere give infinity and still the nearest."""
    scales = SCALES[dtype]
    for seed, scale in enumerate(scales):
        generator = torch.Generator().manual_seed(seed)
        query, points = (normal(generator, 2, n, 3).clamp(-3, 3) * scale for n in (70, 300))
        distances, _ = assert_exact(query.to(dtype), points.to(dtype))
        assert torch.isinf(distances).any() == (scale in scales[3:])
        assert_exact(query.to(dtype), points.to(dtype) / 1e10)
        assert_exact(query.to(dtype) / 1e10, points.to(dtype))
        assert_exact(query.sign().to(dtype) * torch.finfo(dtype).max, points.to(dtype))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_sizes_lengths_and_hints(data):
    batch, queries = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 40))
    count = data.draw(st.one_of(st.integers(0, 40), st.sampled_from([255, 256, 257, 4095, 4096, 4097])))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    dtype = data.draw(st.sampled_from(DTYPES))
    cloud = data.draw(st.sampled_from(CLOUDS))
    points, query = (cloud(generator, batch, n, 3).to(dtype) for n in (count, queries))
    lengths = torch.tensor([data.draw(st.integers(0, count)) for _ in range(batch)], dtype=torch.int64)
    asked = [data.draw(st.integers(0, queries)) if lengths[b] else 0 for b in range(batch)]
    asked = torch.tensor(asked, dtype=torch.int64)
    points, query = points.clone(), query.clone()
    hint = torch.full((batch, queries), -1)
    for b in range(batch):  # points past the end are never read
        points[b, lengths[b] :] = torch.nan
        query[b, asked[b] :] = torch.inf
        if asked[b]:
            hint[b, : asked[b]] = torch.randint(0, int(lengths[b]), (int(asked[b]),), generator=generator)
    _, indices = assert_exact(query, points, lengths=lengths, query_lengths=asked, hint=hint)
    assert (indices >= 0).sum() == asked.sum()
    index = te.PointIndex(points, lengths.to(torch.int32))
    again = te.nearest_neighbors(query, index, query_lengths=asked.to(torch.int32), hint=indices)
    assert torch.equal(again[1], indices)


def test_many_points():
    """Against brute force for some of the queries: a crowd of equal points must not cost all pairs either."""
    generator = torch.Generator().manual_seed(1)
    for cloud in (sphere, clusters, one_place, two_places):
        points = cloud(generator, 1, 300_000, 3).float()[0]
        query = (points[::3] + 0.01).contiguous()
        distances, indices = te.nearest_neighbors(query, points)
        some = torch.arange(0, len(query), 5000)
        expected = reference.nearest_neighbors(query[some], points)
        assert torch.equal(distances[some], expected[0])
        assert torch.equal(indices[some], expected[1])


# query, points: of many points that are equally far only the lowest index counts, which no distance tells.
EQUALLY_FAR = {
    "one place": lambda q, p: (q, 0 * p),
    "one place and in it": lambda q, p: (0 * q, 0 * p),
    "missing points": lambda q, p: (q, p * (p[:, :1] > 0)),
    "near the missing points": lambda q, p: (1e-3 * q, p * (p[:, :1] > 0)),
    "missing on both sides": lambda q, p: (q * (q[:, :1] > 0), p * (p[:, :1] > 0)),
    "crowds": lambda q, p: (q, p[torch.arange(len(p)) % 1000]),
    "equal queries": lambda q, p: (0 * q + 1, p),
    "far away": lambda q, p: (q + 1e10, p),
    "far away, last one first": lambda q, p: (q + 1e10, p[p[:, 0].argsort(descending=True)]),
    "squares that vanish": lambda q, p: (1e-25 * q, 1e-25 * p),
    "squares that overflow": lambda q, p: (1e30 * q, 1e30 * p),
    "an outlier on both sides": lambda q, p: (torch.cat((q[:1] + 1e9, q)), torch.cat((p[:1] - 1e9, p))),
}


@pytest.mark.parametrize("kind", EQUALLY_FAR)
def test_equal_distances_do_not_cost_all_pairs(kind):
    """Within 3 times of other points, and here 8: visiting all leaves takes 30 times as long."""
    generator = torch.Generator().manual_seed(11)
    query, points = normal(generator, 3000, 3).float(), normal(generator, 800_000, 3).float()

    def timed(query, points):
        index, best = te.PointIndex(points), torch.inf
        for _ in range(3):
            start = time.thread_time()  # CPU time of this thread, which other programs do not affect
            found = te.nearest_neighbors(query, index)
            best = min(best, time.thread_time() - start)
        hint = torch.randint(0, len(points), (len(query),), generator=generator)
        assert torch.equal(te.nearest_neighbors(query, index, hint=hint)[1], found[1])
        some = slice(None, None, 300)
        expected = reference.nearest_neighbors(query[some].contiguous(), points)
        assert torch.equal(found[0][some], expected[0])
        assert torch.equal(found[1][some], expected[1])
        return best

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        ratio = timed(*EQUALLY_FAR[kind](query, points)) / timed(query, points)
    finally:
        torch.set_num_threads(before)
    assert ratio < 8


def test_single_clouds_and_half_precision():
    generator = torch.Generator().manual_seed(2)
    query, points = normal(generator, 30, 3).half(), normal(generator, 50, 3).half()
    distances, indices = te.nearest_neighbors(query, points)
    assert distances.dtype == torch.float32
    assert distances.shape == indices.shape == (30,)
    expected = reference.nearest_neighbors(query.float(), points.float())
    assert torch.equal(indices, expected[1])
    assert torch.equal(te.nearest_neighbors(query, te.PointIndex(points), hint=indices)[0], expected[0])


def test_strides_do_not_matter():
    generator = torch.Generator().manual_seed(3)
    query = normal(generator, 3, 40, 2).permute(2, 1, 0)
    points = normal(generator, 1, 90, 6)[..., ::2].expand(2, -1, -1)
    assert_exact(query, points)


def test_threads_change_no_bit():
    before = torch.get_num_threads()
    generator = torch.Generator().manual_seed(4)
    query, points = normal(generator, 2, 5000, 3).float(), lattice(generator, 2, 3000, 3).float()
    results = []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            leaves = [t.clone().requires_grad_() for t in (query, points)]
            distances, indices = te.nearest_neighbors(*leaves)
            grads = torch.autograd.grad(distances, leaves, torch.linspace(-1, 1, 10000).reshape(2, 5000))
            results.append((distances.detach(), indices, *grads))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_gradients():
    generator = torch.Generator().manual_seed(5)
    query, points = (normal(generator, 2, n, 3).requires_grad_() for n in (12, 7))
    lengths, asked = torch.tensor([7, 5]), torch.tensor([9, 12])

    def distances(q, p):
        return te.nearest_neighbors(q, p, lengths=lengths, query_lengths=asked)[0]

    assert torch.autograd.gradcheck(distances, (query, points), check_forward_ad=True)
    expected = reference.nearest_neighbors(query, points, lengths=lengths, query_lengths=asked)[0]
    for needed in ([query, points], [query], [points]):
        ours = torch.autograd.grad(distances(query, points).sum(), needed)
        theirs = torch.autograd.grad(expected.sum(), needed, retain_graph=True)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)
    index = te.PointIndex(points.detach())
    grad = torch.autograd.grad(te.nearest_neighbors(query, index)[0].sum(), query)[0]
    assert grad.shape == query.shape
    assert not te.nearest_neighbors(query, points)[1].requires_grad
    first = torch.autograd.grad(distances(query, points).sum(), query, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="second derivative is not implemented"):
        torch.autograd.grad(first.sum(), query)


def test_a_point_that_all_queries_share_adds_them_in_double_precision():
    query = torch.full((40_000, 3), 0.1)
    points = torch.zeros(1, 3, requires_grad=True)
    te.nearest_neighbors(query, points)[0].sum().backward()
    torch.testing.assert_close(points.grad, torch.full((1, 3), -8000.0), rtol=1e-6, atol=0)
