"""REALY: known distances, the deformation, its layout, and `twodasl evaluate realy`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from twodasl.cli import main
from twodasl.datasets.benchmarks.realy import REGIONS, read_mesh_keypoints, read_realy
from twodasl.errors import InputError
from twodasl.evaluation.nonrigid import deformed
from twodasl.evaluation.realy import ALIGNED_BY, region_errors
from twodasl.meshes import Mesh
from twodasl.meshes.write import write_obj

from .surfaces import head, motion

NONE = np.zeros(0, np.int64)


@pytest.fixture(scope="module")
def scan(ball_model):
    """Vertices and triangles in units of 10 mm, 85 keypoints as vertices, and the regions."""
    vertices, triangles = head(ball_model)
    vertices = vertices / 10
    around = np.argsort(np.linalg.norm(vertices - vertices[ball_model.landmarks[30]], axis=1))
    marks = np.concatenate([ball_model.landmarks, around[5:90:5]])
    regions = {}
    for name, own in ALIGNED_BY.items():
        apart = np.linalg.norm(vertices[:, None] - vertices[marks[own]], axis=2)
        near = apart.min(axis=1) < 2  # with all of its keypoints
        kept = triangles[near[triangles].all(axis=1)]
        used, numbers = np.unique(kept, return_inverse=True)
        regions[name] = Mesh(vertices[used], numbers.reshape(-1, 3))
    return vertices, triangles, marks, regions


def grid(count: int = 8) -> tuple[np.ndarray, np.ndarray]:
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(count) * 1.0, np.arange(count) * 1.0))
    a = np.arange(count * count).reshape(count, count)
    a, b, c, d = (part.ravel() for part in (a[:-1, :-1], a[:-1, 1:], a[1:, :-1], a[1:, 1:]))
    triangles = np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)])
    return np.stack([x, y, 0.1 * (x - 3) ** 2 + 0.07 * (y - 2) ** 2], axis=1), triangles


def test_a_smooth_map_costs_nothing():
    """One affine map for all is what the stiffness does not resist."""
    vertices, triangles = grid()
    affine = np.eye(3) + np.random.default_rng(0).normal(0, 0.02, (3, 3))
    there = vertices @ affine.T + 0.1
    handles = np.array([0, 7, 20, 35, 56, 63])
    for led in (handles, NONE):
        moved = deformed(vertices, triangles, there, led, there[led])
        np.testing.assert_allclose(moved, there, atol=1e-4)


def test_handles_lead_where_the_nearest_points_would_not():
    vertices, triangles = grid()
    there = vertices + np.array([0.8, 0, 0])  # nearer to the neighbor than to its own place
    handles = np.array([0, 7, 20, 35, 56, 63])
    led = np.abs(deformed(vertices, triangles, there, handles, there[handles]) - there).max()
    free = np.abs(deformed(vertices, triangles, there, NONE, there[NONE]) - there).max()
    assert led < 0.05 < free


def test_a_scan_that_is_the_moved_prediction_is_0_away(scan):
    vertices, triangles, marks, regions = scan
    there = motion(0.01).apply(vertices)
    found = region_errors(there, Mesh(there, triangles), there[marks], regions, vertices[marks])
    assert set(found) == set(REGIONS)
    for error in found.values():
        assert error.distances.max() < 1e-4


def test_a_regions_error_is_its_own(scan):
    """A prediction with a longer nose: the nose is wrong, the region at the side of the face is not."""
    vertices, triangles, marks, regions = scan
    tip = vertices[marks[30]]
    away = np.linalg.norm(vertices - tip, axis=1)
    longer = vertices + 0.6 * np.exp(-((away / 1.5) ** 2))[:, None] * tip / np.linalg.norm(tip)
    found = region_errors(longer, Mesh(longer, triangles), longer[marks], regions, vertices[marks])
    assert 0.02 < found["nose"].mean < 0.6
    assert found["cheek"].mean < 0.5 * found["nose"].mean


@pytest.fixture
def measured_set(tmp_path, scan):
    vertices, triangles, marks, regions = scan
    root, predicted = tmp_path / "realy", tmp_path / "predicted"
    for folder in ("REALY_HIFI3D_keypoints", "REALY_scan_region/2"):
        (root / folder).mkdir(parents=True)
    predicted.mkdir()
    (root / "metrical_scale.txt").write_text("1.0\n10.0\n")
    write_obj(root / "REALY_HIFI3D_keypoints/2.obj", vertices[marks], np.array([[0, 1, 2]]))
    for name, region in regions.items():
        write_obj(root / f"REALY_scan_region/2/{name}.obj", region.vertices, region.triangles)
    write_obj(predicted / "2.obj", motion(3.0).apply(vertices), triangles)
    write_obj(predicted / "2_10.obj", vertices * [1, 1, 1.15], triangles)
    rows = []
    for mark in marks:
        triangle, corner = np.argwhere(triangles == mark)[0]
        rows.append([int(triangle), *np.eye(3)[corner][:2].tolist()])
    (tmp_path / "ball.txt").write_text(json.dumps(rows))
    return tmp_path


def run(capsys, folder, *words) -> tuple[int, str, str]:
    options = [
        "--root",
        folder / "realy",
        "--predicted",
        folder / "predicted",
        "--keypoints",
        folder / "ball.txt",
    ]
    code = main(["evaluate", "realy", *map(str, (*options, *words))])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command(capsys, measured_set):
    (measured_set / "predicted/2_30.obj").write_text("v 1 2 3\n")
    code, text, errors = run(capsys, measured_set, "-o", measured_set / "out")
    assert code == 0, errors
    report = json.loads((measured_set / "out/report.json").read_text())
    first, second = report["meshes"]
    assert (first["mesh"], second["mesh"]) == ("2", "2_10")
    assert first["all"] < 5e-3  # OBJ keeps six digits
    assert second["all"] > 0.05
    assert report["results"]["mean"]["nose"] == pytest.approx((first["nose"] + second["nose"]) / 2)
    assert "2_30" in report["left_out"]
    assert "forehead" in text
    assert (measured_set / "out/meshes.csv").is_file()


def test_what_is_missing_is_named(capsys, measured_set):
    (measured_set / "realy/REALY_scan_region/2/mouth.obj").unlink()
    code, _, errors = run(capsys, measured_set)
    assert code == 2
    assert "mouth.obj" in errors
    assert errors.count("\n") == 1
    (measured_set / "predicted/7.obj").write_text("")
    with pytest.raises(InputError, match=r"expected a person from 1 to 2, got 7"):
        read_realy(measured_set / "realy", measured_set / "predicted")


@pytest.mark.parametrize("text", ["[[1, 2, 3]]", "no json", json.dumps([[-1, 0, 0]] * 85), '{"a": 1}'])
def test_keypoints_that_are_none(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(InputError, match=r"a\.txt: "):
        read_mesh_keypoints(tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1.5, 0.3, 0.3], "triangles that are no whole numbers"),
        ([1e300, 0.3, 0.3], "triangles that are no whole numbers"),
        ([1, float("nan"), 0.3], "weights that are not from 0 to 1"),
        ([1, 1e6, 0.3], "weights that are not from 0 to 1"),
    ],
)
def test_keypoints_that_lie_in_no_triangle(tmp_path, row, message):
    (tmp_path / "a.txt").write_text(json.dumps([[1, 0.3, 0.3]] * 84 + [row]))
    with pytest.raises(InputError, match=message):
        read_mesh_keypoints(tmp_path / "a.txt")
