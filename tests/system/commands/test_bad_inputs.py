"""Bad input to the real command: one line that names the culprit, exit code 2, nothing half-written."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from twodasl.cli import main

BOX = ["--box", "140", "40", "320", "220"]


@pytest.fixture
def run(capsys, ball_checkpoint, tmp_path):
    """Run `twodasl reconstruct` into an output folder: exit code, stderr, names of the folder's files."""
    folder = tmp_path / "results"

    def call(*words, checkpoint=ball_checkpoint):
        code = main(["reconstruct", *map(str, words), "--checkpoint", str(checkpoint), "-o", str(folder)])
        written = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return code, capsys.readouterr().err, written

    return call


def _refused(result, *names):
    """The run failed with one line that contains all the names, and left no file."""
    code, errors, written = result
    assert code == 2
    assert errors.startswith("twodasl: error: ")
    assert errors.count("\n") == 1
    assert errors.endswith("\n")
    assert len(errors) < 500
    assert written == []
    for name in names:
        assert str(name) in errors


def _text_file(path):
    path.write_text("this is not an image")


def _one_pixel(path):
    Image.new("RGB", (1, 1)).save(path)


def _cut_off(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:20_000])


BAD_PHOTOS = {
    "no image": (_text_file, "is not an image"),
    "empty": (lambda path: path.touch(), "is empty"),
    "one pixel": (_one_pixel, "1x1"),
    "cut off": (_cut_off, "damaged or cut off"),
    "folder": (lambda path: path.mkdir(), "is a folder"),
    "missing": (lambda path: None, "No such file"),
}


@pytest.mark.parametrize("kind", BAD_PHOTOS)
@pytest.mark.parametrize("place", [BOX, []], ids=["box", "detector"])
def test_bad_photo(run, tmp_path, kind, place):
    make, reason = BAD_PHOTOS[kind]
    photo = tmp_path / "photo.png"
    make(photo)
    _refused(run(photo, *place), photo, reason)


def _points(path, points):
    np.savetxt(path, points, delimiter=",")


BAD_LANDMARKS = {
    "67 points": (lambda path, points: _points(path, points[:67]), "68 points, got 67"),
    "69 points": (lambda path, points: _points(path, np.vstack([points, points[:1]])), "68 points, got 69"),
    "nan": (lambda path, points: _points(path, np.where(points > 269, np.nan, points)), "NaN"),
    "text": (lambda path, points: path.write_text("eyes, nose, mouth\n" * 68), "header with columns x and y"),
    "empty": (lambda path, points: path.touch(), "empty"),
    "missing": (lambda path, points: None, "no such landmark file"),
    "another photo's": (lambda path, points: _points(path, points + 600), "68 of the 68 points lie outside"),
    "one place": (lambda path, points: _points(path, points * 0 + 100), "spread over a face"),
}


@pytest.mark.parametrize("kind", BAD_LANDMARKS)
def test_bad_landmarks(run, tmp_path, photo_path, photo68, kind):
    make, reason = BAD_LANDMARKS[kind]
    file = tmp_path / "points.csv"
    make(file, photo68)
    _refused(run(photo_path, "--landmarks", file), file, reason)


def test_no_landmarks_for_this_photo_in_the_folder(run, tmp_path, photo_path, photo68):
    marks = tmp_path / "marks"
    marks.mkdir()
    _refused(run(photo_path, "--landmarks", marks), photo_path, marks, "no landmarks")
    _points(marks / "astronaut.csv", photo68)
    np.save(marks / "astronaut.npy", photo68)
    _refused(run(photo_path, "--landmarks", marks), "astronaut.npy and astronaut.csv")


def test_no_face_to_be_found(run, tmp_path):
    photo = tmp_path / "wall.png"
    Image.new("RGB", (300, 200), "gray").save(photo)
    _refused(run(photo, "--detector", "cascade"), photo, "no face was found", "--landmarks or --box")


