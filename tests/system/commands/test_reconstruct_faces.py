"""`twodasl reconstruct`: which faces of a photo it takes, what their files are called, and its detectors."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from twodasl.cli import main

pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.fixture(scope="module")
def row(photo_path, tmp_path_factory):
    """A photo of three faces, of which the middle one is the largest and the left one the smallest."""
    photo = cv2.imread(str(photo_path))
    faces = [cv2.resize(photo, (side, side)) for side in (360, 512, 430)]
    sheet = np.zeros((512, sum(face.shape[1] for face in faces), 3), np.uint8)
    left = 0
    for face in faces:
        sheet[: len(face), left : left + len(face)] = face
        left += len(face)
    path = tmp_path_factory.mktemp("row") / "row.png"
    cv2.imwrite(str(path), sheet)
    return path


def _run(*words):
    return main(["reconstruct", *map(str, words)])


def _sources(folder):
    return {path.stem: json.loads(path.read_text())["source"] for path in folder.glob("*.json")}


def test_the_largest_keeps_the_photos_name(row, ball_checkpoint, tmp_path, capsys):
    assert _run(row, "-c", ball_checkpoint, "-o", tmp_path) == 0
    assert "(face found by retinaface, the largest of 3)" in capsys.readouterr().out
    (source,) = _sources(tmp_path).values()
    assert source["detector"] == "retinaface, the largest of 3"
    assert 0.9 < source["detector_score"] <= 1
    assert "turned_degrees" not in source
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"row.{suffix}" for suffix in ("glb", "json", "obj", "ply", "png")
    ]


@pytest.mark.parametrize(
    ("which", "lefts"), [("all", [0, 360, 872]), ("2", [360, 872]), ("9", [0, 360, 872])]
)
def test_faces_are_numbered_from_left_to_right(row, ball_checkpoint, tmp_path, capsys, which, lefts):
    assert _run(row, "-c", ball_checkpoint, "-o", tmp_path, "--faces", which) == 0
    names = [f"row-{number}" for number in range(1, len(lefts) + 1)]
    assert capsys.readouterr().out.count("\n") == len(names)
    assert len(list(tmp_path.iterdir())) == 5 * len(names)
    sources = _sources(tmp_path)
    for number, (name, left) in enumerate(zip(names, lefts, strict=True), 1):
        numbers = json.loads((tmp_path / f"{name}.json").read_text())
        assert left < numbers["crop"][0] < left + 512
        assert sources[name]["face"] == f"{number} of {len(names)} from the left"
        assert sources[name]["detector"] == "retinaface"


def test_a_photo_on_its_side(photo_path, ball_checkpoint, tmp_path, capsys):
    turned = tmp_path / "turned.png"
    cv2.imwrite(str(turned), np.rot90(cv2.imread(str(photo_path))))
    assert _run(turned, "-c", ball_checkpoint, "-o", tmp_path / "out") == 0
    assert "photo turned by 270 degrees" in capsys.readouterr().out
    (source,) = _sources(tmp_path / "out").values()
    assert source["turned_degrees"] == 270


def test_options_that_contradict_each_other(row, ball_checkpoint, tmp_path, capsys):
    box = ["--box", "140", "40", "320", "220"]
    for words, message in (
        (["--faces", "all", *box], "--faces: needs a detector, but --box says"),
        (["--detector-model", "x.onnx", *box], "--detector-model: is not used where --box says"),
        (
            ["--detector-model", "x.onnx", "--detector", "cascade"],
            "--detector-model: takes the place of --detector cascade",
        ),
        (["--detector-model", tmp_path / "x.onnx"], "x.onnx: cannot be read"),
    ):
        assert _run(row, "-c", ball_checkpoint, "-o", tmp_path / "out", *words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    for wrong in ("0", "-1", "some", "1.5", "10001"):
        assert _run(row, "-c", ball_checkpoint, "-o", tmp_path / "out", f"--faces={wrong}") == 2
        assert "expected all, largest or 1 to 10000" in capsys.readouterr().err


def test_numbered_results_overwrite_no_photo(row, photo_path, ball_checkpoint, tmp_path, capsys):
    """row-1.png is a result of row.png's first face, and here another photo."""
    first, second = tmp_path / "row.png", tmp_path / "row-1.png"
    for path in (first, second):
        path.write_bytes(photo_path.read_bytes())
    assert _run(first, second, "-c", ball_checkpoint, "-o", tmp_path, "--faces", "all") == 2
    assert "row-1.png: would be overwritten by the results" in capsys.readouterr().err
    assert second.read_bytes() == photo_path.read_bytes()
    assert _run(first, second, "-c", ball_checkpoint, "-o", tmp_path / "out", "--faces", "all") == 0
    assert set(_sources(tmp_path / "out")) == {"row-1", "row-1-1"}


def test_a_photo_without_a_face(ball_checkpoint, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "gray.png"), np.full((100, 100, 3), 128, np.uint8))
    assert _run(tmp_path / "gray.png", "-c", ball_checkpoint, "-o", tmp_path, "--faces", "all") == 2
    assert "gray.png: no face was found" in capsys.readouterr().err
