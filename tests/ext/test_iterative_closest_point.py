"""iterative_closest_point: known motions, the reference, and what it must never do."""

from __future__ import annotations

import math

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference
from twodasl_ext._icp_inputs import vertex_normals

icp = te.iterative_closest_point


def face(count=3000, dtype=torch.float64, seed=0):
    """A bumpy half ellipsoid of a face's size in millimeters: nothing about it is symmetric, nor its
    sampling, because a regular one agrees with itself in many places."""
    generator = torch.Generator().manual_seed(seed)
    angle, radius = torch.rand(2, count, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    angle, radius = 2 * math.pi * angle, radius.sqrt()
    x, y = 72 * radius * angle.cos(), 98 * radius * angle.sin()
    z = 95 * (1.02 - radius.square()).sqrt()
    for height in (24.0, 8, -9, -8, 6, -7, 9, 5, 7):
        u, v, w = (torch.rand(3, generator=generator, dtype=torch.float64) - 0.5).tolist()
        bump = ((x - 100 * u) / (18 + 10 * w)).square() + ((y - 140 * v) / (18 - 10 * w)).square()
        z = z + height * torch.exp(-0.5 * bump)
    return torch.stack((x, y, z), dim=1).to(dtype)


def rotation(degrees, axis=(0.4, 1.0, -0.3)):
    axis = torch.nn.functional.normalize(torch.tensor(axis, dtype=torch.float64), dim=0)
    x, y, z = axis.tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.linalg.matrix_exp(math.radians(degrees) * cross)


SHIFT = torch.tensor([120.0, -70.0, 300.0], dtype=torch.float64)


def moved(points, degrees, scale=1.0):
    """Target points of a known motion, in the points' dtype."""
    return (scale * points.double() @ rotation(degrees).T + SHIFT).to(points.dtype)


def assert_motion(result, degrees, scale=1.0, tolerance=1e-9):
    assert (result.rotation.double() - rotation(degrees)).abs().max() <= tolerance
    assert (result.translation.double() - SHIFT).abs().max() <= 500 * tolerance
    assert (result.scale.double() - scale).abs().max() <= tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("degrees", [0, 5, 30, 60])
def test_a_known_motion_is_found(degrees, dtype):
    source = face(dtype=dtype)
    result = icp(source, moved(source, degrees), max_iterations=200)
    # All pairs are right in the end: what remains is the rounding of the coordinates, of some 300 mm.
    assert_motion(result, degrees, tolerance=1e-6 if dtype == torch.float32 else 1e-13)
    assert result.converged
    assert result.rmse <= 500 * torch.finfo(dtype).eps
    assert result.matched == 1
    assert result.history[0] > result.rmse or degrees == 0


def test_similarity():
    source = face()
    result = icp(source, moved(source, 20, 1.4), scale=True, max_iterations=300, tolerance=1e-9)
    assert_motion(result, 20, 1.4, 1e-12)
    expected = 1.4 * source @ rotation(20).T + SHIFT
    torch.testing.assert_close(result.apply(source), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(source @ result.pose[:, :3].T + result.pose[:, 3], expected, rtol=0, atol=1e-9)


def test_outliers_are_trimmed():
    """30 % of the source is far from the target; trimmed, it has no effect."""
    source = face()
    target = moved(source, 15)
    spoiled = source.clone()
    generator = torch.Generator().manual_seed(3)
    chosen = torch.randperm(len(source), generator=generator)[: int(0.3 * len(source))]
    spoiled[chosen] += 60 + 80 * torch.rand(len(chosen), 3, generator=generator, dtype=torch.float64)
    start = (rotation(10), SHIFT + 2)
    result = icp(spoiled, target, trim=0.35, max_iterations=200, initialize=start)
    assert_motion(result, 15, tolerance=1e-12)
    assert 0.65 <= result.matched <= 0.7  # ties stay, moved points do not
    plain = icp(spoiled, target, max_iterations=200, initialize=start)
    assert (plain.rotation - rotation(15)).abs().max() > 1e-3


def test_pairs_beyond_the_maximum_distance_have_no_say():
    source = face()
    target = moved(source[source[:, 0] < 25], 8)  # a part of the face is missing
    start = (rotation(6), SHIFT)
    result = icp(source, target, max_distance=2.5, max_iterations=300, initialize=start, tolerance=1e-8)
    limited = (result.rotation - rotation(8)).abs().max()
    plain = (icp(source, target, max_iterations=300, initialize=start).rotation - rotation(8)).abs().max()
    assert limited < 1e-3 < 0.1 < plain
    assert 0.5 < result.matched < 0.9
    assert (result.history[result.history.isfinite()].diff() <= 1e-9).all()  # the clipped error only falls


def test_point_to_plane_needs_fewer_iterations():
    """Different samplings of one surface, along which points slide."""
    source, full = face(3000), face(9000)
    target = moved(full, 12)
    normals = _normals_of_height(full) @ rotation(12).T
    point = icp(source, target, tolerance=1e-5, max_iterations=200)
    plane = icp(source, target, method="plane", normals=3 * normals, tolerance=1e-5, max_iterations=200)
    assert plane.converged
    assert plane.iterations < point.iterations / 2
    errors = [(r.rotation - rotation(12)).abs().max() for r in (plane, point)]
    assert errors[0] < 2e-3
    assert errors[0] < errors[1]
    grown = icp(
        source, 1.05 * target, method="plane", normals=normals, scale=True, initialize=(rotation(10), SHIFT)
    )
    assert abs(grown.scale - 1.05) < 1e-3


def _normals_of_height(points):
    """(N, 3) unit normals of a surface z(x, y): of the plane through the twelve nearest points."""
    index = torch.cdist(points, points).topk(12, largest=False).indices
    near = points[index] - points[index].mean(dim=1, keepdim=True)
    normal = torch.linalg.eigh(near.mT @ near).eigenvectors[..., 0]
    return normal * normal[:, 2:].sign()


def test_normals_from_triangles():
    n = 40
    x, y = torch.meshgrid(torch.linspace(-50, 50, n), torch.linspace(-50, 50, n), indexing="ij")
    z = 10 * torch.sin(x / 15) * torch.cos(y / 11) + x * y / 200
    grid = torch.stack((x, y, z), dim=2).reshape(-1, 3).double()
    corner = (torch.arange(n - 1)[:, None] * n + torch.arange(n - 1)).flatten()
    triangles = torch.cat(
        (
            torch.stack((corner, corner + n, corner + 1), 1),
            torch.stack((corner + n, corner + n + 1, corner + 1), 1),
        )
    )
    normals = vertex_normals(grid[None], triangles)
    assert (normals[0, :, 2] > 0).all()
    target = grid @ rotation(6).T + SHIFT
    by_mesh = icp(grid, target, method="plane", triangles=triangles)
    by_hand = icp(grid, target, method="plane", normals=normals[0] @ rotation(6).T)
    assert_motion(by_mesh, 6, tolerance=1e-9)
    assert_motion(by_hand, 6, tolerance=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"scale": True},
        {"trim": 0.25},
        {"max_distance": 6.0},
        {"recenter": True},
        {"trim": 0.1, "max_distance": 9.0, "scale": True},
        {"method": "plane"},
        {"method": "plane", "scale": True, "trim": 0.1},
    ],
    ids=str,
)
def test_the_reference(options):
    """Step by step the same errors and pose, in double precision, on two different faces."""
    source, target = moved(face(400, seed=1), 10), face(500, seed=2)
    result = icp(source, target, max_iterations=12, tolerance=None, **_with_normals(options, target))
    known = {k: v for k, v in options.items() if k != "method"}
    if "method" in options:
        known["normals"] = _normals_of_height(target)
    steps = result.history.argmin()
    expected = reference.iterative_closest_point(source, target, iterations=int(steps), **known)
    torch.testing.assert_close(result.history[: steps + 1], expected[3], rtol=1e-9, atol=0)
    for got, wanted in zip((result.rotation, result.translation, result.scale), expected, strict=False):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-8)


