"""A step's losses in few operators: their number, and that they are what the definitions give."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from twodasl.geometry.projection import crop_landmarks
from twodasl.landmarks import eighteen_from_68, twenty_one_from_68
from twodasl.training import losses
from twodasl.training.config import LossConfig, StageConfig, TrainingConfig
from twodasl.training.model import Networks, regressor_terms, term_weights, weighted_sum

from benchmarks.training import launches
from benchmarks.training.step_data import make_step
from twodasl_ext import MorphableBasis, importance_weights

STAGE = StageConfig(parameters=1.0, vertices=1.0)


def squares_by_importance(basis, whitening, predicted, target, loss):
    weights = importance_weights(basis, predicted, target, space=loss.space, normalize=loss.normalize)
    if not loss.importance:
        weights = torch.ones_like(predicted[0])
        weights[8 if loss.space == "2d" else 11 : 12] = 0
        weights = weights / weights.sum() if loss.normalize == "sum" else weights
    return (weights * ((predicted - target) / whitening.std).square()).sum(dim=1).mean()


def likelihood(points, variance, target, seen):
    square = (points - torch.where(seen[..., None], target, points)).square().sum(dim=2)
    terms = torch.where(seen, square / (2 * variance) + variance.log(), 0)
    return (terms.sum(dim=1) / seen.sum(dim=1).clamp_min(1)).mean()


def by_definition(step, loss):
    """Every term as its formula reads, one after the other, differentiated by torch."""
    networks, faces, count = step.networks, step.faces, len(step.faces.parameters)
    basis, whitening = networks.basis, networks.whitening

    def project(parameters):
        points = crop_landmarks(basis, parameters, networks.eared)
        if networks.eared is None:
            return eighteen_from_68(points)
        return twenty_one_from_68(points[:, :68], ears=points[:, 68:])

    first, second = (whitened * whitening.std + whitening.mean for whitened in (step.first, step.second))
    points, returned = project(first), project(second)
    equal = None if loss.landmark_weights else losses.equal_weights(points)
    truth = crop_landmarks(basis, faces.parameters)[..., :2]
    places, variance = networks.places, networks.sigma.square()
    observed, visible = faces.observed[count:], faces.visible[count:]
    if networks.eared is not None:
        kept = [i for i in range(21) if i not in (12, 16, 20)]
        observed, visible = observed[:, kept], visible[:, kept]
    known = likelihood(places[:count], variance[:count], truth, torch.ones(count, 68, dtype=torch.bool))
    spread = eighteen_from_68(variance[count:, :, None])[..., 0]
    others = likelihood(eighteen_from_68(places[count:]), spread, observed, visible)
    return {
        "parameters": squares_by_importance(basis, whitening, first[:count], faces.parameters, loss),
        "vertices": losses.vertex_loss(basis, first[:count], faces.parameters),
        "landmarks_2d": losses.landmark_consistency_2d(points[..., :2], faces.observed, faces.visible, equal),
        "landmarks_3d": losses.landmark_consistency_3d(points, returned),
        "cycle": losses.cycle_loss(faces.observed, returned[..., :2], faces.visible),
        "self_critic": losses.self_critic_loss(step.fake, loss.adversarial),
        "likelihood": (known * count + others * len(observed)) / len(places),
    }


def doubled(step):
    """The same in float64, which shows what is rounding."""
    basis = MorphableBasis(
        step.networks.basis.mean,
        step.networks.basis.modes,
        step.networks.basis.landmarks,
        storage=torch.float64,
    )
    first, second, fake, real, places, sigma = (
        leaf.detach().double().requires_grad_() for leaf in step.leaves
    )
    networks = replace(
        step.networks,
        regressor=type(step.networks.regressor)(first, second),
        critic=type(step.networks.critic)(fake),
        basis=basis,
        whitening=copy.deepcopy(step.networks.whitening).double(),
        places=places,
        sigma=sigma,
    )
    faces = replace(
        step.faces, observed=step.faces.observed.double(), parameters=step.faces.parameters.double()
    )
    return replace(step, networks=networks, faces=faces, first=first, second=second, fake=fake, real=real)


def small_step(points=18):
    step = make_step(8, points=True, vertices=300)
    if points == 21:
        eared = torch.cat([step.networks.basis.landmarks, torch.tensor([5, 11])])
        step.networks = replace(step.networks, eared=eared)
        extra = 60 + torch.arange(48.0).view(8, 3, 2)
        step.faces.observed = torch.cat([step.faces.observed, extra], dim=1)
        step.faces.visible = torch.cat([step.faces.visible, step.faces.visible[:, :3]], dim=1)
    step.faces.visible[7] = False  # a photo whose marks are all gone
    step.faces.observed[~step.faces.visible] = torch.nan
    return step


def gradients(terms, leaves):
    weights = term_weights(LossConfig(), STAGE)
    return torch.autograd.grad(weighted_sum(terms, weights), leaves, allow_unused=True)


@pytest.mark.parametrize("points", [18, 21])
@pytest.mark.parametrize(
    "loss",
    [
        LossConfig(),
        LossConfig(landmark_weights=False, importance=False, space="2d"),
        LossConfig(normalize="max", adversarial="non-saturating"),
    ],
)
def test_terms_and_gradients_are_those_of_the_definitions(points, loss):
    """Of float64 to rounding, and of float32 as near to them as the definitions in float32 are."""
    loss = replace(loss, points=points)
    config, single = TrainingConfig(loss=loss), small_step(points)
    double = doubled(single)
    expected = by_definition(double, loss)
    wanted = gradients(expected, double.leaves)
    for step, tolerance in ((double, 1e-11), (single, 2e-5)):
        step.rewind()
        found, _ = regressor_terms(step.networks, step.faces, config, term_weights(loss, STAGE), True)
        assert set(found) == set(expected)
        for name, term in found.items():
            assert term.item() == pytest.approx(expected[name].item(), rel=tolerance), name
        for gradient, value in zip(gradients(found, step.leaves), wanted, strict=True):
            if value is not None:
                assert (gradient - value).norm() <= tolerance * value.norm()


def test_each_gradient_is_that_of_finite_differences():
    step = doubled(small_step())
    networks, faces, count = step.networks, step.faces, len(step.faces.parameters)
    with torch.no_grad():
        mean, std = networks.image_frame()
        points = networks.project(torch.addcmul(mean, step.first, std))
        truth = crop_landmarks(networks.basis, faces.parameters)[..., :2]
    first, second = (points + torch.randn_like(points) for _ in range(2))
    others = (faces.observed[count:], faces.visible[count:])
    assert torch.autograd.gradcheck(
        lambda a, b: losses.consistency(a, b, faces.observed, faces.visible),
        (first.requires_grad_(), second.requires_grad_()),
        fast_mode=True,
    )
    assert torch.autograd.gradcheck(
        lambda x, s: losses.mixed_likelihood(x, s, truth, *others),
        (networks.places, networks.sigma),
        fast_mode=True,
    )


def test_without_a_second_pass_the_first_is_the_same():
    step, config = small_step(), TrainingConfig()
    weights = term_weights(config.loss, STAGE)
    found = []
    for second_pass in (True, False):
        step.rewind()
        found.append(regressor_terms(step.networks, step.faces, config, weights, second_pass)[0])
    assert set(found[0]) - set(found[1]) == {"landmarks_3d", "cycle"}
    torch.testing.assert_close(found[1]["landmarks_2d"], found[0]["landmarks_2d"])


def test_few_launches():
    """As many as docs/training.md says; the definitions as they stand above take more than twice as many."""
    rows = launches.table(8, vertices=300)
    assert rows["all terms"].total <= 76
    assert rows["likelihood"].total <= 30
    assert sum(row.total for name, row in rows.items() if name in term_weights(LossConfig(), STAGE)) == (
        rows["all terms"].total
    )
    step = make_step(8, points=True, vertices=300)
    plain = launches.launches(lambda: gradients(by_definition(step, LossConfig()), step.leaves))
    assert plain.total > 2 * rows["all terms"].total


def test_what_counts_as_a_launch():
    x = torch.ones(4, 6, requires_grad=True)
    counted = launches.launches(lambda: x.view(2, 12)[0] + torch.empty(12))
    assert dict(counted.of) == {"add": 1}
    counted = launches.launches(lambda: torch.autograd.grad(x[:2].sum(), x))
    assert dict(counted.of) == {"sum": 1, "ones_like": 1, "slice_backward": 2}


def test_nothing_waits_for_the_device():
    """No operator of a step's losses reads a number back, which a graph could not capture."""
    rows = launches.table(8, vertices=300)
    assert not {"_local_scalar_dense", "nonzero", "is_nonzero"} & set(rows["all terms"].of)


def test_networks_keep_the_points_of_their_losses():
    networks = small_step(21).networks
    assert isinstance(networks, Networks)
    assert networks.marks.vertex_count == 21
