"""The NoW challenge: known distances, its layout, and `twodasl evaluate now`."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.datasets.benchmarks.now import read_seven
from twodasl.errors import InputError
from twodasl.evaluation.now import RADIUS, face_part, landmark_motion, now_error
from twodasl.evaluation.now_set import cumulative_curve
from twodasl.evaluation.surface import Surface, lay_on_points
from twodasl.meshes import Mesh
from twodasl.meshes.write import write_obj, write_ply

from .surfaces import head, motion, on_surface

SEVEN = [36, 39, 42, 45, 33, 48, 54]
NOISE = 0.8  # millimeters


@pytest.fixture(scope="module")
def face(ball_model):
    vertices, triangles = head(ball_model)
    return vertices, triangles, vertices[ball_model.landmarks[SEVEN]]


@pytest.fixture(scope="module")
def rough(face):
    """A scan: points on the face with noise along the normals, those of the whole head among them."""
    vertices, triangles, _ = face
    rng = np.random.default_rng(1)
    points, normals = on_surface(vertices, triangles, 3000, rng)
    return points + normals * rng.normal(0, NOISE, (3000, 1))


def test_the_part_that_counts_by_hand():
    marks = np.zeros((7, 3))
    marks[:4, 0] = [-40, -10, 10, 40]  # the corners of the eyes
    marks[4, 1] = -50  # the bottom of the nose
    center, radius = face_part(marks)
    np.testing.assert_allclose(center, [0, -35, 0])
    assert radius == pytest.approx(RADIUS * (80 + 50) / 2)


def test_the_landmarks_alignment_may_mirror(face):
    _, _, marks = face
    moved = motion(0.5).apply(marks)
    found = landmark_motion(marks, moved)
    assert found.scale == pytest.approx(0.5)
    np.testing.assert_allclose(found.apply(marks), moved, atol=1e-9)
    mirrored = landmark_motion(marks, marks * [-1, 1, 1])
    np.testing.assert_allclose(mirrored.apply(marks), marks * [-1, 1, 1], atol=1e-9)
    assert np.linalg.det(mirrored.rotation) < 0
    with pytest.raises(InputError, match="all in one place"):
        landmark_motion(np.ones((7, 3)), marks)


def test_a_scan_that_is_the_moved_prediction_is_0_away(face):
    vertices, triangles, marks = face
    there = motion(3.0)
    rng = np.random.default_rng(0)
    predicted = Mesh(there.inverse().apply(vertices), triangles)
    # Landmarks that are 2 mm off: the refinement must make up for them.
    points = there.inverse().apply(marks + rng.normal(0, 2, marks.shape))
    found = now_error(vertices, marks, predicted, points)
    assert found.converged
    assert not found.mirrored
    assert found.distances.max() < 1e-3
    center, radius = face_part(marks)
    assert len(found.distances) == (np.linalg.norm(vertices - center, axis=1) <= radius).sum()
    assert found.motion.scale == pytest.approx(3.0, rel=1e-4)


def test_noise_of_known_size_has_its_median(face, rough):
    vertices, triangles, marks = face
    found = now_error(rough, marks, Mesh(vertices, triangles), marks)
    assert len(found.distances) > 300
    assert np.median(found.distances) == pytest.approx(0.6745 * NOISE, rel=0.12)
    assert found.distances.mean() == pytest.approx(np.sqrt(2 / np.pi) * NOISE, rel=0.12)


def test_metrical_evaluation_keeps_the_size(face):
    vertices, triangles, marks = face
    right, large = (Mesh(vertices * size / 1000, triangles) for size in (1.0, 1.05))
    same = now_error(vertices, marks, right, marks / 1000, metrical=True, unit="m")
    assert same.distances.max() < 1e-3
    assert same.motion.scale == 1000
    fitted = now_error(vertices, marks, large, 1.05 * marks / 1000)
    kept = now_error(vertices, marks, large, 1.05 * marks / 1000, metrical=True, unit="m")
    assert np.median(fitted.distances) < 1e-3
    assert np.median(kept.distances) > 0.3
    assert kept.motion.scale == pytest.approx(1000)
    with pytest.raises(InputError, match="unit: expected one of mm, cm, m"):
        now_error(vertices, marks, right, marks, metrical=True, unit="inch")


def test_the_alignment_finds_the_least_squares(face, rough):
    """No small motion of the mesh brings the points nearer."""
    vertices, triangles, marks = face
    center, radius = face_part(marks)
    points = rough[np.linalg.norm(rough - center, axis=1) <= radius]
    surface = Surface(vertices, triangles)
    fit = lay_on_points(surface, points, motion(1.0, (3, -4, 2), (1, 2, -1)), scale=True, tolerance=1e-9)
    least = (fit.distances**2).sum()
    np.testing.assert_allclose(
        surface.distances(fit.motion.inverse().apply(points)) * fit.motion.scale, fit.distances
    )
    for turn in (*np.eye(3), *-np.eye(3)):
        for other in (motion(1, 0.1 * turn, (0, 0, 0)), motion(1, (0, 0, 0), 0.1 * turn)):
            moved = other.apply(points - center) + center
            away = surface.distances(fit.motion.inverse().apply(moved)) * fit.motion.scale
            assert (away**2).sum() > least * (1 - 1e-6)


def test_the_curve_is_a_share_of_points():
    steps, share = cumulative_curve(np.array([0.0, 1.0, 2.0, 9.0]))
    assert (steps[0], steps[-1], len(steps)) == (0, pytest.approx(7), 701)
    assert [share[0], share[99], share[100], share[-1]] == [25, 25, 50, 75]


def write_pp(file, points) -> None:
    """MeshLab's picked points, with its eight lines before the first."""
    rows = "\n".join(
        f' <point x="{x:.6f}" y="{y:.6f}" z="{z:.6f}" active="1" name="{i}"/>'
        for i, (x, y, z) in enumerate(points)
    )
    before = """<!DOCTYPE PickedPoints>
<PickedPoints>
 <DocumentData>
  <DateTime time="1" date="2"/>
  <User name="x"/>
  <DataFileName name="scan.obj"/>
  <templateName name=""/>
 </DocumentData>"""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{before}\n{rows}\n</PickedPoints>\n")


