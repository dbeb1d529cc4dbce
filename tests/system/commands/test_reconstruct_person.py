"""`twodasl reconstruct --same-person`: its files, its errors, and that it writes everything or nothing."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.meshes.read import read_mesh

NAMES = ("first", "second", "third")

pytestmark = pytest.mark.usefixtures("small_pictures")


@pytest.fixture(scope="module")
def album(photo_path, photo68, tmp_path_factory):
    """Three photos of one person, and a folder with the landmarks of each."""
    folder = tmp_path_factory.mktemp("album")
    (folder / "points").mkdir()
    image = cv2.imread(str(photo_path))
    for index, name in enumerate(NAMES):
        darker = (image * (1 - 0.1 * index)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{name}.png"), darker)
        noise = np.random.default_rng(index).normal(0, 0.5, photo68.shape)
        np.save(folder / "points" / f"{name}.npy", photo68 + noise)
    return folder


def _run(*words):
    return main(["reconstruct", *map(str, words)])


def _photos(album):
    return [album / f"{name}.png" for name in NAMES]


@pytest.fixture
def written(album, ball_checkpoint, tmp_path):
    out = tmp_path / "out"
    words = ["-c", ball_checkpoint, "-l", album / "points", "-o", out, "--same-person"]
    assert _run(*_photos(album), *words) == 0
    return out


def test_files_of_each_photo_and_of_the_person(written, capsys, ball_model):
    names = {f"{name}.{suffix}" for name in NAMES for suffix in ("obj", "ply", "glb", "json", "png")}
    names |= {f"person.{suffix}" for suffix in ("obj", "ply", "glb", "json")}
    assert {path.name for path in written.iterdir()} == names
    person = json.loads((written / "person.json").read_text())
    assert person["format"] == "twodasl-person"
    assert [entry["photo"] for entry in person["photos"]] == [f"{name}.png" for name in NAMES]
    assert not any(entry["left_out"] or entry["contradicts_the_others"] for entry in person["photos"])
    for name in NAMES:
        numbers = json.loads((written / f"{name}.json").read_text())
        assert numbers["coefficients"]["shape"] == person["coefficients"]["shape"]
        assert numbers["source"]["same_person"] == [f"{other}.png" for other in NAMES]
        assert numbers["source"]["landmarks"] == f"{name}.npy"
    shape = np.float32([*person["coefficients"]["shape"], 0])
    for suffix in ("obj", "ply"):
        mesh = read_mesh(written / f"person.{suffix}")
        np.testing.assert_allclose(mesh.vertices, ball_model.shape(shape), atol=1e-3)


def test_what_is_said(album, ball_checkpoint, tmp_path, capsys):
    words = ["-c", ball_checkpoint, "-l", album / "points", "-o", tmp_path, "--same-person"]
    assert _run(*_photos(album), *words) == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.splitlines()
    assert len(lines) == 4
    assert lines[-1] == f"the person, from 3 of 3 photos -> {tmp_path / 'person'}.obj .ply .glb .json"
    assert _run("-q", *_photos(album), *words) == 0
    assert capsys.readouterr().out == ""


def test_one_photo_is_written_as_without_the_option(album, ball_checkpoint, tmp_path):
    words = [_photos(album)[0], "-c", ball_checkpoint, "-l", album / "points"]
    assert _run(*words, "-o", tmp_path / "one", "--same-person") == 0
    assert _run(*words, "-o", tmp_path / "plain") == 0
    for suffix in ("obj", "ply", "png"):
        name = f"first.{suffix}"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()


def test_options_that_contradict_each_other(album, ball_checkpoint, tmp_path, capsys):
    for words, message in (
        (["--faces", "all"], "--same-person: takes one face of each photo; it does not go with --faces"),
        (["--faces", "2"], "--same-person: takes one face of each photo; it does not go with --faces"),
        (["--no-fit"], "--same-person: fits one shape to all photos; it does not go with --no-fit"),
    ):
        out = tmp_path / "out"
        assert _run(*_photos(album), "-c", ball_checkpoint, "-o", out, "--same-person", *words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not out.exists()


def test_not_under_torchrun(album, ball_checkpoint, tmp_path, capsys, monkeypatch):
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    words = ["-c", ball_checkpoint, "-l", album / "points", "-o", tmp_path / "out", "--same-person"]
    assert _run(*_photos(album), *words) == 2
    assert "without torchrun" in capsys.readouterr().err


@pytest.mark.parametrize("missing", [1, 2])
def test_a_photo_without_a_face_stops_everything(album, ball_checkpoint, tmp_path, capsys, missing):
    gray = [tmp_path / f"gray{number}.png" for number in range(missing)]
    for path in gray:
        cv2.imwrite(str(path), np.full((100, 100, 3), 128, np.uint8))
    out = tmp_path / "out"
    assert _run(_photos(album)[0], *gray, "-c", ball_checkpoint, "-o", out, "--same-person") == 2
    error = capsys.readouterr().err
    assert error.count("no face was found") == error.count("\n") == missing
    assert "takes a face in every photo, and nothing was written" in error
    assert all(str(path) in error for path in gray)
    assert not out.exists()


def test_a_photo_that_contradicts_is_named(album, photo68, ball_checkpoint, tmp_path, capsys):
    """The same picture, its landmarks those of a face of another width."""
    points = tmp_path / "points"
    points.mkdir()
    for name in NAMES:
        marks = np.load(album / "points" / f"{name}.npy")
        if name == "second":
            marks = (marks - photo68.mean(0)) * [1.0, 1.6] + photo68.mean(0)
        np.save(points / f"{name}.npy", marks)
    out = tmp_path / "out"
    words = ["-c", ball_checkpoint, "-l", points, "-o", out, "--same-person"]
    assert _run(*_photos(album), *words) == 0
    said = capsys.readouterr()
    assert said.err == (
        f"twodasl: warning: {album / 'second.png'}: its face is not that of the other photos; it had no say"
        " in the shape\n"
    )
    assert "the person, from 2 of 3 photos" in said.out
    person = json.loads((out / "person.json").read_text())
    assert [entry["left_out"] for entry in person["photos"]] == [False, True, False]
    assert json.loads((out / "second.json").read_text())["source"]["contradicts_the_others"] is True
    assert "contradicts_the_others" not in json.loads((out / "first.json").read_text())["source"]


def test_names_that_clash(album, photo_path, ball_checkpoint, tmp_path, capsys):
    photo = tmp_path / "Person.png"
    photo.write_bytes(photo_path.read_bytes())
    out = tmp_path / "out"
    assert _run(photo, _photos(album)[0], "-c", ball_checkpoint, "-o", out, "--same-person") == 2
    assert "Person.png: its results would have the names of the person's" in capsys.readouterr().err
    assert not out.exists()
    model = tmp_path / "person.json"
    model.write_text("{}")
    words = ["-c", ball_checkpoint, "--model", model, "-o", tmp_path, "--same-person"]
    assert _run(*_photos(album), *words) == 2
    assert f"{model}: would be overwritten by the results" in capsys.readouterr().err
    assert model.read_text() == "{}"


def test_a_folder_where_a_file_should_go(album, ball_checkpoint, tmp_path, capsys):
    (tmp_path / "person.ply").mkdir()
    words = ["-c", ball_checkpoint, "-l", album / "points", "-o", tmp_path, "--same-person"]
    assert _run(*_photos(album), *words) == 2
    assert "person.ply" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["person.ply"]
