"""iterative_closest_point: clouds that determine little or nothing, and the messages for wrong arguments."""

# ruff: noqa: E501 (one message per line)

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te

icp = te.iterative_closest_point

LINE = torch.linspace(-1, 1, 9)[:, None] * torch.tensor([[1.0, 2, 3]])
DEGENERATE = {
    "one point": torch.tensor([[1.0, 2, 3]]),
    "two points": torch.tensor([[0.0, 0, 0], [1, 1, 1]]),
    "all equal": torch.ones(7, 3),
    "all zero": torch.zeros(5, 3),
    "a line": LINE,
    "a plane": torch.cartesian_prod(torch.arange(4.0), torch.arange(5.0), torch.zeros(1)),
    "huge": LINE * 1e30,
    "tiny": LINE * 1e-30,
    "far away": LINE + 1e6,
}


def padded(clouds):
    """(B, N, 3) and lengths; what follows a cloud is not to be looked at."""
    lengths = torch.tensor([len(cloud) for cloud in clouds])
    return torch.nn.utils.rnn.pad_sequence(clouds, batch_first=True, padding_value=1e3), lengths


@pytest.mark.parametrize("method", ["point", "plane"])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("start", ["centroids", "identity"])
def test_degenerate_clouds_give_a_motion(method, scale, start):
    """Every cloud against every cloud: finite, proper, never worse than the start."""
    clouds = [cloud.double() for cloud in DEGENERATE.values()]  # scales of 1e60 and back leave float32
    source, source_lengths = padded([source for source in clouds for _ in clouds])
    target, target_lengths = padded([target for _ in clouds for target in clouds])
    normals = torch.tensor([0, 0, 2.0]).to(target).expand_as(target) if method == "plane" else None
    result = icp(
        source, target, method=method, scale=scale, normals=normals, initialize=start, max_iterations=8,
        source_lengths=source_lengths, target_lengths=target_lengths,
    )  # fmt: skip
    product = result.rotation @ result.rotation.mT
    torch.testing.assert_close(product, torch.eye(3).expand_as(product).to(product), rtol=0, atol=1e-5)
    assert (torch.linalg.det(result.rotation) > 0.99).all()
    assert result.translation.isfinite().all()
    assert result.scale.isfinite().all()
    assert (result.scale > 0).all()
    assert not (result.rmse > result.history[:, 0]).any()
    assert not result.rotation.requires_grad


def test_what_the_pairs_leave_open_stays():
    """A roll about a line, a slide along a plane, everything about a point: as at the start."""
    turn = torch.linalg.matrix_exp(torch.tensor([[0.0, -0.3, 0.1], [0.3, 0, -0.2], [-0.1, 0.2, 0]]))
    point = icp(torch.ones(4, 3), torch.zeros(4, 3), initialize=(turn, torch.zeros(3)))
    torch.testing.assert_close(point.rotation, turn)
    assert point.rmse == 0
    grid = DEGENERATE["a plane"]
    normals = torch.tensor([0.0, 0, 1]).expand_as(grid)
    lifted = icp(
        grid + torch.tensor([0.3, 0.2, 5.0]), grid, method="plane", normals=normals, initialize="identity"
    )
    torch.testing.assert_close(lifted.translation, torch.tensor([0.0, 0, -5]), rtol=0, atol=1e-5)
    torch.testing.assert_close(lifted.rotation, torch.eye(3), rtol=0, atol=1e-5)


def test_nothing_in_the_batch():
    result = icp(torch.zeros(0, 4, 3), torch.zeros(0, 5, 3))
    assert result.rotation.shape == (0, 3, 3)
    assert result.history.shape[0] == 0


def wrong(source=None, target=None, **options):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 2, 30, 3, generator=generator)
    return icp(a if source is None else source, b if target is None else target, **options)


