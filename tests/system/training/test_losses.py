"""Each loss against a formula written out in numpy, float64; and the gradients."""

import numpy as np
import pytest
import torch
from twodasl.landmarks import EIGHTEEN_WEIGHTS
from twodasl.morphable import Whitening
from twodasl.training import losses

from twodasl_ext import MorphableBasis

MODES, VERTICES = 7, 90


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def face(rng):
    """Mean, modes and landmark indices of a made-up face of ordinary size."""
    mean = rng.normal(size=(VERTICES, 3)) * [60, 80, 50]
    modes = rng.normal(size=(MODES, VERTICES, 3)) * 3
    return mean, modes, rng.choice(VERTICES, 68, replace=False)


@pytest.fixture
def basis(face):
    mean, modes, landmarks = (torch.from_numpy(x) for x in face)
    return MorphableBasis(mean, modes, landmarks, storage=torch.float64)


@pytest.fixture
def whitening(rng):
    size = 12 + MODES
    mean, std = rng.normal(size=size), rng.uniform(0.5, 3, size)
    return Whitening(torch.from_numpy(mean), torch.from_numpy(std)).double()


def random_parameters(rng, batch):
    pose = rng.normal(size=(batch, 3, 4)) * 0.5
    pose[:, :, 3] += [60, 61, -3]
    return np.concatenate([pose.reshape(batch, 12), rng.normal(size=(batch, MODES))], axis=1)


def reconstruct(face, p, vertices):
    mean, modes, _ = face
    pose = p[:12].reshape(3, 4)
    shape = mean[vertices] + np.tensordot(p[12:], modes[:, vertices], 1)
    return shape @ pose[:, :3].T + pose[:, 3]


def naive_weights(face, predicted, target, space, normalize):
    """3DDFA's way: one reconstruction for each parameter that is taken from the prediction."""
    landmarks, weights = face[2], []
    for i in range(len(target)):
        mixed = target.copy()
        mixed[i] = predicted[i]
        moved = reconstruct(face, mixed, landmarks) - reconstruct(face, target, landmarks)
        weights.append(np.linalg.norm(moved[:, :2] if space == "2d" else moved))
    weights = np.array(weights)
    weights[11] = 0
    return weights / (weights.sum() if normalize == "sum" else weights.max() + 1e-6)


@pytest.mark.parametrize("space", ["2d", "3d"])
@pytest.mark.parametrize("normalize", ["sum", "max"])
def test_parameter_loss(face, basis, whitening, rng, space, normalize):
    predicted, target = random_parameters(rng, 5), random_parameters(rng, 5)
    std = whitening.std.numpy()
    expected = np.mean(
        [
            np.sum(naive_weights(face, p, t, space, normalize) * ((p - t) / std) ** 2)
            for p, t in zip(predicted, target, strict=True)
        ]
    )
    loss = losses.parameter_loss(
        basis,
        whitening,
        torch.from_numpy(predicted),
        torch.from_numpy(target),
        space=space,
        normalize=normalize,
    )
    assert loss.item() == pytest.approx(expected, rel=1e-9)


def test_parameter_loss_takes_the_weights_as_constants(face, basis, whitening, rng):
    predicted, target = random_parameters(rng, 3), random_parameters(rng, 3)
    p = torch.from_numpy(predicted).requires_grad_()
    losses.parameter_loss(basis, whitening, p, torch.from_numpy(target)).backward()
    weights = np.stack(
        [naive_weights(face, a, b, "3d", "sum") for a, b in zip(predicted, target, strict=True)]
    )
    expected = 2 * weights * (predicted - target) / whitening.std.numpy() ** 2 / 3
    np.testing.assert_allclose(p.grad.numpy(), expected, rtol=1e-9, atol=1e-15)


def test_parameter_loss_of_the_truth_is_zero(basis, whitening, rng):
    p = torch.from_numpy(random_parameters(rng, 3)).requires_grad_()
    loss = losses.parameter_loss(basis, whitening, p, p.detach())
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(p.grad, torch.zeros_like(p))


def test_landmark_consistency_2d(rng):
    x, y = rng.normal(size=(4, 18, 2)) * 30, rng.normal(size=(4, 18, 2)) * 30
    # Written out from the order of the 18 points: brows, eyes (centers 7 and 10), nose (tip 13), mouth.
    v = np.ones(18)
    v[[7, 10, 15, 17]] = 2
    v[[13, 16]] = 4
    assert EIGHTEEN_WEIGHTS.tolist() == v.tolist()
    expected = np.mean([np.sum(v * ((a - b) ** 2).sum(1)) / 18 for a, b in zip(x, y, strict=True)])
    loss = losses.landmark_consistency_2d(torch.from_numpy(x), torch.from_numpy(y))
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_landmarks_that_are_not_annotated_count_nothing(rng):
    x, y = torch.from_numpy(rng.normal(size=(2, 18, 2))), torch.from_numpy(rng.normal(size=(2, 18, 2)))
    visible = torch.ones(2, 18, dtype=torch.bool)
    visible[0, 13] = visible[1, 2] = False
    full = losses.landmark_consistency_2d(x, y).item()
    lost = (4 * (x[0, 13] - y[0, 13]).square().sum() + (x[1, 2] - y[1, 2]).square().sum()).item() / 36
    y[~visible] = torch.nan
    x.requires_grad_()
    loss = losses.landmark_consistency_2d(x, y, visible)
    assert loss.item() == pytest.approx(full - lost, rel=1e-12)
    loss.backward()
    assert torch.isfinite(x.grad).all()
    assert torch.equal(x.grad[~visible], torch.zeros(2, 2, dtype=torch.double))


