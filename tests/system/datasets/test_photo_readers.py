"""Readers of training photos: exact values from small data sets in every layout, and what is rejected."""

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat
from twodasl.datasets.photos.sources import KINDS, open_photos, open_source
from twodasl.errors import InputError
from twodasl.geometry.crops import Crop, crop_from_landmarks
from twodasl.landmarks.sparse_crop import crop_from_sparse_landmarks

from ..photo_sets import (
    aflw21,
    eighteen,
    face_points,
    write_aflw,
    write_folder,
    write_lfpa,
    write_picture,
    write_pts,
    write_umdfaces,
)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / ".cache"  # hidden: some data sets are all of tmp_path


def open_set(kind, root, cache, **more):
    return open_photos(kind, root, cache=cache, progress=False, **more)


def check_dots(photos):
    """Every visible landmark lies on a white dot of the crop."""
    for sample in photos:
        image = sample["image"].numpy()
        assert image.shape == (120, 120, 3)
        assert image.dtype == np.uint8
        for x, row in sample["landmarks"][sample["visible"]][:, :2].round().int().tolist():
            assert image[max(row - 1, 0) : row + 2, max(x - 1, 0) : x + 2].max() > 170


def test_aflw(tmp_path, photo68, cache):
    points, visible = write_aflw(tmp_path, photo68)
    photos = open_set("aflw", tmp_path, cache)
    assert len(photos) == 6
    for index, sample in enumerate(photos):
        np.testing.assert_array_equal(sample["visible"], visible[index])
        expected = np.where(visible[index][:, None], points[index], np.nan)
        np.testing.assert_allclose(sample["landmarks"], expected, atol=1e-4)
        stored = cv2.imread(str(tmp_path / photos.name(index)))
        # A crop that is already one keeps its pixels; decoders may differ by a rounding.
        assert np.abs(sample["image"].numpy().astype(int) - stored).max() <= 2
    np.testing.assert_allclose(photos.yaw_degrees, np.linspace(-80, 70, 6), rtol=1e-5)
    assert photos[0]["yaw"] == pytest.approx(np.radians(-80))
    assert photos.without_parameters == "the data set has landmarks only"
    assert "parameters" not in photos[0]
    with pytest.raises(InputError, match="landmarks only"):
        photos.parameters(0)
    check_dots(photos)
    with pytest.raises(IndexError, match="6 photos"):
        photos[6]


def test_aflw_under_3ddfas_names(tmp_path, photo68, cache):
    write_aflw(tmp_path, photo68)
    plain = open_set("aflw", tmp_path, cache)
    expected = [plain[i] for i in range(6)]
    (tmp_path / "test.configs").mkdir()
    for old, new in (
        ("names.txt", "test.configs/AFLW_GT_crop.list"),
        ("pts21.npy", "test.configs/AFLW_GT_pts21.npy"),
        ("roi_box.npy", "test.configs/AFLW_GT_crop_roi_box.npy"),
        ("yaw_degrees.npy", "test.configs/AFLW_GT_crop_yaws.npy"),
        ("images", "AFLW_GT_crop"),
    ):
        (tmp_path / old).rename(tmp_path / new)
    photos = open_set("aflw", tmp_path, cache)
    for sample, same in zip(photos, expected, strict=True):
        torch.testing.assert_close(sample["landmarks"], same["landmarks"], equal_nan=True)
        assert torch.equal(sample["image"], same["image"])


def test_a_folder_of_photos(tmp_path, photo68, cache):
    points = write_folder(tmp_path, photo68)
    photos = open_set("photos", tmp_path, cache)
    assert [photos.name(i) for i in range(4)] == ["a.jpg", "b.jpg", "d.jpg", "deep/c.jpg"]
    for index, sample in enumerate(photos):
        marks = points[photos.name(index)]
        crop = crop_from_landmarks(marks)
        np.testing.assert_allclose(sample["landmarks"], crop.to_crop(marks), atol=2e-3)
        assert sample["visible"].all()
        assert "yaw" not in sample
    check_dots(photos)


