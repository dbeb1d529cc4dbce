"""`twodasl reconstruct`: the files it writes, and that it writes all of a photo's files or none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.errors import InputError
from twodasl.reconstruction import DEFAULT_FORMATS, overview, results, texture_files
from twodasl.reconstruction.reconstructor import FaceReconstructor

FULL_PANEL = overview.PANEL


# The run in a process of its own draws at full size.
pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.fixture(scope="module")
def landmark_file(photo68, tmp_path_factory):
    path = tmp_path_factory.mktemp("landmarks") / "points.npy"
    np.save(path, photo68)
    return path


@pytest.fixture(scope="module")
def written(photo_path, landmark_file, ball_checkpoint, tmp_path_factory):
    """The folder after one run in a process of its own, and what that printed."""
    folder = tmp_path_factory.mktemp("run") / "deep" / "results"
    words = ["-m", "twodasl", "reconstruct", photo_path, "--checkpoint", ball_checkpoint]
    words += ["--landmarks", landmark_file, "--no-fit", "-o", folder]
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder, done.stdout


def test_five_files_and_one_line(written, photo_path):
    folder, printed = written
    assert sorted(path.name for path in folder.iterdir()) == [
        f"astronaut.{s}" for s in ("glb", "json", "obj", "ply", "png")
    ]
    assert printed.count("\n") == 1
    assert printed.startswith(f"{photo_path}: yaw +0.0, pitch +0.0, roll +0.0 degrees -> ")


def test_numbers(written, ball_model, ball_checkpoint, photo_path, photo68):
    numbers = json.loads((written[0] / "astronaut.json").read_text())
    image = cv2.imread(str(photo_path))
    face = FaceReconstructor(ball_checkpoint, fit=False)(image, photo68)
    assert numbers["source"] == {
        "photo": "astronaut.png",
        "landmarks": "points.npy",
        "width": 512,
        "height": 512,
    }
    np.testing.assert_allclose(numbers["landmarks_3d"], face.landmarks, atol=1e-4)  # four digits
    np.testing.assert_array_equal(np.array(numbers["landmarks_2d"]), np.array(numbers["landmarks_3d"])[:, :2])
    np.testing.assert_allclose(numbers["crop"], face.crop.box, atol=1e-4)
    np.testing.assert_array_equal(np.float32(numbers["crop_parameters"]), face.parameters)
    assert len(numbers["coefficients"]["shape"]) == 2
    assert len(numbers["coefficients"]["expression"]) == 1
    assert numbers["pose"]["scale_pixels_per_mm"] == pytest.approx(face.scale, rel=1e-4)
    assert numbers["arkit"] is None  # the ball has no such shapes
    assert numbers["face_model"]["identity"] == ball_model.identity
    assert numbers["checkpoint"] == {"file": "ball.pt", "step": 0}
    assert numbers["software"]["twodasl"]


def _read_obj(path):
    rows = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([row[1:] for row in rows if row[0] == "v"], float)
    faces = np.array([row[1:] for row in rows if row[0] == "f"], int)
    return vertices, faces


def test_mesh_stands_upright_on_the_photo(written, ball_model, photo68):
    vertices, faces = _read_obj(written[0] / "astronaut.obj")
    assert vertices.shape == (ball_model.vertex_count, 6)
    np.testing.assert_array_equal(faces - 1, ball_model.triangles)
    marks = vertices[ball_model.landmarks]
    assert marks[27, 1] > marks[8, 1]  # the brow is above the chin
    assert marks[30, 2] > marks[0, 2]  # the nose is nearer than the ear
    a, b, c = (vertices[faces[:, corner] - 1, :3] for corner in range(3))
    outward = np.einsum("ij,ij->i", np.cross(b - a, c - a), (a + b + c) / 3 - vertices[:, :3].mean(0))
    assert (outward > 0).all()


def test_ply_holds_the_same_mesh(written):
    vertices, faces = _read_obj(written[0] / "astronaut.obj")
    content = (written[0] / "astronaut.ply").read_bytes()
    header, body = content.split(b"end_header\n", 1)
    assert f"element vertex {len(vertices)}\n".encode() in header
    assert f"element face {len(faces)}\n".encode() in header
    kind = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)])
    points = np.frombuffer(body, kind, len(vertices))
    np.testing.assert_allclose(points["xyz"], vertices[:, :3], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(points["rgb"] / 255, vertices[:, 3:], atol=0.003)  # a byte's half step


def test_colors_are_the_photos(written, ball_model, photo_path):
    """Where the ball faces the viewer it has the color of the photo below it."""
    image = cv2.imread(str(photo_path))[:, :, ::-1] / 255
    vertices, _ = _read_obj(written[0] / "astronaut.obj")
    facing = ball_model.mean[:, 2] / 90 > 0.75
    columns, rows = np.rint(vertices[facing, 0]).astype(int), np.rint(511 - vertices[facing, 1]).astype(int)
    difference = np.abs(vertices[facing, 3:] - image[rows, columns]).mean(1)
    assert np.median(difference) < 0.03  # bilinear against nearest pixel
    assert vertices[:, 3:].min() >= 0
    assert vertices[:, 3:].max() <= 1


def test_picture(written):
    picture = cv2.imread(str(written[0] / "astronaut.png"))
    height, width = picture.shape[:2]
    assert width > 4 * FULL_PANEL
    assert height > FULL_PANEL
    # Four panels with something in each.
    for panel in np.array_split(picture, 4, axis=1):
        assert panel.std() > 15


def test_only_the_output_folder_is_written(ball_checkpoint, photo_path, landmark_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [
        "reconstruct",
        str(photo_path),
        "-c",
        str(ball_checkpoint),
        "-l",
        str(landmark_file),
        "-o",
        "here",
    ]
    assert main(words) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    first = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    assert main(words) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()} == first


@pytest.mark.parametrize("failing", ["write_obj", "write_ply", "picture", "facts", "glb_bytes"])
@pytest.mark.parametrize("before", ["nothing", "older results"])
def test_a_failure_on_the_way_leaves_what_was_there(
    ball_checkpoint, photo_path, photo68, tmp_path, monkeypatch, failing, before
):
    reconstructor = FaceReconstructor(ball_checkpoint)
    image = cv2.imread(str(photo_path))
    face = reconstructor(image, photo68)
    if before == "older results":
        results.write_results(tmp_path, "face", image, reconstructor, face)
    older = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    module = texture_files if failing in ("write_obj", "write_ply") else results
    monkeypatch.setattr(module, failing, fail)
    with pytest.raises((InputError, OSError), match="No space left"):
        results.write_results(tmp_path, "face", image, reconstructor, face)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == older


def test_a_folder_in_the_way(ball_checkpoint, photo_path, landmark_file, tmp_path, capsys):
    blocked = tmp_path / "astronaut.ply"
    blocked.mkdir()
    words = ["reconstruct", str(photo_path), "-c", str(ball_checkpoint), "-l", str(landmark_file)]
    assert main([*words, "-o", str(tmp_path)]) == 2
    assert str(blocked) in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["astronaut.ply"]


def test_many_photos_with_a_folder_of_landmarks(ball_checkpoint, photo_path, photo68, tmp_path, capsys):
    marks = tmp_path / "marks"
    marks.mkdir()
    names = ["ann", "böse straße", "cy.2"]
    for name in names:
        shutil.copy(photo_path, tmp_path / f"{name}.png")
        np.save(marks / f"{name}.npy", photo68)
    photos = [str(tmp_path / f"{name}.png") for name in names]
    assert (
        main(
            [
                "reconstruct",
                *photos,
                "-c",
                str(ball_checkpoint),
                "-l",
                str(marks),
                "-o",
                str(tmp_path / "out"),
            ]
        )
        == 0
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        f"{name}.{suffix}" for name in names for suffix in DEFAULT_FORMATS
    )
    assert capsys.readouterr().out.count("\n") == 3


def test_without_landmarks_and_box_a_detector_is_named(ball_checkpoint, photo_path, tmp_path, capsys):
    words = ["reconstruct", str(photo_path), "-c", str(ball_checkpoint), "--detector", "cascade"]
    assert main([*words, "-o", str(tmp_path)]) == 0
    assert "(face found by cascade" in capsys.readouterr().out
    numbers = json.loads((tmp_path / "astronaut.json").read_text())
    assert numbers["source"]["detector"].startswith("cascade")


def test_fitting_moves_the_face_to_its_landmarks(
    ball_checkpoint, photo_path, photo68, landmark_file, tmp_path
):
    errors = {}
    for name, options in {"alone": ["--no-fit"], "fitted": []}.items():
        words = ["reconstruct", photo_path, "-c", ball_checkpoint, "-l", landmark_file, *options]
        assert main([str(word) for word in (*words, "-o", tmp_path / name)]) == 0
        numbers = json.loads((tmp_path / name / "astronaut.json").read_text())
        assert numbers["source"].get("fitted_to_landmarks", False) == (not options)
        apart = np.array(numbers["landmarks_2d"]) - photo68
        errors[name] = np.linalg.norm(apart, axis=1)[17:].mean()
    assert errors["fitted"] < 0.7 * errors["alone"]


def test_the_picture_shows_the_face_or_the_whole_head(photo_path, landmark_file, tmp_path):
    words = ["reconstruct", str(photo_path), "--landmarks", str(landmark_file)]
    for head in ("face", "whole"):
        assert main([*words, "-o", str(tmp_path / head), "--head", head]) == 0
    assert main([*words, "-o", str(tmp_path / "unsaid")]) == 0
    ply, png = ({p.parent.name: p.read_bytes() for p in tmp_path.glob(f"*/*.{s}")} for s in ("ply", "png"))
    assert ply["face"] == ply["whole"]
    assert png["face"] == png["unsaid"] != png["whole"]


def test_without_pictures(photo_path, landmark_file, tmp_path, capsys):
    words = ["reconstruct", str(photo_path), "--landmarks", str(landmark_file), "-o", str(tmp_path / "out")]
    assert main([*words, "--no-pictures"]) == 0
    assert capsys.readouterr().out.rstrip().endswith("astronaut.obj .ply .json")
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".json", ".obj", ".ply"]


@pytest.mark.parametrize(
    ("words", "suffixes"),
    [
        (["--format", "glb"], [".glb"]),
        (["--format", "html,OBJ"], [".obj", ".html"]),
        (["--format", "json", "--format", ".ply,json", "--no-pictures"], [".ply", ".json"]),
    ],
)
def test_formats(ball_checkpoint, photo_path, landmark_file, tmp_path, capsys, words, suffixes):
    given = ["reconstruct", str(photo_path), "-c", str(ball_checkpoint), "-l", str(landmark_file)]
    assert main([*given, *words, "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"astronaut{' '.join(suffixes)}")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"astronaut{each}" for each in suffixes}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "fbx"], "--format: expected some of obj, ply, glb, json, png, html, got 'fbx'"),
        (["--format", ""], "--format: expected some of"),
        (["--format", "png", "--no-pictures"], "--no-pictures: contradicts --format png"),
    ],
)
def test_formats_that_do_not_fit(photo_path, tmp_path, capsys, words, message):
    assert main(["reconstruct", str(photo_path), *words, "-o", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_only_what_is_written_can_overwrite(ball_checkpoint, photo_path, landmark_file, tmp_path, capsys):
    photo = tmp_path / "astronaut.png"
    shutil.copy(photo_path, photo)
    words = ["reconstruct", str(photo), "-c", str(ball_checkpoint), "-l", str(landmark_file)]
    assert main([*words, "-o", str(tmp_path)]) == 2
    assert "would be overwritten by the results" in capsys.readouterr().err
    assert main([*words, "-o", str(tmp_path), "--format", "glb,html"]) == 0
    assert photo.read_bytes() == photo_path.read_bytes()


def test_formats_of_write_results(ball_checkpoint, photo_path, photo68, tmp_path):
    reconstructor = FaceReconstructor(ball_checkpoint)
    image = cv2.imread(str(photo_path))
    face = reconstructor(image, photo68)
    with pytest.raises(InputError, match=r"formats: expected some of obj, .*, got 'fbx'"):
        results.write_results(tmp_path, "face", image, reconstructor, face, formats=["obj", "fbx"])
    assert not list(tmp_path.iterdir())


def test_a_landmark_file_beside_the_photo_is_not_used_unasked(ball_checkpoint, photo_path, tmp_path, capsys):
    photo = tmp_path / "face.png"
    shutil.copy(photo_path, photo)
    (tmp_path / "face.pts").write_text("broken")
    words = ["reconstruct", str(photo), "-c", str(ball_checkpoint), "--box", "140", "40", "320", "220"]
    assert main([*words, "-o", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err == ""


def test_under_torchrun_each_process_takes_its_part(
    photo_path, photo68, ball_checkpoint, tmp_path, monkeypatch, capsys
):
    photos = [tmp_path / f"{name}.png" for name in "abc"]
    for photo in photos:
        shutil.copy(photo_path, photo)
        np.save(photo.with_suffix(".npy"), photo68)
    for key, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(key, value)
    words = ["reconstruct", *photos, "-c", ball_checkpoint, "-l", tmp_path, "-o", tmp_path / "out"]
    assert main([str(word) for word in words]) == 0
    assert {path.stem for path in (tmp_path / "out").iterdir()} == {"b"}
    assert capsys.readouterr().out.count("\n") == 1
