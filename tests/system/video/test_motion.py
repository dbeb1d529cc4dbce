"""The filter of pose and velocity: no lag at a constant speed, less noise at rest."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from twodasl.video.motion import Motion

MIDDLE = np.array([1.0, -20.0, 60.0])
STEP = 1 / 30


def _pose(yaw, shift=(300.0, 200.0), scale=0.8):
    linear = scale * cv2.Rodrigues(np.array([0, np.radians(yaw), 0]))[0]
    place = np.array([*shift, 0.0])
    return np.concatenate([linear, (place - linear @ MIDDLE)[:, None]], axis=1)


def _yaw(motion):
    return np.degrees(cv2.Rodrigues(motion.rotation)[0][1, 0])


def _followed(yaws, sigma):
    """Each yaw measured with a deviation (degrees), weighed against the prediction as a fit does it."""
    motion = Motion.found(_pose(yaws[0]), MIDDLE, np.full(7, np.radians(sigma)))
    found = [_yaw(motion)]
    for yaw in yaws[1:]:
        ahead = motion.after(STEP)
        prior = np.square(ahead.deviations())
        after = 1 / (1 / np.maximum(prior, 1e-12) + 1 / np.radians(sigma) ** 2)
        gain = after[1] / np.radians(sigma) ** 2
        between = _yaw(ahead) + gain * (yaw - _yaw(ahead))
        motion = ahead.corrected(_pose(between), MIDDLE, np.sqrt(after))
        found.append(_yaw(motion))
    return np.array(found)


def test_a_pose_comes_back():
    pose = _pose(20.0)
    motion = Motion.found(pose, MIDDLE, np.full(7, 0.01))
    np.testing.assert_allclose(motion.pose(MIDDLE), pose, atol=1e-9)
    np.testing.assert_allclose(motion.after(STEP).pose(MIDDLE), pose, atol=1e-9)  # no velocity yet
    np.testing.assert_allclose(motion.change(pose, MIDDLE), 0, atol=1e-9)


def test_a_constant_speed_is_followed_without_lag():
    yaws = 30 * STEP * np.arange(60) - 30  # 30 degrees a second
    found = _followed(yaws, 1.0)
    # A frame is a degree; once the speed is known the error is a small part of it.
    assert np.abs(found - yaws)[20:].max() < 0.1


def test_noise_of_a_still_head_is_averaged():
    rng = np.random.default_rng(0)
    found = _followed(10 + rng.normal(0, 1.0, 150), 1.0)
    assert found[50:].std() < 0.3


def test_what_is_not_seen_gets_less_certain():
    motion = Motion.found(_pose(0.0), MIDDLE, np.full(7, 0.01))
    widths = [motion.after(seconds).deviations() for seconds in (STEP, 5 * STEP, 1.0)]
    assert (np.diff(np.stack(widths)[:, :6], axis=0) > 0).all()
    assert all(width[6] == 0 for width in widths)  # an image does not show the depth


def test_a_fit_cannot_widen_its_prior():
    motion = Motion.found(_pose(0.0), MIDDLE, np.full(7, 0.01)).after(STEP)
    after = motion.corrected(_pose(1.0), MIDDLE, np.full(7, 9.0))
    assert (after.spread[:, 0, 0] <= motion.spread[:, 0, 0]).all()
    assert (np.linalg.eigvalsh(after.spread) > -1e-9).all()


@pytest.mark.parametrize(("yaw", "surprised"), [(0.05, False), (9.0, True)])
def test_a_sudden_turn_is_noticed(yaw, surprised):
    motion = Motion.found(_pose(0.0), MIDDLE, np.full(7, 0.005))
    motion.spread[:, 1, 1] = 1e-6
    ahead = motion.after(STEP)
    wider = ahead.surprised(ahead.change(_pose(yaw), MIDDLE), 0.5 * ahead.deviations())
    assert (wider is not None) == surprised
    if wider is not None:
        assert wider.deviations()[1] > 2 * ahead.deviations()[1]
        assert wider.deviations()[4] == ahead.deviations()[4]