def spoiled():
    cloud = torch.zeros(2, 30, 3)
    cloud[1, 7, 2] = torch.nan
    return cloud


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, r"^source: expected \(B, N, 3\) or \(N, 3\), got \(2, 30\)$", {"source": torch.zeros(2, 30)}),
        (ValueError, r"^target: expected \(B, P, 3\), got \(30, 3\)$", {"target": torch.zeros(30, 3)}),
        (ValueError, r"^target: expected a batch of 2 like source", {"target": torch.zeros(3, 30, 3)}),
        (TypeError, r"^target: expected torch.float32 like source, got torch.float64$",
         {"target": torch.zeros(2, 30, 3, dtype=torch.float64)}),
        (TypeError, r"^source: expected float32 or float64, got torch.int64$", {"source": torch.zeros(2, 4, 3).long()}),
        (TypeError, r"^source: expected a torch.Tensor, got list$", {"source": [1.0]}),
        (ValueError, r"^source: no operators for device meta|^target: expected device", {"target": torch.zeros(2, 3, 3, device="meta")}),
        (ValueError, r"^target: expected at least one point, got \(2, 0, 3\)$", {"target": torch.zeros(2, 0, 3)}),
        (ValueError, r"^source: expected finite numbers, got .*nan\] at point 7 of batch element 1$", {"source": spoiled()}),
        (ValueError, r"^target: expected finite numbers, got .*nan\] at point 7 of batch element 1$", {"target": spoiled()}),
        (ValueError, r"^method: expected 'point' or 'plane', got 'mesh'$", {"method": "mesh"}),
        (ValueError, r"^normals: expected the target's normals, or its triangles=, .*; got neither$", {"method": "plane"}),
        (ValueError, r"^normals: expected None with method='point'", {"normals": torch.ones(2, 30, 3)}),
        (ValueError, r"^normals: expected \(2, 30, 3\) like the target", {"method": "plane", "normals": torch.ones(2, 9, 3)}),
        (ValueError, r"^normals: expected one that is not zero", {"method": "plane", "normals": torch.zeros(2, 30, 3)}),
        (ValueError, r"^triangles: expected \(T, 3\)", {"method": "plane", "triangles": torch.zeros(3).long()}),
        (ValueError, r"^triangles: expected vertex indices in \[0, 30\), got 30",
         {"method": "plane", "triangles": torch.tensor([[0, 1, 30]])}),
        (ValueError, r"^trim: expected a fraction in \[0, 1\), got 1.0$", {"trim": 1.0}),
        (ValueError, r"^trim: expected to leave at least 3 pairs, got 0.95: 2 of 30 of batch element 0$", {"trim": 0.95}),
        (TypeError, r"^trim: expected a fraction in \[0, 1\), got None$", {"trim": None}),
        (ValueError, r"^max_distance: expected a positive distance or None, got 0$", {"max_distance": 0}),
        (ValueError, r"^max_distance: expected a positive distance or None, got nan$", {"max_distance": float("nan")}),
        (ValueError, r"^max_distance: expected a pair within 1e-06 at the start, got none of batch element 0: the near",
         {"max_distance": 1e-6}),
        (TypeError, r"^max_iterations: expected an integer >= 0, got 2.5$", {"max_iterations": 2.5}),
        (ValueError, r"^max_iterations: expected an integer >= 0, got -1$", {"max_iterations": -1}),
        (ValueError, r"^tolerance: expected a number >= 0 or None, got -1$", {"tolerance": -1}),
        (ValueError, r"^recenter: expected False with method='plane', trim or max_distance$", {"recenter": True, "trim": 0.1}),
        (ValueError, r"^initialize: expected 'centroids', 'identity' or", {"initialize": "somehow"}),
        (TypeError, r"^initialize: expected 'centroids', 'identity', .*, got int$", {"initialize": 3}),
        (ValueError, r"^initialize's rotation: expected \(2, 3, 3\), got \(3, 3\)$", {"initialize": (torch.eye(3), torch.zeros(3))}),
        (ValueError, r"^initialize's rotation: expected orthonormal matrices of determinant \+1$",
         {"initialize": (-torch.eye(3).expand(2, 3, 3), torch.zeros(2, 3))}),
        (ValueError, r"^initialize's scale: expected positive numbers, got 0.0$",
         {"initialize": (torch.eye(3).expand(2, 3, 3), torch.zeros(2, 3), torch.zeros(2))}),
        (ValueError, r"^source_lengths: expected lengths in \[1, 30\], got 31$", {"source_lengths": torch.tensor([31, 2])}),
        (ValueError, r"^target_lengths: expected lengths in \[1, 30\], got 0$", {"target_lengths": torch.tensor([30, 0])}),
        (TypeError, r"^source_lengths: expected integers, got torch.float32$", {"source_lengths": torch.ones(2)}),
    ],
)  # fmt: skip
def test_messages(error, message, options):
    with pytest.raises(error, match=message):
        wrong(**options)


