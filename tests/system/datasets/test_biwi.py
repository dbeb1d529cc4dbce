"""BIWI Kinect Head Pose: its layout, and the Euler angles that publications give for its rotations."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from twodasl.datasets.benchmarks.biwi import biwi_angles, read_biwi
from twodasl.errors import InputError
from twodasl.evaluation.pose import angles_of, geodesic_errors, rotations

CAMERA = """517.679 0 320
0 517.679 240.5
0 0 1

0 0 0 0

0.999947 0.00432361 0.00929419
-0.00446314 0.999877 0.0150443
-0.009228 -0.015085 0.999844

-24.0198 5.8896 -13.2308

640 480
"""
TRIPLES = np.random.default_rng(5).uniform(-75, 75, (200, 3))  # pitch, yaw, roll


def write_frame(
    sequence: Path, number: int, rotation: np.ndarray, center=(0.0, 0.0, 900.0), frame=None
) -> None:
    """One frame in the data set's layout."""
    sequence.mkdir(parents=True, exist_ok=True)
    rows = "\n".join(" ".join(f"{value:.6g}" for value in row) + " " for row in rotation)
    place = " ".join(f"{value:.6g}" for value in center)
    (sequence / f"frame_{number:05d}_pose.txt").write_text(f"{rows}\n\n{place} \n")
    picture = np.full((480, 640, 3), 90, np.uint8) if frame is None else frame
    assert cv2.imwrite(str(sequence / f"frame_{number:05d}_rgb.png"), picture)


def stored(angles: np.ndarray) -> np.ndarray:
    """Rotations as the data set stores them (y down, z away) of angles by 300W-LP's convention."""
    flip = np.diag([1.0, -1, -1])
    return flip @ rotations(angles) @ flip


def test_300w_lps_angles_are_scipys():
    pitch, yaw, roll = TRIPLES.T
    # Each factor turns the axes, that is the points by the angle's negative.
    scipy = Rotation.from_euler("XYZ", np.stack([-pitch, -yaw, -roll], 1), degrees=True).as_matrix()
    np.testing.assert_allclose(rotations(TRIPLES), scipy, atol=1e-12)
    np.testing.assert_allclose(angles_of(scipy), TRIPLES, atol=1e-9)


def test_fsa_nets_angles_are_300w_lps_in_other_axes():
    pitch, yaw, roll = TRIPLES.T
    scipy = Rotation.from_euler("XYZ", np.stack([-pitch, yaw, roll], 1), degrees=True).as_matrix()
    np.testing.assert_allclose(biwi_angles(scipy, "fsa-net"), TRIPLES, atol=1e-9)
    np.testing.assert_allclose(stored(TRIPLES), scipy, atol=1e-12)


def test_hopenets_angles_have_another_order():
    pitch, yaw, roll = TRIPLES.T
    scipy = Rotation.from_euler("ZYX", np.stack([roll, yaw, -pitch], 1), degrees=True).as_matrix()
    np.testing.assert_allclose(biwi_angles(scipy, "hopenet"), TRIPLES, atol=1e-9)
    apart = np.abs(biwi_angles(scipy, "fsa-net") - TRIPLES).max(axis=1)
    assert np.median(apart) > 5


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_conventions_agree_on_turns_about_one_axis(axis):
    angles = np.zeros((7, 3))
    angles[:, axis] = np.linspace(-80, 80, 7)
    for convention in ("fsa-net", "hopenet"):
        np.testing.assert_allclose(biwi_angles(stored(angles), convention), angles, atol=1e-9)


def test_the_nose_goes_where_the_angles_say():
    """A positive yaw turns the nose, -z in the stored axes, to the image's left; a pitch lifts it."""
    nose = np.array([0.0, 0, -1])
    yawed, pitched = stored(np.array([[0.0, 30, 0], [20.0, 0, 0]])) @ nose
    assert yawed[0] < -0.4
    assert pitched[1] < -0.3  # y points down


def test_layout(tmp_path):
    angles = np.array([[0.0, 0, 0], [10, -50, 5], [-20, 60, 0], [3, 4, 100]])
    for number, rotation in zip((9, 3, 10), stored(angles), strict=False):
        write_frame(tmp_path / "hpdb/01", number, rotation)
    write_frame(tmp_path / "hpdb/12", 4, stored(angles)[3])
    (tmp_path / "hpdb/01/rgb.cal").write_text(CAMERA)
    (tmp_path / "hpdb/01/frame_00011_rgb.png").write_bytes(b"")  # without a pose
    (tmp_path / "hpdb/head_pose_masks").mkdir()
    data = read_biwi(tmp_path)
    assert data.names == (
        "01/frame_00003_rgb.png",
        "01/frame_00009_rgb.png",
        "01/frame_00010_rgb.png",
        "12/frame_00004_rgb.png",
    )
    assert data.skipped == 1
    np.testing.assert_allclose(data.angles, angles[[1, 0, 2, 3]], atol=1e-3)
    assert geodesic_errors(data.rotations, rotations(angles[[1, 0, 2, 3]])).max() < 1e-3
    assert data.read_image(0).shape == (480, 640, 3)
    # 900 mm before the depth camera: 24 mm to the left and 6 up in the color camera, turned by a degree.
    x, z = -24.0198 + 0.00929419 * 900, -13.2308 + 0.999844 * 900
    assert data.centers[0][0] == pytest.approx(320 + 517.679 * x / z)
    assert np.isnan(data.centers[3]).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 0 0\n0 1 0\n0 0 1\n", "12 numbers, got 9"),
        ("1 0 0\n0 1 0\n0 0 1\n\n0 0 x\n", "3x3 rotation and a center"),
        ("1 0 0\n0 1 0\n0 0 -1\n\n0 0 900\n", "expected a rotation matrix"),
        ("2 0 0\n0 1 0\n0 0 1\n\n0 0 900\n", "expected a rotation matrix"),
        ("nan 0 0\n0 1 0\n0 0 1\n\n0 0 900\n", "12 numbers"),
    ],
)
def test_poses_that_are_none(tmp_path, text, words):
    write_frame(tmp_path / "01", 3, np.eye(3))
    (tmp_path / "01/frame_00003_pose.txt").write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        read_biwi(tmp_path)
    assert "frame_00003_pose.txt" in str(caught.value)


def test_other_folders(tmp_path):
    with pytest.raises(InputError, match="found none"):
        read_biwi(tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        read_biwi(tmp_path / "none")
    with pytest.raises(InputError, match="convention: expected one of fsa-net, hopenet"):
        read_biwi(tmp_path, "euler")
    write_frame(tmp_path / "01", 3, np.eye(3))
    (tmp_path / "01/rgb.cal").write_text("1 2 3")
    with pytest.raises(InputError, match=r"rgb.cal: expected 3x3 intrinsics"):
        read_biwi(tmp_path)
