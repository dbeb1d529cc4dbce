"""Units, axes and orders that predictions have mixed up: a sentence of warning, else none."""

import json

import numpy as np
import pytest
from twodasl.cli import main
from twodasl.evaluation.landmark_misuse import landmark_warnings
from twodasl.evaluation.mesh_misuse import mesh_warnings
from twodasl.evaluation.mesh_pairs import find_pairs, measure_pairs
from twodasl.landmarks.schemes import FLIP_68

MIRROR = [-1, 1, 1]


def face(rng: np.random.Generator, step: float = 3) -> np.ndarray:
    """A relief of 100 x 120 mm, not its own mirror image in any axes."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(-50, 51, step), np.arange(-60, 61, step)))
    nose = 32 * np.exp(-((x - 2) ** 2 + (y + 8) ** 2) / 300)
    cheek = 18 * np.exp(-((x + 28) ** 2 + (y - 20) ** 2) / 250)
    round_head = -0.012 * x**2 - 0.004 * y**2 + 0.1 * y
    return np.stack([x, y, nose + cheek + round_head + rng.normal(size=x.shape) * 0.4], axis=1)


def meshes(folder, change, step: float = 3) -> None:
    rng = np.random.default_rng(1)
    for kind in ("truth", "predicted"):
        (folder / kind).mkdir()
    for name in "ab":
        np.save(folder / "truth" / f"{name}.npy", face(rng))
        np.save(folder / "predicted" / f"{name}.npy", change(face(rng, step)))


def warnings(folder, protocol="nearest", scale=False) -> tuple[str, ...]:
    found = find_pairs(folder / "predicted", folder / "truth")
    measured = measure_pairs(found, protocol=protocol, scale=scale, progress=False)
    return mesh_warnings(measured, protocol=protocol, scale=scale)


@pytest.mark.parametrize("step", [3, 2])  # as many vertices as the truth, and others
@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1e-3, "1000 times smaller than the ground truths, as between meters and millimeters"),
        (1e3, "1000 times larger than the ground truths, as between meters and millimeters"),
        (0.1, "10 times smaller than the ground truths, as between centimeters and millimeters"),
        (1 / 25.4, "25.4 times smaller than the ground truths, as between inches and millimeters"),
    ],
)
def test_meshes_in_another_unit(tmp_path, factor, words, step):
    meshes(tmp_path, lambda points: points * factor + 3, step)
    (sentence,) = warnings(tmp_path)
    assert words in sentence
    assert not warnings(tmp_path, scale=True)


@pytest.mark.parametrize("step", [3, 2])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda points: points * MIRROR, "seem mirrored: with (-x, y, z)"),
        (lambda points: points * [1, 1, -1], "seem mirrored: with (x, y, -z)"),
        (lambda points: points[:, [1, 0, 2]], "seem mirrored: with (y, x, z)"),
        (lambda points: points * [1, -1, -1], "seem turned: with (x, -y, -z)"),
        (lambda points: points[:, [0, 2, 1]] * [1, -1, 1], "seem turned: with (x, z, -y)"),
    ],
)
def test_meshes_in_other_axes(tmp_path, change, words, step):
    meshes(tmp_path, change, step)
    found = warnings(tmp_path)
    if "turned" in words and step == 3:  # vertex i shows the turn, and the error does not have it
        assert not found
    else:
        assert len(found) == 1
        assert words in found[0]


def test_both_at_once_under_the_authors_protocol(tmp_path):
    meshes(tmp_path, lambda points: points * [-0.001, 0.001, 0.001])
    unit, axes = warnings(tmp_path, "authors-matlab")
    assert "1000 times smaller" in unit
    assert "--scale" not in unit
    assert "mirrored: with (-x, y, z)" in axes


@pytest.mark.parametrize("step", [3, 2, 5])
def test_no_warning_without_a_mistake(tmp_path, step):
    rng = np.random.default_rng(0)
    meshes(tmp_path, lambda points: points * 1.1 + rng.normal(size=points.shape) + [9, 0, 50], step)
    assert not warnings(tmp_path)


def test_the_report_and_its_json_carry_the_warning(tmp_path, capsys):
    meshes(tmp_path, lambda points: points / 1000)
    folders = ["--predicted", str(tmp_path / "predicted"), "--truth", str(tmp_path / "truth")]
    assert main(["evaluate", "reconstruction", *folders, "-o", str(tmp_path / "out"), "--no-progress"]) == 0
    (written,) = json.loads((tmp_path / "out" / "reconstruction.json").read_text())["warnings"]
    assert f"Warning: {written}" in capsys.readouterr().out


class Crops:
    """Faces whose crops are of half the image's size, from (30, 20)."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def crops_to_image(self, points: np.ndarray) -> np.ndarray:
        return points * 2 + [30, 20]


@pytest.fixture
def landmarks(photo68):
    rng = np.random.default_rng(3)
    turns = rng.uniform(0.7, 1.3, (40, 1, 2))
    flat = photo68 - photo68.mean(0)
    truth = flat * 200 / np.ptp(flat[:, 1]) * turns + rng.uniform(140, 170, (40, 1, 2))
    return truth + rng.normal(size=truth.shape), truth


def landmark_sentences(predicted, truth, **more) -> list[str]:
    size = np.sqrt(np.nanmax(truth, 1) - np.nanmin(truth, 1)).prod(1)
    return landmark_warnings(predicted, truth, size, Crops(len(truth)), **more)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda points: points[:, list(FLIP_68)], "left and the right side exchanged"),
        (lambda points: points[..., ::-1], "x and y exchanged"),
        (lambda points: (points - [30, 20]) / 2, "give --crop-pixels"),
        (lambda points: (points - [30, 20]) / 240, "within 0 to 1, parts of a crop"),
        (lambda points: points * [1, -1] + [0, 300], "let y grow downward"),
        (lambda points: ([300, 0] + points * [-1, 1])[:, list(FLIP_68)], "mirrored in their place"),
        (lambda points: np.roll(points, 1, axis=0), "another order than the images"),
        (lambda points: points[::-1], "another order than the images"),
    ],
)
@pytest.mark.parametrize("hidden", [False, True])
def test_landmarks_mixed_up(landmarks, change, words, hidden):
    predicted, truth = landmarks
    if hidden:
        truth[::2, 20:40] = np.nan
    (sentence,) = landmark_sentences(change(predicted), truth)
    assert words in sentence
    assert not landmark_sentences(predicted, truth)


def test_landmarks_said_to_be_in_crop_pixels(landmarks):
    predicted, truth = landmarks
    (sentence,) = landmark_sentences(Crops(40).crops_to_image(predicted), truth, crop_pixels=True)
    assert "leave --crop-pixels out" in sentence


def test_bad_landmarks_are_no_mistake_of_order(landmarks):
    predicted, truth = landmarks
    rng = np.random.default_rng(0)
    for bad in (
        predicted + 40,
        predicted * 0,
        predicted + rng.normal(size=truth.shape) * 40,
        np.broadcast_to(truth.mean(0), truth.shape) + 25,
    ):
        assert not landmark_sentences(bad, truth)
