"""One frame's fit about what is expected, and how poses of crops and frames belong together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from twodasl.geometry.crops import Crop
from twodasl.video.frame_fit import Expected, FrameFit, Seen
from twodasl.video.sight import frame_pose

import twodasl_ext
from twodasl_ext import CoefficientPrior

POSE = np.array([[0.9, 0.1, 0.0, 200.0], [-0.1, 0.9, 0.0, 150.0], [0.0, 0.0, 0.9055, 3.0]])


def _case(model):
    fit = FrameFit(model, model.basis())
    truth = np.array([0.5, -0.8, 0.3])
    places = fit.landmarks(POSE, truth)[:, :2] + np.random.default_rng(0).normal(0, 0.5, (68, 2))
    count = len(truth)
    deviations = np.array([0.05, 0.05, 0.05, 0.05, 3.0, 3.0, 0.0])
    expected = Expected(POSE, deviations, np.zeros(count), np.eye(count) + 0.2)
    return fit, expected, Seen(places, np.full(68, 0.7)), truth


def test_the_information_is_that_of_the_fit(ball_model):
    fit, expected, seen, truth = _case(ball_model)
    (found,) = fit([expected], [seen])
    rows = [torch.from_numpy(values)[None].float() for values in (seen.places, seen.sigma)]
    prior = CoefficientPrior(
        *(torch.from_numpy(v)[None].float() for v in (expected.mean, expected.precision))
    )
    start, width = (torch.from_numpy(v)[None].float() for v in (expected.pose, expected.deviations))
    whole = twodasl_ext.fit_landmarks(fit.basis, *rows, start=start, pose_sigma=width, prior=prior)
    width = np.sqrt(np.diag(np.linalg.inv(expected.precision + found.information)))
    np.testing.assert_allclose(width, whole.coefficient_deviations[0].numpy(), rtol=0.02)
    np.testing.assert_allclose(found.coefficients, truth, atol=5 * width.max())
    assert np.linalg.eigvalsh(found.information).min() > 0
    assert 0.3 < found.residual < 1.5


def test_faces_do_not_depend_on_each_other(ball_model):
    fit, expected, seen, _ = _case(ball_model)
    moved = Seen(seen.places + 4.0, seen.sigma)
    together = fit([expected, expected], [seen, moved])
    for found, points in zip(together, (seen, moved), strict=True):
        (alone,) = fit([expected], [points])
        np.testing.assert_array_equal(found.pose, alone.pose)
        np.testing.assert_array_equal(found.information, alone.information)


def test_no_faces(ball_model):
    assert FrameFit(ball_model, ball_model.basis())([], []) == []


@pytest.mark.parametrize("height", [120, 361])
def test_a_pose_of_the_crop_in_the_frame_and_back(height):
    crop = Crop(31.5, -12.25, 231.5, 187.75)
    np.testing.assert_allclose(crop.pose(frame_pose(POSE, crop, height), height), POSE, atol=1e-9)
