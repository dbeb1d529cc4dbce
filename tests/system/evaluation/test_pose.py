"""Errors of head pose: by hand, the shorter way around, and only within the limit."""

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.evaluation.pose import LIMIT, PoseErrors, pose_errors
from twodasl.evaluation.pose_set import PoseSet, read_poses


def test_means_by_hand():
    truth = np.array([[10.0, -20, 30], [0, 0, 0]])
    found = np.array([[11.0, -24, 30], [-3, 2, 6]])
    assert pose_errors(found, truth) == PoseErrors(pitch=2.0, yaw=3.0, roll=3.0, count=2)
    assert pose_errors(found, truth).mean == pytest.approx(8 / 3)


def test_images_beyond_the_limit_do_not_count():
    truth = np.array([[0.0, LIMIT, 0], [99.5, 0, 0], [0, -99.5, 0], [0, 0, -150]])
    errors = pose_errors(truth + 1, truth)
    assert errors.count == 1
    assert (errors.pitch, errors.yaw, errors.roll) == (1, 1, 1)
    assert pose_errors(truth[1:], truth[1:]) is None
    assert pose_errors(np.zeros((0, 3)), np.zeros((0, 3))) is None


def test_a_difference_goes_the_shorter_way_around():
    truth = np.array([[-90.0, 0, 98], [5, 5, 5]])
    found = np.array([[179.0, -4, -179], [365, 4, 5]])
    errors = pose_errors(found, truth)
    assert (errors.pitch, errors.yaw, errors.roll) == (91 / 2, 5 / 2, 83 / 2)


def test_the_order_of_images_does_not_matter():
    rng = np.random.default_rng(0)
    truth, found = rng.uniform(-120, 120, (50, 3)), rng.uniform(-180, 180, (50, 3))
    order = rng.permutation(50)
    one, other = pose_errors(found, truth), pose_errors(found[order], truth[order])
    assert one.to_dict() == pytest.approx(other.to_dict(), rel=1e-12)


def test_words_and_numbers():
    errors = PoseErrors(1.0, 2.0, 4.5, 7)
    assert errors.to_dict() == {"pitch": 1.0, "yaw": 2.0, "roll": 4.5, "mean": 2.5, "images": 7}
    assert errors.line("network") == (
        "pose, network: mean absolute error in degrees of yaw 2.000, pitch 1.000, roll 4.500, mean 2.500;"
        " 7 images with all angles within 99 degrees"
    )


@pytest.mark.parametrize("shapes", [((2, 3), (3, 3)), ((2, 2), (2, 2)), ((3,), (3,))])
def test_other_shapes_are_refused(shapes):
    with pytest.raises(ValueError, match=r"^found, truth: expected \(n, 3\) both, got "):
        pose_errors(*map(np.zeros, shapes))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a.png,1,2,3\na.png,4,5,6", "a.png is there twice, again in line 3"),
        ("a.png,1,2,x", "three angles in degrees in line 2, got 1, 2, x"),
        ("a.png,1,2", "three angles in degrees in line 2, got 1, 2"),
    ],
)
def test_files_of_poses_that_say_two_things(tmp_path, lines, message):
    data = PoseSet("set", ("a.png",), np.zeros((1, 3)), np.eye(3)[None], np.zeros((1, 2)), None, None, {})
    file = tmp_path / "poses.csv"
    file.write_text(f"image,pitch,yaw,roll\n{lines}\n")
    with pytest.raises(InputError, match=message):
        read_poses(file, data)
    np.save(tmp_path / "mirror.npy", np.diag([-1.0, 1, 1])[None])
    with pytest.raises(InputError, match="expected rotation matrices, got some that mirror"):
        read_poses(tmp_path / "mirror.npy", data)
