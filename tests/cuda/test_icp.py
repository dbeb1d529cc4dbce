"""iterative_closest_point on CUDA: one operator for all iterations, without waiting for the device."""

from __future__ import annotations

import math

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

FLOATS = ("rotation", "translation", "scale", "rmse", "matched", "history")
FIELDS = (*FLOATS, "converged", "iterations")
SHIFT = torch.tensor([12.0, -7, 30], dtype=torch.float64)


def surface(count=700, seed=0):
    """(N, 3) points of a bumpy sheet without symmetries, and its unit normals, in float64."""
    generator = torch.Generator().manual_seed(seed)
    u = 2 * torch.rand(count, 2, generator=generator, dtype=torch.float64) - 1
    x, y = 50 * u[:, 0], 70 * u[:, 1]
    height = 9 * torch.sin(x / 14) * torch.cos(y / 19 + 0.4) + x * y / 150 - y.square() / 90
    slope_x = 9 / 14 * torch.cos(x / 14) * torch.cos(y / 19 + 0.4) + y / 150
    slope_y = -9 / 19 * torch.sin(x / 14) * torch.sin(y / 19 + 0.4) + x / 150 - y / 45
    normals = torch.stack((-slope_x, -slope_y, torch.ones_like(x)), dim=1)
    return torch.stack((x, y, height), dim=1), normals / normals.norm(dim=1, keepdim=True)


def rotation(degrees):
    a, double = math.radians(degrees), torch.float64
    c, s = math.cos(a), math.sin(a)
    about_z = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=double)
    about_x = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=double)
    return about_z @ about_x


def moved(points, degrees, scale=1.0):
    return scale * points @ rotation(degrees).T + SHIFT


def icp(source, target, device, **options):
    """Run on the device, and its result brought to the CPU."""
    options = {k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    found = te.iterative_closest_point(source.to(device), target.to(device), **options)
    return te.ICPResult(*(getattr(found, name).cpu() for name in te.ICPResult.__dataclass_fields__))


def assert_motion(result, degrees, scale=1.0, tolerance=1e-9):
    assert (result.rotation.double() - rotation(degrees)).abs().max() <= tolerance
    assert (result.translation.double() - SHIFT).abs().max() <= 200 * tolerance
    assert (result.scale.double() - scale).abs().max() <= tolerance


def assert_refused(result, element, count=0):
    """NaN in every floating-point field; not converged, no iterations."""
    for name in FLOATS:
        assert getattr(result, name)[element].isnan().all(), name
    assert not result.converged[element]
    assert result.iterations[element] == count


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-6), (torch.float64, 1e-12)], ids=str)
@pytest.mark.parametrize("degrees", [0, 4, 15])
def test_a_known_motion_is_found(device, degrees, dtype, tolerance):
    points, _ = surface()
    result = icp(points.to(dtype), moved(points, degrees).to(dtype), device, max_iterations=80)
    assert_motion(
        result, degrees, tolerance=tolerance
    )  # the pairs are right in the end, and only rounding remains
    assert result.converged
    assert result.matched == 1
    assert result.rmse <= 100 * torch.finfo(dtype).eps
    assert result.history.shape == (81,)
    assert result.history[: result.iterations + 1].isfinite().all()
    assert result.history[result.iterations + 1 :].isnan().all()
    assert result.history.nan_to_num(torch.inf).min() == result.rmse


def test_scale(device):
    points, _ = surface()
    result = icp(points, moved(points, 8, 1.3), device, scale=True, max_iterations=200, tolerance=1e-9)
    assert_motion(result, 8, 1.3)


def test_outliers_are_trimmed(device):
    points, _ = surface()
    spoiled = points.clone()
    spoiled[::4] += torch.tensor([40.0, 60, 90])
    start = (rotation(7).to(device), (SHIFT + 1).to(device))
    result = icp(spoiled, moved(points, 9), device, trim=0.3, initialize=start, max_iterations=80)
    assert_motion(result, 9)
    assert 0.7 <= result.matched < 0.75  # ties stay
    plain = icp(spoiled, moved(points, 9), device, initialize=start, max_iterations=80)
    assert (plain.rotation - rotation(9)).abs().max() > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("trim", [0.001, 0.3, 0.5, 0.97])
