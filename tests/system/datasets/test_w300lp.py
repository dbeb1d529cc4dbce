"""300W-LP: parameters of the face model from 3DDFA's numbers, checked against the annotated landmarks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import savemat
from twodasl.datasets.basel import read_raw_basis
from twodasl.datasets.mat_files import read_variables
from twodasl.datasets.photos import w300lp
from twodasl.datasets.photos.sources import open_photos
from twodasl.errors import InputError
from twodasl.geometry.crops import Crop, crop_from_landmarks, flip_y
from twodasl.geometry.projection import crop_landmarks
from twodasl.morphable import load_model

from ..photo_sets import (
    HEIGHT,
    SCALES,
    raw_face,
    raw_landmarks,
    write_basis,
    write_picture,
    write_tddfa_list,
    write_w300lp,
)

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data")


@pytest.fixture
def sets(tmp_path, ball_model):
    write_w300lp(tmp_path / "lp", ball_model)
    write_basis(tmp_path / "basis", ball_model)
    return tmp_path


def open_lp(folder, **more):
    return open_photos("300w-lp", folder / "lp", cache=folder / "cache", progress=False, **more)


def test_landmarks_alone_without_a_model(sets, ball_model):
    photos = open_lp(sets)
    assert [photos.name(i) for i in range(5)] == [
        "AFW_Flip/face_0.jpg", "AFW_Flip/face_2.jpg", "AFW_Flip/face_4.jpg",
        "HELEN/face_1.jpg", "HELEN/face_3.jpg",
    ]  # fmt: skip
    for place, index in enumerate((0, 2, 4, 1, 3)):
        marks = raw_landmarks(ball_model, index)[:, :2]
        sample = photos[place]
        np.testing.assert_allclose(sample["landmarks"], crop_from_landmarks(marks).to_crop(marks), atol=1e-3)
        assert sample["yaw"] == pytest.approx(-0.3 + 0.2 * index)
        assert "parameters" not in sample
    assert photos.without_parameters == "no face model was named"
    assert "basis, which" in open_lp(sets, model=ball_model).without_parameters


def test_parameters_project_to_the_annotated_landmarks(sets, ball_model):
    photos = open_lp(sets, model=ball_model, basis=sets / "basis")
    assert photos.without_parameters == ""
    assert len(photos) == 5
    for place, index in enumerate((0, 2, 4, 1, 3)):
        sample = photos[place]
        assert sample["parameters"].dtype == torch.float32
        assert torch.equal(photos.parameters(place), sample["parameters"])
        points = crop_landmarks(ball_model.basis(), sample["parameters"][None])[0]
        torch.testing.assert_close(points, sample["landmarks"], atol=2e-3, rtol=1e-4)
        crop = Crop(*photos.listing.boxes[place].tolist())
        back = crop.to_image(points.double().numpy())
        # In the image: the landmarks worked out from Pose_Para, Shape_Para and Exp_Para; z up to its origin.
        np.testing.assert_allclose(back, raw_landmarks(ball_model, index), atol=2e-3)
        _, shape, expression = raw_face(index)
        own = np.array([shape[0], shape[1], expression[0]]) / SCALES
        np.testing.assert_allclose(sample["parameters"][12:], own, atol=1e-4)


def test_a_model_of_another_basis_gets_no_parameters(sets, ball_model):
    moved = replace(ball_model, mean=ball_model.mean * np.float32(1.01))
    photos = open_lp(sets, model=moved, basis=sets / "basis")
    assert "its mean differs by" in photos.without_parameters
    assert photos[0]["landmarks"].shape == (68, 2)
    modes = ball_model.shape_modes.copy()
    modes[1] *= np.float32([1, 1.02, 1.05])
    modes[1, :, 0] += 0.3
    photos = open_lp(sets, model=replace(ball_model, shape_modes=modes), basis=sets / "basis")
    assert "its shape mode 2 differs by" in photos.without_parameters
    # The same basis of another length and with modes that the 40 + 10 do not have is one and the same.
    longer = replace(
        ball_model,
        expression_modes=np.concatenate([3 * ball_model.expression_modes]),
        coefficient_std=np.ones(3, np.float32),
    )
    photos = open_lp(sets, model=longer, basis=sets / "basis")
    points = crop_landmarks(longer.basis(), photos[1]["parameters"][None])[0]
    torch.testing.assert_close(points, photos[1]["landmarks"], atol=2e-3, rtol=1e-4)
    with pytest.raises(InputError, match=r"expected 3DDFA's basis.* found no u_shp.npy"):
        open_lp(sets, model=ball_model, basis=sets / "cache")


def test_faces_whose_parameters_belong_to_others_are_left_out(sets, ball_model):
    file = sets / "lp" / "HELEN" / "face_1.mat"
    pose, shape, expression = raw_face(1)
    pose[1] += 1.2
    points = raw_landmarks(ball_model, 1)[:, :2]
    savemat(file, {"pt2d": points.T, "Pose_Para": pose[None], "Shape_Para": shape[:, None],
                   "Exp_Para": expression[:, None]})  # fmt: skip
    assert len(open_lp(sets)) == 5
    photos = open_lp(sets, model=ball_model, basis=sets / "basis")
    assert len(photos) == 4
    assert photos.report.skipped[0].names == ("HELEN/face_1.jpg",)
    assert "do not agree with its landmarks" in photos.report.skipped[0].reason
    assert photos.name(3) == "HELEN/face_3.jpg"


def test_annotations_that_are_broken(sets):
    folder = sets / "lp" / "HELEN"
    good = (folder / "face_1.mat").read_bytes()
    (folder / "face_1.mat").write_bytes(good[:200])
    savemat(folder / "face_3.mat", {"pt2d": np.zeros((2, 21)), "Pose_Para": np.zeros((1, 7))})
    photos = open_lp(sets)
    assert len(photos) == 3
    text = "\n".join(photos.report.lines())
    assert "  1  is damaged or cut off (a variable goes on beyond the end of the file); copy it again" in text
    assert "expected pt2d (2, 68) of numbers, got (2, 21)" in text


def test_3ddfas_list(tmp_path, ball_model):
    raw = write_tddfa_list(tmp_path / "lp", ball_model)
    write_basis(tmp_path / "basis", ball_model)
    with pytest.raises(InputError, match=r"has parameters but no landmarks; .*data.basis"):
        open_lp(tmp_path)
    photos = open_lp(tmp_path, model=ball_model, basis=tmp_path / "basis")
    for index, sample in enumerate(photos):
        expected = read_raw_basis(tmp_path / "basis").landmarks(raw[index])
        expected[:, 1] = flip_y(expected[:, 1])
        # Whitened in float32: the scale keeps about five digits, of coordinates up to a hundred pixels.
        np.testing.assert_allclose(sample["landmarks"], expected, atol=5e-2)
        points = crop_landmarks(ball_model.basis(), sample["parameters"][None])[0]
        torch.testing.assert_close(points, sample["landmarks"], atol=2e-3, rtol=1e-4)
        assert sample["yaw"] == pytest.approx(-0.3 + 0.2 * index, abs=1e-3)
    (tmp_path / "lp" / "param_all_norm.pkl").write_bytes(b"\x80\x04cposix\nsystem\n.")
    with pytest.raises(InputError, match="expected a pickle of NumPy arrays only"):
        open_lp(tmp_path, model=ball_model, basis=tmp_path / "basis")


def test_the_whole_basis_gives_what_its_landmarks_give(tmp_path, ball_model):
    write_basis(tmp_path / "sparse", ball_model)
    sparse = read_raw_basis(tmp_path / "sparse")
    count, marks = ball_model.vertex_count, ball_model.landmarks
    rng = np.random.default_rng(0)
    mean = rng.normal(size=(count, 3))
    modes = rng.normal(size=(50, count, 3))
    mean[marks], modes[:, marks] = sparse.mean, sparse.modes
    folder = tmp_path / "whole"
    folder.mkdir()
    half = mean.reshape(-1, 1) / 2
    np.save(folder / "u_shp.npy", half)
    np.save(folder / "u_exp.npy", half)
    np.save(folder / "w_shp_sim.npy", modes[:40].reshape(40, -1).T)
    np.save(folder / "w_exp_sim.npy", modes[40:].reshape(10, -1).T)
    np.save(folder / "keypoints_sim.npy", (3 * marks[:, None] + np.arange(3)).ravel())
    whole = read_raw_basis(folder)
    np.testing.assert_allclose(whole.mean, mean[marks])
    np.testing.assert_allclose(whole.modes, modes[:, marks])
    np.save(folder / "keypoints_sim.npy", np.arange(68))
    with pytest.raises(InputError, match="expected 204 positions"):
        read_raw_basis(folder)


def test_pose_of_a_crop_that_is_not_square():
    rng = np.random.default_rng(5)
    pose, points = rng.normal(size=(3, 4)) * 20, rng.normal(size=(9, 3))
    crop = Crop(13.5, -4, 201, 160)
    image = points @ pose[:, :3].T + pose[:, 3]
    image[:, 1] = flip_y(image[:, 1], HEIGHT)
    inner = crop.pose(pose, HEIGHT)
    placed = points @ inner[:, :3].T + inner[:, 3]
    placed[:, 1] = flip_y(placed[:, 1])
    np.testing.assert_allclose(placed, crop.to_crop(image), atol=1e-9)
    whole = Crop(0, 0, 120, 120).pose(pose, 120)
    np.testing.assert_allclose(whole, pose, atol=1e-12)


@needs_data
def test_real_annotations_agree_with_their_landmarks():
    """AFLW2000-3D's files have 300W-LP's variables, and 68 landmarks of the full basis to compare with."""
    folder = SHARED / "aflw2000_dev"
    basis = read_raw_basis(SHARED / "bfm_landmarks")
    names = (folder / "names.txt").read_text().split()[::8]
    boxes = np.load(folder / "roi_box.npy")[::8]
    errors = []
    for name, box in zip(names, boxes, strict=True):
        photo = folder / "images" / name
        shapes = {"pt3d_68": (3, 68), **w300lp._VARIABLES}
        found = read_variables(photo.with_suffix(".mat"), {**shapes, "pt2d": (2, None)})
        crop = Crop(*box.tolist())
        raw = w300lp.raw_parameters(photo, found)
        raw[:12] = crop.pose(raw[:12].reshape(3, 4), 450).ravel()
        points = basis.landmarks(raw)
        points[:, 1] = flip_y(points[:, 1])
        truth = found["pt3d_68"].T[:, :2]
        distance = np.linalg.norm(crop.to_image(points)[:, :2] - truth, axis=1).mean()
        errors.append(100 * distance / np.sqrt(np.ptp(truth, axis=0).prod()))
    # What the modes beyond the first 40 and 10 are worth: less than a percent. A row off by one pixel, or a
    # sign, would show.
    assert np.mean(errors) < 1.0
    assert np.max(errors) < 2.5


def test_the_embedded_model_is_of_another_basis(tmp_path, ball_model):
    write_basis(tmp_path, ball_model)
    with pytest.raises(InputError, match="the face model 'procedural' has another basis: its mean differs"):
        read_raw_basis(tmp_path).conversion(load_model("procedural"))


def test_a_photo_without_its_annotation(sets):
    write_picture(sets / "lp" / "IBUG" / "alone.jpg", np.full((1, 2), 20.0))
    photos = open_lp(sets)
    assert len(photos) == 5
    assert photos.report.skipped[0].names == ("IBUG/alone.jpg",)
