"""The systems behind a mesh's colors, against a factorization."""

import numpy as np
import pytest
from scipy.sparse import diags
from scipy.sparse.linalg import splu
from twodasl.morphable import procedural_model
from twodasl.reconstruction.mesh_smoothing import MeshSmoothing, laplacian


def _exact(triangles, weight, target):
    system = (diags(np.asarray(weight, np.float64)) + laplacian(triangles, len(weight))).tocsc()
    factor = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return factor.solve(np.asarray(target, np.float64))


def _problems(mean, rng):
    """As photos make them: weights of 10 where the mesh is seen, next to none elsewhere."""
    axes = ((0, 1), (1, -1), (2, 1))
    for axis, sign in axes:
        seen = np.clip(sign * mean[:, axis] / 20, 0, 1)
        yield 10 * seen + 1e-4, (10 * seen)[:, None] * (0.3 * rng.standard_normal((len(mean), 3)) + 0.2)


@pytest.fixture(scope="module")
def head():
    return procedural_model()


def test_answers_are_exact_to_less_than_eight_bits(head):
    smoothing = MeshSmoothing(head.triangles, len(head.mean))
    weights, targets = zip(*_problems(head.mean, np.random.default_rng(0)), strict=True)
    for weight, target, found in zip(weights, targets, smoothing(weights, targets), strict=True):
        assert np.abs(found - _exact(head.triangles, weight, target)).max() < 0.3 / 255


def test_a_face_gets_the_same_bits_alone_and_beside_others(head):
    smoothing = MeshSmoothing(head.triangles, len(head.mean))
    weights, targets = zip(*_problems(head.mean, np.random.default_rng(1)), strict=True)
    together = smoothing(weights * 3, targets * 3)  # 9: more than are solved side by side
    for index, (weight, target) in enumerate(zip(weights, targets, strict=True)):
        (alone,) = smoothing([weight], [target])
        for found in together[index::3]:
            assert np.array_equal(found, alone)


@pytest.mark.parametrize("count", [1, 5, 400])
def test_vertices_without_triangles_and_meshes_of_any_size(count):
    """A fan, and as many vertices that no triangle has."""
    tips = np.arange(1, count)
    triangles = np.stack([np.zeros_like(tips), tips, np.roll(tips, 1)], axis=1).reshape(-1, 3)
    rng = np.random.default_rng(count)
    weight, target = rng.random(2 * count) + 0.01, rng.standard_normal((2 * count, 3))
    (found,) = MeshSmoothing(triangles, 2 * count)([weight], [target])
    exact = _exact(triangles, weight, target).reshape(-1, 3)
    np.testing.assert_allclose(found, exact, atol=1e-3 * np.abs(exact).max())


def test_nothing_known_is_zero(head):
    nothing = np.zeros((len(head.mean), 3))
    (found,) = MeshSmoothing(head.triangles, len(head.mean))([np.full(len(nothing), 1e-4)], [nothing])
    assert not found.any()