def test_trimming_leaves_the_smallest_distances(device, trim, dtype):
    """Against a sort, with many equal distances, zeros among them, and sizes from tiny to huge."""
    generator = torch.Generator().manual_seed(1)
    size = 10.0 ** torch.randint(-12, 13, (1500,), generator=generator, dtype=torch.float64)
    source = torch.zeros(1500, 3, dtype=dtype)
    source[:, 0] = (size * torch.randint(0, 3, (1500,), generator=generator)).to(dtype)
    target = torch.zeros(1, 3, dtype=dtype)
    result = icp(source, target, device, trim=trim, initialize="identity", max_iterations=0)
    squared = source[:, 0].square()
    threshold = squared.sort().values[math.ceil((1 - trim) * 1500) - 1]
    kept = squared[squared <= threshold]
    assert result.matched == pytest.approx(len(kept) / 1500, rel=1e-6)  # ties stay
    # Errors are taken about the centroids: up to the doubles' rounding at that distance.
    noise = 1e-15 * float(source.abs().max())
    torch.testing.assert_close(result.rmse, kept.double().mean().sqrt().to(dtype), rtol=1e-6, atol=noise)


def test_the_maximum_distance(device):
    points, _ = surface()
    part = moved(points[points[:, 0] < 15], 3)
    start = (rotation(2).to(device), SHIFT.to(device))
    options = {"initialize": start, "max_iterations": 100, "tolerance": 1e-9}
    result = icp(points, part, device, max_distance=2.0, **options)
    assert (result.rotation - rotation(3)).abs().max() < 1e-3
    assert 0.5 < result.matched < 0.9
    assert (result.history[: result.iterations + 1].diff() <= 1e-9).all()


def test_point_to_plane_is_faster(device):
    """Two samplings of one surface."""
    source, (full, normals) = surface(500)[0], surface(2500, seed=5)
    target = moved(full, 5)
    turned = 4 * normals @ rotation(5).T
    point = icp(source, target, device, tolerance=1e-4, max_iterations=100)
    plane = icp(source, target, device, method="plane", normals=turned, tolerance=1e-4, max_iterations=100)
    assert plane.converged
    assert plane.iterations < point.iterations / 2
    assert (plane.rotation - rotation(5)).abs().max() < 3e-3
    grown = icp(source, 1.04 * target, device, method="plane", normals=turned, scale=True,
                initialize=(rotation(4).to(device), SHIFT.to(device)))  # fmt: skip
    assert abs(grown.scale - 1.04) < 2e-3


def ragged(dtype=torch.float32):
    """Four elements that need very different numbers of iterations, padded with NaN."""
    sizes, targets = (530, 411, 600, 90), (520, 600, 380, 77)
    source, target, normals = (torch.full((4, 640, 3), torch.nan, dtype=dtype) for _ in range(3))
    for i, (n, m) in enumerate(zip(sizes, targets, strict=True)):
        source[i, :n] = surface(n, seed=i)[0]
        points, across = surface(m, seed=i if i == 0 else 10 + i)
        target[i, :m] = moved(points, (1, 12, 25, 6)[i])
        normals[i, :m] = across @ rotation((1, 12, 25, 6)[i]).T
    return source, target, normals, torch.tensor(sizes), torch.tensor(targets)


