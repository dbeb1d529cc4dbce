"""rasterize on CUDA: boxes for a thread, a warp and a block; depths that round alike; wrong values."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference


def check(vertices, triangles, size, device):
    """The index and the depth of brute force, bit by bit."""
    result = te.rasterize(vertices.to(device), triangles.to(device), size)
    expected = reference.rasterize(vertices, triangles, size)
    assert torch.equal(result[0].cpu(), expected[0])
    assert torch.equal(result[2].cpu(), expected[2])
    torch.testing.assert_close(result[1].cpu(), expected[1], rtol=0, atol=1e-6)
    return result


def right_triangle(rows, columns, z=0.0, at=(0.0, 0.0)):
    """(3, 3): its box is `rows` by `columns` pixels."""
    x, y = at
    return torch.tensor(
        [[x, y, z], [x + columns - 1, y, z + 1], [x, y + rows - 1, z - 1]], dtype=torch.float64
    )


@pytest.mark.parametrize(
    "box",
    [
        (1, 16),
        (4, 4),
        (16, 1),
        (1, 17),
        (17, 1),
        (5, 4),
        (64, 64),
        (65, 63),
        (63, 65),
        (65, 64),
        (1, 70),
        (70, 70),
    ],
    ids=str,
)
def test_boxes_beside_the_limits(box, device):
    """A thread draws up to 16 pixels of a box, a warp up to 4096, a block what is larger."""
    corners = torch.cat([right_triangle(*box), right_triangle(*box, z=0.3, at=(1.5, 2.25))])
    corners[3:] = corners[3:].flip(0)
    triangles = torch.arange(6).reshape(2, 3)
    for dtype in (torch.float32, torch.float64):
        check(corners[None].to(dtype), triangles, (72, 75), device)


def test_all_sizes_at_once(device):
    """More huge triangles than one in a block, and small and middle ones between them."""
    generator = torch.Generator().manual_seed(4)
    count = 300
    sizes = torch.tensor([1.0, 3.0, 20.0, 140.0])[torch.arange(count) % 4]
    corners = torch.rand(2, count, 1, 3, generator=generator) * 70
    corners = corners + (torch.rand(2, count, 3, 3, generator=generator) - 0.5) * sizes[:, None, None]
    check(corners.flatten(1, 2), torch.arange(3 * count).reshape(count, 3), (70, 67), device)


@pytest.mark.parametrize("count", [255, 256, 257, 513])
def test_counts_beside_a_block(count, device):
    generator = torch.Generator().manual_seed(count)
    vertices = torch.rand(3, 40, 3, generator=generator) * 12
    check(vertices, torch.randint(0, 40, (count, 3), generator=generator), (9, 14), device)


@pytest.mark.parametrize("step", [0.0, 1e-12, -1e-12, 1e-3])
@pytest.mark.parametrize("base", [1.0, -1.0, 0.0, 1e300, -1e300])
def test_depths_that_round_alike(base, step, device):
    """Kept as float32 most of these are equal; in double precision the nearest, then the first, wins."""
    n = 40
    z = base + step * torch.arange(n, dtype=torch.float64) * (abs(base) or 1e-300)
    xy = torch.tensor([[0.0, 0.0], [11.0, 0.0], [0.0, 11.0]], dtype=torch.float64).repeat(n, 1)
    vertices = torch.cat((xy, z.repeat_interleave(3)[:, None]), dim=1)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    triangles = torch.arange(3 * n).reshape(n, 3)[order]
    index = check(vertices[None], triangles, 8, device)[0]
    assert (index[0, 1:4, 1:4] == (int(z[order].argmax()) if step else 0)).all()


def test_zeros_of_either_sign_are_equal(device):
    corners = torch.stack([right_triangle(9, 9), right_triangle(9, 9)])
    corners[..., 2] = torch.tensor([-0.0, 0.0])[:, None]
    index = check(corners.reshape(1, 6, 3), torch.arange(6).reshape(2, 3), 5, device)[0]
    assert (index[0, 1:3, 1:3] == 0).all()


def test_many_images(device):
    generator = torch.Generator().manual_seed(7)
    vertices = torch.rand(700, 5, 3, generator=generator) * 4
    check(vertices, torch.randint(0, 5, (6, 3), generator=generator), 3, device)


# ---- values that the CPU refuses ---------------------------------------------------------------------------


def assert_spoiled(image):
    index, weights, depth = image
    assert (index == -1).all()
    assert weights.isnan().all()
    assert depth.isnan().all()


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("vertex", [0, 4, 2999])
def test_a_vertex_that_is_not_finite_spoils_its_image_alone(vertex, bad, device):
    """Also one that no triangle has."""
    generator = torch.Generator().manual_seed(2)
    vertices = (torch.rand(5, 3000, 3, generator=generator) * 30).to(device)
    triangles = torch.randint(0, 3, (9, 3), generator=generator).to(device)
    triangles[0] = torch.tensor([0, 1, 2])
    clean = te.rasterize(vertices, triangles, (20, 31))
    assert (clean[0] >= 0).any()
    for axis in range(3):
        spoiled = vertices.clone()
        spoiled[3, vertex, axis] = bad
        result = te.rasterize(spoiled, triangles, (20, 31))
        assert_spoiled([r[3] for r in result])
        others = torch.tensor([0, 1, 2, 4], device=device)
        assert all(torch.equal(r[others], c[others]) for r, c in zip(result, clean, strict=True))
    assert_spoiled([r[3] for r in te.rasterize(spoiled, triangles[:0], 6)])


@pytest.mark.parametrize("bad", [-1, 9, 2**31, -(2**63), 2**63 - 1])
def test_a_triangle_of_no_vertex_spoils_all_images(bad, device):
    vertices = torch.rand(3, 9, 3, generator=torch.Generator().manual_seed(3)).to(device) * 8
    triangles = torch.arange(9, device=device).reshape(3, 3)
    for corner in range(3):
        spoiled = triangles.clone()
        spoiled[1, corner] = bad
        assert_spoiled(te.rasterize(vertices, spoiled, 8))
    assert_spoiled(te.rasterize(vertices[:, :0], triangles, 8))
