"""nearest_neighbors and PointIndex under torch's tools, and what they say of wrong arguments."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_opcheck():
    generator = torch.Generator().manual_seed(6)
    query, points = (normal(generator, 2, n, 3).float().requires_grad_() for n in (20, 40))
    lengths = torch.tensor([40, 11])
    ops = torch.ops.twodasl
    torch.library.opcheck(ops.neighbor_tree.default, (points.detach(), lengths, True))
    tree = ops.neighbor_tree(points.detach(), lengths, True)
    for hint in (None, torch.zeros(2, 20, dtype=torch.int64)):
        inputs = (query, points, *tree, lengths, torch.tensor([20, 3]), hint)
        torch.library.opcheck(ops.nearest_neighbors.default, inputs)
    index = ops.nearest_neighbors_forward(query.detach(), points.detach(), *tree, None, None, None)[1]
    grad = torch.ones(2, 20)
    torch.library.opcheck(
        ops.nearest_neighbors_backward.default, (grad, query.detach(), points.detach(), index, True, True)
    )


@pytest.mark.parametrize("indexed", [False, True])
def test_compile(indexed):
    generator = torch.Generator().manual_seed(7)
    torch._dynamo.reset()

    def loss(q, p, hint):
        return te.nearest_neighbors(q, p, hint=hint)[0].sum(dim=1)

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for queries in (20, 33, 50):
        query = normal(generator, 2, queries, 3).requires_grad_()
        points = normal(generator, 2, 90, 3)
        points = te.PointIndex(points) if indexed else points.requires_grad_()
        hint = torch.zeros(2, queries, dtype=torch.int64)
        leaves = [query] if indexed else [query, points]
        expected, result = loss(query, points, hint), compiled(query, points, hint)
        assert torch.equal(expected, result)
        grads = (torch.autograd.grad(r.sum(), leaves) for r in (expected, result))
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_vmap_and_grad():
    generator = torch.Generator().manual_seed(8)
    query, points = normal(generator, 5, 20, 3), normal(generator, 5, 30, 3)
    expected = te.nearest_neighbors(query, points)

    def one(q, p):
        return te.nearest_neighbors(q, p)

    assert torch.equal(torch.vmap(one)(query, points)[1], expected[1])
    assert torch.equal(torch.vmap(one, (0, None))(query, points[0])[1][0], expected[1][0])
    index = te.PointIndex(points[0])
    assert torch.equal(torch.vmap(lambda q: one(q, index))(query)[0][0], expected[0][0])

    def loss(q, p):
        return one(q, p)[0].sum()

    grads = torch.vmap(torch.func.grad(loss, (0, 1)))(query, points)
    leaves = [query.clone().requires_grad_(), points.clone().requires_grad_()]
    te.nearest_neighbors(*leaves)[0].sum().backward()
    assert all(torch.equal(g, leaf.grad) for g, leaf in zip(grads, leaves, strict=True))


def test_an_index_is_a_module_of_buffers():
    generator = torch.Generator().manual_seed(9)
    points, query = normal(generator, 2, 60, 3), normal(generator, 2, 20, 3)
    index = te.PointIndex(points)
    points_before = points.clone()
    points += 1  # it holds a copy
    expected = te.nearest_neighbors(query, points_before)
    assert torch.equal(te.nearest_neighbors(query, index)[0], expected[0])
    owner = torch.nn.Module()
    owner.index = index
    assert not owner.state_dict()
    owner.float()
    single = te.nearest_neighbors(query.float(), index)
    assert torch.equal(single[1], te.nearest_neighbors(query.float(), points_before.float())[1])
    with pytest.raises(TypeError, match="PointIndex: expected float32 or float64"):
        owner.half()
    assert index.to("meta").points.device.type == "meta"


Q, P = torch.zeros(2, 4, 3), torch.zeros(2, 5, 3)
NAN = P.clone()
NAN[1, 2, 0] = torch.nan
INF = Q.clone()
INF[1, 3, 2] = -torch.inf
WRONG = [
    ((Q.tolist(), P), {}, TypeError, "query: expected a torch.Tensor, got list"),
    ((Q, 5), {}, TypeError, "points: expected a torch.Tensor, got int"),
    ((Q[..., :2], P), {}, ValueError, r"query: expected \(B, N, 3\) or \(N, 3\), got \(2, 4, 2\)"),
    ((Q, P[0]), {}, ValueError, r"points: expected \(B, N, 3\), got \(5, 3\)"),
    ((Q[0], P), {}, ValueError, r"points: expected \(N, 3\), got \(2, 5, 3\)"),
    ((Q, P[:1]), {}, ValueError, r"points: expected \(2, P, 3\) for a query of 2, got \(1, 5, 3\)"),
    ((Q, P.double()), {}, TypeError, "points: expected torch.float32 like query, got torch.float64"),
    ((Q.long(), P), {}, TypeError, "query: expected float32 or float64"),
    ((Q, P.to("meta")), {}, ValueError, "points: expected device cpu like query, got meta"),
    ((Q, NAN), {}, ValueError, r"points: expected finite numbers, got \[nan, 0.0, 0.0\] at 2 of element 1"),
    ((INF, P), {}, ValueError, r"query: expected finite numbers, got \[0.0, 0.0, -inf\] at 3 of element 1"),
    ((Q, P[:, :0]), {}, ValueError, "points: expected at least one for the 4 queries of element 0, got none"),
    ((Q, P), {"lengths": torch.tensor([5, 0])}, ValueError, "points: expected at least one for the 4 quer"),
    ((Q, P), {"lengths": torch.tensor([5, 6])}, ValueError, r"lengths: expected numbers in \[0, 5\], got 6"),
    ((Q, P), {"lengths": torch.tensor([5])}, ValueError, r"lengths: expected \(2,\), got \(1,\)"),
    ((Q, P), {"lengths": torch.tensor([5.0, 5.0])}, TypeError, "lengths: expected integers, got torch.fl"),
    ((Q, P), {"lengths": [5.0, 5.0]}, TypeError, "lengths: expected integers, got torch.float64"),
    ((Q, P), {"lengths": [5]}, ValueError, r"lengths: expected \(2,\), got \(1,\)"),
    ((Q, P), {"lengths": "55"}, TypeError, "lengths: expected a torch.Tensor, numpy array or list"),
    ((Q, P), {"query_lengths": torch.tensor([-1, 4])}, ValueError, r"query_lengths: expected numbers in"),
    ((Q[0], P[0]), {"lengths": torch.tensor([5])}, ValueError, "lengths: expected None for a single cloud"),
    ((Q, P), {"hint": torch.full((2, 4), 5)}, ValueError, r"hint: expected indices in \[0, 5\), got 5"),
    ((Q, P), {"hint": torch.full((2, 4), -1)}, ValueError, r"hint: expected indices in \[0, 5\), got -1"),
    ((Q, P), {"hint": torch.zeros(2, 5).long()}, ValueError, r"hint: expected \(2, 4\)"),
    ((Q, P), {"hint": torch.zeros(2, 4)}, TypeError, "hint: expected integer indices, got torch.float32"),
    ((Q, te.PointIndex(P)), {"lengths": torch.tensor([5, 5])}, ValueError, "lengths: expected None with a"),
    ((Q, te.PointIndex(P[0])), {}, ValueError, r"query: expected \(N, 3\), got \(2, 4, 3\)"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "keywords", "error", "message"), WRONG, ids=[w[3][:50] for w in WRONG])
def test_wrong_arguments(arguments, keywords, error, message):
    with pytest.raises(error, match=message):
        te.nearest_neighbors(*arguments, **keywords)


def test_wrong_points_of_an_index():
    with pytest.raises(ValueError, match="points: expected finite numbers"):
        te.PointIndex(NAN)
    with pytest.raises(ValueError, match="points: a constant in a PointIndex"):
        te.PointIndex(P.clone().requires_grad_())


def test_a_wrong_tree_reads_nothing_outside():
    """A direct call may bring any tree: sizes are checked, and nothing in it is used as an address."""
    generator = torch.Generator().manual_seed(10)
    query, points = normal(generator, 1, 40, 3), normal(generator, 1, 300, 3)
    leaves, ids, boxes, lowest = torch.ops.twodasl.neighbor_tree(points, None, False)
    forward = torch.ops.twodasl.nearest_neighbors_forward
    forward(query, points, leaves, torch.full_like(ids, 2**30), boxes, lowest, None, None, None)
    forward(query, points, leaves * torch.nan, ids, boxes * torch.nan, lowest, None, None, None)
    forward(query, points, leaves, ids, torch.zeros_like(boxes), -torch.ones_like(lowest), None, None, None)
    with pytest.raises(RuntimeError, match="boxes has the wrong shape"):
        forward(query, points, leaves, ids, boxes[:, 1:], lowest, None, None, None)