@pytest.mark.parametrize(
    "box",
    [
        (512, 0, 700, 188),
        (-300, -300, -10, -10),
        (100, 100, 100, 100),
        (300, 300, 100, 100),
        ("nan", 0, 100, 100),
        (0, 0, "inf", 100),
        (100, 100, 103, 103),
    ],
)
def test_bad_box(run, photo_path, box):
    _refused(run(photo_path, "--box", *box), "--box: ")


def test_box_that_is_no_numbers(run, photo_path):
    code, errors, written = run(photo_path, "--box", "left", "top", "right", "bottom")
    assert code == 2
    assert "--box" in errors
    assert written == []


def test_checkpoint_of_another_face_model(run, photo_path, ball_checkpoint, other_model):
    _refused(
        run(photo_path, *BOX, "--model", other_model), ball_checkpoint, "'ball'", "'wide'", "trained for"
    )


def test_checkpoint_whose_model_is_gone(run, tmp_path, photo_path, ball_checkpoint):
    contents = torch.load(ball_checkpoint, weights_only=True)
    contents["config"]["data"]["model"] = str(tmp_path / "gone.npz")
    path = tmp_path / "moved.pt"
    torch.save(contents, path)
    _refused(run(photo_path, *BOX, checkpoint=path), path, "gone.npz", "--model")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999999])
def test_truncated_checkpoint(run, tmp_path, photo_path, ball_checkpoint, share):
    whole = ball_checkpoint.read_bytes()
    path = tmp_path / "cut.pt"
    path.write_bytes(whole[: int(share * len(whole))])
    _refused(run(photo_path, *BOX, checkpoint=path), path)


