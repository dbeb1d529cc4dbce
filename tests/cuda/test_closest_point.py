"""closest_point_on_mesh and k_nearest_neighbors on the CUDA kernels: all sizes, unchecked values."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference


def normal(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_sizes_at_every_level(device, dtype):
    for seed, count in enumerate((1, 16, 17, 256, 257, 4100)):
        generator = torch.Generator().manual_seed(seed)
        vertices = normal(generator, 2, 50 + count // 2, 3).to(dtype)
        near = torch.randint(0, 40, (count, 1), generator=generator) + torch.arange(count)[:, None] // 2 % 2
        triangles = (near + torch.arange(3)) % vertices.shape[1]
        points = (1.5 * normal(generator, 2, 37, 3)).to(dtype)
        distances, triangle, weights = (
            t.cpu() for t in te.closest_point_on_mesh(*(t.to(device) for t in (points, vertices, triangles)))
        )
        expected = reference.closest_point_on_mesh(points.double(), vertices.double(), triangles)
        tolerance = 1e-6 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(distances.double(), expected[0], rtol=tolerance, atol=tolerance**2)
        same = triangle == expected[1]
        assert same.float().mean() > 0.97  # ties of the rounded distance
        torch.testing.assert_close(weights.double()[same], expected[2][same], rtol=0, atol=tolerance)


def test_wrong_values_harm_their_own_element_or_point(device):
    generator = torch.Generator().manual_seed(1)
    vertices, triangles = (
        normal(generator, 3, 40, 3).float(),
        torch.randint(0, 39, (60, 3), generator=generator),
    )
    points = normal(generator, 3, 25, 3).float()
    clean = [
        t.cpu() for t in te.closest_point_on_mesh(*(t.to(device) for t in (points, vertices, triangles)))
    ]
    bad_vertices, bad_points = vertices.clone(), points.clone()
    bad_vertices[1, triangles[7, 2], 1] = torch.nan
    bad_vertices[2, 39] = torch.inf  # of no triangle
    bad_points[2, 4, 0] = torch.inf
    given = [t.to(device) for t in (bad_points, bad_vertices, triangles)]
    leaves = [t.requires_grad_() for t in given[:2]]
    distances, triangle, weights = te.closest_point_on_mesh(*leaves, given[2])
    grads = torch.autograd.grad(distances, leaves, torch.ones_like(distances))
    distances, triangle, weights, *grads = (t.detach().cpu() for t in (distances, triangle, weights, *grads))
    assert torch.isnan(distances[1]).all()
    assert (triangle[1] == -1).all()
    assert torch.isnan(weights[1]).all()
    assert torch.isnan(distances[2, 4])
    assert triangle[2, 4] == -1
    keep = torch.ones(3, 25, dtype=torch.bool)
    keep[1] = keep[2, 4] = False
    assert torch.equal(distances[keep], clean[0][keep])
    assert torch.equal(triangle[keep], clean[1][keep])
    assert torch.equal(weights[keep], clean[2][keep])
    assert (grads[0][~keep] == 0).all()
    assert (grads[1][1] == 0).all()
    for wrong in (-1, 40, 2**40):
        broken = triangles.clone()
        broken[3, 1] = wrong
        given = (t.to(device) for t in (points, vertices, broken))
        distances, triangle, _ = (t.cpu() for t in te.closest_point_on_mesh(*given))
        assert torch.isnan(distances).all()
        assert (triangle == -1).all()


def test_the_gradients_are_those_of_the_cpu(device):
    generator = torch.Generator().manual_seed(2)
    vertices, triangles = normal(generator, 2, 30, 3), torch.randint(0, 30, (50, 3), generator=generator)
    points, grad = normal(generator, 2, 700, 3), normal(generator, 2, 700)
    leaves = [t.to(device).requires_grad_() for t in (points, vertices)]
    distances = te.closest_point_on_mesh(*leaves, triangles.to(device))[0]
    ours = [t.cpu() for t in torch.autograd.grad(distances, leaves, grad.to(device))]
    plain = [t.clone().requires_grad_() for t in (points, vertices)]
    expected = torch.autograd.grad(reference.closest_point_on_mesh(*plain, triangles)[0], plain, grad)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("k", [1, 5, 16, 64])
def test_k_nearest_neighbors(device, k):
    for seed, count in enumerate((k, 257, 1500)):
        generator = torch.Generator().manual_seed(seed)
        points = (normal(generator, 2, max(k, count), 3) * 4).round().float()
        query = (normal(generator, 2, 29, 3) * 4).round().float()
        lengths = torch.tensor([points.shape[1], k // 2])
        for scale in (1.0, 1e20):
            given = (query * scale, points * scale)
            expected = reference.k_nearest_neighbors(*given, k, lengths=lengths)
            found = te.k_nearest_neighbors(*(t.to(device) for t in given), k, lengths=lengths.to(device))
            assert torch.equal(found[1].cpu(), expected[1])
            assert torch.equal(found[0].cpu(), expected[0])
    query[1, 3] = torch.nan
    distances, indices = te.k_nearest_neighbors(query.to(device), points.to(device), k)
    assert torch.isnan(distances[1, 3].cpu()).all()
    assert (indices[1, 3].cpu() == -1).all()
    lengths = torch.tensor([points.shape[1] + 1, points.shape[1]]).to(device)
    distances, indices = te.k_nearest_neighbors(query.to(device), points.to(device), k, lengths=lengths)
    assert torch.isnan(distances[0].cpu()).all()
    assert (indices[0].cpu() == -1).all()
    assert (indices[1, :3].cpu() >= 0).all()
