"""nearest_neighbors on the CUDA kernels: sizes at every level, trees on both devices, unchecked values."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

SIZES = [1, 15, 16, 17, 255, 256, 257, 4096, 4097]
OPS = torch.ops.twodasl


def random(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def assert_exact(device, query, points, **keywords):
    """Against brute force on the CPU, bit for bit."""
    given = {name: value.to(device) for name, value in keywords.items()}
    distances, indices = te.nearest_neighbors(query.to(device), points.to(device), **given)
    expected = reference.nearest_neighbors(query, points, **keywords)
    assert torch.equal(indices.cpu(), expected[1])
    assert torch.equal(distances.cpu(), expected[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("points", SIZES)
def test_sizes_around_every_level(device, points, dtype):
    for queries in (1, 7, 8, 9, 17):
        assert_exact(device, random(1, 2, queries, 3, dtype=dtype), random(points, 2, points, 3, dtype=dtype))


def test_no_queries_no_points_no_elements(device):
    for batch, queries, points in ((0, 3, 3), (2, 0, 3), (2, 0, 0), (0, 0, 0)):
        query, cloud = (
            torch.zeros(batch, n, 3, device=device, requires_grad=True) for n in (queries, points)
        )
        distances, indices = te.nearest_neighbors(query, cloud)
        assert distances.shape == indices.shape == (batch, queries)
        distances.sum().backward()
        assert not query.grad.any()
        assert not cloud.grad.any()


def test_ragged_batches(device):
    lengths, asked = torch.tensor([300, 1, 16, 257, 17]), torch.tensor([40, 0, 9, 1, 33])
    query, points = random(2, 5, 40, 3), random(3, 5, 300, 3)
    hint = torch.arange(200).reshape(5, 40) % lengths[:, None]
    for b in range(5):
        query[b, asked[b] :] = torch.nan
        points[b, lengths[b] :] = torch.nan
    assert_exact(device, query, points, lengths=lengths, query_lengths=asked)
    assert_exact(device, query, points, lengths=lengths, query_lengths=asked, hint=hint)


@pytest.mark.parametrize("batch", [2048, 2049])
def test_batches_around_the_keys_width(device, batch):
    """Queries are sorted by keys of 32 bits, of 64 where the batch's number takes more than eleven."""
    assert_exact(device, random(1, batch, 18, 3), random(2, batch, 2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_ties_and_crowds(device, dtype):
    """Equal points, equal distances, crowds that one grid cannot tell apart."""
    query = random(4, 1, 50, 3, dtype=dtype)
    vanishing = torch.finfo(dtype).tiny ** 0.7
    clouds = {
        "lattice": (random(5, 1, 700, 3) * 2).round(),
        "one place": torch.full((1, 5000, 3), 0.3),
        "two places": (random(6, 1, 700, 1) > 0).expand(-1, -1, 3) * 1.0,
        "clusters": random(7, 1, 700, 3) * 10.0 ** -(torch.arange(700) % 30)[None, :, None],
        "an outlier": torch.cat((random(8, 1, 700, 3), torch.full((1, 1, 3), 1e6)), dim=1),
        "zeros of both signs": torch.zeros(1, 300, 3) * random(9, 1, 300, 3).sign(),
        "missing points": random(12, 1, 700, 3) * (random(13, 1, 700, 1) > 0),
        "a line whose end comes first": torch.linspace(1, 0, 700)[None, :, None].expand(-1, -1, 3),
    }
    for points in clouds.values():
        points = points.to(dtype)
        assert_exact(device, query, points)
        assert_exact(device, (query * 2).round(), points)
        assert_exact(device, points[:, ::17].contiguous(), points)
        assert_exact(device, query + 1e10, points)  # so far that most distances are equal
        assert_exact(device, query * vanishing, points * vanishing)  # and so small


def test_a_tree_serves_both_devices(device):
    points, query = random(10, 2, 500, 3), random(11, 2, 40, 3)
    lengths = torch.tensor([500, 77])
    expected = reference.nearest_neighbors(query, points, lengths=lengths)
    here = te.PointIndex(points, lengths)
    there = te.PointIndex(points.to(device), lengths.to(device))
    for index, where in ((here.to(device), device), (there.cpu(), torch.device("cpu"))):
        distances, indices = te.nearest_neighbors(query.to(where), index)
        assert torch.equal(distances.cpu(), expected[0])
        assert torch.equal(indices.cpu(), expected[1])


def test_the_tree_holds_every_point_once(device):
    points, lengths = random(12, 3, 300, 3), torch.tensor([300, 0, 41])
    tree = OPS.neighbor_tree(points.to(device), lengths.to(device), False)
    leaves, ids, boxes, lowest = (part.cpu() for part in tree)
    for b, length in enumerate(lengths.tolist()):
        real = ids[b] < 2**31 - 1
        assert torch.equal(ids[b][real].sort().values, torch.arange(length, dtype=torch.int32))
        assert torch.equal(leaves[b].transpose(1, 2)[real], points[b, ids[b][real].long()])
        assert (ids[b].diff(dim=1) >= 0).all()  # ascending in a leaf
        inside = leaves[b][:16].transpose(1, 2)  # (16 leaves, points, 3) under node 0 of level 1
        low, high = boxes[b, 0, :3].T[:, None], boxes[b, 0, 3:].T[:, None]
        there = real[:16]
        assert (((inside >= low) & (inside <= high)).all(dim=2) | ~there).all()
        assert torch.equal(lowest[b, 0], ids[b][:16].amin(dim=1))


BAD = [torch.nan, torch.inf, -torch.inf]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_cloud_that_is_not_finite_answers_nan(device, axis, bad):
    """Also 300 points, whose tree has two levels."""
    for count in (20, 300):
        query, points = random(13, 3, 20, 3), random(14, 3, count, 3)
        points[1, 7, axis] = bad
        distances, indices = (t.cpu() for t in te.nearest_neighbors(query.to(device), points.to(device)))
        assert distances[1].isnan().all()
        assert (indices[1] == -1).all()
        for b in (0, 2):
            expected = reference.nearest_neighbors(query[b], points[b])
            assert torch.equal(distances[b], expected[0])
            assert torch.equal(indices[b], expected[1])


@pytest.mark.parametrize("bad", BAD)
def test_a_query_that_is_not_finite_gets_nan(device, bad):
    query, points = random(15, 1, 40, 3), random(16, 1, 100, 3)
    expected = reference.nearest_neighbors(query, points)
    query[0, 5, 0] = query[0, 38, 2] = bad
    distances, indices = (t.cpu() for t in te.nearest_neighbors(query.to(device), points.to(device)))
    wrong = ~query.isfinite().all(dim=2)
    assert wrong.sum() == 2
    assert distances[wrong].isnan().all()
    assert (indices[wrong] == -1).all()
    assert torch.equal(distances[~wrong], expected[0][~wrong])
    assert torch.equal(indices[~wrong], expected[1][~wrong])


def test_lengths_out_of_range_answer_nan(device):
    query, points = random(17, 5, 20, 3), random(18, 5, 50, 3)
    lengths, asked = torch.tensor([50, 51, -1, 0, 50]), torch.tensor([20, 20, 20, 20, 21])
    distances, indices = (
        t.cpu()
        for t in te.nearest_neighbors(
            query.to(device), points.to(device), lengths=lengths.to(device), query_lengths=asked.to(device)
        )
    )
    expected = reference.nearest_neighbors(query[0], points[0])
    assert torch.equal(distances[0], expected[0])
    assert torch.equal(indices[0], expected[1])
    assert distances[1:].isnan().all()
    assert (indices[1:] == -1).all()


def test_hints_that_are_none_are_ignored(device):
    query, points, lengths = random(19, 1, 40, 3), random(20, 1, 90, 3), torch.tensor([60])
    expected = reference.nearest_neighbors(query, points, lengths=lengths)
    points[:, 60:] = query[:, :30]  # nearest of all, but padding
    for hint in (-1, 60, 89, 90, 2**40, -(2**63)):
        given = torch.full((1, 40), hint, device=device)
        distances, indices = te.nearest_neighbors(
            query.to(device), points.to(device), lengths=lengths.to(device), hint=given
        )
        assert torch.equal(distances.cpu(), expected[0])
        assert torch.equal(indices.cpu(), expected[1])


def test_views_that_begin_anywhere(device):
    query, points = random(21, 1, 30, 3).to(device), random(22, 1, 300, 3).to(device)
    expected = reference.nearest_neighbors(query, points)
    tree = []
    for part in OPS.neighbor_tree(points, None, False):
        room = part.new_empty(part.numel() + 1)[1:].view(part.shape)
        tree.append(room.copy_(part))
    distances, indices = OPS.nearest_neighbors_forward(query, points, *tree, None, None, None)
    assert torch.equal(distances, expected[0])
    assert torch.equal(indices, expected[1])


def gradients(device, grad, query, points, index):
    return [t.cpu() for t in OPS.nearest_neighbors_backward(
        *(t.to(device) for t in (grad, query, points, index)), True, True
    )]  # fmt: skip


@pytest.mark.parametrize("queries", [1, 7, 8, 9, 255, 256, 257, 3000, 40_000])
@pytest.mark.parametrize("shared", ["one", "two", "some", "each", "many and few"])
def test_sums_over_a_points_queries(device, queries, shared):
    """Runs of one point inside of a thread, of a warp, and over many of them."""
    query, grad, points = random(23, 2, queries, 3), random(24, 2, queries), random(25, 2, 500, 3)
    number = torch.arange(queries)
    chosen = {
        "one": torch.full((queries,), 499),
        "two": number % 2 * 300,
        "some": number * 7919 % 13 - 1,
        "each": number % 500,
        "many and few": torch.where(number % 5 == 0, number % 500, 250),
    }
    index = chosen[shared].expand(2, -1).contiguous()
    grad_query, grad_points = gradients(device, grad, query, points, index)
    nearest = points.gather(1, index.clamp(min=0)[..., None].expand(-1, -1, 3))
    pair = torch.where(index[..., None] >= 0, 2 * grad[..., None] * (query - nearest), 0.0)
    torch.testing.assert_close(grad_query, pair, rtol=1e-6, atol=0)
    sums = torch.zeros(2, 501, 3, dtype=torch.float64)
    sums.scatter_add_(1, (index % 501)[..., None].expand(-1, -1, 3), -pair.double())
    # The terms are rounded to float32 before they are added in double precision, and the sum once more.
    bound = torch.zeros_like(sums)
    bound.scatter_add_(1, (index % 501)[..., None].expand(-1, -1, 3), pair.double().abs())
    assert ((grad_points - sums[:, :500]).abs() <= 3e-7 * bound[:, :500]).all()
    alone = gradients(device, grad[1:], query[1:], points[1:], index[1:])
    assert torch.equal(alone[1][0], grad_points[1])  # whatever the rest of the batch
    again = gradients(device, grad, query, points, index)
    assert torch.equal(again[1], grad_points)


def test_an_index_out_of_range_is_nan_for_its_query_alone(device):
    query, grad, points = random(26, 1, 6, 3), random(27, 1, 6), random(28, 1, 4, 3)
    index = torch.tensor([[0, 4, -2, 2**40, -1, 3]])
    grad_query, grad_points = gradients(device, grad, query, points, index)
    assert grad_query[0, 1:4].isnan().all()
    assert (grad_query[0, 4] == 0).all()
    torch.testing.assert_close(grad_query[0, 5], 2 * grad[0, 5] * (query[0, 5] - points[0, 3]))
    assert (grad_points[0, 1:3] == 0).all()
    torch.testing.assert_close(grad_points[0, 0], -2 * grad[0, 0] * (query[0, 0] - points[0, 0]))


def test_a_wrong_tree_reads_nothing_outside(device):
    """A direct call may pass any tree: no number in it is used as an address."""
    query, points = random(29, 1, 40, 3).to(device), random(30, 1, 500, 3).to(device)
    leaves, ids, boxes, lowest = OPS.neighbor_tree(points, None, False)
    for wrong in (
        (leaves, torch.full_like(ids, 2**30), boxes, lowest),
        (leaves, torch.full_like(ids, -5), boxes, lowest),
        (leaves * torch.nan, ids, boxes * torch.nan, lowest),
        (leaves, ids, torch.zeros_like(boxes), lowest),
        (leaves, ids, boxes, torch.full_like(lowest, -(2**31))),
    ):
        distances, indices = OPS.nearest_neighbors_forward(query, points, *wrong, None, None, None)
        assert ((indices >= -1) & (indices < 500)).all()
        assert (distances.isnan() == (indices == -1)).all()


def test_nothing_is_read_or_waited_for(gpu):
    """All of it, including gradients, can be captured in a CUDA graph and replayed with other values."""
    query, points = (random(n, 2, n, 3).to(gpu).requires_grad_() for n in (700, 900))

    def step():
        distances, indices = te.nearest_neighbors(query, points)
        return distances, indices, *torch.autograd.grad(distances.sum(), (query, points))

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step()
    with torch.no_grad():
        query.copy_(random(33, 2, 700, 3))
        points.copy_(random(34, 2, 900, 3))
    graph.replay()
    for got, wanted in zip(results, step(), strict=True):
        assert torch.equal(got, wanted)
