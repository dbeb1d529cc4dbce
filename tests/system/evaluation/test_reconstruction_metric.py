"""The reconstruction error on clouds whose error is known by hand, and the alignment that it rests on."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from twodasl.errors import InputError
from twodasl.evaluation.reconstruction import PROTOCOLS, reconstruction_error
from twodasl.evaluation.rigid import Motion, best_motion, horn_rotation, nearest

EXACT = 1e-9  # rounding of float64 over coordinates of about 100


def turn(*degrees: float) -> np.ndarray:
    return Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """(2601, 3): a bump of 160 x 200 units without symmetries, as a face has millimeters; irregular
    vertices."""
    x, y = np.random.default_rng(8).uniform([-80, -100], [80, 100], (2601, 2)).T
    x[:2], y[:2] = (-80, 80), (-100, 100)
    z = 60 * np.exp(-(x**2 + y**2) / 3000) - 0.004 * (x**2 + y**2) + 12 * np.sin(x / 25) * np.cos(y / 40)
    return np.stack([x, y, z], axis=1)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_moved_and_turned_copy_has_no_error(face, protocol):
    moved = face @ turn(9, -12, 6).T + [30, -200, 5]
    result = reconstruction_error(moved, face, protocol=protocol)
    # the authors' alignment ends when it moves by less than its tolerance, which leaves 0.1 units at most
    assert result.nme < (EXACT if protocol == "nearest" else 0.1 / result.normalizer)
    assert result.converged
    np.testing.assert_allclose(result.motion.apply(moved), face, atol=1e-9 if protocol == "nearest" else 0.3)


def test_the_normalizer_is_the_box_of_the_truth_in_x_and_y(face):
    for protocol in PROTOCOLS:
        error = reconstruction_error(face * 0.9, face, protocol=protocol)
        assert error.normalizer == pytest.approx(np.sqrt(160 * 200))
        assert error.nme == pytest.approx(error.mean_distance / np.sqrt(160 * 200))
        assert error.relative.shape == (len(face),)
        assert error.relative[error.counted].mean() == pytest.approx(error.nme)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_known_offset_gives_the_known_error(protocol):
    # Six rods along the axes, of 50 points each. The points lie alternately 1 unit to either side
    # of them, so that no rigid motion does better than standing still.
    step = 1 if protocol == "nearest" else 50
    truth, offset = np.zeros((300, 3)), np.zeros((300, 3))
    for rod in range(6):
        axis, sign = divmod(rod, 2)
        truth[50 * rod : 50 * rod + 50, axis] = (1 - 2 * sign) * np.linspace(51, 100, 50)
        offset[50 * rod : 50 * rod + 50, (axis + 1) % 3] = np.where(np.arange(50) % 2, 1, -1)
    truth, offset = np.repeat(truth, step, axis=0), np.repeat(offset, step, axis=0)
    result = reconstruction_error(truth + offset, truth, protocol=protocol)
    # 2e-3: the alternation leaves the rods a lever of a hundredth of a degree
    assert result.mean_distance == pytest.approx(1, abs=2e-3)
    assert result.nme == pytest.approx(1 / 200, rel=2e-3)


def test_index_and_nearest_correspondence_differ_on_permuted_vertices(face):
    order = np.random.default_rng(0).permutation(len(face))
    permuted = face[order]
    assert reconstruction_error(permuted, face).nme < EXACT
    assert reconstruction_error(face, face, protocol="authors-matlab").nme < EXACT
    by_index = reconstruction_error(permuted, face, protocol="authors-matlab")
    still = np.linalg.norm(permuted - face, axis=1)[::50].mean() / by_index.normalizer
    assert by_index.nme == pytest.approx(still, rel=0.35)
    assert by_index.nme > 0.3


def test_authors_protocol_counts_every_fiftieth_vertex_only(face):
    bent = face.copy()
    bent[1::50, 2] += 40  # not one that counts, nor one that aligns
    result = reconstruction_error(bent, face, protocol="authors-matlab")
    assert result.nme < EXACT
    assert result.relative[1] == pytest.approx(40 / result.normalizer)
    np.testing.assert_array_equal(result.counted, np.arange(0, len(face), 50))
    assert reconstruction_error(bent, face).nme > 1e-5


def test_authors_protocol_step_by_step(face):
    """The description of the published program once more, written as plainly as it is told."""
    rng = np.random.default_rng(3)
    truth = face * [1, 1, 0.8]
    found = (face + rng.normal(size=face.shape) * 2) @ turn(4, 9, -7).T + [3, 70, 0]
    g, p, last, error, rounds = truth[::50], found[::50], 0.0, np.inf, 0
    while rounds == 0 or abs(error - last) > 0.01:
        last, rounds = error if rounds else 0.0, rounds + 1
        g, p = g - g.mean(0), p - p.mean(0)
        squared = ((g[:, None] - p[None]) ** 2).sum(2)
        error = squared.min(1).mean()
        rotation, _ = Rotation.align_vectors(g, p[squared.argmin(1)])  # Wahba's problem has one solution
        p = rotation.apply(p)
        p = p - p.mean(0)
    side = np.sqrt(np.prod(np.ptp(truth[:, :2], axis=0)))
    expected = np.linalg.norm((g - g.mean(0)) - p, axis=1).mean() / side
    result = reconstruction_error(found, truth, protocol="authors-matlab")
    assert rounds > 3
    assert result.nme == pytest.approx(expected, rel=1e-9)
    assert result.iterations == rounds


def test_meshes_of_other_topology_and_extent(face):
    # a face predicted as a head: more of it, in another order, moved; the truth is the middle alone
    rng = np.random.default_rng(1)
    middle = face[(np.abs(face[:, 0]) < 50) & (np.abs(face[:, 1]) < 60)]
    head = face[rng.permutation(len(face))] @ turn(3, -4, 2).T + [2, -3, 1]
    result = reconstruction_error(head, middle)
    # a local optimum would be millimeters away
    assert result.mean_distance < 1e-6
    with pytest.raises(InputError, match=rf"has {len(head)} vertices and the ground truth {len(middle)}"):
        reconstruction_error(head, middle, protocol="authors-matlab")


def test_a_far_more_dense_truth_is_thinned_for_the_alignment_only(face):
    dense = np.concatenate([face + np.array([0, 0, shift]) for shift in np.linspace(0, 1e-3, 9)])
    result = reconstruction_error(face + np.array([0, 50, 0]), dense)
    assert len(result.distances) == len(dense) == len(result.counted) > 20_000
    assert result.mean_distance < 1e-3


def test_scale_is_fitted_only_on_request(face):
    small = (face @ turn(5, 10, -8).T) / 1000 + [1, 2, 3]  # meters for millimeters
    result = reconstruction_error(small, face, scale=True)
    assert result.nme < EXACT
    assert result.motion.scale == pytest.approx(1000)
    assert reconstruction_error(small, face).nme > 0.1
    shuffled = small[np.random.default_rng(0).permutation(len(small))]
    assert reconstruction_error(shuffled, face, scale=True).nme < EXACT


def test_reflections_are_not_turned_away(face):
    mirrored = face * [-1, 1, 1]
    result = reconstruction_error(mirrored, face)
    assert np.linalg.det(result.motion.rotation) == pytest.approx(1)
    assert result.nme > 1e-3


def test_one_result_from_run_to_run(face):
    rng = np.random.default_rng(5)
    found = face + rng.normal(size=face.shape)
    first, second = (reconstruction_error(found, face) for _ in range(2))
    np.testing.assert_array_equal(first.distances, second.distances)


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        (np.zeros((3, 2)), np.eye(3), r"prediction: expected \(N, 3\)"),
        (np.eye(3), np.zeros((0, 3)), r"ground truth: expected \(N, 3\)"),
        (np.eye(3) * np.nan, np.eye(3), "prediction: expected finite vertices, got .* in vertex 0"),
        (
            np.eye(3),
            np.eye(3) * 1e200,
            "ground truth: expected finite vertices, got .* in vertex 0",
        ),
        (np.eye(3), np.eye(3) * [1, 0, 1], "expected a mesh with an extent in x and y"),
    ],
)
def test_clouds_that_are_no_mesh(predicted, truth, message):
    with pytest.raises(InputError, match=message):
        reconstruction_error(predicted, truth)


def test_unknown_protocol_and_scale_without_meaning(face):
    with pytest.raises(ValueError, match="protocol: expected one of nearest, authors-matlab"):
        reconstruction_error(face, face, protocol="paper")
    with pytest.raises(ValueError, match="scale"):
        reconstruction_error(face, face, protocol="authors-matlab", scale=True)


def test_horn_rotation_agrees_with_an_independent_solver():
    rng = np.random.default_rng(0)
    for _ in range(20):
        source = rng.normal(size=(12, 3)) * rng.uniform(0.1, 50)
        target = source @ turn(*rng.uniform(-180, 180, 3)).T + rng.normal(size=(12, 3)) + 7
        expected, _ = Rotation.align_vectors(target - target.mean(0), source - source.mean(0))
        np.testing.assert_allclose(horn_rotation(source, target), expected.as_matrix(), atol=1e-9)
    plane = rng.normal(size=(9, 3)) * [1, 1, 0]
    np.testing.assert_allclose(horn_rotation(plane, -plane), turn(0, 0, 180), atol=1e-9)


def test_motions_and_their_inverse():
    rng = np.random.default_rng(2)
    points, motion = rng.normal(size=(8, 3)), Motion(turn(10, 20, 30), np.array([1.0, 2, 3]), 2.5)
    np.testing.assert_allclose(motion.inverse().apply(motion.apply(points)), points, atol=1e-12)
    found = best_motion(points, motion.apply(points), scale=True)
    assert found.scale == pytest.approx(2.5)
    np.testing.assert_allclose(found.rotation, motion.rotation, atol=1e-12)
    np.testing.assert_allclose(found.translation, motion.translation, atol=1e-12)


def test_nearest_points():
    points = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]])
    distances, indices = nearest(np.array([[9.0, 0, 0], [0, 6, 0], [-1, -1, 0]]), points)
    np.testing.assert_array_equal(indices, [1, 2, 0])
    np.testing.assert_allclose(distances, [1, 4, np.sqrt(2)])
