"""The step of point-to-plane on surfaces that hold a source well, hardly, or not in some directions."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te

icp = te.iterative_closest_point
DOUBLE = torch.float64


def surface(shape, count=400):
    """(N, 3) points, and the normals of unit length."""
    u, v = 2 * torch.rand(2, count, generator=torch.Generator().manual_seed(3), dtype=DOUBLE) - 1
    one, zero = torch.ones_like(u), torch.zeros_like(u)
    if shape.startswith("relief"):
        high = float(shape.split()[1])
        points = torch.stack((u, v, high * (3 * u).sin() * (2 * v).cos()), dim=1)
        slopes = -3 * high * (3 * u).cos() * (2 * v).cos(), 2 * high * (3 * u).sin() * (2 * v).sin()
        normals = torch.stack((*slopes, one), dim=1)
    elif shape == "plane":
        points, normals = torch.stack((u, v, zero), dim=1), torch.stack((zero, zero, one), dim=1)
    elif shape == "sphere":
        points = torch.randn(count, 3, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
        normals = points = points / points.norm(dim=1, keepdim=True)
    elif shape == "cylinder":
        normals = torch.stack((torch.cos(4 * u), torch.sin(4 * u), zero), dim=1)
        points = normals + torch.stack((zero, zero, v), dim=1)
    else:  # a line, with normals in all directions
        points = u.sort().values[:, None] * torch.tensor([[0.3, 0.6, 0.9]], dtype=DOUBLE)
        normals = torch.randn(count, 3, generator=torch.Generator().manual_seed(4), dtype=DOUBLE)
    return points, normals / normals.norm(dim=1, keepdim=True)


SHAPES = ["relief 0.5", "relief 0.05", "relief 0.005", "plane", "sphere", "cylinder", "line"]
# What is left undetermined by each: turns, shifts, and a growth where one is sought.
OPEN = {"plane": (3, 4), "sphere": (3, 3), "cylinder": (2, 2), "line": (1, 1)}


def moved(points):
    """By so little that every point stays nearest to where it was."""
    w = torch.tensor([6e-6, -3e-6, 9e-6], dtype=DOUBLE)
    return points + torch.linalg.cross(w.expand_as(points), points) + torch.tensor([3e-6, 6e-6, -9e-6])


def expected_step(source, target, normals, scale):
    """The least-squares step of least length by SVD, and how many directions it leaves out."""
    center = target.mean(dim=0)
    size = (target - center).square().sum(dim=1).mean().sqrt()
    at, residuals = source - center, ((source - target) * normals).sum(dim=1)
    columns = [torch.linalg.cross(at, normals) / size, normals]
    if scale:
        columns.append((at * normals).sum(dim=1, keepdim=True) / size)
    rows = torch.cat(columns, dim=1)
    limit = 1e-9**0.5  # of the rows' singular values: the roots of the eigenvalues
    step = -(torch.linalg.pinv(rows, rtol=limit) @ residuals)
    values = torch.linalg.svdvals(rows)
    w, zero = step[:3] / size, step.new_zeros(())
    growth = (step[6] / size).exp() if scale else torch.ones((), dtype=DOUBLE)
    cross = torch.stack((zero, -w[2], w[1], w[2], zero, -w[0], -w[1], w[0], zero)).reshape(3, 3)
    turn = torch.linalg.matrix_exp(cross)
    return turn, center - growth * turn @ center + step[3:6], growth, int((values <= limit * values[0]).sum())


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_step_is_the_shortest_of_least_squares(shape, scale):
    target, normals = surface(shape)
    source = moved(target)
    found = icp(
        source, target, method="plane", normals=normals, scale=scale, initialize="identity",
        max_iterations=1, tolerance=None,
    )  # fmt: skip
    assert (te.nearest_neighbors(source[None], target[None])[1] == torch.arange(400)).all()
    assert found.history[1] < 0.1 * found.history[0]  # so the step is what came back
    turn, shift, growth, left_out = expected_step(source, target, normals, scale)
    assert left_out == OPEN.get(shape, (0, 0))[scale]
    # Rounding times the condition of the normal equations (1e5 of the lowest relief) times the step of 1e-5.
    for got, wanted in ((found.rotation, turn), (found.translation, shift), (found.scale, growth)):
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-13)


def test_the_number_of_threads_changes_no_bit():
    clouds = [surface(shape, 1500) for shape in SHAPES]
    target, normals = (torch.stack(parts) for parts in zip(*clouds, strict=True))
    source = moved(target)[:, ::2].contiguous()
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            for scale in (False, True):
                found = icp(source, target, method="plane", normals=normals, scale=scale, max_iterations=5)
                results.append((found.pose, found.history, found.matched))
    finally:
        torch.set_num_threads(before)
    for i, other in enumerate(results[2:]):
        for a, b in zip(results[i % 2], other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