IMAGES = (
    "A_01/multiview_neutral/IMG_1.jpg",
    "A_01/selfie/IMG_2.v2.jpg",
    "B_02/multiview_neutral/IMG_3.jpg",
    "B_02/multiview_occlusions/IMG_4.jpg",
)


@pytest.fixture
def challenge(tmp_path, face, rough):
    """Two people: A's scan is the face, B's is rough; the predictions are moved, the last one is missing."""
    vertices, triangles, marks = face
    root, predicted = tmp_path / "now", tmp_path / "predicted"
    root.mkdir()
    (root / "imagepathsvalidation.txt").write_text("\n".join(IMAGES) + "\n")
    for subject in ("A_01", "B_02"):
        (root / "scans" / subject).mkdir(parents=True)
        points, faces = (vertices, triangles) if subject == "A_01" else (rough, np.array([[0, 1, 2]]))
        write_obj(root / "scans" / subject / "scan.obj", points, faces)
        write_pp(root / "scans_lmks_onlypp" / subject / "scan.pp", marks)
    there = motion(0.01)
    for number, name in enumerate(IMAGES[:3]):
        place = predicted / name.removesuffix(".jpg")
        place.parent.mkdir(parents=True, exist_ok=True)
        write = write_obj if number else write_ply
        write(place.with_name(place.name + (".obj" if number else ".ply")), there.apply(vertices), triangles)
        points = there.apply(marks)
        if number:
            np.save(place.with_name(place.name + ".npy"), points)
        else:
            np.savetxt(place.with_name(place.name + ".txt"), points)
    return root, predicted


def run(capsys, root, predicted, *words) -> tuple[int, str, str]:
    code = main(["evaluate", "now", "--root", str(root), "--predicted", str(predicted), *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command(capsys, challenge, tmp_path):
    out = tmp_path / "out"
    code, text, errors = run(capsys, *challenge, "-o", out)
    assert code == 0, errors
    assert "B_02/multiview_occlusions/IMG_4.jpg: " in text
    assert "Left out, and in no number above: 1 image" in text
    report = json.loads((out / "report.json").read_text())
    rows = report["results"]
    assert list(rows) == ["all", "multiview_neutral", "selfie"]
    assert rows["selfie"]["median"] == pytest.approx(0, abs=2e-3)  # OBJ keeps six digits
    images = {image["image"]: image for image in report["images"]}
    assert images[IMAGES[0]]["scale"] == pytest.approx(100, rel=1e-3)
    assert images[IMAGES[2]]["median"] == pytest.approx(0.6745 * NOISE, rel=0.12)
    assert rows["all"]["points"] == sum(image["points"] for image in images.values())
    with open(out / "cumulative-curve.csv", newline="") as stream:
        curve = list(csv.DictReader(stream))
    assert float(curve[-1]["all"]) == 100
    assert float(curve[1]["selfie"]) == 100
    picture = cv2.imread(str(out / "cumulative-curve.png"))
    assert picture.std() > 10
    code, _, errors = run(capsys, *challenge, "--challenge", "selfie", "--json", tmp_path / "r.json")
    assert code == 0, errors
    assert list(json.loads((tmp_path / "r.json").read_text())["results"]) == ["all"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metrical"], "expected both of them or none"),
        (["--unit", "m"], "expected both of them or none"),
        (["--challenge", "multiview_expressions"], "lists no photo of multiview_expressions"),
        (["--images", "test"], "imagepathstest.txt"),
    ],
)
def test_mistakes(capsys, challenge, words, message):
    code, _, errors = run(capsys, *challenge, *words)
    assert code == 2
    assert errors.startswith("twodasl: error: ")
    assert errors.count("\n") == 1
    assert message in errors


def test_what_is_missing_is_named(capsys, challenge):
    root, predicted = challenge
    (root / "scans/B_02/scan.obj").unlink()
    assert "scans/B_02: expected a .obj file in it" in run(capsys, root, predicted)[2]
    assert "no such folder" in run(capsys, root, predicted / "none")[2]
    (root / "imagepathsvalidation.txt").write_text("IMG_1.jpg\n")
    assert "expected lines SUBJECT/CHALLENGE/IMAGE.jpg" in run(capsys, root, predicted)[2]


def test_a_set_without_predictions_is_an_error(capsys, challenge, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, errors = run(capsys, challenge[0], tmp_path / "empty")
    assert code == 2
    assert "4 of 4 faces could not be measured, too many to go on" in errors


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.pp", b'<point x="1" y="2" z="3"/>\n' * 6),
        ("a.pp", b'<point x="1" y="2"/>\n' * 7),
        ("a.txt", b"1 2 3\n" * 8),
        ("a.txt", b"1 2 nan\n" * 7),
        ("a.txt", b"1 2 x\n" * 7),
        ("a.npy", b"no array"),
    ],
)
def test_landmarks_that_are_not_seven(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"a\.(pp|txt|npy): "):
        read_seven(tmp_path / name)