OPTIONS = [{}, {"trim": 0.2, "scale": True}, {"method": "plane"}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_elements_do_not_influence_each_other(device, options):
    """Bit for bit of the doubles that a pose is made of, also beside one that is refused."""
    source, target, normals, n, m = ragged(torch.float64)
    plane = "method" in options
    together = icp(source, target, device, source_lengths=n, target_lengths=m, max_iterations=25, **options,
                   **({"normals": normals} if plane else {}))  # fmt: skip
    assert len(set(together.iterations.tolist())) > 1
    spoiled = source.clone()
    spoiled[2, 17, 1] = torch.nan
    beside = icp(spoiled, target, device, source_lengths=n, target_lengths=m, max_iterations=25, **options,
                 **({"normals": normals} if plane else {}))  # fmt: skip
    assert_refused(beside, 2)
    for i in range(4):
        own = {"normals": normals[i, : m[i]]} if plane else {}
        alone = icp(source[i, : n[i]], target[i, : m[i]], device, max_iterations=25, **options, **own)
        for name in FIELDS:
            expected = getattr(alone, name)
            torch.testing.assert_close(
                getattr(together, name)[i], expected, rtol=0, atol=0, equal_nan=True, msg=name
            )
            if i != 2:
                torch.testing.assert_close(
                    getattr(beside, name)[i], expected, rtol=0, atol=0, equal_nan=True, msg=name
                )


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_run_has_the_same_bits(device, options):
    source, target, normals, n, m = ragged()
    options = {**options, "normals": normals} if "method" in options else options
    runs = [icp(source, target, device, source_lengths=n, target_lengths=m, **options) for _ in range(2)]
    for name in FIELDS:
        first, second = (getattr(run, name) for run in runs)
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def test_no_iterations_measure_the_start(device):
    points, _ = surface(300)
    target = points + torch.tensor([0.0, 0, 1e-3])
    result = icp(points, target, device, initialize="identity", max_iterations=0)
    torch.testing.assert_close(result.rotation, torch.eye(3).double(), rtol=0, atol=0)
    assert result.rmse == pytest.approx(1e-3)
    assert result.history.shape == (1,)
    assert result.iterations == 0
    assert not result.converged


@pytest.mark.parametrize("plane", [False, True], ids=["point", "plane"])
def test_the_last_block_has_the_sums_of_all(device, plane):
    """Sources of one to three parts in one batch, over several iterations, against the reference."""
    target, normals = surface(900, seed=5)
    target, normals = moved(target, 4), normals @ rotation(4).T if plane else None
    source, counts = surface(1100)[0], (1100, 512, 513, 1024)
    options = {"method": "plane", "normals": normals.expand(4, -1, -1)} if plane else {}
    result = icp(source.expand(4, -1, -1), target.expand(4, -1, -1), device, tolerance=None, max_iterations=3,
                 source_lengths=torch.tensor(counts), **options)  # fmt: skip
    for i, count in enumerate(counts):
        expected = reference.iterative_closest_point(source[:count], target, iterations=3, normals=normals)
        torch.testing.assert_close(result.history[i], expected[3], rtol=1e-9, atol=0)


def test_never_worse_than_the_start(device):
    """Random normals on random points send point-to-plane anywhere."""
    generator = torch.Generator().manual_seed(0)
    a, b, n = torch.randn(3, 12, 150, 3, generator=generator, dtype=torch.float64)
    result = icp(a, b, device, method="plane", normals=n, initialize="identity", max_iterations=15)
    errors = result.history.nan_to_num(torch.inf)
    assert (errors.min(dim=1).values == result.rmse).all()
    rises = (result.history.diff(dim=1) > 1e-9).sum()
    assert rises > 10


def test_nothing(device):
    empty = icp(torch.zeros(0, 4, 3), torch.zeros(0, 5, 3), device, max_iterations=3)
    assert empty.rotation.shape == (0, 3, 3)
    assert empty.history.shape == (0, 4)
    one = icp(torch.ones(1, 3), torch.zeros(1, 3), device)
    assert one.rmse == 0
    torch.testing.assert_close(one.translation, -torch.ones(3))


def batch_of_two():
    source = torch.stack([surface(60, seed=s)[0] for s in (1, 2)]).float()
    return source, source + torch.tensor([0.1, -0.2, 0.3])


def spoiled(cloud, value=torch.nan):
    cloud = cloud.clone()
    cloud[1, 7, 2] = value
    return cloud


IDENTITY = torch.eye(3).expand(2, 3, 3)
TILTED = torch.stack((torch.eye(3), torch.ones(3, 3)))
FAR = torch.tensor([[[0.0]], [[1e4]]])
SPLIT = torch.tensor([1.0, torch.nan])


@pytest.mark.parametrize(
    "change",
    [
        lambda s, t: (spoiled(s), t, {}),
        lambda s, t: (spoiled(s, torch.inf), t, {}),
        lambda s, t: (s, spoiled(t), {}),
        lambda s, t: (s, spoiled(t, -torch.inf), {}),
        lambda s, t: (s, t, {"source_lengths": torch.tensor([60, 61])}),
        lambda s, t: (s, t, {"source_lengths": torch.tensor([60, 0])}),
        lambda s, t: (s, t, {"source_lengths": torch.tensor([60, -(2**60)])}),
        lambda s, t: (s, t, {"target_lengths": torch.tensor([60, 2**60])}),
        lambda s, t: (s, t, {"target_lengths": torch.tensor([60, 0])}),
        lambda s, t: (s, t, {"source_lengths": torch.tensor([60, 4]), "trim": 0.6}),
        lambda s, t: (s, t + FAR, {"max_distance": 1.0, "initialize": "identity"}),
        lambda s, t: (s, t, {"method": "plane", "normals": torch.stack((t[0], 0 * t[1]))}),
        lambda s, t: (s, t, {"method": "plane", "normals": spoiled(t)}),
        lambda s, t: (s, t, {"initialize": (TILTED, torch.zeros(2, 3))}),
        lambda s, t: (s, t, {"initialize": (IDENTITY, SPLIT[:, None].expand(2, 3))}),
        lambda s, t: (s, t, {"initialize": (IDENTITY * SPLIT[:, None, None], torch.zeros(2, 3))}),
        lambda s, t: (s, t, {"initialize": (IDENTITY, torch.zeros(2, 3), torch.tensor([1.0, -1]))}),
    ],
    ids=[
        "NaN in the source", "infinity in the source", "NaN in the target", "infinity in the target",
        "a source longer than there is", "a source of nothing", "a source of less than nothing",
        "a target longer than there is", "a target of nothing", "two pairs left", "no pair near enough",
        "no normal", "NaN in a normal", "no rotation", "NaN in the translation", "NaN in the rotation",
        "a mirroring scale",
    ],
)  # fmt: skip
def test_what_a_cpu_refuses_is_nan_in_its_element(device, change):
    source, target, options = change(*batch_of_two())
    if "initialize" in options and not isinstance(options["initialize"], str):
        options["initialize"] = tuple(part.to(device) for part in options["initialize"])
    result = icp(source, target, device, max_iterations=6, **options)
    assert_refused(result, 1)
    for name in FLOATS[:-1]:
        assert getattr(result, name)[0].isfinite().all(), name
    assert result.history[0, 0].isfinite()


def test_triangles_that_name_no_vertex_spoil_the_normals(device):
    source, target = batch_of_two()
    good = torch.tensor([[i, i + 1, i + 2] for i in range(58)])
    fine = icp(source, target, device, method="plane", triangles=good, max_iterations=2)
    assert fine.rmse.isfinite().all()
    for wrong in (60, -1, 2**40):
        bad = torch.cat((good, torch.tensor([[0, 1, wrong]])))
        result = icp(source, target, device, method="plane", triangles=bad, max_iterations=2)
        assert result.rmse.isnan().all()


def test_the_normals_of_triangles_are_the_cpus(device):
    from twodasl_ext import _icp_inputs, _values

    points, _ = surface(200)
    triangles = torch.randint(0, 200, (500, 3), generator=torch.Generator().manual_seed(3))
    cloud = torch.stack((points, 2 * points)).float()
    found = _icp_inputs.vertex_normals(cloud.to(device), triangles.to(device)).cpu()
    looked_at, _values.LOOKED_AT = _values.LOOKED_AT, {"cpu"}
    try:
        expected = _icp_inputs.vertex_normals(cloud, triangles)
    finally:
        _values.LOOKED_AT = looked_at
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_opcheck(device):
    ops = torch.ops.twodasl
    source, target = (cloud.to(device) for cloud in batch_of_two())
    counts = torch.tensor([60, 12], device=device)
    tree = ops.neighbor_tree(target, None, False)
    frames = ops.icp_frame(source, counts), ops.icp_frame(target, counts)
    start = torch.cat((torch.eye(3).flatten(), torch.tensor([0.1, 0.2, 0.3, 1.0]))).double()
    start = start.expand(2, 13).to(device)
    for normals in (None, target):
        arguments = (source, target, normals, *tree, counts, start, *frames, 0.1, 9.0, True, False, 3, 1e-6)
        torch.library.opcheck(ops.icp_run, (*arguments, None), test_utils=("test_schema", "test_faketensor"))


def test_a_graph_holds_all_of_it(gpu):
    """Captured once, it follows what is copied into its inputs, and has the eager loop's bits."""
    source, target, _, n, m = (tensor.to(gpu) for tensor in ragged())
    options = {"source_lengths": n, "target_lengths": m, "trim": 0.1, "max_iterations": 12}
    te.iterative_closest_point(source, target, **options)
    held = source.clone()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = te.iterative_closest_point(held, target, **options)
    for shift in (0.0, 1.5):
        held.copy_(source + shift)
        graph.replay()
        expected = te.iterative_closest_point(source + shift, target, **options)
        for name in FIELDS:
            torch.testing.assert_close(
                getattr(result, name), getattr(expected, name), rtol=0, atol=0, equal_nan=True
            )


def test_nothing_waits_for_the_device(gpu):
    source, target, normals, n, m = (tensor.to(gpu) for tensor in ragged())
    start = te.iterative_closest_point(source, target, source_lengths=n, target_lengths=m)
    triangles = torch.tensor([[0, 1, 2], [2, 3, 4]], device=gpu)
    torch.cuda.set_sync_debug_mode("error")
    try:
        lengths = {"source_lengths": n, "target_lengths": m}
        te.iterative_closest_point(source, target, trim=0.1, initialize=start, **lengths)
        te.iterative_closest_point(source, target, method="plane", normals=normals, **lengths)
        te.iterative_closest_point(source, target, method="plane", triangles=triangles, **lengths)
        te.chamfer_distance(source, target, a_lengths=n, b_lengths=m)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_clouds_on_two_devices(gpu):
    with pytest.raises(ValueError, match=r"^target: expected device cuda:0 like source, got cpu$"):
        te.iterative_closest_point(torch.zeros(4, 3, device=gpu), torch.zeros(4, 3))
    with pytest.raises(
        ValueError, match=r"^initialize's rotation: expected device cuda:0 like source, got cpu"
    ):
        te.iterative_closest_point(
            torch.zeros(4, 3, device=gpu),
            torch.zeros(4, 3, device=gpu),
            initialize=(torch.eye(3), torch.zeros(3)),
        )
