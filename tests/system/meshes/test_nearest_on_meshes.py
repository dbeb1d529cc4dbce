"""nearest_neighbors against SciPy's k-d tree, vertex by vertex, between surfaces of different topology."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from twodasl.morphable import procedural_model
from twodasl.morphable.readers.ict_facekit import read_ict_facekit

import twodasl_ext as te

REAL = Path(__file__).resolve().parents[4] / "shared/data/ict_facekit.tar.xz"
DTYPES = [torch.float32, torch.float64]


def turned(points: torch.Tensor, degrees: float, shift: tuple[float, float, float]) -> torch.Tensor:
    """About an axis through the origin that is none of the coordinates'."""
    axis = torch.tensor([0.4, 1.0, -0.3], dtype=torch.float64)
    axis = np.radians(degrees) * axis / axis.norm()
    x, y, z = axis.tolist()
    generator = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return points @ torch.matrix_exp(generator).T + torch.tensor(shift, dtype=torch.float64)


def squared(query: np.ndarray, points: np.ndarray) -> np.ndarray:
    """((dx dx + dy dy) + dz dz) in the dtype of the arrays, every operation rounded once."""
    d = query - points
    return (d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1]) + d[:, 2] * d[:, 2]


def assert_as_scipy(query: torch.Tensor, points: torch.Tensor, **keywords) -> float:
    """Every query's answer is SciPy's up to the rounding of the dtype; the fraction whose index was decided.

    Where the runner-up is further away than rounding can hide, the index must be the same. Elsewhere either
    may be the answer. A squared distance is off by five roundings of eps / 2 at the most (difference twice,
    product, two sums), so two of them are told apart beyond 5 eps; SciPy's, and ours below, are in double
    precision and come with five of its own.
    """
    distances, indices = (t.numpy() for t in te.nearest_neighbors(query, points, **keywords))
    q, p = query.numpy(), points.numpy()
    np.testing.assert_array_equal(distances, squared(q, p[indices]))  # the very bits
    q64, p64 = q.astype(np.float64), p.astype(np.float64)  # exact
    theirs = cKDTree(p64).query(q64, k=2, workers=-1)[1]
    ours, nearest, second = (squared(q64, p64[i]) for i in (indices, theirs[:, 0], theirs[:, 1]))
    rounding = 5.01 * np.finfo(q.dtype).eps + 2e-15
    assert np.all(ours <= nearest * (1 + rounding))
    assert np.all(nearest <= ours * (1 + 2e-15)), "SciPy missed a nearer point"
    decided = second > nearest * (1 + rounding)
    np.testing.assert_array_equal(indices[decided], theirs[decided, 0])
    return float(decided.mean())


def surface(count: int, seed: int) -> torch.Tensor:
    """(N, 3) float64 millimeters: a bumpy ellipsoid the size of a head, its points along a spiral."""
    generator = torch.Generator().manual_seed(seed)
    step = torch.arange(count, dtype=torch.float64) + 0.5
    height, angle = 1 - 2 * step / count, step * np.pi * (3 - np.sqrt(5))
    ring = (1 - height.square()).sqrt()
    unit = torch.stack((ring * angle.cos(), height, ring * angle.sin()), dim=1)
    waves = torch.randn(6, 3, generator=generator, dtype=torch.float64) * 3
    radius = 1 + 0.03 * (unit @ waves.T).sin().sum(dim=1, keepdim=True)
    return radius * unit * torch.tensor([75.0, 110.0, 95.0], dtype=torch.float64)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("counts", [(43_867, 53_215), (53_215, 43_867)], ids=str)
def test_two_surfaces_of_different_sizes(counts, dtype):
    """As many vertices as a ground truth and a prediction have whose topologies differ."""
    query, points = surface(counts[0], 1), surface(counts[1], 2).to(dtype)
    index = te.PointIndex(points)
    hint = torch.zeros(counts[0], dtype=torch.int64)
    for degrees, shift in ((0, (0, 0, 0)), (20, (12, -7, 20)), (170, (0, 300, 0))):
        moved = turned(query, degrees, shift).to(dtype)
        assert assert_as_scipy(moved, points) > 0.99
        assert torch.equal(
            te.nearest_neighbors(moved, points)[1], te.nearest_neighbors(moved, index, hint=hint)[1]
        )
        hint = te.nearest_neighbors(moved, index)[1]


