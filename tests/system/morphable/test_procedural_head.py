"""The sculpted mean head: proportions against published norms, mesh soundness, symmetry, landmarks,
regions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial import cKDTree
from twodasl.morphable.procedural import procedural_model
from twodasl.morphable.procedural.head import HeadMesh, mean_head
from twodasl.morphable.procedural.landmarks import CALM_JAW, on_calm_head
from twodasl.morphable.procedural.measurements import measure
from twodasl.morphable.procedural.norms import NORMS


@pytest.fixture(scope="module")
def head() -> HeadMesh:
    return mean_head()


@pytest.fixture(scope="module", params=["sculpt", "model"])
def measured(head: HeadMesh, request: pytest.FixtureRequest) -> dict[str, float]:
    """Of the sculpt, and of the mean that the model has after photographs corrected it."""
    if request.param == "model":
        return measure(replace(head, vertices=procedural_model().mean.astype(np.float64)))
    return measure(head)


def edges_of(triangles: np.ndarray) -> np.ndarray:
    """Directed edges (3T, 2)."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


@pytest.mark.parametrize("name", NORMS)
def test_proportions_lie_within_published_norms(name: str, measured: dict[str, float]) -> None:
    low, high = NORMS[name].range
    assert low <= measured[name] <= high


def test_most_proportions_lie_between_the_mean_woman_and_the_mean_man(measured: dict[str, float]) -> None:
    near = [min(n.women, n.men) - n.sd <= measured[k] <= max(n.women, n.men) + n.sd for k, n in NORMS.items()]
    assert np.mean(near) > 0.8


def test_arrays_have_the_promised_shapes_and_types(head: HeadMesh) -> None:
    count = len(head.vertices)
    assert 10_000 <= count <= 25_000
    assert head.vertices.shape == (count, 3)
    assert head.vertices.dtype == np.float64
    assert np.isfinite(head.vertices).all()
    assert head.triangles.dtype == head.mirror.dtype == head.landmarks68.dtype == np.int64
    assert np.array_equal(np.unique(head.triangles), np.arange(count))
    for name, weight in head.regions.items():
        assert weight.shape == (count,), name
        assert weight.min() >= 0, name
        assert 0.5 < weight.max() <= 1, name


def test_building_twice_gives_the_same_head(head: HeadMesh) -> None:
    again = mean_head.__wrapped__()
    assert np.array_equal(again.vertices, head.vertices)
    assert np.array_equal(again.triangles, head.triangles)


def test_the_head_is_exactly_symmetric(head: HeadMesh) -> None:
    v, mirror = head.vertices, head.mirror
    assert np.array_equal(v[mirror], v * [-1, 1, 1])
    assert np.array_equal(mirror[mirror], np.arange(len(v)))
    assert np.array_equal(mirror == np.arange(len(v)), v[:, 0] == 0)
    flipped = np.sort(head.mirror[head.triangles][:, ::-1], axis=1)
    assert np.array_equal(np.unique(flipped, axis=0), np.unique(np.sort(head.triangles, axis=1), axis=0))


def test_the_only_opening_is_the_neck(head: HeadMesh) -> None:
    edges = edges_of(head.triangles)
    assert len(np.unique(edges, axis=0)) == len(edges), "two triangles share a directed edge"
    key, count = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    assert count.max() == 2
    rim = key[count == 1]
    assert len(rim)
    assert np.ptp(head.vertices[rim.ravel(), 1]) < 1e-6
    assert head.vertices[rim.ravel(), 1].max() < -150
    degree = np.bincount(rim.ravel())
    assert set(degree[degree > 0]) == {2}


def test_triangles_face_outward_and_are_well_shaped(head: HeadMesh) -> None:
    v, t = head.vertices, head.triangles
    corner = v[t]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    area = np.linalg.norm(normal, axis=1) / 2
    assert area.min() > 1e-3
    # Closed parts enclose a positive volume; the head is closed over its neck for this sum by measuring
    # from there.
    neck = np.array([0.0, v[:, 1].min(), -25.0])
    volume = (np.cross(corner[:, 0] - neck, corner[:, 1] - neck) * (corner[:, 2] - neck)).sum() / 6
    assert 4.0e6 < volume < 7.5e6
    for side, ball in head.eyeballs.items():
        inside = (head.regions[f"eyeball_{side}"][t] > 0.5).all(axis=1)
        assert ((corner[inside].mean(axis=1) - ball.center) * normal[inside]).sum(axis=1).min() > 0
    sides = np.linalg.norm(corner - np.roll(corner, -1, axis=1), axis=2)
    quality = 4 * np.sqrt(3) * area / (sides**2).sum(axis=1)
    assert np.median(quality) > 0.85
    assert np.quantile(quality, 0.05) > 0.25