def test_damaged_checkpoint(run, tmp_path, photo_path, ball_checkpoint):
    damaged = bytearray(ball_checkpoint.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    path = tmp_path / "damaged.pt"
    path.write_bytes(damaged)
    _refused(run(photo_path, *BOX, checkpoint=path), path, "damaged")


def test_checkpoint_that_is_something_else(run, tmp_path, photo_path, ball_path):
    _refused(run(photo_path, *BOX, checkpoint=tmp_path / "none.pt"), "none.pt")
    _refused(run(photo_path, *BOX, checkpoint=photo_path), photo_path)
    _refused(run(photo_path, *BOX, checkpoint=ball_path), ball_path)
    _refused(run(photo_path, *BOX, checkpoint=tmp_path), tmp_path)


def _with(contents, **changes):
    return {name: value for name, value in {**contents, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("mean", lambda array: array[:-1]),
        ("shape_modes", lambda array: array[:, :, :2]),
        ("triangles", lambda array: array + len(array)),
        ("landmarks", lambda array: array[:67]),
        ("mean", lambda array: array * np.nan),
        ("coefficient_std", lambda array: None),
    ],
    ids=["fewer vertices", "2D modes", "triangles beyond", "67 landmarks", "nan", "missing field"],
)
def test_model_file_with_wrong_shapes(run, tmp_path, photo_path, ball_path, field, change):
    with np.load(ball_path) as file:
        contents = dict(file)
    path = tmp_path / "model.npz"
    np.savez(path, **_with(contents, **{field: change(contents[field])}))
    _refused(run(photo_path, *BOX, "--model", path), path)


def test_model_that_is_none(run, tmp_path, photo_path):
    text = tmp_path / "model.npz"
    text.write_text("no model")
    _refused(run(photo_path, *BOX, "--model", text), text)
    _refused(run(photo_path, *BOX, "--model", tmp_path / "absent.npz"), "absent.npz")


def test_refinements_and_device(run, photo_path):
    _refused(run(photo_path, *BOX, "--refinements", "-1"), "--refinements")
    _refused(run(photo_path, *BOX, "--refinements", "9" * 30), "--refinements: expected 0 to 100")
    _refused(run(photo_path, *BOX, "--device", "abacus"), "abacus")


def test_output_that_is_a_file(capsys, tmp_path, photo_path, ball_checkpoint):
    file = tmp_path / "file"
    file.write_text("kept")
    words = ["reconstruct", str(photo_path), *BOX, "--checkpoint", str(ball_checkpoint), "-o", str(file)]
    assert main(words) == 2
    assert str(file) in capsys.readouterr().err
    assert file.read_text() == "kept"


def test_results_never_overwrite_a_photo(capsys, tmp_path, photo_path, ball_checkpoint):
    photo = tmp_path / "face.png"
    shutil.copy(photo_path, photo)
    before = photo.read_bytes()
    words = ["reconstruct", str(photo), *BOX, "--checkpoint", str(ball_checkpoint), "-o", str(tmp_path)]
    assert main(words) == 2
    assert f"{photo}: would be overwritten" in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["face.png"]


def test_results_never_overwrite_each_other(run, tmp_path, photo_path):
    other = tmp_path / "other" / "astronaut.jpg"
    _refused(run(photo_path, other), photo_path, other, "would overwrite")


def test_one_box_or_landmark_file_for_several_photos(run, tmp_path, photo_path):
    other = tmp_path / "other.png"
    _refused(run(photo_path, other, *BOX), "--box", "one photo")
    file = tmp_path / "points.csv"
    file.touch()
    _refused(run(photo_path, other, "--landmarks", file), file, "one photo")


def test_a_bad_photo_in_a_batch_does_not_stop_the_rest(run, tmp_path, photo_path, photo68, small_pictures):
    marks = tmp_path / "marks"
    marks.mkdir()
    for name in ("first", "third", "fourth"):
        shutil.copy(photo_path, tmp_path / f"{name}.png")
    (tmp_path / "second.png").write_text("no image")
    for name in ("first", "second", "third"):
        _points(marks / f"{name}.txt", photo68)
    _points(marks / "fourth.csv", photo68[:67])
    photos = [tmp_path / f"{name}.png" for name in ("first", "second", "third", "fourth")]
    code, errors, written = run(*photos, "--landmarks", marks)
    assert code == 2
    lines = errors.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"twodasl: error: {photos[1]}: is not an image")
    assert lines[1].startswith(f"twodasl: error: {marks / 'fourth.csv'}: ")
    assert lines[2].startswith("twodasl: error: 2 of 4 photos could not be reconstructed")
    suffixes = ("glb", "json", "obj", "ply", "png")
    assert written == [f"{name}.{suffix}" for name in ("first", "third") for suffix in suffixes]


def test_a_landmark_without_its_decimal_point(run, tmp_path, photo_path, photo68):
    points = photo68.copy()
    points[3, 0] = 1e6
    np.savetxt(tmp_path / "points.csv", points, delimiter=",")
    _refused(run(photo_path, "--landmarks", tmp_path / "points.csv"), "1e+06", "point 3", "decimal point")


def test_a_checkpoint_called_as_its_result(run, tmp_path, photo_path, ball_checkpoint):
    (tmp_path / "results").mkdir()
    checkpoint = tmp_path / "results" / f"{photo_path.stem}.json"
    shutil.copy(ball_checkpoint, checkpoint)
    code, errors, written = run(photo_path, *BOX, checkpoint=checkpoint)
    assert (code, written) == (2, [checkpoint.name])
    assert "would be overwritten" in errors
    assert checkpoint.read_bytes() == ball_checkpoint.read_bytes()


@pytest.mark.parametrize("scale", [1e-9, 1e5, 1e30])
def test_a_diverged_network_is_one_sentence(run, tmp_path, photo_path, ball_checkpoint, scale):
    contents = torch.load(ball_checkpoint, weights_only=True)
    contents["whitening"]["mean"][:12] = scale * torch.eye(3, 4).flatten()
    contents["whitening"]["std"][:12] = 1e-12
    torch.save(contents, tmp_path / "diverged.pt")
    _refused(
        run(photo_path, *BOX, checkpoint=tmp_path / "diverged.pt"), photo_path, "diverged.pt", "is no face"
    )
