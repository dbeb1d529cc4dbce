"""`twodasl models`: the contact sheet and the conversion, by the real command."""

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.morphable import MorphableModel, load_model, procedural_model

twodasl_ext = pytest.importorskip("twodasl_ext")


@pytest.fixture
def few_modes(tmp_path):
    """The embedded head with three shape modes and one expression: a sheet in a second."""
    model = procedural_model()
    few = MorphableModel(
        name="few",
        mean=model.mean,
        shape_modes=model.shape_modes[:3],
        expression_modes=model.expression_modes[:1],
        coefficient_std=np.ones(4),
        triangles=model.triangles,
        landmarks=model.landmarks,
    )
    few.save(tmp_path / "few.npz")
    return tmp_path / "few.npz"


def test_show_draws_a_sheet(few_modes, tmp_path, capsys):
    assert main(["models", "show", str(few_modes), "-o", str(tmp_path / "sheet.png")]) == 0
    said = capsys.readouterr().out
    assert "3 shape modes" in said
    assert "no colors" in said
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape[0] > 1000
    assert sheet.shape[1] > 1900
    assert (sheet[:, ::7] < 250).mean() > 0.1  # something is drawn


def test_convert_keeps_the_model(tmp_path, capsys):
    assert main(["models", "convert", "procedural", str(tmp_path / "head.npz")]) == 0
    assert procedural_model().identity in capsys.readouterr().out
    assert load_model(tmp_path / "head.npz").identity == procedural_model().identity


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "nowhere.npz", "-o", "sheet.png"],
        ["show", "procedural", "-o", "sheet.tiff"],
        ["show", "procedural", "--seed", "-1"],
        ["convert", "nowhere", "x.npz"],
        ["convert", "procedural", "x.obj"],
    ],
)
def test_mistakes_are_one_line(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["models", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("twodasl: error: ")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_convert_replaces_no_model_by_a_part_of_it(tmp_path, ball_path, capsys):
    path = tmp_path / "ball.npz"
    path.write_bytes(ball_path.read_bytes())
    assert main(["models", "convert", str(path), str(path), "--shape-modes", "0"]) == 2
    assert "ball.npz: is an input and would be overwritten" in capsys.readouterr().err
    assert path.read_bytes() == ball_path.read_bytes()
