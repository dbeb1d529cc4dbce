"""`twodasl data check`: what it prints and draws, and its errors."""

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.datasets.photos.sources import open_photos
from twodasl.pictures.photo_sheet import HIDDEN, VISIBLE, photo_tile, spread_indices, yaw_histogram

from ..photo_sets import write_aflw, write_basis, write_folder, write_w300lp


def check(kind, root, *more):
    cache = root.parent / "cache"
    command = ["data", "check", kind, str(root), "--cache", str(cache), "-o", str(root.parent / "sheet.png")]
    return main([*command, *more])


def test_it_counts_names_and_draws(tmp_path, photo68, capsys):
    root = tmp_path / "data"
    write_aflw(root, photo68, 12)
    (root / "images" / "image00003.jpg").write_bytes(b"nothing")
    assert check("aflw", root, "-n", "9") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "11 photos kept, 1 left out:"
    assert lines[1].strip().startswith("1  is not an image")
    assert lines[1].endswith("(images/image00003.jpg)")
    # Two of 21 points of each photo are hidden; for one photo both are the same ear.
    assert lines[2] == "landmarks: 21 points, 90.5 % visible; per photo 19 to 19, median 19"
    yaw = np.abs(np.delete(np.linspace(-80, 70, 12), 3))
    counts = [(yaw <= 30).sum(), ((yaw > 30) & (yaw <= 60)).sum(), (yaw > 60).sum()]
    assert lines[3] == "|yaw| in degrees: {} to 30, {} to 60, {} above".format(*counts)
    assert lines[4] == "parameters: none (the data set has landmarks only)"
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert lines[5] == f"wrote {tmp_path / 'sheet.png'}"
    # Header, two rows of pictures with captions, histogram.
    assert sheet.shape[0] > 2 * 262 + 260
    assert (np.abs(sheet.astype(int) - VISIBLE).max(axis=2) < 12).sum() > 9 * 19 * 10


def test_it_uses_the_kept_list_until_told_otherwise(tmp_path, photo68, capsys):
    root = tmp_path / "data"
    write_folder(root, photo68)
    assert check("photos", root) == 0
    (root / "a.pts").write_text("broken")  # in place: the folder's time stays
    assert check("photos", root) == 0
    assert "4 photos kept, 0 left out\n" in capsys.readouterr().out
    assert check("photos", root, "--rebuild") == 0
    assert "3 photos kept, 1 left out:" in capsys.readouterr().out


def test_everything_left_out_is_named(tmp_path, photo68, capsys):
    root, table = tmp_path / "data", tmp_path / "out" / "left-out.tsv"
    write_aflw(root, photo68, 30)
    for index in range(3, 15):
        (root / "images" / f"image{index:05d}.jpg").write_bytes(b"nothing" if index < 12 else b"")
    assert check("aflw", root, "--left-out", str(table)) == 0
    printed = capsys.readouterr().out
    assert "18 photos kept, 12 left out:\n  9  is not an image" in printed
    assert "image00007.jpg, ...)\n  3  is empty (0 bytes)" in printed
    rows = [line.split("\t") for line in table.read_text().splitlines()]
    assert [row[0] for row in rows] == [f"images/image{index:05d}.jpg" for index in range(3, 15)]
    assert rows[0][1].startswith("is not an image")
    assert rows[-1][1] == "is empty (0 bytes)"


def test_a_data_set_that_is_mostly_broken_is_described_and_refused(tmp_path, photo68, capsys):
    root, table = tmp_path / "data", tmp_path / "left-out.tsv"
    write_aflw(root, photo68, 9)
    for index in range(5):
        (root / "images" / f"image{index:05d}.jpg").write_bytes(b"nothing" if index else b"")
    assert check("aflw", root, "--left-out", str(table)) == 2
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0] == "4 photos kept, 5 left out:"
    assert len(table.read_text().splitlines()) == 5
    assert "data: 5 of 9 photos cannot be used, most often (4) because: is not an image" in shown.err
    assert shown.err.count("\n") == 1
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("option", ["-o", "--left-out"])
def test_nothing_is_written_into_the_data_set(tmp_path, photo68, capsys, option):
    write_folder(tmp_path / "data", photo68)
    assert check("photos", tmp_path / "data", option, str(tmp_path / "data" / "deep" / "new.png")) == 2
    assert "new.png: lies inside the data set; choose another folder" in capsys.readouterr().err