def test_two_equal_surfaces():
    """Every vertex finds itself, at distance zero; or, of equal ones, the first."""
    points = surface(43_867, 3).float()
    distances, indices = te.nearest_neighbors(points, points)
    assert torch.equal(indices, torch.arange(len(points)))
    assert distances.max() == 0
    doubled = te.nearest_neighbors(points, torch.cat((points, points)))
    assert torch.equal(doubled[1], indices)


def test_a_wrong_neighbor_is_noticed(monkeypatch):
    """The comparison itself: one index of 43,867 that is the second nearest fails it."""
    query, points = turned(surface(43_867, 1), 20, (12, -7, 20)).float(), surface(53_215, 2).float()
    found = te.nearest_neighbors(query, points)
    second = cKDTree(points.double().numpy()).query(query[1234].double().numpy(), k=2)[1][1]
    found[1][1234] = int(second)
    found[0][1234] = torch.from_numpy(squared(query.numpy()[1234:1235], points.numpy()[second : second + 1]))[
        0
    ]
    monkeypatch.setattr(te, "nearest_neighbors", lambda *_, **__: found)
    with pytest.raises(AssertionError):
        assert_as_scipy(query, points)


@pytest.fixture(scope="module")
def heads(tmp_path_factory) -> tuple[torch.Tensor, torch.Tensor]:
    """ICT-FaceKit's neutral head and the embedded one, eyes over eyes, in millimeters; float64."""
    if not REAL.exists():
        pytest.skip("ICT-FaceKit (../shared/data/ict_facekit.tar.xz) is not here")
    folder = tmp_path_factory.mktemp("ict")
    with tarfile.open(REAL) as archive:
        archive.extractall(folder, filter="data")
    models = read_ict_facekit(folder / "ict_facekit", progress=False), procedural_model()
    found = []
    for model in models:
        vertices = torch.from_numpy(model.mean).double()
        eyes = vertices[torch.from_numpy(model.landmarks)[36:48]]
        vertices = vertices - eyes.mean(dim=0)
        found.append(vertices / (eyes[0] - eyes[9]).norm() * 90)  # between the outer corners
    return found[0], found[1]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_real_heads_of_different_topology(heads, dtype):
    """Both ways, aligned, and transformed: turned, far away, and of another unit."""
    ict, embedded = heads
    assert len(ict) == 26_719
    assert len(embedded) != len(ict)
    for query, points in ((ict, embedded), (embedded, ict)):
        near = te.nearest_neighbors(query, points)[0].sqrt()
        assert near.median() < 15, "the heads are not one in the other"
        for degrees, shift, scale in (
            (0, (0, 0, 0), 1.0),
            (35, (12, -7, 20), 1.0),
            (180, (0, 0, 0), 1.0),
            (10, (1000, 2000, -500), 1.0),
            (5, (1, 2, 0), 1e-3),
        ):
            moved = scale * turned(query, degrees, shift)
            decided = assert_as_scipy(moved.to(dtype), (scale * points).to(dtype))
            # A kilometer away the rounding of float32 hides more of the runners-up.
            assert decided > 0.98


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_real_head_and_its_moved_copy(heads, dtype):
    """ICT-FaceKit has coinciding vertices: equal distances, of which the lowest index is the answer."""
    ict = heads[0].to(dtype)
    distances, indices = te.nearest_neighbors(ict, ict)
    assert distances.max() == 0
    inverse = np.unique(ict.numpy(), axis=0, return_index=True, return_inverse=True)
    np.testing.assert_array_equal(indices.numpy(), inverse[1][inverse[2].ravel()])
    for degrees, shift in ((0.5, (0.1, 0, 0)), (15, (3, -2, 5))):
        assert_as_scipy(turned(heads[0], degrees, shift).to(dtype), ict)
