"""`twodasl reconstruct --texture`: its files, and what it must not overwrite."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.meshes.read import read_mesh

from ..clips import frame_with, write_clip


@pytest.fixture(scope="module")
def points(photo68, tmp_path_factory):
    path = tmp_path_factory.mktemp("points") / "points.npy"
    np.save(path, photo68)
    return path


def run(*words):
    return main(["reconstruct", *map(str, words)])


def textured(folder, name):
    """The OBJ's texture coordinates and their corners, after following its references."""
    rows = [line.split(" ", 1) for line in (folder / f"{name}.obj").read_text().splitlines()]
    material = next(rest for word, rest in rows if word == "mtllib")
    words = dict(line.split(" ", 1) for line in (folder / material).read_text().splitlines())
    assert words["newmtl"] == next(rest for word, rest in rows if word == "usemtl")
    picture = cv2.imread(str(folder / words["map_Kd"]))
    places = np.array([rest.split() for word, rest in rows if word == "vt"], float)
    corners = [[int(pair.split("/")[1]) for pair in rest.split()] for word, rest in rows if word == "f"]
    return picture, places, np.array(corners) - 1


def test_files(photo_path, points, ball_checkpoint, ball_model, tmp_path, capsys):
    words = ["-c", ball_checkpoint, "-l", points, "-o", tmp_path, "--no-pictures", "--texture=128"]
    assert run(photo_path, *words) == 0
    names = {f"astronaut{end}" for end in (".obj", ".ply", ".json", "-texture.png", ".mtl")}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert capsys.readouterr().out.endswith("astronaut.obj .ply .json -texture.png .mtl\n")
    picture, places, corners = textured(tmp_path, "astronaut")
    assert picture.shape == (128, 128, 3)
    assert picture.std() > 10
    assert places.min() >= 0
    assert places.max() <= 1
    assert corners.shape == ball_model.triangles.shape
    mesh = read_mesh(tmp_path / "astronaut.obj")
    np.testing.assert_array_equal(mesh.triangles, ball_model.triangles)
    np.testing.assert_allclose(
        mesh.vertices, read_mesh(tmp_path / "astronaut.ply").vertices, rtol=1e-4, atol=1e-3
    )


def test_of_a_person(photo_path, photo68, ball_checkpoint, tmp_path):
    (tmp_path / "points").mkdir()
    for name in ("first", "second"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.imread(str(photo_path)))
        np.save(tmp_path / "points" / f"{name}.npy", photo68)
    out = tmp_path / "out"
    words = ["-c", ball_checkpoint, "-l", tmp_path / "points", "-o", out, "--no-pictures", "--same-person"]
    assert run(tmp_path / "first.png", tmp_path / "second.png", *words, "--texture=64") == 0
    for name in ("first", "second", "person"):
        picture, _, _ = textured(out, name)
        assert picture.shape == (64, 64, 3)


@pytest.mark.parametrize("size", ["63", "9000", "-1", "big", "photo.jpg"])
def test_sizes(photo_path, size, capsys):
    assert "expected 64 to 8192 texels" in refused(capsys, photo_path, "-o", "out", f"--texture={size}")


def refused(capsys, *words):
    assert run(*words) == 2
    return capsys.readouterr().err


def test_it_overwrites_no_photo(photo_path, points, ball_checkpoint, tmp_path, capsys):
    photo, other = tmp_path / "photos" / "a.png", tmp_path / "a-texture.png"
    photo.parent.mkdir()
    for path in (photo, other):
        cv2.imwrite(str(path), cv2.imread(str(photo_path)))
    before = other.read_bytes()
    words = ["-c", ball_checkpoint, "--no-pictures", "--texture", "-l", tmp_path]
    assert "a-texture.png: its picture would have the name of a texture" in refused(
        capsys, photo, other, *words, "-o", tmp_path / "out"
    )
    model = ["-m", other]  # any other input: what it is does not matter before it is read
    words = ["-c", ball_checkpoint, "--texture", "-l", points, *model, "-o", tmp_path]
    assert "a-texture.png: would be overwritten" in refused(
        capsys, photo, *words[:-1], tmp_path, "--no-pictures"
    )
    assert other.read_bytes() == before


def test_it_is_for_photos(photo_path, tmp_path, capsys):
    write_clip(tmp_path / "clip.mp4", [frame_with()] * 2)
    assert "--texture: is for photos" in refused(
        capsys, tmp_path / "clip.mp4", "--texture", "-o", tmp_path / "o"
    )


def test_without_a_format_that_holds_it(photo_path, tmp_path, capsys):
    assert run(photo_path, "-o", tmp_path / "out", "--format", "png,json", "--texture=64") == 2
    assert "--texture: has a use only with obj, glb or html" in capsys.readouterr().err


def test_a_photo_given_twice(photo_path, tmp_path, capsys):
    assert run(photo_path, photo_path, "-o", tmp_path / "out") == 2
    assert f"{photo_path}: is given twice" in capsys.readouterr().err
