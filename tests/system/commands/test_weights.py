"""`twodasl weights`: what comes with the package, weights from a checkpoint, and errors before any work."""

import json

import numpy as np
import pytest
from twodasl import weights as weights_module
from twodasl.cli import main
from twodasl.training import load_checkpoint
from twodasl.training import priors as priors_module
from twodasl.training.priors import FitPriors
from twodasl.training.weights import read_weights, save_weights
from twodasl.weights import SHIPPED, is_shipped

from ..fitted_sets import write_fitted


def test_what_comes_with_the_package_is_listed(capsys):
    """A line for each, with the weights in the package and without them."""
    assert main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [*SHIPPED]
    for name, line in zip(SHIPPED, lines, strict=True):
        assert (line == f"{name}: is not in this installation") == (not is_shipped(name))


def test_a_line_says_what_its_maker_does(capsys, monkeypatch, tmp_path, lively_checkpoint):
    about = {"summary": "for tests", "license": "none", "data": ["synthetic"]}
    save_weights(tmp_path / "base.safetensors", load_checkpoint(lively_checkpoint), FitPriors(), about)
    monkeypatch.setattr(weights_module, "_FOLDER", tmp_path)
    assert main(["weights", "list"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "base: for tests; none"
    (tmp_path / "base.json").unlink()
    assert main(["weights", "list"]) == 2
    assert "base.json: cannot be read" in capsys.readouterr().err


@pytest.fixture
def store(tmp_path, ball_model):
    write_fitted(tmp_path / "store", ball_model)
    return f"fitted:{tmp_path / 'store'}"


def export(checkpoint, file, *more):
    return main(["weights", "export", "-c", str(checkpoint), "-o", str(file), *map(str, more)])


def test_weights_of_a_checkpoint_are_written_and_used(
    tmp_path, store, lively_checkpoint, ball_path, photo_path, photo68, capsys
):
    about, file = tmp_path / "about.json", tmp_path / "deep" / "w.safetensors"
    about.write_text(json.dumps({"license": "none", "figures": {"nme": 3.5}}))
    assert export(lively_checkpoint, file, "--measure-on", store, "--about", about) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    for line, path in zip(lines, (file, file.with_suffix(".json")), strict=False):
        assert line == f"wrote {path} ({path.stat().st_size:,} bytes)"
    assert lines[2].startswith("errors, from 8 faces, at 15, 45 and 75 degrees of yaw: turn ")
    assert "sigma" not in lines[2]  # it has no points of its own
    assert len(lines) == 3
    saved = read_weights(file)
    assert saved["about"] == {"license": "none", "figures": {"nme": 3.5}}
    assert saved["priors"] != FitPriors()
    assert len(saved["priors"].coefficients) == 3
    # Everything a machine had in it is gone, but for the photos' folder by its name.
    assert str(tmp_path) not in file.with_suffix(".json").read_text()
    np.save(tmp_path / "points.npy", photo68)
    words = ["reconstruct", photo_path, "-c", file, "-m", ball_path, "-l", tmp_path / "points.npy"]
    assert main([str(word) for word in (*words, "-o", tmp_path / "out")]) == 0
    numbers = json.loads((tmp_path / "out" / "astronaut.json").read_text())
    assert numbers["source"]["fitted_to_landmarks"] is True
    assert "fitted_to_own_points" not in numbers["source"]


def test_a_model_that_has_moved_can_be_given(tmp_path, store, ball_model, ball_path, other_model, capsys):
    from ..conftest import save_network

    checkpoint = save_network(tmp_path / "moved.pt", ball_model, tmp_path / "nowhere.npz", 1.0)
    file = tmp_path / "w.safetensors"
    assert export(checkpoint, file, "--measure-on", store) == 2
    assert "nowhere.npz" in capsys.readouterr().err
    assert export(checkpoint, file, "--measure-on", store, "-m", other_model) == 2
    assert "was trained for the face model 'ball'" in capsys.readouterr().err
    assert not file.exists()
    assert export(checkpoint, file, "--measure-on", store, "-m", ball_path) == 0


def test_mistakes_are_told_before_anything_is_measured(
    tmp_path, monkeypatch, ball_checkpoint, lively_checkpoint, store, capsys
):
    monkeypatch.setattr(priors_module, "measure_priors", lambda *given: pytest.fail("measured"))
    file, about = tmp_path / "w.safetensors", tmp_path / "w.json"
    about.write_text("{}")
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "long.json").write_text(" " * (1 << 20) + "{}")
    other = tmp_path / "x.safetensors"
    mistakes = [
        ("w.pt: expected a file named NAME.safetensors", tmp_path / "w.pt", ()),
        ("expected a file named NAME.safetensors", ".", ()),
        ("w.json: would be overwritten by the weights; choose another name", file, ("--about", about)),
        ("list.json: expected a JSON object, got list", other, ("--about", tmp_path / "list.json")),
        ("broken.json: is not a JSON object, or is damaged", other, ("--about", tmp_path / "broken.json")),
        ("long.json: expected a JSON object of at most", other, ("--about", tmp_path / "long.json")),
        ("none.json: cannot be read", other, ("--about", tmp_path / "none.json")),
        ("expected KIND:FOLDER", other, ("--measure-on", "none")),
    ]
    for words, output, more in mistakes:
        assert export(lively_checkpoint, output, *more) == 2
        message = capsys.readouterr().err.strip().splitlines()
        assert len(message) == 1
        assert words in message[0]
    assert export(tmp_path / "none.pt", other) == 2
    assert "none.pt: cannot be read" in capsys.readouterr().err
    assert about.read_text() == "{}"
    assert not file.exists()
    assert not other.exists()


def test_photos_without_parameters_measure_nothing(tmp_path, lively_checkpoint, photo68, capsys):
    from ..photo_sets import write_aflw

    write_aflw(tmp_path / "aflw", photo68)
    assert export(lively_checkpoint, tmp_path / "w.safetensors", "--measure-on", f"aflw:{tmp_path}/aflw") == 2
    assert "--measure-on: expected faces with parameters: " in capsys.readouterr().err


def test_results_do_not_overwrite_the_json_beside_weights(
    tmp_path, lively_checkpoint, ball_path, photo_path, capsys
):
    file = save_weights(tmp_path / "face.safetensors", load_checkpoint(lively_checkpoint), FitPriors(), {})[0]
    before = file.with_suffix(".json").read_bytes()
    photo = tmp_path / "photos" / "face.png"
    photo.parent.mkdir()
    photo.write_bytes(photo_path.read_bytes())
    words = ["reconstruct", photo, "-c", file, "-m", ball_path, "--box", 140, 40, 320, 220, "-o", tmp_path]
    assert main([str(word) for word in words]) == 2
    assert "face.json: would be overwritten by the results" in capsys.readouterr().err
    assert file.with_suffix(".json").read_bytes() == before
