"""The face model fitted to landmarks after the network: nearer to them, and only where they are known."""

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.parameters import join_parameters, split_parameters
from twodasl.geometry.pose import pose_matrix
from twodasl.geometry.projection import crop_landmarks
from twodasl.io.images import read_image
from twodasl.morphable import load_model
from twodasl.reconstruction.landmark_fit import (
    LandmarkFit,
    Points,
    detector_sigma,
    fitted_parameters,
    for_shape,
)
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.training.priors import FitPriors

import twodasl_ext as te


@pytest.fixture(scope="module")
def head():
    return load_model("procedural")


def faces(model, count, seed=0, yaw=0.7):
    """(count, 12+K) parameters of faces of the model in crops, to 40 degrees of yaw."""
    generator = torch.Generator().manual_seed(seed)
    angles = (torch.rand(count, 3, generator=generator) - 0.5) * torch.tensor([0.4, 2 * yaw, 0.4])
    pose = pose_matrix(torch.full((count,), 0.42), angles, torch.tensor([60.0, 62.0, 0.0]).expand(count, 3))
    spread = torch.from_numpy(model.coefficient_std)
    return join_parameters(pose, torch.randn(count, len(spread), generator=generator) * spread)


def test_landmarks_of_the_model_are_found_again(head):
    basis = head.basis()
    truth = faces(head, 12)
    points = crop_landmarks(basis, truth)[..., :2]
    started = truth.clone()
    pose, _ = split_parameters(truth)
    pose = pose.clone()
    pose[..., :2, 3] += 4.0
    started[:, :12] = (pose * torch.tensor([1.05, 1.05, 1.05, 1.0])).flatten(1)
    started[:, 12:] = 0
    sigma = torch.ones(points.shape[:2])
    fitted = LandmarkFit(head, basis)(started, Points(points, sigma))
    before = (crop_landmarks(basis, started)[..., :2] - points).norm(dim=-1).mean(1)
    after = (crop_landmarks(basis, fitted)[..., :2] - points)[:, 17:].norm(dim=-1).mean(1)
    # Not exactly: the prior holds coefficients back against landmarks of a pixel's standard deviation, and on
    # turned heads points of the jaw are compared with the outline.
    assert after.max() < 0.8 < 3 < before.min()
    linear = split_parameters(fitted)[0][..., :3]
    gram = linear @ linear.mT
    scale = gram.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    torch.testing.assert_close(gram / scale, torch.eye(3).expand_as(gram), atol=1e-4, rtol=0)


def test_the_spread_of_the_model_counts_only_where_the_network_knows_less(head):
    """A network's expectation is not drawn toward the mean again; no face is less sure than the model."""
    basis, spread = head.basis(), torch.from_numpy(head.coefficient_std)
    errors = torch.linspace(0.3, 2.5, len(spread))
    priors = FitPriors(coefficients=tuple(errors.tolist()))
    said = faces(head, 3)
    points = Points(crop_landmarks(basis, said)[..., :2], torch.ones(3, 68))
    prior = LandmarkFit(head, basis, priors).problem(said, points)["prior"]
    coefficients = said[:, 12:]
    knows = errors <= 1
    torch.testing.assert_close(prior.mean[:, knows], coefficients[:, knows])
    wanted = (spread * errors.clamp_max(1.0)).square().reciprocal().expand_as(coefficients)
    torch.testing.assert_close(prior.precision, wanted)
    # Where it errs more, the mean of both: as much of its answer as its precision is of the whole.
    torch.testing.assert_close(
        prior.mean[:, ~knows], (coefficients / errors.square())[:, ~knows], rtol=1e-5, atol=1e-6
    )


def test_a_network_without_a_say_leaves_the_model(head):
    """One person's photos: the trust in each network's answer may be nothing."""
    basis, said = head.basis(), faces(head, 2)
    points = Points(crop_landmarks(basis, said)[..., :2], torch.ones(2, 68))
    trust = torch.tensor([[1.0], [0.0]]).expand(2, said.shape[1] - 12)
    prior = LandmarkFit(head, basis).problem(said, points, trust=trust)["prior"]
    spread = torch.from_numpy(head.coefficient_std)
    torch.testing.assert_close(prior.precision, spread.square().reciprocal().expand(2, -1))
    torch.testing.assert_close(prior.mean, torch.stack([said[0, 12:], torch.zeros_like(spread)]))


def lips_gap(points):
    """Pixels between the inner lips."""
    return (points[:, 65:68, 1] - points[:, [63, 62, 61], 1]).mean()


