"""Jitter, error and lag of a face through a video: known answers, and `twodasl evaluate video`."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from twodasl.cli import main
from twodasl.errors import InputError
from twodasl.evaluation.video import FacePath, Following, following, jitter, read_path

COUNT = 90
TIMES = np.arange(COUNT)


def swing(times: np.ndarray) -> np.ndarray:
    """Yaw in degrees at a time."""
    return 30 * np.sin(2 * np.pi * times / 45)


@pytest.fixture
def truth(photo68) -> FacePath:
    """A face that moves by two pixels a frame and swings."""
    marks = photo68 + 2.0 * TIMES[:, None, None]
    return FacePath(marks, np.stack([np.zeros(COUNT), swing(TIMES), np.zeros(COUNT)], axis=1))


def changed(path: FacePath, marks=0.0, yaw=0.0) -> FacePath:
    return FacePath(
        path.landmarks + marks, path.angles + np.stack([np.zeros(COUNT), yaw + 0 * TIMES, 0 * TIMES], 1)
    )


def test_what_moves_as_the_face_does_is_no_jitter(truth):
    found = jitter(changed(truth, marks=3.0, yaw=4.0), truth)
    assert [found.landmarks, found.landmark_steps, found.yaw, found.yaw_steps] == pytest.approx(
        [0] * 4, abs=1e-9
    )


def test_noise_of_known_size(truth):
    rng = np.random.default_rng(0)
    noisy = changed(truth, rng.normal(0, 0.5, truth.landmarks.shape), rng.normal(0, 0.2, COUNT))
    found = jitter(noisy, truth)
    expected = 0.5 * np.sqrt(2)  # in two directions
    assert found.landmarks == pytest.approx(expected, rel=0.03)
    assert found.landmark_steps == pytest.approx(expected, rel=0.03)
    assert found.yaw == pytest.approx(0.2, rel=0.25)
    assert found.yaw_steps == pytest.approx(0.2, rel=0.25)


def test_slow_wandering_is_scatter_and_no_steps(truth):
    wandering = np.linspace(-1, 1, COUNT)[:, None, None] * [1.0, 0.0]
    found = jitter(changed(truth, wandering), truth)
    assert found.landmarks > 15 * found.landmark_steps


def test_the_beginning_does_not_count(truth):
    start = np.where(TIMES < 15, 50.0, 0.0)
    assert jitter(changed(truth, start[:, None, None], start), truth).landmarks == pytest.approx(0, abs=1e-9)
    assert jitter(changed(truth, start[:, None, None], start), truth, settled=0).landmarks > 1


@pytest.mark.parametrize("late", [-1.5, 0.0, 0.35, 3.0])
def test_lag_by_hand(truth, late):
    found = FacePath(truth.landmarks, np.stack([0 * TIMES, swing(TIMES - late), 0 * TIMES], axis=1))
    assert following(found, truth).lag == pytest.approx(late, abs=0.051)


def test_error_and_misses_by_hand(truth):
    size = np.sqrt(np.ptp(truth.landmarks[0], axis=0).prod())
    found = changed(truth, np.array([3.0, 4.0]), yaw=-2.0)
    found.landmarks[40:44] = np.nan
    found.angles[40:44] = np.nan
    assert following(found, truth) == Following(
        pytest.approx(100 * 5 / size), pytest.approx(2), pytest.approx(0, abs=0.051), 4
    )


def test_a_yaw_that_does_not_move_has_no_lag(truth):
    still = FacePath(truth.landmarks, truth.angles * 0)
    assert following(still, still).lag is None
    assert following(truth.first(20), truth.first(20)).lag is None


def test_an_angle_goes_the_shorter_way_around(truth):
    around = FacePath(truth.landmarks, truth.angles + np.array([0, 359, 0]))
    assert following(around, truth).yaw == pytest.approx(1)


def lines(path: FacePath, track: int = 1) -> list[str]:
    """JSON lines as `twodasl video` writes them."""
    return [
        json.dumps(
            {
                "frame": frame,
                "seconds": frame / 25,
                "track": track,
                "pose": dict(
                    zip(("pitch_degrees", "yaw_degrees", "roll_degrees"), angles.tolist(), strict=True)
                ),
                "landmarks_2d": marks.tolist(),
            }
        )
        for frame, (marks, angles) in enumerate(zip(path.landmarks, path.angles, strict=True))
        if np.isfinite(marks).all()
    ]


def run(capsys, *words) -> tuple[int, str, str]:
    code = main(["evaluate", "video", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def files(tmp_path, truth):
    found = changed(truth, np.array([3.0, 4.0]), yaw=-2.0)
    found.landmarks[80:] = np.nan
    other = changed(truth, 100.0).first(12)
    (tmp_path / "truth.jsonl").write_text("\n".join(lines(truth)) + "\n")
    (tmp_path / "found.jsonl").write_text("\n".join([*lines(other, 1), *lines(found, 2)]) + "\n")
    return tmp_path


def test_files(capsys, files):
    words = ("--predictions", files / "found.jsonl", "--truth", files / "truth.jsonl")
    code, text, errors = run(capsys, *words, "-o", files / "out")
    assert code == 0, errors
    row = json.loads((files / "out/report.json").read_text())["results"]["predictions"]
    assert (row["frames"], row["missed"]) == (COUNT, 10)
    assert row["jitter"] == pytest.approx(0, abs=1e-9)
    assert row["yaw_error"] == pytest.approx(2)
    assert row["lag"] == pytest.approx(0, abs=0.051)
    assert "jitter px" in text
    with open(files / "out/clips.csv", newline="") as stream:
        assert float(next(csv.DictReader(stream))["nme"]) == pytest.approx(row["nme"], abs=1e-5)
    code, _, errors = run(capsys, *words, "--track", 1, "--settled", 0, "--json", files / "r.json")
    assert code == 0, errors
    row = json.loads((files / "r.json").read_text())["results"]["predictions"]
    assert (row["missed"], row["lag"]) == (COUNT - 12, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "got an empty file"),
        ("{", "in line 1, got '{'"),
        ('{"frame": 0}', "expected frame, landmarks_2d"),
        ("[1]", "expected frame, landmarks_2d"),
        (None, "expected one line a frame of a face, got two of frame 3"),
    ],
)
def test_lines_that_cannot_be_used(tmp_path, truth, text, words):
    (tmp_path / "a.jsonl").write_text("\n".join([*lines(truth), lines(truth)[3]]) if text is None else text)
    with pytest.raises(InputError, match=words) as caught:
        read_path(tmp_path / "a.jsonl")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--predictions", "found.jsonl"], "--truth: expected a file"),
        (
            ["--predictions", "found.jsonl", "--truth", "truth.jsonl", "--track", "7"],
            "has no track 7; it has 1, 2",
        ),
        (["--predictions", "truth.jsonl", "--truth", "short.jsonl"], "are they of one video?"),
        (
            ["--predictions", "found.jsonl", "--truth", "truth.jsonl", "--people", "1"],
            "only with --checkpoint",
        ),
        (["-c", "base", "--truth", "truth.jsonl"], "only with --predictions"),
        (
            ["--predictions", "short.jsonl", "--truth", "truth.jsonl"],
            "at least two frames after the first 15",
        ),
    ],
)
def test_mistakes(capsys, files, truth, monkeypatch, words, message):
    monkeypatch.chdir(files)
    (files / "short.jsonl").write_text("\n".join(lines(truth.first(12))))
    code, _, errors = run(capsys, *words)
    assert code == 2
    assert errors.startswith("twodasl: error: ")
    assert errors.count("\n") == 1
    assert message in errors


@pytest.mark.slow
def test_a_network_on_a_rendered_person(capsys, tmp_path):
    code, text, errors = run(
        capsys, "-c", "base", "--people", 1, "--frames", 40, "--json", tmp_path / "r.json"
    )
    assert code == 0, errors
    rows = json.loads((tmp_path / "r.json").read_text())["results"]
    assert set(rows) == {"person 1, followed", "person 1, alone", "all, followed", "all, alone"}
    assert rows["all, followed"]["jitter"] < 0.5 * rows["all, alone"]["jitter"]
    assert rows["all, followed"]["nme"] < 3
    assert "rendered people" in text