def test_schemes_of_a_folder_that_mixes_them_become_the_eighteen(tmp_path, photo68, cache):
    marks = face_points(photo68)
    few = aflw21(marks)
    few[5] = np.nan
    for name, points in (("all", marks), ("few", few), ("least", eighteen(marks))):
        write_picture(tmp_path / f"{name}.png", marks)
        np.savetxt(tmp_path / f"{name}.csv", points, delimiter=",")
    photos = open_set("photos", tmp_path, cache)
    shapes = {tuple(sample["landmarks"].shape) for sample in photos}
    assert shapes == {(18, 2)}
    for index in range(3):
        crop = Crop(*photos.listing.boxes[index].tolist())
        seen = photos[index]["visible"].numpy()
        assert seen.sum() == (17 if photos.name(index) == "few.png" else 18)
        back = crop.to_image(photos[index]["landmarks"].numpy())
        np.testing.assert_allclose(back[seen], eighteen(marks)[seen], atol=1e-3)


def test_sparse_crops_are_near_those_of_68_points(photo68):
    marks = face_points(photo68)
    whole = crop_from_landmarks(marks)
    for points in (eighteen(marks), aflw21(marks)):
        crop = crop_from_sparse_landmarks(points)
        side = whole.x1 - whole.x0
        assert (crop.x1 - crop.x0) / side == pytest.approx(1, abs=0.15)
        np.testing.assert_allclose(crop.box, whole.box, atol=0.12 * side)
    part = aflw21(marks)
    part[17:20] = np.nan
    with pytest.raises(InputError, match="and of the mouth, got none of one"):
        crop_from_sparse_landmarks(part)


def test_a_missing_point_of_68_is_a_gap_and_no_reason_to_leave_the_photo_out(tmp_path, photo68, cache):
    marks = face_points(photo68)
    write_picture(tmp_path / "a.png", marks)
    marks[[3, 40, 57]] = np.nan
    np.savetxt(tmp_path / "a.csv", marks, delimiter=",")
    (sample,) = open_set("photos", tmp_path, cache)
    assert sample["landmarks"].shape == (68, 2)
    assert np.flatnonzero(~sample["visible"].numpy()).tolist() == [3, 40, 57]
    assert torch.isnan(sample["landmarks"][[3, 40, 57]]).all()
    check_dots([sample])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda points: points / 240, "a face that is too small to see"),
        (lambda points: np.where(np.arange(68)[:, None] == 9, 1e9, points), "far larger than the picture"),
        (lambda points: points * 1000, "far larger than the picture"),
    ],
)
def test_landmarks_in_other_units_are_found_out(tmp_path, photo68, cache, change, reason):
    marks = face_points(photo68)
    for name in "abc":
        write_picture(tmp_path / f"{name}.png", marks)
        np.save(tmp_path / f"{name}.npy", change(marks) if name == "a" else marks)
    photos = open_set("photos", tmp_path, cache)
    assert [photos.name(i) for i in range(2)] == ["b.png", "c.png"]
    (group,) = photos.report.skipped
    assert reason in group.reason


def test_umdfaces(tmp_path, photo68, cache):
    points = write_umdfaces(tmp_path, photo68)
    photos = open_set("umdfaces", tmp_path, cache)
    assert [photos.name(i) for i in range(4)] == [f"batch/someone/{i}.jpg" for i in range(4)]
    for index, sample in enumerate(photos):
        crop = Crop(*photos.listing.boxes[index].tolist())
        np.testing.assert_allclose(crop.box, crop_from_sparse_landmarks(points[index]).box, atol=1e-2)
        np.testing.assert_allclose(crop.to_image(sample["landmarks"].numpy()), points[index], atol=1e-2)
        assert not sample["visible"][5]
        assert sample["visible"].sum() >= 18
        assert sample["yaw"] == pytest.approx(np.radians(10 * index))
    check_dots(photos)


def test_aflw_lfpa(tmp_path, photo68, cache):
    points = write_lfpa(tmp_path, photo68)
    photos = open_set("aflw-lfpa", tmp_path, cache)
    assert len(photos) == 4
    for index, sample in enumerate(photos):
        crop = Crop(*photos.listing.boxes[index].tolist())
        known = np.arange(21) != 2
        np.testing.assert_allclose(
            crop.to_image(sample["landmarks"].numpy())[known], points[index][known], atol=1e-3
        )
        assert not sample["visible"][2]
        assert torch.isnan(sample["landmarks"][2]).all()
    check_dots(photos)