def test_consistency_3d_and_cycle(rng):
    a, b = rng.normal(size=(3, 18, 3)), rng.normal(size=(3, 18, 3))
    expected = np.mean(np.sum((a - b) ** 2, axis=2))
    loss = losses.landmark_consistency_3d(torch.from_numpy(a), torch.from_numpy(b))
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    cycle = losses.cycle_loss(torch.from_numpy(a[..., :2]), torch.from_numpy(b[..., :2]))
    assert cycle.item() == pytest.approx(np.mean(np.sum((a - b)[..., :2] ** 2, axis=2)), rel=1e-12)


def test_adversarial_losses(rng):
    real, fake = rng.normal(size=6) * 3, rng.normal(size=4) * 3

    def probability(x):
        return 1 / (1 + np.exp(-x))

    expected = -np.mean(np.log(probability(real))) - np.mean(np.log(1 - probability(fake)))
    real, tensor = torch.from_numpy(real), torch.from_numpy(fake)
    assert losses.critic_loss(real, tensor).item() == pytest.approx(expected, rel=1e-12)
    saturating = np.mean(np.log(1 - probability(fake)))
    assert losses.self_critic_loss(tensor).item() == pytest.approx(saturating, rel=1e-12)
    other = -np.mean(np.log(probability(fake)))
    assert losses.self_critic_loss(tensor, "non-saturating").item() == pytest.approx(other, rel=1e-12)
    with pytest.raises(ValueError, match="'wasserstein'"):
        losses.self_critic_loss(tensor, "wasserstein")


@pytest.mark.parametrize("form", ["saturating", "non-saturating"])
def test_regressor_and_critic_pull_in_opposite_directions(form):
    logits = torch.zeros(3, dtype=torch.double, requires_grad=True)
    (critic,) = torch.autograd.grad(losses.critic_loss(torch.zeros(1), logits), logits)
    (regressor,) = torch.autograd.grad(losses.self_critic_loss(logits, form), logits)
    assert (critic > 0).all()
    assert (regressor < 0).all()


def test_adversarial_losses_do_not_overflow():
    huge = torch.tensor([1e4, -1e4], requires_grad=True)
    for loss in (
        losses.critic_loss(huge, huge),
        losses.self_critic_loss(huge),
        losses.self_critic_loss(huge, "non-saturating"),
    ):
        (gradient,) = torch.autograd.grad(loss, huge)
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("ignore_depth", [True, False])
def test_vertex_loss(face, basis, rng, ignore_depth):
    predicted, target = random_parameters(rng, 4), random_parameters(rng, 4)
    expected = []
    for p, t in zip(predicted, target, strict=True):
        p = p.copy()
        if ignore_depth:
            p[11] = t[11]
        every = np.arange(VERTICES)
        moved = reconstruct(face, p, every) - reconstruct(face, t, every)
        expected.append(np.mean(np.sum(moved**2, axis=1)))
    loss = losses.vertex_loss(
        basis, torch.from_numpy(predicted), torch.from_numpy(target), ignore_depth=ignore_depth
    )
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-9)


def test_gradients(basis, whitening, rng):
    target = torch.from_numpy(random_parameters(rng, 2))
    p = torch.from_numpy(random_parameters(rng, 2)).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: losses.vertex_loss(basis, p, target), p)
    # The weights of L3d are constants for the gradient, so there is no finite difference to check it with:
    # test_parameter_loss_takes_the_weights_as_constants does it in closed form.
    x = torch.from_numpy(rng.normal(size=(2, 18, 3))).requires_grad_()
    y = torch.from_numpy(rng.normal(size=(2, 18, 3))).requires_grad_()
    visible = torch.from_numpy(rng.random((2, 18)) < 0.7)
    for loss in (
        lambda x, y: losses.landmark_consistency_3d(x, y),
        lambda x, y: losses.landmark_consistency_2d(x[..., :2], y.detach()[..., :2], visible),
        lambda x, y: losses.cycle_loss(y.detach()[..., :2], x[..., :2], visible),
    ):
        assert torch.autograd.gradcheck(lambda x, y=y, loss=loss: loss(x, y), x)
    logits = torch.from_numpy(rng.normal(size=5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: losses.critic_loss(s, 0.5 * s), logits)
    for form in ("saturating", "non-saturating"):
        assert torch.autograd.gradcheck(lambda s, form=form: losses.self_critic_loss(s, form), logits)
