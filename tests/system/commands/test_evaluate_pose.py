"""`twodasl evaluate pose`: known errors on small sets in both layouts."""

from __future__ import annotations

import csv
import json

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.evaluation.pose import angle_errors, rotations

from ..datasets.test_aflw2000 import NAMES, write_original
from ..datasets.test_biwi import stored, write_frame

ANGLES = np.array([[0.0, 0, 0], [10, -50, 5], [-20, 60, 8], [3, 4, 120], [30, 40, -30]])
OFF = np.array([1.0, -2, 6])


def run(capsys, *words) -> tuple[int, str, str]:
    code = main(["evaluate", "pose", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def biwi(tmp_path):
    for number, rotation in enumerate(stored(ANGLES)):
        write_frame(tmp_path / "set" / f"0{1 + number // 3}", number, rotation)
    return tmp_path / "set"


def results(capsys, biwi, *words, label="predictions") -> dict:
    file = biwi.parent / "r.json"
    code, _, errors = run(capsys, "biwi", "--root", biwi, *words, "--json", file)
    assert code == 0, errors
    return json.loads(file.read_text())["results"][label]


def test_known_errors_in_degrees(capsys, biwi):
    np.save(biwi / "p.npy", ANGLES + OFF)
    row = results(capsys, biwi, "--predictions", biwi / "p.npy")
    assert row["images"] == 4  # a roll of 120 degrees does not count
    assert [row[name] for name in ("pitch", "yaw", "roll", "mean")] == pytest.approx([1, 2, 6, 3], abs=1e-3)
    np.save(biwi / "turned.npy", (ANGLES + OFF)[:, [1, 0, 2]])
    assert results(capsys, biwi, "--predictions", biwi / "turned.npy", "--order", "yaw,pitch,roll") == row


def test_the_rotations_error_is_one_whatever_the_convention(capsys, biwi):
    truth = rotations(ANGLES)
    off = rotations(np.array([[0, 7.0, 0]]))  # a turn of 7 degrees
    np.save(biwi / "p.npy", truth @ off)
    one = results(capsys, biwi, "--predictions", biwi / "p.npy")
    other = results(capsys, biwi, "--predictions", biwi / "p.npy", "--convention", "hopenet")
    for row in (one, other):
        assert row["geodesic"] == pytest.approx(7, abs=1e-3)
        assert row["geodesic_median"] == pytest.approx(7, abs=1e-3)
    assert one["mean"] < other["mean"]


def test_a_table_by_name_and_images_that_were_not_found(capsys, biwi):
    names = ["02/frame_00004_rgb.png", "01/frame_00000_rgb.png", "01/frame_00002_rgb.png"]
    rows = [
        f"{name},{yaw},{pitch},{roll}"
        for name, (pitch, yaw, roll) in zip(names, ANGLES[[4, 0, 2]], strict=True)
    ]
    (biwi / "p.csv").write_text("\n".join(["image,yaw,pitch,roll", *rows]))
    out = biwi.parent / "out"
    code, text, errors = run(capsys, "biwi", "--root", biwi, "--predictions", biwi / "p.csv", "-o", out)
    assert code == 0, errors
    assert "Left out, and in no number above: 2 images" in text
    assert "frame_00001_rgb.png: the predictions have no pose" in text
    report = json.loads((out / "report.json").read_text())
    assert report["results"]["predictions"]["mean"] == pytest.approx(0, abs=1e-3)
    with open(out / "images.csv", newline="") as stream:
        images = list(csv.DictReader(stream))
    assert [image["image"] for image in images] == sorted(names)
    assert float(images[2]["true_yaw"]) == pytest.approx(40, abs=1e-3)


def test_aflw2000_counts_all_images_within_the_limit(capsys, tmp_path):
    root = write_original(tmp_path / "AFLW2000")
    yaw = np.array([-20.0, 45, 5, -80, 92])
    truth = np.stack([np.full(5, np.degrees(0.1)), yaw, np.full(5, np.degrees(0.2))], axis=1)
    np.save(tmp_path / "p.npy", truth + np.outer([0, 3, 0, 0, 2], [0, 1, 0]))
    code, text, errors = run(
        capsys, "aflw2000", "--root", root, "--predictions", tmp_path / "p.npy", "--json", tmp_path / "r.json"
    )
    assert code == 0, errors
    row = json.loads((tmp_path / "r.json").read_text())["results"]["predictions"]
    assert (row["images"], row["yaw"]) == (5, pytest.approx(1, abs=1e-4))
    assert "Head pose, AFLW2000-3D" in text
    assert len(NAMES) == 5


def test_a_network_and_the_default_detector(capsys, tmp_path, photo_path, ball_checkpoint):
    """Two frames with a face and one without; the network's answer is a frontal face."""
    photo = cv2.resize(cv2.imread(str(photo_path))[0:280, 85:365], (320, 320))
    frame = np.full((480, 640, 3), 120, np.uint8)
    frame[80:400, 160:480] = photo
    truth = stored(np.array([[0.0, 0, 0], [0, 10, 0], [0, 0, 0]]))
    for number, picture in enumerate((frame, frame, None)):
        write_frame(tmp_path / "01", number, truth[number], frame=picture)
    code, text, errors = run(
        capsys, "biwi", "--root", tmp_path, "-c", ball_checkpoint, "--no-fit", "--json", tmp_path / "r.json"
    )
    assert code == 0, errors
    report = json.loads((tmp_path / "r.json").read_text())
    assert list(report["left_out"].values()) == ["01/frame_00002_rgb.png: no face was found"]
    assert report["results"]["network"]["yaw"] == pytest.approx(5, abs=0.01)
    assert report["results"]["network"]["geodesic"] == pytest.approx(5, abs=0.01)
    assert "the default detector's" in text


def test_angles_count_the_shorter_way_around():
    assert angle_errors(np.array([[179.0, 0, 0]]), np.array([[-179.0, 0, 0]])).tolist() == [[2, 0, 0]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--predictions", "short.npy"], "expected angles (5, 3) or rotations (5, 3, 3)"),
        (["--predictions", "scaled.npy"], "expected rotation matrices"),
        (["--predictions", "none.npy"], "5 of 5 images have no pose, too many to go on"),
        (["--predictions", "p.txt"], "a .npy or .csv file"),
        (["--predictions", "heads.csv"], "expected the columns image, pitch, yaw and roll, got image, yaw"),
        (["--predictions", "words.csv"], "three angles in degrees in line 2"),
        (["--predictions", "others.csv"], "expected images such as 01/frame_00000_rgb.png, got 7.png"),
        (["--predictions", "others.csv", "--order", "yaw,pitch,roll"], "names its columns itself"),
        (["--predictions", "none.npy", "--crops", "data"], "only with --checkpoint"),
        (["-c", "base", "--crops", "data"], "BIWI has no boxes"),
        (["-c", "base", "--order", "yaw,pitch,roll"], "only with --predictions"),
    ],
)
def test_mistakes(capsys, biwi, monkeypatch, words, message):
    monkeypatch.chdir(biwi)
    np.save("short.npy", np.zeros((4, 3)))
    np.save("scaled.npy", np.tile(2 * np.eye(3), (5, 1, 1)))
    np.save("none.npy", np.full((5, 3), np.nan))
    for name, text in {
        "p.txt": "",
        "heads.csv": "image,yaw\n1,2\n",
        "words.csv": "image,pitch,yaw,roll\n1,2,3,x\n",
        "others.csv": "image,pitch,yaw,roll\n7.png,2,3,4\n",
    }.items():
        (biwi / name).write_text(text)
    code, _, errors = run(capsys, "biwi", "--root", biwi, *words)
    assert code == 2
    assert errors.startswith("twodasl: error: ")
    assert errors.count("\n") == 1
    assert message in errors
