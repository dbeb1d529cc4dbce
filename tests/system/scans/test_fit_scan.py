"""fit_scan: heads that are known are found again, in every unit and orientation; others are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import twodasl
from twodasl.errors import InputError
from twodasl.landmarks import NAMES_68
from twodasl.scans import fit_scan

Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])


def turned(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))


@pytest.mark.parametrize(
    ("scale", "rotation", "unit"),
    [(1.0, np.eye(3), "mm"), (0.1, Z_UP, "cm"), (0.001, turned(1), "m"), (7.0, turned(2), None)],
    ids=["mm", "cm-z-up", "m-any", "no-unit-any"],
)
def test_a_cloud_with_outliers_in_any_unit_and_orientation(
    make_scan, head_model, outer, scale, rotation, unit
):
    made = make_scan(3, scale=scale, rotation=rotation, outliers=0.2, count=4000)
    fit = fit_scan(head_model, made.points)
    assert made.error(fit.vertices, outer) < 0.5
    assert fit.scale == pytest.approx(scale, rel=0.01)
    assert fit.unit == unit
    np.testing.assert_allclose(fit.rotation, rotation, atol=0.02)
    assert 0.75 < fit.inliers.mean() < 0.85
    # Of a normal distribution the median distance is 0.67 standard deviations.
    assert fit.errors["median"] / scale == pytest.approx(0.6745 * 0.3, rel=0.12)
    assert fit.noise / scale == pytest.approx(0.3, rel=0.15)
    assert fit.converged
    assert fit.sureness > 1.5
    back = fit.scale * head_model.shape(fit.coefficients) @ fit.rotation.T + fit.translation
    np.testing.assert_allclose(fit.vertices, back, rtol=0, atol=1e-3 * scale)
    json.dumps(fit.to_dict(), allow_nan=False)


def test_an_open_mesh_of_a_face_even_inside_out(make_scan, head_model, outer):
    made = make_scan(5, rotation=turned(5), face=95, mesh=True)
    fit = fit_scan(head_model, made.points, made.triangles)
    near = np.linalg.norm(made.head - made.landmarks.mean(0), axis=1) < 80
    apart = np.linalg.norm((fit.vertices - made.head)[near], axis=1)
    assert np.median(apart) < 0.6
    other = fit_scan(head_model, made.points, made.triangles[:, ::-1])
    np.testing.assert_allclose(other.vertices, fit.vertices, rtol=0, atol=1e-3)
    # Points at the border do not count: what is nearest to them may be the border's.
    assert 0.8 < fit.inliers.mean() < 0.99


def test_landmarks_replace_the_search(make_scan, head_model, outer):
    made = make_scan(6, scale=0.5, rotation=turned(6), outliers=0.1)
    named = {NAMES_68[number]: made.landmarks[number] for number in (8, 30, 36, 45)}
    some = np.where(np.isin(np.arange(68), (8, 30, 36, 45))[:, None], made.landmarks, np.nan)
    fits = [fit_scan(head_model, made.points, landmarks=given) for given in (named, some)]
    np.testing.assert_array_equal(fits[0].vertices, fits[1].vertices)
    assert made.error(fits[0].vertices, outer) < 0.5
    assert np.isnan(fits[0].sureness)
    assert fits[0].to_dict()["sureness"] is None


def test_the_same_scan_gives_the_same_fit(make_scan, head_model):
    made = make_scan(7, count=1500)
    marks = made.landmarks
    first = fit_scan(head_model, made.points, landmarks=marks)
    second = twodasl.fit_scan(head_model, torch.from_numpy(made.points), landmarks=torch.from_numpy(marks))
    np.testing.assert_array_equal(first.vertices, second.vertices)
    np.testing.assert_array_equal(first.weights, second.weights)


def test_what_is_no_head_is_refused(head_model):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"^the scan: no head of this model fits it \(") as caught:
        fit_scan(head_model, rng.uniform(-100, 100, (2000, 3)))
    assert "\n" not in str(caught.value)


def test_the_default_dtype_does_not_matter(make_scan, head_model, outer):
    made = make_scan(7, count=300)
    marks = {i: made.landmarks[i] for i in (8, 30, 36, 45)}
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        fits = [fit_scan(head_model, made.points, landmarks=given) for given in (None, marks)]
    finally:
        torch.set_default_dtype(before)
    for fit in fits:
        assert made.error(fit.vertices, outer) < 1


def test_a_model_without_a_surface_is_named(head_model):
    flat = {"triangles": np.zeros((0, 3), np.int64)}, {"mean": np.zeros_like(head_model.mean)}
    for changed, message in zip(flat, ("points alone", "all its vertices at one place"), strict=True):
        with pytest.raises(InputError, match=f"^model: procedural has {message}"):
            fit_scan(replace(head_model, **changed), CLOUD)
    with pytest.raises(InputError, match=r"^model: expected a MorphableModel, .*got None"):
        fit_scan(None, CLOUD)


CLOUD = np.random.default_rng(0).normal(size=(60, 3))


@pytest.mark.parametrize(
    ("points", "triangles", "landmarks", "message"),
    [
        (np.zeros((0, 3)), None, None, "vertices: expected .*at least 50 points, got 0"),
        (np.eye(3), None, None, "vertices: expected .*at least 50 points, got 3"),
        (np.where(np.arange(180).reshape(60, 3) == 7, np.nan, CLOUD), None, None, "in point 2"),
        (np.zeros((60, 2)), None, None, r"vertices: .*got shape \(60, 2\)"),
        (np.ones((60, 3)), None, None, "vertices: expected points spread over a surface, got most"),
        (np.outer(np.arange(60.0), [1, 2, 3]), None, None, "got points on a line"),
        (1e200 * CLOUD, None, None, r"vertices: .* wide, got .*e\+200"),
        (1e-200 * CLOUD, None, None, r"vertices: .* wide, got .*e-200"),
        (CLOUD, None, {i: 1e300 * CLOUD[i] for i in range(4)}, "landmarks: expected points on the scan"),
        ("head", None, None, "vertices: expected .*got 'head'"),
        (CLOUD, [[0, 1, 60]], None, "triangles: expected .*60 vertices, or None, got 60"),
        (CLOUD, [[0.5, 1, 2]], None, "triangles: expected .*got float64"),
        (CLOUD, None, np.zeros((21, 3)), r"landmarks: .*got shape \(21, 3\)"),
        (CLOUD, None, {"nose": (0, 0, 0)}, "landmarks: unknown name 'nose'"),
        (CLOUD, None, {"chin": (0, 0, np.inf)}, "landmarks: chin: expected three finite numbers"),
        (CLOUD, None, {30: (0, 0, 0), 8: (1, 0, 0)}, "landmarks: expected at least 3 points, got 2"),
        (
            CLOUD,
            None,
            {i: (i, i, i) for i in range(4)},
            "landmarks: expected points that are not on one line",
        ),
    ],
)
def test_bad_arguments_are_named(head_model, points, triangles, landmarks, message):
    with pytest.raises(InputError, match=message) as caught:
        fit_scan(head_model, points, triangles, landmarks=landmarks)
    assert "\n" not in str(caught.value)
