"""rasterize against brute force in double precision, and the rules of sampling."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference


def random_scene(seed, dtype, snap=False, count=120, span=40.0):
    generator = torch.Generator().manual_seed(seed)
    vertices = (torch.rand(2, count, 3, generator=generator, dtype=torch.float64) - 0.1) * span
    if snap:  # corners on pixel centers and halves: every tie rule applies
        vertices[..., :2] = (vertices[..., :2] * 2).round() / 2
        vertices[..., 2] = vertices[..., 2].round()
    triangles = torch.randint(0, count, (200, 3), generator=generator)
    return vertices.to(dtype), triangles


@pytest.mark.parametrize("size", [(1, 1), (17, 31), (32, 32), (50, 3)], ids=str)
@pytest.mark.parametrize("snap", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_brute_force(dtype, snap, size):
    for seed in range(3):
        vertices, triangles = random_scene(seed, dtype, snap)
        expected = reference.rasterize(vertices, triangles, size)
        result = te.rasterize(vertices, triangles, size)
        # Both evaluate the same double-precision expressions without fused multiply-adds: nothing may differ.
        assert torch.equal(result[0], expected[0])
        assert torch.equal(result[2], expected[2])
        torch.testing.assert_close(
            result[1], expected[1], rtol=0, atol=1e-12 if dtype == torch.float64 else 1e-6
        )


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e30, 1e120])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_wide_triangles(dtype, scale):
    """Needles, and triangles far larger than the image: rows of them are cut where their edges are."""
    if scale > 1e30 and dtype == torch.float32:
        return
    for seed in range(3):
        vertices, triangles = random_scene(seed, dtype, snap=seed == 0, span=300.0)
        vertices[:, ::4, :2] = vertices[:, 1::4, :2] + 0.5  # needles among them
        vertices[:, ::3, :2] *= scale
        expected = reference.rasterize(vertices, triangles, (20, 200))
        result = te.rasterize(vertices, triangles, (20, 200))
        assert torch.equal(result[0], expected[0])
        assert torch.equal(result[2], expected[2])


def test_depth_and_barycentrics_agree_with_the_vertices():
    vertices, triangles = random_scene(5, torch.float64)
    index, weights, depth = te.rasterize(vertices, triangles, 32)
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    for image in range(2):
        covered = index[image] >= 0
        corners = vertices[image][triangles[index[image][covered]]]
        points = (weights[image][covered][..., None] * corners).sum(dim=1)
        torch.testing.assert_close(points[:, 0], columns[covered].double(), rtol=0, atol=1e-9)
        torch.testing.assert_close(points[:, 1], rows[covered].double(), rtol=0, atol=1e-9)
        torch.testing.assert_close(points[:, 2], depth[image][covered], rtol=0, atol=1e-9)
        assert (weights[image][covered] >= -1e-12).all()
        assert (weights[image][~covered] == 0).all()
        assert (depth[image][~covered] == -torch.inf).all()


@pytest.mark.parametrize("angle", [0.0, 0.1, 0.785398, 1.3])
def test_a_closed_surface_covers_each_pixel_once(angle):
    """A grid of triangles seen from the front: no gap, and no pixel in two triangles."""
    n = 12
    line = torch.arange(n, dtype=torch.float64) * 2.5
    x, y = torch.meshgrid(line, line, indexing="xy")
    cosine, sine = torch.cos(torch.tensor(angle)).double(), torch.sin(torch.tensor(angle)).double()
    points = torch.stack((cosine * x - sine * y + 10, sine * x + cosine * y, torch.zeros_like(x)), -1)
    vertices = points.reshape(1, -1, 3).to(torch.float32)
    corner = (torch.arange(n - 1)[:, None] * n + torch.arange(n - 1)).flatten()
    upper = torch.stack((corner, corner + 1, corner + n), dim=1)
    lower = torch.stack((corner + 1, corner + n, corner + n + 1), dim=1)  # the other orientation
    triangles = torch.cat((upper, lower))
    together = te.rasterize(vertices, triangles, 48)[0] >= 0
    counts = sum((te.rasterize(vertices, t[None], 48)[0] >= 0).int() for t in triangles)
    assert counts.max() == 1
    assert torch.equal(counts > 0, together)
    # Every pixel well inside the square is covered.
    inner = points[1:-1, 1:-1].reshape(-1, 3).round().long()
    assert together[0][inner[:, 1].clamp(0, 47), inner[:, 0].clamp(0, 47)].all()


def test_pixel_centers_are_at_integers_and_rows_go_down():
    vertices = torch.tensor([[[1.9, 3.9, 0.0], [3.1, 3.9, 0.0], [1.9, 5.1, 0.0]]])
    index = te.rasterize(vertices, torch.tensor([[0, 1, 2]]), (8, 8))[0][0]
    # The two legs end 0.1 past the pixels; the hypotenuse x + y = 7 passes exactly through (3, 4) and (2, 5).
    assert index[4, 2] == 0
    assert (index >= 0).nonzero().tolist() in ([[4, 2]], [[4, 2], [4, 3], [5, 2]])


def test_the_largest_depth_wins_and_ties_go_to_the_first_triangle():
    near = torch.tensor([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    corners = torch.cat([torch.cat((near, torch.full((3, 1), z)), dim=1) for z in (1.0, 3.0, 3.0, 2.0)])
    triangles = torch.arange(12).reshape(4, 3)
    index, _, depth = te.rasterize(corners[None], triangles, 5)
    assert (index[0, 1:3, 1:3] == 1).all()
    assert (depth[0, 1:3, 1:3] == 3).all()


def test_both_orientations_are_drawn():
    vertices = torch.tensor([[[0.5, 0.5, 0.0], [6.5, 0.5, 0.0], [0.5, 6.5, 0.0]]])
    front = te.rasterize(vertices, torch.tensor([[0, 1, 2]]), 8)[0]
    back = te.rasterize(vertices, torch.tensor([[0, 2, 1]]), 8)[0]
    assert (front >= 0).sum() > 10
    assert torch.equal(front, back)


def test_nothing_to_draw():
    vertices = torch.tensor(
        [[[0, 0, 0], [5, 0, 0], [2, 0, 0], [-9, -9, 0], [-2, -9, 0], [-9, -1, 0], [3, 3, 1]]],
        dtype=torch.float32,
    )
    triangles = torch.tensor(
        [[0, 1, 2], [3, 4, 5], [6, 6, 6], [0, 6, 0]]
    )  # no area, outside, a point, a line
    index, weights, depth = te.rasterize(vertices, triangles, (6, 7))
    assert (index == -1).all()
    assert (weights == 0).all()
    assert (depth == -torch.inf).all()
    assert (te.rasterize(vertices, triangles[:0], 4)[0] == -1).all()
    assert (te.rasterize(vertices[:, :0], triangles[:0], 4)[0] == -1).all()
    assert te.rasterize(vertices[:0], triangles, (4, 5))[0].shape == (0, 4, 5)


@pytest.mark.parametrize("huge", [1e6, 1e18, 3e38])
def test_huge_coordinates(huge):
    """A triangle far larger than the image covers it; one far outside does not touch it."""
    vertices = torch.tensor([[[-huge, -huge, 1.0], [huge, -huge, 1.0], [0.0, huge, 1.0]]])
    triangles = torch.tensor([[0, 1, 2]])
    assert (te.rasterize(vertices, triangles, (5, 9))[0] == 0).all()
    far = vertices.clone()
    far[..., 0] = far[..., 0].abs() + huge / 2
    assert (te.rasterize(far.clamp(max=3.4e38), triangles, (5, 9))[0] == -1).all()
    extreme = torch.tensor([[[-1.7e308, 0, 0], [1.7e308, 0, 0], [0, 1.7e308, 0]]], dtype=torch.float64)
    te.rasterize(extreme, triangles, 4)  # overflows inside: any result but a crash


def test_images_of_a_batch_do_not_mix():
    vertices, triangles = random_scene(9, torch.float32)
    together = te.rasterize(vertices, triangles, 32)
    for i in range(2):
        alone = te.rasterize(vertices[i : i + 1], triangles.to(torch.int32), 32)
        assert all(torch.equal(a[0], b[i]) for a, b in zip(alone, together, strict=True))


def test_no_gradient():
    vertices, triangles = random_scene(1, torch.float32)
    assert not any(t.requires_grad for t in te.rasterize(vertices.requires_grad_(), triangles, 8))
