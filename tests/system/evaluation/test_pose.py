"""Errors of head pose: by hand, the shorter way around, and only within the limit."""

import numpy as np
import pytest
from twodasl.evaluation.pose import LIMIT, PoseErrors, pose_errors


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
