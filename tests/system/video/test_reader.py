"""Frames of files, folders, patterns and cameras, whole and broken."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.video.names import looks_like_video
from twodasl.video.reader import open_video

from ..clips import write_clip


def _frames(count=6, size=(48, 64)):
    return [np.full((*size, 3), 20 * (number % 12) + 10, np.uint8) for number in range(count)]


def _levels(video):
    return [round(float(frame.mean() - 10) / 20) for _, frame in video.frames()]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "FFV1")])
def test_containers(tmp_path, name, codec):
    video = open_video(write_clip(tmp_path / name, _frames(), 20.0, codec))
    assert (video.name, video.rate, video.count) == ("a", 20.0, 6)
    assert _levels(video) == list(range(6))
    np.testing.assert_allclose([seconds for seconds, _ in video.frames()], np.arange(6) / 20, atol=1e-3)


def _images(folder, numbers, pattern="f{}.png"):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / pattern.format(number)), _frames(12)[number])
    return folder


def test_a_folder_is_in_the_order_of_numbers(tmp_path):
    folder = _images(tmp_path / "clip", [10, 2, 1])
    (folder / "notes.txt").write_text("not a frame")
    video = open_video(folder, 10.0)
    assert (video.name, video.rate, video.count) == ("clip", 10.0, 3)
    assert _levels(video) == [1, 2, 10]
    assert [seconds for seconds, _ in video.frames()] == [0, 0.1, 0.2]


def test_a_pattern_takes_its_files_alone(tmp_path):
    folder = _images(tmp_path / "clip", [3, 4, 11], "frame_{:04}.png")
    _images(folder, [1], "other_{:04}.png")
    video = open_video(folder / "frame_%04d.png")
    assert (video.name, video.rate) == ("frame", 25.0)
    assert _levels(video) == [3, 4, 11]


@pytest.mark.parametrize(
    ("name", "is_video"),
    [
        ("a.mp4", True),
        ("A.MOV", True),
        ("f%d.png", True),
        ("f%03d.jpg", True),
        ("a.jpg", False),
        ("a", False),
    ],
)
def test_names(name, is_video):
    assert looks_like_video(Path(name)) is is_video


def test_what_is_no_video(tmp_path, capfd):
    whole = write_clip(tmp_path / "whole.mp4", _frames(30)).read_bytes()
    cases = {
        "empty.mp4": (b"", "is empty; expected a video"),
        "text.mp4": (b"hello " * 100, "is not a video that OpenCV can read, or is damaged"),
        "cut.mp4": (whole[:200], "is not a video that OpenCV can read, or is damaged"),
        "none.mp4": (None, "cannot be read (No such file or directory); expected a video"),
    }
    for name, (data, words) in cases.items():
        if data is not None:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError) as caught:
            open_video(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert words in str(caught.value)
    assert capfd.readouterr().err == ""  # what FFmpeg and OpenCV think of them


def test_a_video_without_frames(tmp_path):
    path = tmp_path / "nothing.avi"
    encoder = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    encoder.release()
    with pytest.raises(InputError, match=r"nothing\.avi: "):
        list(open_video(path).frames())


def test_a_damaged_middle_ends_or_skips_but_never_crashes(tmp_path):
    data = bytearray(write_clip(tmp_path / "a.avi", _frames(20), 25, "MJPG").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = b"\xff" * 400
    (tmp_path / "b.avi").write_bytes(data)
    assert 1 <= len(list(open_video(tmp_path / "b.avi").frames())) <= 20


def test_images_that_do_not_belong_together(tmp_path):
    folder = _images(tmp_path / "clip", [1, 2])
    cv2.imwrite(str(folder / "f3.png"), np.zeros((50, 70, 3), np.uint8))
    with pytest.raises(
        InputError, match="expected frames of one size, got 70x50 pixels for frame 2 after 64x48"
    ):
        list(open_video(folder).frames())


def test_no_images(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        open_video(tmp_path)
    with pytest.raises(InputError, match="there are no such files"):
        open_video(tmp_path / "f%03d.png")
    with pytest.raises(InputError, match="there are no such files"):
        open_video(tmp_path / "nowhere" / "f%03d.png")


def test_frames_too_small(tmp_path):
    video = open_video(write_clip(tmp_path / "small.avi", _frames(2, (16, 16)), 25, "MJPG"))
    with pytest.raises(InputError, match=r"small\.avi: frame 0: "):
        list(video.frames())


def test_a_camera_that_is_not_there(capfd):
    with pytest.raises(InputError, match="--camera: camera 97 cannot be opened"):
        open_video(97)
    assert capfd.readouterr().err == ""