def test_skin_normals_do_not_flip_between_neighbors(head: HeadMesh) -> None:
    v, t = head.vertices, head.triangles
    skin = ((head.regions["skin"] > 0.5) & (head.regions["nostrils"] < 0.05))[t].all(axis=1)
    corner = v[t]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    edges = edges_of(t)
    owner = np.tile(np.arange(len(t)), 3)
    key = np.sort(edges, axis=1) @ [len(v), 1]
    order = np.argsort(key, kind="stable")
    pair = np.flatnonzero(key[order][1:] == key[order][:-1])
    a, b = owner[order[pair]], owner[order[pair + 1]]
    # The lips meet in a sharp crease at the corners of the mouth.
    mouth = v[head.landmarks68[54]]
    center = corner.mean(axis=1)
    crease = np.abs(np.abs(center[:, 0]) - mouth[0]) < 3
    crease &= np.abs(center[:, 1] - mouth[1]) < 1.5
    both = skin[a] & skin[b] & ~crease[a] & ~crease[b]
    cosine = (normal[a[both]] * normal[b[both]]).sum(axis=1)
    assert cosine.min() > np.cos(np.radians(100))
    assert np.mean(cosine > np.cos(np.radians(45))) > 0.995


SWAP = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47,
        46, 39, 38, 37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62,
        61, 60, 67, 66, 65]  # fmt: skip


@pytest.mark.parametrize("points", ["ibug68", "basel68"])
def test_annotated_landmarks_are_the_same_points_seen_otherwise(head: HeadMesh, points: str) -> None:
    """The bridge lower, the base of the nose higher, the tip and the mouth the same."""
    marks = getattr(head, points)
    assert np.array_equal(head.mirror[marks], marks[SWAP])
    assert len(set(marks.tolist())) == 68
    moved = head.vertices[marks] - head.vertices[head.landmarks68]
    assert np.linalg.norm(moved, axis=1).max() < 13
    assert (moved[30] == 0).all()
    assert (moved[36:] == 0).all()
    assert (moved[:17] == 0).all()
    assert (moved[27:30, 1] < -3).all()
    assert moved[31:36, 1].min() >= 0 < moved[31:36, 1].mean()


def test_basel_landmarks_have_lower_brows_than_annotated_ones() -> None:
    model = procedural_model()
    moved = model.mean[model.basel_landmarks] - model.mean[model.landmarks]
    assert (moved[17:27, 1] <= 0).all()
    assert moved[17:27, 1].mean() < -1
    assert (moved[:17] == 0).all()
    assert (moved[30:] == 0).all()


def test_points_that_are_places_are_found_on_the_corrected_head(head: HeadMesh) -> None:
    """The correction moves the jaw's skin: a vertex that was on the jaw's line is beside it then."""
    model = procedural_model()
    jaw = model.mean[model.landmarks[:17]].astype(np.float64)
    # No other vertex of the skin is nearer to the place, which is known to a tenth of a millimeter.
    skin = model.mean[: head.skin].astype(np.float64)
    gap, nearest = cKDTree(skin).query(np.array(CALM_JAW[:-1]))
    assert np.array_equal(nearest, model.landmarks[16:8:-1])
    assert gap.max() < 4.5  # the mesh's edges there are 3 to 7 mm
    # From the ear to the chin it runs down and forward, and both sides are mirror images.
    assert (np.diff(jaw[8:, 1]) > 0).all()
    assert (np.diff(jaw[8:15, 2]) < 0).all()
    np.testing.assert_allclose(jaw[::-1] * [-1, 1, 1], jaw, rtol=0, atol=1e-4)
    for points in (model.landmarks, model.basel_landmarks):
        assert np.array_equal(head.mirror[points], points[SWAP])
        assert len(set(points.tolist())) == 68
    # The outer corner of the eye is where the lids meet, not where their fold ends.
    corner = model.mean[[model.landmarks[45], head.landmarks68[45]], 0]
    assert 2 < corner[1] - corner[0] < 5


def test_landmarks_of_the_model_are_where_annotators_see_them(head: HeadMesh) -> None:
    model = procedural_model()
    for points, order in ((model.landmarks, head.ibug68), (model.basel_landmarks, head.basel68)):
        assert np.array_equal(points, on_calm_head(order, model.mean, head.skin, head.mirror))


def test_landmarks_follow_the_ibug_scheme(head: HeadMesh) -> None:
    p = head.vertices[head.landmarks68]
    assert np.array_equal(head.mirror[head.landmarks68], head.landmarks68[SWAP])
    assert len(set(head.landmarks68.tolist())) == 68
    assert p[0, 0] < -55 < 55 < p[16, 0]
    assert (np.diff(p[:17, 0]) > 0).all()
    assert (np.diff(p[:9, 1]) < 0).all()
    assert p[8, 1] == p[:, 1].min()
    assert (np.diff(p[27:31, 1]) < 0).all()
    assert (np.diff(p[27:31, 2]) > 0).all()
    for upper, lower in (((37, 38), (41, 40)), ((43, 44), (47, 46)), ((61, 62, 63), (67, 66, 65))):
        assert (p[list(upper), 1] > p[list(lower), 1]).all()
    for brow, eye in ((p[17:22], p[36:42]), (p[22:27], p[42:48])):
        assert brow[:, 1].min() > eye[:, 1].max() + 5