def test_a_detector_is_believed_of_a_mouth(head):
    """The network says shut in all it says: a detector that sees it open opens it most of the way."""
    basis = head.basis()
    shut = faces(head, 8)
    shut[:, 12:] = 0
    open_ = shut.clone()
    open_[:, 12 + head.mode_names.index("lips parted")] = 2.0
    said, seen = (crop_landmarks(basis, part)[..., :2] for part in (shut, open_))
    sigma = torch.full(said.shape[:2], 1.4)
    fit = LandmarkFit(head, basis)
    found = {
        name: lips_gap(crop_landmarks(basis, fit(shut, detected, Points(said, sigma))))
        for name, detected in {
            "alone": None,
            "nothing": Points(torch.full_like(seen, torch.nan), torch.full_like(sigma, torch.inf)),
            "both": Points(seen, sigma),
        }.items()
    }
    before, after = lips_gap(said), lips_gap(seen)
    assert after - before > 2
    assert found["both"] - before > 0.5 * (after - before)
    assert abs(found["alone"] - before) < 0.1
    assert abs(found["nothing"] - before) < 0.1


def test_a_detectors_outline_counts_more_for_the_shape_than_for_the_pose(head):
    """It says how wide a face is better than where its points lie along it."""
    basis, count = head.basis(), len(head.shape_modes)
    # Turned, the outline is not where the landmarks' vertices are.
    truth = faces(head, 32, yaw=0.05)
    marks = crop_landmarks(basis, truth)[..., :2]
    marks = marks + torch.randn(marks.shape, generator=torch.Generator().manual_seed(1))
    said = truth.clone()
    said[:, 12:] = 0
    detected = Points(marks, detector_sigma(marks).expand(marks.shape[:2]))
    fit = LandmarkFit(head, basis)
    twice = fit(said, detected)
    wide, sharp = (
        fitted_parameters(te.fit_landmarks(basis, **fit.problem(said, points)))
        for points in (detected, for_shape(detected))
    )
    shapes = slice(12, 12 + count)
    torch.testing.assert_close(twice[:, shapes], sharp[:, shapes], rtol=0, atol=0)
    held = fitted_parameters(fit.held(sharp[:, shapes], said, detected))
    torch.testing.assert_close(twice, held, rtol=1e-3, atol=1e-3)

    def error(parameters):
        off = (parameters - truth)[:, shapes] / torch.from_numpy(head.coefficient_std)[:count]
        return off.square().mean(dim=1).sqrt().mean()

    assert error(twice) < error(wide)


def test_faces_without_a_detectors_landmarks_are_fitted_once(head):
    """To the network's own points; beside faces with landmarks as without them."""
    basis, said = head.basis(), faces(head, 3)
    marks = crop_landmarks(basis, faces(head, 3, seed=1))[..., :2]
    own = Points(crop_landmarks(basis, said)[..., :2] + 1, torch.full((3, 68), 1.5))
    seen = torch.tensor([True, False, True])[:, None]
    detected = Points(
        torch.where(seen[..., None], marks, torch.nan), torch.where(seen, detector_sigma(marks), torch.inf)
    )
    fit = LandmarkFit(head, basis)
    found = fit(said, detected, own)
    torch.testing.assert_close(found[1], fit(said, None, own)[1], rtol=1e-5, atol=1e-5)
    alone = fit(said[:1], Points(*(values[:1] for values in detected)), Points(*(v[:1] for v in own)))
    torch.testing.assert_close(found[0], alone[0], rtol=1e-4, atol=1e-4)


def test_only_faces_with_landmarks_are_fitted(ball_checkpoint, photo_path, photo68):
    image = read_image(photo_path)
    box = (150, 20, 320, 190)
    plain, fitting = FaceReconstructor(ball_checkpoint, fit=False), FaceReconstructor(ball_checkpoint)
    given = ([image, image], [photo68, None], [box, box])
    alone, fitted = plain.batch(*given), fitting.batch(*given)

    def error(face):
        return np.linalg.norm(face.landmarks[:, :2] - photo68, axis=1)[17:].mean()

    assert error(fitted[0]) < 0.5 * error(alone[0])
    np.testing.assert_array_equal(fitted[1].parameters, alone[1].parameters)


def test_a_word_is_no_answer(ball_checkpoint):
    with pytest.raises(InputError, match="fit: expected True or False, got 'no'"):
        FaceReconstructor(ball_checkpoint, fit="no")