def test_broken_photos_are_left_out_counted_and_named(tmp_path, photo68, cache):
    marks = face_points(photo68)
    for index in range(12):
        write_picture(tmp_path / f"{index:02d}.jpg", marks)
        write_pts(tmp_path / f"{index:02d}.pts", marks)
    whole = (tmp_path / "00.jpg").read_bytes()
    (tmp_path / "00.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "01.jpg").write_bytes(b"")
    (tmp_path / "02.pts").write_text("version: 1\nn_points: 68\n{\n1 2\n")
    (tmp_path / "03.pts").unlink()
    write_pts(tmp_path / "04.pts", marks + 400)
    write_pts(tmp_path / "05.pts", np.full((68, 2), 7.0))
    photos = open_set("photos", tmp_path, cache)
    assert len(photos) == photos.report.kept == 6
    assert photos.report.lost == 6
    reasons = {group.names[0]: group.reason for group in photos.report.skipped}
    assert "damaged or cut off" in reasons["00.jpg"]
    assert "empty" in reasons["01.jpg"]
    assert "cut off?" in reasons["02.jpg"]
    assert "no landmark file" in reasons["03.jpg"]
    assert "outside the picture" in reasons["04.jpg"]
    assert "coincide" in reasons["05.jpg"]
    assert "6 photos kept, 6 left out:" in photos.report.lines()[0]

    (tmp_path / "06.pts").unlink()
    with pytest.raises(InputError, match=r"7 of 12 photos cannot be used, most often \(2\) because: has no"):
        open_set("photos", tmp_path, cache, rebuild=True)


def test_broken_rows_of_a_table(tmp_path, photo68, cache):
    write_umdfaces(tmp_path, photo68, 8)
    file = tmp_path / "batch" / "faces.csv"
    lines = file.read_text().splitlines()
    lines[1] = lines[1][:60]
    lines[2] = lines[2].replace("0.98", "high", 1)
    lines[3] = lines[3].replace("someone/2.jpg", "../../2.jpg")
    lines[4] = lines[4].replace("someone/3.jpg", "someone/none.jpg")
    file.write_text("\n".join(lines))
    photos = open_set("umdfaces", tmp_path, cache)
    assert [photos.name(i) for i in range(4)] == [f"batch/someone/{i}.jpg" for i in (4, 5, 6, 7)]
    reasons = {group.reason for group in photos.report.skipped}
    assert reasons == {
        "its line in the table is cut off",
        "its line in the table has words in place of numbers",
        "its name leads out of the folder",
        "cannot be read (No such file or directory); expected a JPEG, PNG, WebP, TIFF or BMP photo",
    }


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_folder_of_another_kind_is_refused(tmp_path, cache, kind):
    (tmp_path / "some").mkdir()
    with pytest.raises(InputError, match=f"^{tmp_path / 'some'}: (expected|holds)"):
        open_set(kind, tmp_path / "some", cache)
    with pytest.raises(InputError, match="no such folder; expected "):
        open_set(kind, tmp_path / "none", cache)
    assert not list(cache.glob("*")) if cache.exists() else True


def test_mislabeled_files_are_refused(tmp_path, photo68, cache):
    write_aflw(tmp_path, photo68)
    np.save(tmp_path / "pts21.npy", np.zeros((6, 2, 68)))
    with pytest.raises(InputError, match=r"pts21.npy: expected shape \(6, 2, 21\)"):
        open_set("aflw", tmp_path, cache)
    write_lfpa(tmp_path, photo68)
    savemat(tmp_path / "Landmark.mat", {"phisTr": np.zeros((4, 42))})
    with pytest.raises(InputError, match=r"expected phisTr \(n, 102\)"):
        open_set("aflw-lfpa", tmp_path, cache)
    (tmp_path / "Landmark.mat").write_bytes(b"MATLAB 5.0 cut")
    with pytest.raises(InputError, match="expected a MATLAB file"):
        open_set("aflw-lfpa", tmp_path, cache)
    write_umdfaces(tmp_path / "umd", photo68)
    file = tmp_path / "umd" / "batch" / "faces.csv"
    file.write_text(file.read_text().replace("VIS21", "OTHER"))
    with pytest.raises(InputError, match="found no column VIS21"):
        open_set("umdfaces", tmp_path / "umd", cache)


@pytest.mark.parametrize("source", ["aflw", "aflw:", "nothing:/x", "/data/aflw", ""])
def test_a_source_is_kind_and_folder(source):
    with pytest.raises(InputError, match="expected KIND:FOLDER"):
        open_source(source)
