"""`twodasl video` and `twodasl reconstruct VIDEO`: files, answers to bad input, and nothing half-written."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from twodasl.cli import main
from twodasl.meshes import read_mesh
from twodasl.morphable import arkit_weights, load_model
from twodasl.video import writer

from ..clips import BACKGROUND, HEIGHT, WIDTH, face_patch, frame_with, write_clip
from ..glb_files import Glb

EMPTY = np.full((HEIGHT, WIDTH, 3), BACKGROUND, np.uint8)
COUNT = 5
AXES = ("pitch", "yaw", "roll")


def _frames(photo_path, count=COUNT):
    patch = face_patch(photo_path)
    return [frame_with((patch, 60 + 5 * step, 50)) for step in range(count)]


@pytest.fixture(scope="module")
def clip(photo_path, tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", _frames(photo_path))


def _names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def _failed(capsys, folder, *words, command="video"):
    """The one line of a run that must fail and leave nothing."""
    before = _names(folder)
    assert main([command, *map(str, words), "-o", str(folder)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("twodasl: error: ")
    assert err.count("\n") == 1
    assert _names(folder) == before
    return err


def test_what_is_written(clip, tmp_path, capsys):
    assert main(["video", str(clip), "-o", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out == (
        f"{clip}: 1 face, the longest seen in {COUNT} of {COUNT} frames ->"
        f" {tmp_path / 'clip'}.mp4 .jsonl .json clip-1.ply .glb\n"
    )
    assert _names(tmp_path) == ["clip-1.glb", "clip-1.ply", "clip.json", "clip.jsonl", "clip.mp4"]
    lines = [json.loads(line) for line in (tmp_path / "clip.jsonl").read_text().splitlines()]
    assert [line["frame"] for line in lines] == list(range(COUNT))
    assert [line["track"] for line in lines] == [1] * COUNT
    np.testing.assert_allclose([line["seconds"] for line in lines], np.arange(COUNT) / 25, atol=1e-3)
    assert np.shape(lines[0]["landmarks_2d"]) == (68, 2)
    assert len(lines[0]["crop_parameters"]) == 12 + 55
    assert {"pitch_degrees", "yaw_degrees", "roll_degrees"} <= lines[0]["pose"].keys()
    moved = np.mean(lines[-1]["landmarks_2d"], axis=0) - np.mean(lines[0]["landmarks_2d"], axis=0)
    np.testing.assert_allclose(moved, [5 * (COUNT - 1), 0], atol=2)
    about = json.loads((tmp_path / "clip.json").read_text())
    assert about["format"] == "twodasl-video"
    assert about["source"] == {
        "video": "clip.mp4",
        "width": 320,
        "height": 240,
        "frames": COUNT,
        "rate": 25.0,
    }
    (track,) = about["tracks"]
    assert (track["track"], track["first_frame"], track["last_frame"], track["frames"]) == (1, 0, 4, 5)
    assert about["face_model"]["name"] == "procedural"
    model = load_model("procedural")
    mesh = read_mesh(tmp_path / "clip-1.ply")
    neutral = model.mean + np.einsum("k,knc->nc", np.float32(track["shape"]), model.shape_modes)
    np.testing.assert_allclose(mesh.vertices, neutral, atol=1e-3)
    glb = Glb((tmp_path / "clip-1.glb").read_bytes())
    np.testing.assert_allclose(glb.attribute("POSITION"), neutral / 1000, atol=1e-6)
    channels = glb.channels()
    times, moved, _ = channels["translation"]
    np.testing.assert_allclose(times, [line["seconds"] for line in lines], atol=1e-6)
    places = [line["pose"]["translation_pixels"] for line in lines]
    scale = np.median([line["pose"]["scale_pixels_per_mm"] for line in lines])
    np.testing.assert_allclose(
        np.diff(moved[:, :2], axis=0), np.diff(places, axis=0) * [1, -1] / scale / 1000, atol=1e-6
    )
    expressions = [line["coefficients"]["expression"] for line in lines]
    weights = arkit_weights(model, np.float32(expressions))
    np.testing.assert_allclose(channels["weights"][1].reshape(COUNT, -1), weights, atol=1e-5)
    angles = np.radians([[line["pose"][f"{axis}_degrees"] for axis in AXES] for line in lines])
    for quaternion, (pitch, yaw, roll) in zip(channels["rotation"][1], angles, strict=True):
        turned = Rotation.from_euler("XYZ", [-pitch, -yaw, -roll]).as_matrix()
        np.testing.assert_allclose(Rotation.from_quat(quaternion).as_matrix(), turned, atol=1e-5)


def test_the_overlay_is_a_video_of_the_same_frames(clip, tmp_path):
    assert main(["video", str(clip), "-o", str(tmp_path), "-q"]) == 0
    films = []
    for path in (clip, tmp_path / "clip.mp4"):
        capture = cv2.VideoCapture(str(path))
        assert capture.get(cv2.CAP_PROP_FPS) == 25
        films.append([])
        while (read := capture.read())[0]:
            films[-1].append(read[1].astype(np.float64))
        capture.release()
    given, drawn = (np.stack(frames) for frames in films)
    assert given.shape == drawn.shape
    change = np.abs(given - drawn).mean(axis=(0, 3))
    assert change[90:150, 100:170].mean() > 10  # the face
    assert change[:, 280:].mean() < 4  # the background, but for the codec


def test_reconstruct_hands_a_video_over(clip, tmp_path):
    assert main(["video", str(clip), "-o", str(tmp_path / "a"), "-q"]) == 0
    assert main(["reconstruct", str(clip), "-o", str(tmp_path / "b"), "-q"]) == 0
    for name in _names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_images_without_overlay_and_odd_sizes(photo_path, tmp_path):
    for number, frame in enumerate(_frames(photo_path, 3)):
        cv2.imwrite(str(tmp_path / f"frame{number:03}.png"), frame[:-1, :-1])
    out = tmp_path / "out"
    pattern = str(tmp_path / "frame%03d.png")
    assert main(["reconstruct", pattern, "-o", str(out), "-q"]) == 0
    assert _names(out) == ["frame-1.glb", "frame-1.ply", "frame.json", "frame.jsonl", "frame.mp4"]
    words = ["--no-overlay", "--rate", "10", "-q", "--faces", "all"]
    assert main(["video", str(tmp_path), "-o", str(tmp_path / "more"), *words]) == 0
    names = _names(tmp_path / "more")
    assert not any(name.endswith(".mp4") for name in names)
    lines = (tmp_path / "more" / f"{tmp_path.name}.jsonl").read_text().splitlines()
    assert [json.loads(line)["seconds"] for line in lines] == [0, 0.1, 0.2]


def test_no_face_at_all(tmp_path, capsys):
    clip = write_clip(tmp_path / "wall.mp4", [EMPTY] * 3)
    err = _failed(capsys, tmp_path / "out", clip)
    assert err == "twodasl: error: wall.mp4: no face was found in its 3 frames\n"


def test_files_that_are_no_videos(tmp_path, capsys):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a video")
    for name, words in {
        "empty.mp4": "is empty; expected a video",
        "text.mp4": "is not a video that OpenCV can read, or is damaged",
        "none.mp4": "cannot be read (No such file or directory)",
        "f%03d.png": "there are no such files",
    }.items():
        for command in ("video", "reconstruct"):
            assert words in _failed(capsys, tmp_path / "out", tmp_path / name, command=command)


def test_a_frame_that_fails_leaves_nothing(photo_path, tmp_path, capsys):
    frames = _frames(photo_path, 3)
    for number, frame in enumerate([*frames, frames[0][:100]]):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), frame)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "f.jsonl").write_text("of an earlier run")
    err = _failed(capsys, tmp_path / "out", tmp_path / "f%d.png")
    assert "expected frames of one size" in err
    assert (tmp_path / "out" / "f.jsonl").read_text() == "of an earlier run"


def test_an_overlay_that_cannot_be_written(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(writer, "_CODEC", "????")
    assert "cannot write MP4 video; use --no-overlay" in _failed(capsys, tmp_path / "out", clip)


def test_an_overlay_that_is_cut_off(clip, tmp_path, capsys, monkeypatch):
    class Lossy:
        def __init__(self, *args):
            self.encoder = encoder(*args)

        def isOpened(self):
            return True

        def write(self, frame):
            pass

        def release(self):
            self.encoder.release()

    encoder = cv2.VideoWriter
    Lossy.fourcc = encoder.fourcc
    monkeypatch.setattr(writer.cv2, "VideoWriter", Lossy)
    assert f"of {COUNT} frames); make room" in _failed(capsys, tmp_path / "out", clip)


def test_the_video_is_not_overwritten(clip, capsys):
    err = _failed(capsys, clip.parent, clip)
    assert "is an input and would be overwritten" in err


def test_options_that_do_not_fit(clip, photo_path, tmp_path, capsys):
    out = tmp_path / "out"
    assert "expected a video or --camera N" in _failed(capsys, out)
    assert "expected a video or --camera N" in _failed(capsys, out, clip, "--camera", 0)
    for words in (
        ["--refinements", 1],
        ["--box", 1, 2, 3, 4],
        ["--landmarks", "a.pts"],
        ["--no-fit"],
        ["--format", "glb"],
    ):
        err = _failed(capsys, out, clip, *words, command="reconstruct")
        assert f"{words[0]}: is for photos" in err
    err = _failed(capsys, out, photo_path, clip, command="reconstruct")
    assert "expected one video alone, or photos, got 2 files" in err
    assert main(["video", str(clip), "-o", str(photo_path)]) == 2
    assert "is a file; --output names a folder" in capsys.readouterr().err


def test_a_camera_needs_a_display(tmp_path, capsys, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert "there is no display here" in _failed(capsys, tmp_path / "out", "--camera", 0)


@pytest.mark.parametrize(
    "words", [["--rate", "0"], ["--rate", "fast"], ["--camera", "-1"], ["--look-every", "0"]]
)
def test_numbers_that_do_not_fit(clip, tmp_path, words):
    assert main(["video", str(clip), "-o", str(tmp_path), *words]) == 2