def test_aflw_points_are_listed_image_left_first(head: HeadMesh) -> None:
    left, right = (head.vertices[head.named[k]] for k in ("ear_left", "ear_right"))
    assert left[0] < -50 < 50 < right[0]
    assert head.named["ear_left"] == head.mirror[head.named["ear_right"]]
    ears = head.vertices[head.regions["ears"] > 0.5]
    assert left[1] == ears[:, 1].min()
    assert head.named["chin"] == head.landmarks68[8]


def test_the_eyeballs_lie_behind_the_lids_and_show_between_them(head: HeadMesh) -> None:
    v = head.vertices
    for side, ball in head.eyeballs.items():
        distance = np.linalg.norm(v - ball.center, axis=1)
        eyeball = head.regions[f"eyeball_{side}"] > 0.5
        assert distance[eyeball].max() < ball.radius + 0.7
        skin = (head.regions["skin"] > 0.5) | (head.regions[f"eye_socket_{side}"] > 0.5)
        assert distance[skin].min() > ball.radius + 0.1
        front = v[eyeball & (distance > 0)]
        assert front[:, 2].max() > v[head.landmarks68[36:48], 2].mean()
    closed = head.regions["upper_lid_left"]
    assert (v[closed > 0.5, 0] > 0).all()
    assert v[closed > 0.5, 1].mean() > v[head.regions["lower_lid_left"] > 0.5, 1].mean()


def test_the_lips_are_separate_so_that_the_mouth_can_open(head: HeadMesh) -> None:
    upper, lower = head.regions["lip_upper"] > 0.5, head.regions["lip_lower"] > 0.5
    assert upper.sum() > 60
    assert lower.sum() > 60
    assert not (upper & lower).any()
    sto = head.vertices[head.landmarks68[[62, 66]]]
    assert 0.05 < sto[0, 1] - sto[1, 1] < 1.0
    jaw = head.regions["jaw"]
    assert jaw[head.landmarks68[66]] > 0.9
    assert jaw[head.landmarks68[8]] > 0.9
    assert jaw[head.landmarks68[62]] < 0.1
    assert jaw[head.landmarks68[30]] < 0.01


def crossing_triangles(v: np.ndarray, t: np.ndarray) -> int:
    """Number of pairs of triangles without a common vertex where an edge of one pierces the other."""
    corner = v[t]
    center = corner.mean(axis=1)
    reach = np.linalg.norm(corner - center[:, None], axis=2).max(axis=1)
    found = cKDTree(center).query_ball_point(center, np.minimum(2 * reach, reach + 2.5))
    first = np.repeat(np.arange(len(t)), [len(f) for f in found])
    second = np.concatenate([np.asarray(f, dtype=np.int64) for f in found])
    close = np.linalg.norm(center[first] - center[second], axis=1) < reach[first] + reach[second]
    shared = (t[first][:, :, None] == t[second][:, None, :]).any(axis=(1, 2))
    pairs = np.column_stack([first, second])[close & ~shared]
    pierced = np.zeros(len(pairs), dtype=bool)
    for one, other in (pairs.T, pairs.T[::-1]):
        a = corner[other, 0]
        e1, e2 = corner[other, 1] - a, corner[other, 2] - a
        for k in range(3):
            start, ray = corner[one, k], corner[one, (k + 1) % 3] - corner[one, k]
            p = np.cross(ray, e2)
            det = (e1 * p).sum(axis=1)
            scale = 1 / np.where(np.abs(det) > 1e-12, det, np.inf)
            q = np.cross(start - a, e1)
            u, w, s = (x.sum(axis=1) * scale for x in ((start - a) * p, ray * q, e2 * q))
            pierced |= (u > 1e-6) & (w > 1e-6) & (u + w < 1 - 1e-6) & (s > 1e-6) & (s < 1 - 1e-6)
    return int(pierced.sum())


def test_no_triangle_pierces_another(head: HeadMesh) -> None:
    half = (head.vertices[head.triangles][:, :, 0] >= 0).all(axis=1)
    assert crossing_triangles(head.vertices, head.triangles[half]) == 0
    folded = head.vertices.copy()
    folded[head.regions["eyeball_left"] > 0.5] += [0.0, 0.0, 4.0]
    assert crossing_triangles(folded, head.triangles[half]) > 0
