"""`twodasl models`: the contact sheet and the conversion, by the real command."""

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.morphable import ARKIT_NAMES, MorphableModel, load_model, procedural_model
from twodasl.pictures import arkit_sheet

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


def test_arkit_draws_a_tile_for_each_shape(few_modes, tmp_path, monkeypatch):
    monkeypatch.setattr(arkit_sheet, "TILE", 40)
    assert main(["models", "arkit", str(few_modes), "-o", str(tmp_path / "sheet.png")]) == 0
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    rows, columns = -(-(3 + 52) // arkit_sheet.COLUMNS), arkit_sheet.COLUMNS
    assert sheet.shape == (6 + rows * (40 + 26 + 6), 6 + columns * (40 + 6), 3)

    def tile(index):
        row, column = divmod(index, columns)
        top, left = 6 + row * 72, 6 + column * 46
        return sheet[top : top + 40, left : left + 40].astype(int)

    # Each is another picture than the neutral face from the same place; the tongue's is the same.
    for name, neutral in (("eyeBlinkRight", 0), ("mouthSmileLeft", 1), ("jawOpen", 2)):
        assert np.abs(tile(3 + ARKIT_NAMES.index(name)) - tile(neutral)).max() > 40, name
    assert np.array_equal(tile(3 + ARKIT_NAMES.index("tongueOut")), tile(1))


def test_a_model_without_the_shapes_is_named(ball_path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["models", "arkit", str(ball_path)]) == 2
    assert "has no ARKit shapes" in capsys.readouterr().err
    assert not (tmp_path / "arkit-sheet.png").exists()


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
        ["arkit", "nowhere.npz"],
        ["arkit", "-o", "sheet.tiff"],
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
