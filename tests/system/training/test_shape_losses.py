"""Losses of what pose does not decide, against loops in double precision."""

import numpy as np
import pytest
import torch
from twodasl.geometry.projection import turned, turned_landmarks
from twodasl.training.feed import prepare
from twodasl.training.model import regressor_terms, term_weights
from twodasl.training.setup import begin
from twodasl.training.shape_losses import GAPS, gap_loss, pose_free_loss, pose_free_metric
from twodasl.training.streams import LandmarksOnly, stack

from twodasl_ext import MorphableBasis

from ..tiny_runs import Dots, tiny_config


@pytest.fixture
def basis() -> MorphableBasis:
    rng = np.random.default_rng(0)
    mean, modes = (torch.from_numpy(rng.normal(0, 1, size)) for size in ((80, 3), (5, 80, 3)))
    return MorphableBasis(mean, modes, torch.from_numpy(rng.permutation(80)[:68]), storage=torch.float64)


@pytest.fixture
def parameters() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(1)
    first, second = (torch.from_numpy(rng.normal(0, 1, (4, 17))) for _ in range(2))
    return first.requires_grad_(), second


def squares(points: np.ndarray) -> float:
    """Of displacements (68, D): their mean square, and the weighted mean square of the gaps."""
    gaps = sum(weight * ((points[a] - points[b]) ** 2).sum() for (a, b), weight in GAPS.items())
    return (points**2).sum() / 68, gaps / sum(GAPS.values())


def test_gaps_are_pairs_of_landmarks_and_the_same_on_both_sides():
    mirror = {**{a: 45 - k for k, a in enumerate((36, 37, 38, 39))}, 40: 47, 41: 46, 61: 63, 67: 65, 19: 24}
    mirror |= {other: one for one, other in mirror.items()}
    for (first, second), weight in GAPS.items():
        assert 0 <= first < second < 68
        pair = tuple(sorted((mirror.get(first, first), mirror.get(second, second))))
        if pair != (48, 54):
            assert GAPS[pair] == weight


def test_pose_free_by_hand(basis, parameters):
    predicted, target = parameters
    modes = basis.modes[:, basis.landmarks].numpy()
    wanted = 0.0
    for one, other in zip(predicted.detach().numpy(), target.numpy(), strict=True):
        moved = np.tensordot(one[12:] - other[12:], modes, axes=1)
        pose = other[:12].reshape(3, 4)
        scale = (np.linalg.norm(pose[0, :3]) ** 2 + np.linalg.norm(pose[1, :3]) ** 2) / 2
        wanted += scale * sum(squares(moved)) / 4
    found = pose_free_loss(pose_free_metric(basis), predicted, target)
    assert float(found) == pytest.approx(wanted, rel=1e-12)


def test_pose_free_is_squared_pixels_under_the_true_pose(basis, parameters):
    predicted, target = (each.detach().clone() for each in parameters)
    rotation = torch.linalg.qr(
        torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ).Q
    target[:, :12] = torch.cat([1.7 * rotation, torch.ones(3, 1)], dim=1).flatten()
    posed = torch.cat([target[:, :12], predicted[:, 12:]], dim=1)
    moved = (turned_landmarks(basis, posed) - turned_landmarks(basis, target)).numpy()
    wanted = np.mean([sum(squares(face)) for face in moved])
    assert float(pose_free_loss(pose_free_metric(basis), predicted, target)) == pytest.approx(
        wanted, rel=1e-12
    )


def test_pose_free_does_not_know_the_predicted_pose(basis, parameters):
    predicted, target = parameters
    pose_free_loss(pose_free_metric(basis), predicted, target).backward()
    assert not predicted.grad[:, :12].any()
    assert predicted.grad[:, 12:].all()
    assert pose_free_loss(pose_free_metric(basis), turned(target), target) == 0


def test_gaps_by_hand_and_wherever_the_face_is():
    rng = np.random.default_rng(2)
    points, target = (rng.normal(60, 9, (3, 68, 2)) for _ in range(2))
    found = gap_loss(torch.from_numpy(points), torch.from_numpy(target))
    wanted = np.mean([squares(one - other)[1] for one, other in zip(points, target, strict=True)])
    assert float(found) == pytest.approx(wanted, rel=1e-12)
    shifted = torch.from_numpy(points + rng.normal(0, 5, (3, 1, 2)))
    torch.testing.assert_close(gap_loss(shifted, torch.from_numpy(target)), found)


def test_gradients(basis, parameters):
    predicted, target = parameters
    assert torch.autograd.gradcheck(pose_free_loss, (pose_free_metric(basis), predicted, target))
    points = torch.randn(2, 68, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gap_loss, (points, torch.zeros_like(points)))


@pytest.mark.parametrize("points", [0, 68])
def test_terms_of_a_step_are_of_the_annotated_faces(ball_model, points):
    config = tiny_config(network={"points": points}, loss={"pose_free": 0.5, "gaps": 0.25})
    faces = Dots(ball_model, 8)
    networks = begin(config, "ball", ball_model, faces, faces, torch.device("cpu")).networks
    batch = prepare([stack([faces[i] for i in range(4)]), stack([LandmarksOnly(faces)[5]])], config, 0)
    weights = term_weights(config.loss, config.stage1)
    assert (weights["pose_free"], weights["gaps"]) == (0.5, 0.25)
    terms, whitened = regressor_terms(networks, batch, config, weights, second_pass=False)
    assert whitened.shape[0] == 5
    assert ("gaps" in terms) == bool(points)
    predicted = networks.whitening.unwhiten(whitened[:4])
    wanted = pose_free_loss(networks.metric, predicted, batch.parameters)
    torch.testing.assert_close(terms["pose_free"], wanted, rtol=1e-4, atol=1e-5)
    without = {**weights, "pose_free": 0.0, "gaps": 0.0}
    assert not {"pose_free", "gaps"} & regressor_terms(networks, batch, config, without, False)[0].keys()
