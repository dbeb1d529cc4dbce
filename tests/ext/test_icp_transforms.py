"""iterative_closest_point under torch.compile, torch.func and autograd; and its order of search."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend
from torch.func import grad, jvp, vmap

import twodasl_ext as te

icp = te.iterative_closest_point
REFUSAL = r"^twodasl_ext.iterative_closest_point: torch.func.vmap is not supported; call it once for a"


@pytest.fixture
def clouds():
    return torch.randn(2, 2, 60, 3, generator=torch.Generator().manual_seed(0)).unbind()


def test_compiled_it_runs_between_two_graphs(clouds):
    def run(source, target):
        result = icp(2 * source, target, trim=0.1, max_iterations=6)
        return result.apply(source).square().sum(), result.rmse, result.pose, result.history

    torch._dynamo.reset()
    graphs = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(run, backend=graphs)
    for count in (60, 40):
        source = clouds[0][:, :count].contiguous()
        for got, expected in zip(compiled(source, clouds[1]), run(source, clouds[1]), strict=True):
            torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)
    assert graphs.frame_count <= 4  # one before and one after, and both once more for another size
    with pytest.raises(torch._dynamo.exc.Unsupported, match="number of iterations depends on the points"):
        torch.compile(run, backend="aot_eager", fullgraph=True)(*clouds)
    with pytest.raises(ValueError, match=r"^trim: expected a fraction in"):
        torch.compile(lambda a, b: icp(a, b, trim=2.0), backend="aot_eager")(*clouds)
    torch._dynamo.reset()


def test_vmap_is_refused_with_a_message(clouds):
    source, target = clouds

    def error(s, t):
        return icp(s, t, max_iterations=2).rmse

    cases = [
        lambda: vmap(error)(source, target),
        lambda: vmap(error, (0, None))(source, target[0]),
        lambda: vmap(error, (None, 0))(source[0], target),
        lambda: vmap(vmap(error))(source[None], target[None]),
        lambda: vmap(grad(lambda s: error(s, target[0])))(source),
        lambda: vmap(lambda t: icp(source[0], target[0], initialize=(torch.eye(3), t)).rmse)(source[0]),
    ]
    for case in cases:
        with pytest.raises(RuntimeError, match=REFUSAL):
            case()
    # Clouds that are not vmapped are the same in each sample.
    shifted = vmap(lambda x: x + error(source, target))(torch.arange(3.0))
    assert torch.equal(shifted, torch.arange(3.0)[:, None] + error(source, target))


def test_the_motion_is_a_constant_of_every_derivative(clouds):
    source, target = clouds

    def moved(s):
        return icp(s, target, max_iterations=3).apply(s).square().sum()

    found = icp(source, target, max_iterations=3)
    expected = 2 * found.apply(source) @ found.rotation  # d |R x + t|^2 / d x with R and t fixed
    torch.testing.assert_close(grad(moved)(source), expected)
    value, tangent = jvp(moved, (source,), (torch.ones_like(source),))
    torch.testing.assert_close(value, moved(source))
    torch.testing.assert_close(tangent, expected.sum())
    leaf = source.clone().requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(moved(leaf), leaf)[0], expected)
    start = torch.zeros(2, 3, requires_grad=True)
    result = icp(leaf, target.clone().requires_grad_(), initialize=(torch.eye(3).expand(2, 3, 3), start))
    assert not result.pose.requires_grad
    normals = torch.nn.functional.normalize(target, dim=2).requires_grad_()
    assert not icp(leaf, target, method="plane", normals=normals, max_iterations=2).rmse.requires_grad


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_each_step_has_the_exact_neighbors_of_the_sorted_source(dtype):
    """A step finds the pairs of nearest_neighbors, whatever the hint; lattices are full of ties."""
    ops = torch.ops.twodasl
    generator = torch.Generator().manual_seed(1)
    source = torch.randn(2, 1500, 3, generator=generator, dtype=dtype)
    target = torch.randint(-3, 4, (2, 700, 3), generator=generator).to(dtype) / 2
    counts, known = torch.tensor([1500, 801]), torch.tensor([700, 650])
    ordered = ops.icp_sorted(source, counts)
    for b in range(2):
        rows = [sorted(c[b, : counts[b]].tolist()) for c in (source, ordered)]
        assert rows[0] == rows[1]
        assert torch.equal(ordered[b, counts[b] :], source[b, counts[b] :])
    step = (ordered[0, 1:] - ordered[0, :-1]).norm(dim=1).mean()
    assert step < 0.3 * (source[0, 1:] - source[0, :-1]).norm(dim=1).mean()
    frames = ops.icp_frame(ordered, counts), ops.icp_frame(target, known)
    index = te.PointIndex(target, known)
    pose = torch.cat((torch.eye(3).flatten(), torch.tensor([0.25, 0, 0, 1]))).double().expand(2, 13)
    expected = te.nearest_neighbors(
        ordered + torch.tensor([0.25, 0, 0], dtype=dtype), target, lengths=known, query_lengths=counts
    )
    guess = torch.randint(0, 650, (2, 1500), generator=generator)
    for hint in (None, guess, expected[1].clamp(min=0)):
        _, statistics, squared, indices = ops.icp_step(
            ordered, target, None, *index.tree, hint, counts, pose, *frames, 0.0, torch.inf, False, False
        )
        assert torch.equal(indices, expected[1])
        assert torch.equal(squared, expected[0])
        assert torch.equal(statistics[:, 1], counts.double())
        # The step measures in double precision, nearest_neighbors rounds to the dtype.
        mean, rtol = expected[0].double().sum(dim=1) / counts, 1e-5 if dtype == torch.float32 else 1e-12
        torch.testing.assert_close(statistics[:, 0], mean, rtol=rtol, atol=0)


def test_a_motion_out_of_range_is_an_error():
    huge = torch.tensor([[3e38, 0, 0], [0, 3e38, 0], [0, 0, 1]])
    turn = torch.tensor([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match=r"^source: expected points that stay within torch.float32"):
        icp(huge, huge, initialize=(turn, torch.tensor([3e38, 0, 0]), torch.tensor(1.0)))
