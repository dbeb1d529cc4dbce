"""closest_point_on_mesh against brute force in float64: any mesh and unit; ties, gradients, threads."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from .cases import EPSILON

DTYPES = [torch.float32, torch.float64]
UNITS = {
    torch.float32: (1.0, 1e-3, 1e6, 1e-6, 1e-12, 1e15),
    torch.float64: (1.0, 1e-3, 1e6, 1e-6, 1e-140, 1e140),
}


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def soup(generator, vertices, triangles):
    """Triangles between any vertices: long, crossing, some with a corner twice."""
    return normal(generator, vertices, 3), torch.randint(0, vertices, (triangles, 3), generator=generator)


def bumpy(generator, vertices, triangles):
    """A closed surface: every edge belongs to two triangles."""
    rings = max(3, int(vertices**0.5))
    sides = max(3, vertices // rings)
    around = torch.arange(sides, dtype=torch.float64) * (2 * torch.pi / sides)
    up = torch.linspace(-1, 1, rings, dtype=torch.float64)[:, None]
    radius = 1.2 - up.square() + 0.1 * normal(generator, rings, 1)
    points = torch.stack((radius * around.cos(), radius * around.sin(), up.expand(-1, sides)), -1).reshape(
        -1, 3
    )
    i = torch.arange(rings - 1)[:, None] * sides
    j = torch.arange(sides)
    a, b = i + j, i + (j + 1) % sides
    quads = torch.stack((a, b, a + sides, b + sides), -1).reshape(-1, 4)
    return points, torch.cat((quads[:, [0, 1, 2]], quads[:, [1, 3, 2]]))


def lattice(generator, vertices, triangles):
    """Small whole numbers: everything is computed exactly, and many triangles are equally near."""
    return (normal(generator, vertices, 3) * 1.5).round(), soup(generator, vertices, triangles)[1]


def slivers(generator, vertices, triangles):
    """All vertices within a thousandth of a line."""
    points = normal(generator, vertices, 1) * torch.tensor([3.0, 1.0, -2.0], dtype=torch.float64)
    return points + 1e-3 * normal(generator, vertices, 3), soup(generator, vertices, triangles)[1]


def segments(generator, vertices, triangles):
    """No triangle has an area: two corners are one, or all three lie on a line."""
    points, chosen = soup(generator, vertices, triangles)
    points = points.round()
    return torch.cat((points, 2 * points)), torch.stack((chosen[:, 0], chosen[:, 1], chosen[:, 0]), -1)


def places(generator, vertices, triangles):
    """Every triangle is a point."""
    points, chosen = soup(generator, vertices, triangles)
    return points, chosen[:, :1].expand(-1, 3)


MESHES = [soup, bumpy, lattice, slivers, segments, places]


def check(points, vertices, triangles):
    """Nothing is nearer than what was found, and the distance is that of the point that was found."""
    distances, triangle, weights = te.closest_point_on_mesh(points, vertices, triangles)
    assert (distances.dtype, triangle.dtype, weights.dtype) == (points.dtype, torch.int64, points.dtype)
    expected = reference.closest_point_on_mesh(points.double(), vertices.double(), triangles)[0].sqrt()
    # One rounding of each difference and five of the sum of squares: 4 units of the distance. The differences
    # are computed in float64, from numbers as large as the mesh.
    epsilon = EPSILON[points.dtype]
    largest = max(points.abs().max(), vertices[..., triangles.unique(), :].abs().max()).double()
    bound = 4 * epsilon * expected + 32 * EPSILON[torch.float64] * largest
    assert ((distances.double().sqrt() - expected).abs() <= bound).all()
    assert (weights >= 0).all()
    assert ((weights.double().sum(-1) - 1).abs() <= 4 * epsilon).all()
    corners = vertices.double()[..., triangles, :]
    if points.dim() == 2:
        chosen = corners[triangle]
    else:
        chosen = torch.stack([c[t] for c, t in zip(corners, triangle, strict=True)])
    away = (weights.double()[..., None] * (points.double()[..., None, :] - chosen)).sum(-2).norm(dim=-1)
    size = chosen.diff(dim=-2).norm(dim=-1).amax(-1)  # the weights are rounded to the dtype
    assert ((away - expected).abs() <= bound + 8 * epsilon * (size + expected)).all()
    return distances, triangle, weights


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("mesh", MESHES, ids=lambda m: m.__name__)
def test_brute_force_in_any_unit(mesh, dtype):
    for seed, unit in enumerate(UNITS[dtype]):
        generator = torch.Generator().manual_seed(seed)
        vertices, triangles = mesh(generator, 60, (5, 17, 90, 400)[seed % 4])
        query = torch.cat(
            (
                normal(generator, 60, 3),  # some are not in a whole group of sixteen
                vertices[:30],
                vertices[triangles[:40]].mean(dim=1) + 1e-4 * normal(generator, min(40, len(triangles)), 3),
                30 * normal(generator, 7, 3),
            )
        )
        check((query * unit).to(dtype), (vertices * unit).to(dtype), triangles)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_powers_of_two_change_nothing_but_the_unit(dtype):
    generator = torch.Generator().manual_seed(1)
    vertices, triangles = bumpy(generator, 300, 0)
    points, vertices = normal(generator, 200, 3).to(dtype), vertices.to(dtype)
    expected = te.closest_point_on_mesh(points, vertices, triangles)
    for exponent in (-50, -10, 7, 50):
        unit = 2.0**exponent
        found = te.closest_point_on_mesh(points * unit, vertices * unit, triangles)
        assert torch.equal(found[0], expected[0] * unit**2)
        assert all(torch.equal(a, b) for a, b in zip(found[1:], expected[1:], strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_ties_go_to_the_lowest_triangle(dtype):
    generator = torch.Generator().manual_seed(2)
    for mesh in (lattice, segments, places):
        vertices, triangles = mesh(generator, 40, 150)
        vertices = vertices.round()
        points = (normal(generator, 300, 3) * 2).round()
        triangle = te.closest_point_on_mesh(points.to(dtype), vertices.to(dtype), triangles)[1]
        squared, _ = reference.closest.distances_to_triangles(points, vertices[triangles])
        nearest = squared.amin(dim=1, keepdim=True)
        tied = squared <= nearest * (1 + 1e-6)  # or nearly so: a plane's projection is a rounded quotient
        assert tied.gather(1, triangle[:, None]).all()
        exact = (tied == (squared == nearest)).all(dim=1) & (nearest[:, 0] == nearest[:, 0].round())
        assert (exact & (tied.sum(dim=1) > 1)).sum() > 50
        assert torch.equal(triangle[exact], tied[exact].int().argmax(dim=1))
    # Seen from outside, a convex corner is that of many triangles, and an edge that of two.
    vertices, triangles = bumpy(generator, 200, 0)
    points = (vertices * 1.5).to(dtype)
    shuffled = triangles[torch.randperm(len(triangles), generator=generator)]
    turned = shuffled.roll(1, dims=1)
    first, again = (te.closest_point_on_mesh(points, vertices.to(dtype), t) for t in (shuffled, turned))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert torch.equal(first[2], again[2].roll(-1, dims=1))


def test_far_away_and_outliers():
    """What overflows is infinite, with the triangle of a tie; other points are not affected."""
    generator = torch.Generator().manual_seed(3)
    vertices, triangles = soup(generator, 50, 100)
    for dtype, far in ((torch.float32, 1e30), (torch.float64, 1e250)):
        points = normal(generator, 40, 3).to(dtype)
        v = vertices.to(dtype)
        expected = te.closest_point_on_mesh(points, v, triangles)
        mixed = torch.cat((points[:20], points[:3] * far, points[20:]))
        found = te.closest_point_on_mesh(mixed, v, triangles)
        keep = torch.tensor([*range(20), *range(23, 43)])
        assert all(torch.equal(a[keep], b) for a, b in zip(found, expected, strict=True))
        assert torch.isinf(found[0][20:23]).all()
        assert torch.equal(found[1][20:23], torch.zeros(3, dtype=torch.int64))
    tiny = vertices.float() * 1e-30
    distances, triangle, _ = te.closest_point_on_mesh(torch.full((1, 3), 2.0), tiny, triangles)
    assert distances.item() == 12.0
    assert triangle.item() == 0


def test_batches_strides_and_half_precision():
    generator = torch.Generator().manual_seed(4)
    vertices, triangles = soup(generator, 50, 70)
    batch = torch.stack((vertices, 2 * vertices, vertices + 1)).float()
    points = normal(generator, 3, 90, 2).float().permute(2, 1, 0)  # (2, 90, 3)
    points = torch.cat((points, points[:1] + 0.5))
    found = te.closest_point_on_mesh(points, batch.transpose(1, 2).contiguous().transpose(1, 2), triangles)
    wide = torch.cat((triangles, triangles), 1)[:, ::2]
    wide = wide[:, [0, 2, 1]]  # any order of columns of another tensor
    for b in range(3):
        alone = te.closest_point_on_mesh(points[b], batch[b], triangles.numpy())
        assert all(torch.equal(x, y[b]) for x, y in zip(alone, found, strict=True))
        check(points[b], batch[b], wide)
    half = te.closest_point_on_mesh(points[0].half(), batch[0].half(), triangles.to(torch.int32))
    assert torch.equal(
        half[0], te.closest_point_on_mesh(points[0].half().float(), batch[0].half().float(), triangles)[0]
    )


def test_unused_vertices_are_ignored():
    generator = torch.Generator().manual_seed(5)
    vertices, triangles = soup(generator, 30, 40)
    points = normal(generator, 20, 3)
    more = torch.cat(
        (vertices, torch.tensor([[torch.nan, 0, 0], [1e300, torch.inf, 0]], dtype=torch.float64))
    )
    found, expected = (te.closest_point_on_mesh(points, v, triangles) for v in (more, vertices))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_threads_and_partitions_change_no_bit():
    before = torch.get_num_threads()
    generator = torch.Generator().manual_seed(6)
    vertices, triangles = bumpy(generator, 3000, 0)
    vertices = torch.stack((vertices, 1.1 * vertices)).float()
    points = normal(generator, 2, 2500, 3).float()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            leaves = [t.clone().requires_grad_() for t in (points, vertices)]
            found = te.closest_point_on_mesh(*leaves, triangles)
            grads = torch.autograd.grad(found[0], leaves, torch.linspace(-1, 1, 5000).reshape(2, 2500))
            results.append((*(t.detach() for t in found), *grads))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    order = torch.randperm(2500, generator=generator)
    found = te.closest_point_on_mesh(points[:, order], vertices, triangles)
    assert all(torch.equal(a, b[:, order]) for a, b in zip(found, results[0], strict=False))


def test_gradients():
    generator = torch.Generator().manual_seed(7)
    vertices, triangles = soup(generator, 12, 9)
    points = normal(generator, 2, 10, 3).requires_grad_()
    vertices = torch.stack((vertices, vertices.flip(0))).requires_grad_()

    def distances(p, v):
        return te.closest_point_on_mesh(p, v, triangles)[0]

    assert torch.autograd.gradcheck(distances, (points, vertices), check_forward_ad=True)
    expected = reference.closest_point_on_mesh(points, vertices, triangles)[0]
    for needed in ([points, vertices], [points], [vertices]):
        ours = torch.autograd.grad(distances(points, vertices).sum(), needed)
        theirs = torch.autograd.grad(expected.sum(), needed, retain_graph=True)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b)
    found = te.closest_point_on_mesh(points, vertices, triangles)
    assert not found[1].requires_grad
    assert not found[2].requires_grad
    first = torch.autograd.grad(distances(points, vertices).sum(), points, create_graph=True)[0]
    with pytest.raises(RuntimeError, match="second derivative is not implemented"):
        torch.autograd.grad(first.sum(), points)


def test_transforms_compile_and_opcheck():
    generator = torch.Generator().manual_seed(8)
    vertices, triangles = soup(generator, 20, 25)
    batch = torch.stack([vertices + i for i in range(3)])
    points = normal(generator, 3, 11, 3)
    expected = te.closest_point_on_mesh(points, batch, triangles)
    mapped = torch.func.vmap(te.closest_point_on_mesh, in_dims=(0, 0, None))(points, batch, triangles)
    assert all(torch.equal(a, b) for a, b in zip(mapped, expected, strict=True))
    slope = torch.func.grad(lambda p: te.closest_point_on_mesh(p, vertices, triangles)[0].sum())(points[0])
    leaf = points[0].clone().requires_grad_()
    te.closest_point_on_mesh(leaf, vertices, triangles)[0].sum().backward()
    assert torch.equal(slope, leaf.grad)
    torch._dynamo.reset()
    compiled = torch.compile(te.closest_point_on_mesh, fullgraph=True, backend="aot_eager")
    traced = compiled(points, batch, triangles)
    assert all(torch.equal(a, b) for a, b in zip(traced, expected, strict=True))
    for needs in ((False, False), (True, True), (True, False)):
        pair = [t.clone().requires_grad_(n) for t, n in zip((points, batch), needs, strict=True)]
        torch.library.opcheck(torch.ops.twodasl.closest_point_on_mesh, (*pair, triangles))
    grad = torch.ones(1, dtype=torch.float64).expand(3, 11)
    for needs in ((True, True), (True, False), (False, True)):
        arguments = (grad, points, batch, triangles, *expected[1:], *needs)
        torch.library.opcheck(torch.ops.twodasl.closest_point_on_mesh_backward, arguments)


def test_empty():
    vertices, triangles = torch.rand(5, 3), torch.tensor([[0, 1, 2]])
    for points, v in ((torch.zeros(0, 3), vertices), (torch.zeros(2, 0, 3), vertices.expand(2, -1, -1))):
        found = te.closest_point_on_mesh(points, v, triangles)
        assert [t.shape for t in found] == [points.shape[:-1], points.shape[:-1], points.shape]
        assert all(
            t.shape == f.shape for t, f in zip(te.closest_point_on_mesh(points, v, []), found, strict=True)
        )
    none = te.closest_point_on_mesh(torch.zeros(0, 4, 3), torch.zeros(0, 5, 3), triangles)
    assert none[2].shape == (0, 4, 3)


POINTS, VERTICES = torch.zeros(2, 4, 3), torch.zeros(2, 5, 3)
TRIANGLES = torch.tensor([[0, 1, 2]])
WRONG = {
    "points of no tensor": (
        TypeError,
        "points: expected a torch.Tensor, got list",
        ([0.0], VERTICES, TRIANGLES),
    ),
    "rank": (ValueError, r"points: expected \(B, N, 3\) or \(N, 3\)", (torch.zeros(3), VERTICES, TRIANGLES)),
    "two ranks": (
        ValueError,
        r"vertices: expected \(B, N, 3\), got \(5, 3\)",
        (POINTS, VERTICES[0], TRIANGLES),
    ),
    "batch": (
        ValueError,
        r"vertices: expected \(2, N, 3\) for points of 2, got \(1, 5, 3\)",
        (POINTS, VERTICES[:1], TRIANGLES),
    ),
    "dtype": (
        TypeError,
        "vertices: expected torch.float32 like points",
        (POINTS, VERTICES.double(), TRIANGLES),
    ),
    "integers": (TypeError, "points: expected float32 or float64", (POINTS.long(), VERTICES, TRIANGLES)),
    "triangles' shape": (
        ValueError,
        r"triangles: expected \(F, 3\), got \(3,\)",
        (POINTS, VERTICES, TRIANGLES[0]),
    ),
    "triangles' type": (
        TypeError,
        "triangles: expected integer vertex indices",
        (POINTS, VERTICES, TRIANGLES.float()),
    ),
    "no triangle": (
        ValueError,
        r"triangles: expected at least one for \(2, 4, 3\) points, got none",
        (POINTS, VERTICES, TRIANGLES[:0]),
    ),
    "no vertex": (
        ValueError,
        r"triangles: expected vertex indices in \[0, 0\), got 2",
        (POINTS, VERTICES[:, :0], TRIANGLES),
    ),
    "high": (
        ValueError,
        r"triangles: expected vertex indices in \[0, 5\), got 7",
        (POINTS, VERTICES, TRIANGLES + 5),
    ),
    "negative": (
        ValueError,
        r"triangles: expected vertex indices in \[0, 5\), got -1",
        (POINTS, VERTICES, TRIANGLES - 1),
    ),
    "NaN": (
        ValueError,
        "points: expected finite numbers, got .* at 0 of element 0",
        (POINTS / 0, VERTICES, TRIANGLES),
    ),
    "a vertex that is NaN": (
        ValueError,
        r"vertices: expected finite numbers, got .* at 0 of element 0",
        (POINTS, VERTICES / 0, TRIANGLES),
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_arguments(kind):
    error, message, arguments = WRONG[kind]
    with pytest.raises(error, match=message):
        te.closest_point_on_mesh(*arguments)
