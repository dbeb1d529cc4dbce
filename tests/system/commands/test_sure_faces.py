"""`twodasl reconstruct`: confidence in the results, the warning, --min-confidence; and exporting it."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from twodasl.cli import main
from twodasl.morphable.sketch import sketch
from twodasl.networks import build_regressor
from twodasl.reconstruction import confidence_measure
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.training import TrainingConfig, save_checkpoint
from twodasl.training.checkpoint import load_checkpoint
from twodasl.training.confidence import Calibration
from twodasl.training.priors import FitPriors
from twodasl.training.weights import read_weights, save_weights

from ..fitted_sets import write_fitted

BOX = ["--box", "140", "40", "320", "220"]
# Of a network whose sigma is what it is at 0: some 4 pixels, a twentieth of the face.
SURE = Calibration((0.0, 0.0, 3.0), (0.0, 0.0, 0.0, 3.0), 1.5)
UNSURE = replace(SURE, alone=(0.0, 0.0, -3.0))

pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.fixture(scope="module")
def pointed(ball_model, ball_path, tmp_path_factory):
    """A checkpoint of a network with points of its own that always answers alike."""
    path = tmp_path_factory.mktemp("pointed") / "pointed.pt"
    config = TrainingConfig().updated(
        {"network": {"points": 68}, "landmarks": {"map_dropout": 0.5}, "data": {"model": str(ball_path)}}
    )
    outputs = 12 + len(ball_model.coefficient_std)
    torch.manual_seed(0)
    network = build_regressor(config.network.regressor, outputs, 68)
    torch.nn.init.zeros_(network.output.weight)
    torch.nn.init.zeros_(network.output.bias)
    middle = torch.zeros(outputs)
    middle[[0, 5, 10]] = 0.45
    middle[[3, 7]] = 60.0
    save_checkpoint(
        path,
        {
            "config": config.to_dict(),
            "model_name": ball_model.name,
            "model_identity": ball_model.identity,
            "model_counts": list(ball_model.counts),
            "model_sketch": torch.from_numpy(sketch(ball_model)),
            "whitening": {"mean": middle, "std": torch.full((outputs,), 0.1)},
            "regressor": network.state_dict(),
            "step": 0,
        },
    )
    return path


@pytest.fixture
def weights(pointed, tmp_path):
    """A function that makes weights of a calibration."""

    def make(confidence):
        file = tmp_path / "w.safetensors"
        return save_weights(file, load_checkpoint(pointed), FitPriors(), {}, confidence)[0]

    return make


@pytest.fixture
def run(photo_path, ball_path, tmp_path):
    def command(weights, *more):
        words = [photo_path, "-c", weights, "-m", ball_path, "-o", tmp_path / "out", *more]
        return main(["reconstruct", *map(str, words)])

    return command


def written(tmp_path):
    return {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.json")}


def test_a_sure_face_says_so_and_warns_of_nothing(weights, run, tmp_path, capsys):
    assert run(weights(SURE), *BOX) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert ", confidence 0.95 -> " in captured.out
    assert written(tmp_path)["astronaut"]["confidence"] == round(1 / (1 + np.exp(-3)), 4)


def test_a_box_without_a_face_does_not_pass_in_silence(weights, run, tmp_path, capsys):
    assert run(weights(UNSURE), *BOX) == 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "astronaut.png: the confidence of the face is only 0.05; there may be no face" in error
    assert written(tmp_path)["astronaut"]["confidence"] == round(1 / (1 + np.exp(3)), 4)


def test_the_landmarks_have_a_line_of_their_own(weights, run, photo68, tmp_path, capsys):
    np.save(tmp_path / "points.npy", photo68)
    assert run(weights(UNSURE), "-l", tmp_path / "points.npy") == 0
    assert ", confidence 0.95 -> " in capsys.readouterr().out


def test_weights_and_checkpoints_without_it(weights, pointed, run, tmp_path, capsys):
    for file in (weights(None), pointed):
        assert run(file, *BOX) == 0
        captured = capsys.readouterr()
        assert captured.err == ""
        assert "confidence" not in captured.out
        assert written(tmp_path)["astronaut"]["confidence"] is None
        assert run(file, *BOX, "--min-confidence", "0.5") == 2
        error = capsys.readouterr().err
        assert f"--min-confidence: {file} does not say how sure its faces are" in error
        assert error.count("\n") == 1


@pytest.mark.parametrize("least", ["0.06", "1"])
def test_an_unsure_face_is_not_written(weights, run, tmp_path, capsys, least):
    assert run(weights(UNSURE), *BOX, "--min-confidence", least) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"expected a confidence of at least {least} (--min-confidence), got 0.05 for the face" in error
    assert not (tmp_path / "out").exists()


def test_a_face_at_the_threshold_is_written(weights, run, tmp_path, capsys):
    assert run(weights(UNSURE), *BOX, "--min-confidence", "0.04") == 0
    assert "only 0.05" in capsys.readouterr().err
    assert run(weights(UNSURE), *BOX, "--min-confidence", "0") == 0
    assert written(tmp_path).keys() == {"astronaut"}


@pytest.mark.parametrize("least", ["-0.1", "1.1", "nan", "inf"])
def test_what_is_no_probability_is_refused(run, ball_checkpoint, capsys, least):
    assert run(ball_checkpoint, *BOX, f"--min-confidence={least}") == 2
    assert "--min-confidence: expected a number from 0 to 1, got " in capsys.readouterr().err


@pytest.fixture
def three(photo_path, tmp_path):
    """A photo of three faces, side by side."""
    photo = cv2.imread(str(photo_path))
    path = tmp_path / "row.png"
    cv2.imwrite(str(path), np.concatenate([photo] * 3, axis=1))
    return path


@pytest.fixture
def confident(monkeypatch):
    """A function that says what the confidence of faces is, from left to right."""
    true = FaceReconstructor.reconstruct

    def say(*values):
        def reconstruct(self, faces, **options):
            found = true(self, faces, **options)
            return [replace(face, confidence=value) for face, value in zip(found, values, strict=True)]

        monkeypatch.setattr(FaceReconstructor, "reconstruct", reconstruct)

    return say


def test_of_several_the_unsure_ones_are_left_out(three, weights, confident, ball_path, tmp_path, capsys):
    confident(0.9, 0.2, 0.8)
    words = [three, "-c", weights(SURE), "-m", ball_path, "-o", tmp_path / "out", "--faces", "all"]
    words += ["--min-confidence", "0.5"]
    assert main(["reconstruct", *map(str, words)]) == 0
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "row.png: row-2 is left out, its confidence is 0.20" in captured.err
    numbers = written(tmp_path)
    assert numbers.keys() == {"row-1", "row-3"}  # as they are counted in the photo
    assert numbers["row-3"]["source"]["face"] == "3 of 3 from the left"


def test_a_photo_of_which_none_is_left_fails(three, weights, confident, ball_path, tmp_path, capsys):
    confident(0.1, 0.2, 0.05)
    words = [three, "-c", weights(SURE), "-m", ball_path, "-o", tmp_path / "out", "--faces", "all"]
    assert main(["reconstruct", *map(str, words), "--min-confidence", "0.5"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "got 0.20 for the surest of 3 faces" in error
    assert not (tmp_path / "out").exists()
    assert main(["reconstruct", *map(str, words)]) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == 3
    assert "the confidence of row-1 is only 0.10" in warnings[0]


def test_export_measures_and_keeps_it(
    pointed, ball_path, ball_model, photo_path, tmp_path, monkeypatch, capsys
):
    """Of a network that always answers alike, good alignments are rare."""
    monkeypatch.setattr(confidence_measure, "FACES", 6)
    write_fitted(tmp_path / "store", ball_model)
    file = tmp_path / "new.safetensors"
    words = ["weights", "export", "-c", pointed, "-o", file, "--measure-on", f"fitted:{tmp_path / 'store'}"]
    assert main([str(word) for word in words]) == 0
    assert "\nconfidence: 0.5 where " in capsys.readouterr().out
    found = read_weights(file)["confidence"]
    assert found.photos == 1.6
    image = cv2.imread(str(photo_path))
    face = FaceReconstructor(file, ball_path)(image, box=(0, 0, 512, 512))
    assert 0 < face.confidence < 0.5
    assert face.confidence == pytest.approx(found(face.clues))


def test_export_of_a_network_without_points_has_none(lively_checkpoint, ball_model, tmp_path, capsys):
    write_fitted(tmp_path / "store", ball_model)
    store, file = f"fitted:{tmp_path / 'store'}", tmp_path / "new.safetensors"
    words = [
        str(w) for w in ("weights", "export", "-c", lively_checkpoint, "-o", file, "--measure-on", store)
    ]
    assert main([*words, "--confidence-on", store]) == 2
    assert "--confidence-on: the network has no points of its own" in capsys.readouterr().err
    assert not file.exists()
    assert main(words) == 0
    assert read_weights(file)["confidence"] is None


def test_too_few_photos_to_measure_on(pointed, ball_model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(confidence_measure, "FACES", 1)
    write_fitted(tmp_path / "store", ball_model)
    store, file = f"fitted:{tmp_path / 'store'}", tmp_path / "new.safetensors"
    words = ["weights", "export", "-c", pointed, "-o", file, "--measure-on", store, "--confidence-on", store]
    assert main([str(word) for word in words]) == 2
    assert "expected at least 100 photos with 68 landmarks, got 8 of 8" in capsys.readouterr().err
    assert not file.exists()