def test_links_that_lead_in_circles_are_named(tmp_path, capsys):
    (tmp_path / "loop").symlink_to("loop")
    assert check("photos", tmp_path / "loop") == 2
    assert "loop: no such folder" in capsys.readouterr().err


def test_300w_lp_with_its_model(tmp_path, ball_model, ball_path, capsys):
    write_w300lp(tmp_path / "lp", ball_model)
    write_basis(tmp_path / "basis", ball_model)
    assert check("300w-lp", tmp_path / "lp", "--model", str(ball_path)) == 0
    assert "parameters: none (3DDFA's basis" in capsys.readouterr().out
    assert (
        check("300w-lp", tmp_path / "lp", "--model", str(ball_path), "--basis", str(tmp_path / "basis")) == 0
    )
    assert "parameters: of the face model, for every photo" in capsys.readouterr().out


def test_tiles_tell_visible_from_hidden():
    image = np.full((120, 120, 3), 128, np.uint8)
    points = np.stack([10 + 5 * np.arange(21), np.full(21, 60)], axis=1).astype(np.float32)
    visible = np.arange(21) % 2 == 0
    points[3] = np.nan
    tile = photo_tile({"image": image, "landmarks": points, "visible": visible}, 480)
    for index in np.flatnonzero(np.isfinite(points[:, 0])):
        x, row = np.rint((points[index] + 0.5) * 4 - 0.5).astype(int)
        near = tile[row - 6 : row + 7, x - 6 : x + 7].astype(int)
        counts = [(np.abs(near - color).max(axis=2) < 40).sum() for color in (VISIBLE, HIDDEN)]
        assert (counts[0] > counts[1]) == visible[index]
        assert max(counts) > 8


def test_pictures_are_spread_over_yaw(tmp_path, photo68):
    write_aflw(tmp_path, photo68, 12)
    photos = open_photos("aflw", tmp_path, cache=tmp_path / "cache")
    chosen = spread_indices(photos, 5)
    assert len(set(chosen)) == 5
    yaw = photos.yaw_degrees[chosen]
    assert (np.diff(yaw) > 20).all()
    assert spread_indices(photos, 50) == list(range(12))


def test_bars_of_the_histogram_are_as_high_as_the_counts():
    # The second lies on the border of two bars and, as float32 radians, a little below it.
    yaw = np.repeat([-85.0, np.degrees(np.float32(np.radians(20))).astype(float), 25, 45], [10, 30, 10, 20])
    picture = yaw_histogram(yaw, 900)
    blue = (np.abs(picture.astype(int) - [178, 114, 0]).max(axis=2) < 10).sum(axis=0)
    starts = np.flatnonzero(np.diff((blue > 0).astype(int)) == 1) + 2
    heights = blue[starts]
    assert len(heights) == 3
    np.testing.assert_allclose(heights / heights[1], [0.25, 1, 0.5], atol=0.03)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "/no/such"], "'nothing': unknown kind of data set; known are 300w-lp, aflw,"),
        (["aflw", "/no/such"], "/no/such: no such folder; expected AFLW"),
        (["aflw", ".", "-o", "sheet.pdf"], "sheet.pdf: an image is written as .png or .jpg"),
        (["aflw", ".", "-n", "0"], "-n/--count: expected a whole number from 1, got '0'"),
        (["aflw", ".", "-n", "1001"], "--count: expected 1 to 1,000 pictures, got 1001"),
        (["aflw", ".", "-n", "1" + "0" * 30], "-n/--count: expected a whole number"),
        (["photos", "."], "photos.png: lies inside the data set; choose another folder"),
        (["photos", ".", "-o", "../sheet.png"], ".: expected photos with landmarks, found none"),
    ],
)
def test_errors_are_one_line(tmp_path, capsys, monkeypatch, arguments, message):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert main(["data", "check", *arguments, "--cache", str(tmp_path / "cache")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("twodasl: error: ")
    assert error.count("\n") == 1