def test_single_clouds_have_no_batch_element_to_name():
    cloud = torch.zeros(4, 3)
    cloud[2, 0] = torch.inf
    with pytest.raises(
        ValueError, match=r"^source: expected finite numbers, got \[inf, 0.0, 0.0\] at point 2$"
    ):
        icp(cloud, torch.zeros(4, 3))


def test_single_clouds_have_no_lengths():
    with pytest.raises(ValueError, match=r"^source_lengths: expected None for a single cloud"):
        icp(torch.zeros(4, 3), torch.zeros(4, 3), source_lengths=torch.tensor([3]))


def test_apply():
    result = icp(torch.randn(2, 20, 3), torch.randn(2, 20, 3))
    points = torch.randn(2, 5, 3, requires_grad=True)
    result.apply(points).sum().backward()
    assert points.grad is not None
    with pytest.raises(ValueError, match=r"^points: expected \(2, M, 3\), got \(5, 3\)$"):
        result.apply(points[0])
    with pytest.raises(
        TypeError, match=r"^points: expected torch.float32 like the clouds, got torch.float64$"
    ):
        result.apply(points.double())


def test_opcheck_of_the_steps():
    ops = torch.ops.twodasl
    a, b = torch.randn(2, 2, 30, 3, generator=torch.Generator().manual_seed(0))
    counts = torch.tensor([30, 12])
    frames = ops.icp_frame(a, counts), ops.icp_frame(b, counts)
    pose = torch.cat((torch.eye(3).flatten(), torch.tensor([0.1, 0.2, 0.3, 1.0]))).double().expand(2, 13)
    tree, hint = te.PointIndex(b).tree, torch.arange(60).reshape(2, 30) % 30
    torch.library.opcheck(ops.icp_frame, (a, counts))
    torch.library.opcheck(ops.icp_sorted, (a, counts))
    for normals, last in ((None, None), (b, hint)):
        arguments = (a, b, normals, *tree, last, counts, pose, *frames, 0.1, 4.0, True, False)
        torch.library.opcheck(ops.icp_step, arguments)
    step = [a, b, None, *tree, None, counts, pose, *frames, 0.1, 4.0, True, False]
    for place, value, message in (
        (7, hint + 1, r"twodasl: hint: expected indices in \[0, 30\)"),
        (8, counts + 1, "twodasl: counts are not within the points"),
        (9, pose[:1], "twodasl: pose has the wrong shape"),
        (3, tree[0][:, :1], "twodasl: leaves has the wrong shape"),
        (9, 1e20 * pose, "twodasl: source: moved out of its dtype's range in element 0"),
    ):
        with pytest.raises(RuntimeError, match=message):
            ops.icp_step(*step[:place], value, *step[place + 1 :])
    for operator in (ops.icp_frame, ops.icp_sorted):
        with pytest.raises(RuntimeError, match="twodasl: counts are not within the points"):
            operator(a, counts + 1)