def _with_normals(options, target):
    return {**options, "normals": 2 * _normals_of_height(target)} if "method" in options else options


def test_a_rising_error_is_not_convergence_and_the_best_is_kept():
    """Random normals on random points send point-to-plane anywhere."""
    generator = torch.Generator().manual_seed(0)
    rises = 0
    for _ in range(10):
        a, b, n = torch.randn(3, 200, 3, generator=generator, dtype=torch.float64)
        result = icp(a, b, method="plane", normals=n, initialize="identity", max_iterations=20)
        errors = result.history[result.history.isfinite()]
        assert result.rmse == errors.min()
        assert len(errors) == result.iterations + 1
        rises += int((errors.diff() > 1e-9).sum())
        assert not (result.converged and errors[-1] > errors[-2] + 1e-9)
        assert result.converged or result.iterations == 20
        again = icp(a, b, method="plane", normals=n, initialize=result, max_iterations=0)
        torch.testing.assert_close(again.rmse, result.rmse, rtol=1e-9, atol=0)
        assert not again.converged
    assert rises > 10


def test_the_papers_rule_stops_at_a_change_of_the_mean_square():
    source, target = moved(face(1000, seed=1), 10), face(1000, seed=2)
    options = {"recenter": True, "mse_tolerance": 0.01, "tolerance": None, "max_iterations": 100}
    result = icp(source, target, **options)
    squares = result.history[: result.iterations + 1].square()
    assert result.converged
    assert abs(squares[-1] - squares[-2]) <= 0.01
    assert (squares[:-1].diff().abs() > 0.01).all()
    means = [result.apply(source).mean(dim=0), target.mean(dim=0)]
    torch.testing.assert_close(*means, rtol=0, atol=1e-9)


def batch_of_three(dtype=torch.float32):
    """Ragged clouds, padded with NaN, that need very different numbers of iterations."""
    sources = [face(n, seed=n) for n in (700, 500, 600)]
    targets = [moved(sources[0], 2), moved(face(650, seed=500), 25), moved(face(800, seed=9), 40)]
    source, target = (torch.full((3, 900, 3), torch.nan, dtype=dtype) for _ in range(2))
    for i in range(3):
        source[i, : len(sources[i])], target[i, : len(targets[i])] = sources[i], targets[i]
    lengths = [torch.tensor([len(c) for c in clouds]) for clouds in (sources, targets)]
    return source, target, *lengths


FIELDS = ("rotation", "translation", "scale", "rmse", "matched", "converged", "iterations")


@pytest.mark.parametrize("options", [{}, {"trim": 0.2, "scale": True}, {"method": "plane"}], ids=str)
def test_elements_do_not_influence_each_other(options):
    source, target, n, m = batch_of_three()
    normals = torch.nan_to_num(target) + torch.tensor([0.0, 0, 1])
    options = {**options, "normals": normals} if "method" in options else options
    together = icp(source, target, source_lengths=n, target_lengths=m, **options)
    assert len(set(together.iterations.tolist())) > 1
    for i in range(3):
        own = {**options, "normals": normals[i, : m[i]]} if "method" in options else options
        alone = icp(source[i, : n[i]], target[i, : m[i]], **own)
        for name in FIELDS:
            assert torch.equal(getattr(alone, name), getattr(together, name)[i]), name
        steps = int(alone.iterations) + 1
        assert torch.equal(alone.history[:steps], together.history[i, :steps])
        assert together.history[i, steps:].isnan().all()


def test_the_number_of_threads_changes_no_bit():
    source, target, n, m = batch_of_three()
    large = face(20000, torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            ragged = icp(source, target, source_lengths=n, target_lengths=m, trim=0.1)
            single = icp(large, moved(large, 5)[::2], max_iterations=4)
            results.append([getattr(r, name) for r in (ragged, single) for name in (*FIELDS, "pose")])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("degrees", [20, 60])
def test_a_face_of_real_size(degrees):
    source = face(53215, torch.float32)
    result = icp(source, moved(source, degrees), max_iterations=400)
    assert_motion(result, degrees, tolerance=1e-5)
    assert result.converged


def test_the_result_is_a_constant_and_its_pairs_can_be_differentiated():
    source = moved(face(300), 3).requires_grad_()
    target = face(350, seed=4)
    result = icp(source, target)
    assert not any(getattr(result, name).requires_grad for name in FIELDS)
    squared, _ = te.nearest_neighbors(result.apply(source), target)
    (gradient,) = torch.autograd.grad(squared.mean(), source)
    assert gradient.abs().max() > 0
    # At the optimum the motion's own change does not matter to first order: finite differences of all of it.
    step = 1e-4 * torch.randn(300, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        errors = [
            icp(source + s * step, target, initialize=result, tolerance=1e-14).rmse.square() for s in (1, -1)
        ]
    assert (errors[0] - errors[1]) / 2 == pytest.approx(float((gradient * step).sum()), rel=0.02)
