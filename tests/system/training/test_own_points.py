"""Training a network that has points of its own: the likelihood of a batch, photos, stops and starts."""

import math

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.projection import crop_landmarks
from twodasl.landmarks import eighteen_from_68
from twodasl.training import TrainingConfig, load_checkpoint, losses
from twodasl.training.feed import prepare
from twodasl.training.model import likelihood, regressor_terms, term_weights
from twodasl.training.setup import begin
from twodasl.training.streams import LandmarksOnly, stack

from ..tiny_runs import Dots, Stop, assert_same_state, tiny_config, tiny_run

POINTS = {"network": {"points": 68}}


def naive(points, variance, target, visible=None):
    """Point by point, without the constant log(2 pi)."""
    faces = []
    for b in range(len(points)):
        terms = []
        for i in range(points.shape[1]):
            if visible is None or visible[b, i]:
                square = ((points[b, i] - target[b, i]) ** 2).sum()
                terms.append(square / (2 * variance[b, i]) + math.log(variance[b, i]))
        faces.append(sum(terms) / max(len(terms), 1))
    return sum(faces) / len(faces)


@pytest.fixture
def marks():
    rng = np.random.default_rng(0)
    points, target = rng.normal(60, 9, (3, 5, 2)), rng.normal(60, 9, (3, 5, 2))
    return points, rng.uniform(0.5, 9, (3, 5)), target, rng.random((3, 5)) > 0.4


def test_likelihood_by_hand(marks):
    points, variance, target, visible = marks
    tensors = [torch.from_numpy(x) for x in (points, variance, target)]
    for seen in (None, visible):
        found = losses.point_likelihood(*tensors, None if seen is None else torch.from_numpy(seen))
        assert float(found) == pytest.approx(naive(points, variance, target, seen), rel=1e-13)


def test_likelihood_is_that_of_two_normal_distributions(marks):
    points, variance, target, _ = (torch.from_numpy(x) for x in marks)
    normal = torch.distributions.Normal(points, variance[..., None].sqrt())
    wanted = -(normal.log_prob(target) + 0.5 * math.log(2 * math.pi)).sum(2).mean()
    torch.testing.assert_close(losses.point_likelihood(points, variance, target), wanted)


def test_gradients_of_the_likelihood(marks):
    points, variance, target, visible = (torch.from_numpy(x) for x in marks)
    target[~visible] = torch.nan
    points.requires_grad_()
    variance.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, s: losses.point_likelihood(x, s, target, visible), (points, variance)
    )
    losses.point_likelihood(points, variance, target, visible).backward()
    assert (points.grad[~visible] == 0).all()
    assert (variance.grad[~visible] == 0).all()


def test_the_best_variance_is_the_mean_squared_error_of_an_axis():
    points = torch.zeros(1, 1, 2, dtype=torch.float64)
    target = torch.tensor([[[3.0, 1.0]]], dtype=torch.float64)
    variance = torch.tensor([[5.0]], dtype=torch.float64, requires_grad=True)
    losses.point_likelihood(points, variance, target).backward()
    assert float(variance.grad) == pytest.approx(0, abs=1e-15)


def test_the_mean_over_two_halves_is_that_of_the_whole(marks):
    """Two processes that have a half each do what one does."""
    points, variance, target, visible = (torch.from_numpy(np.concatenate([x, x[::-1]])) for x in marks)
    visible[0, :4] = False
    halves = [
        losses.point_likelihood(points[h], variance[h], target[h], visible[h])
        for h in (slice(0, 3), slice(3, 6))
    ]
    whole = losses.point_likelihood(points, variance, target, visible)
    torch.testing.assert_close(sum(halves) / 2, whole)


def test_no_visible_point_costs_nothing(marks):
    points, variance, target, visible = (torch.from_numpy(x) for x in marks)
    points.requires_grad_()
    loss = losses.point_likelihood(points, variance, target * torch.nan, torch.zeros_like(visible))
    loss.backward()
    assert loss.item() == 0
    assert (points.grad == 0).all()


def test_a_batch_counts_all_points_of_known_faces_and_what_is_marked_of_others(ball_model):
    faces = Dots(ball_model, 8)
    truth = torch.stack([faces.parameters(i) for i in range(3)])
    generator = torch.Generator().manual_seed(0)
    places = 60 + 9 * torch.randn(5, 68, 2, generator=generator)
    variance = 1 + torch.rand(5, 68, generator=generator)
    observed = 60 + 9 * torch.randn(5, 18, 2, generator=generator)
    visible = torch.rand(5, 18, generator=generator) > 0.3
    observed[~visible] = torch.nan
    marks = crop_landmarks(ball_model.basis(), truth)[..., :2]
    found = likelihood(places, variance.sqrt(), marks, observed, visible)
    known = naive(*(x.double().numpy() for x in (places[:3], variance[:3], marks)))
    means = [eighteen_from_68(x).double().numpy() for x in (places[3:], variance[3:, :, None])]
    others = naive(means[0], means[1][..., 0], observed[3:].double().numpy(), visible[3:].numpy())
    assert float(found) == pytest.approx((3 * known + 2 * others) / 5, rel=1e-5)


def test_a_batch_without_photos(ball_model):
    truth = Dots(ball_model, 8).parameters(0)[None].expand(2, -1)
    marks = crop_landmarks(ball_model.basis(), truth)[..., :2]
    blank = torch.zeros(2, 18, 2)
    # Where all is right, the logarithm of the variance is left.
    found = likelihood(marks, torch.full((2, 68), 2.0), marks, blank, blank[..., 0] > 0)
    assert float(found) == pytest.approx(math.log(4), rel=1e-6)


@pytest.mark.parametrize("points", [18, 21])
def test_photos_with_either_number_of_points(points):
    """AFLW's 21 have ears and a chin that the network's own points do not answer for."""
    from twodasl.morphable import load_model

    head = load_model("procedural")
    config = tiny_config(**POINTS, loss={"points": points})
    faces = Dots(head, 8)
    run = begin(config, "head", head, faces, faces, torch.device("cpu"))
    photos = stack([LandmarksOnly(faces)[i] for i in range(4)])
    batch = prepare([stack([faces[i] for i in range(4)]), photos], config, 0)
    weights = term_weights(config.loss, config.stage1)
    terms, whitened = regressor_terms(run.networks, batch, config, weights, second_pass=False)
    assert whitened.shape == (8, 12 + len(head.coefficient_std))
    assert terms["likelihood"].isfinite()


def test_it_is_a_term_only_where_the_network_has_points(ball_model):
    for settings, there in (
        (POINTS, True),
        ({}, False),
        ({**POINTS, "loss": {"likelihood": 0.0}}, False),
    ):
        result = tiny_run(ball_model, tiny_config(**settings))
        assert {"likelihood" in entry for entry in result.history} == {there}


def test_the_other_losses_do_not_know_of_the_points(ball_model):
    """With no weight on the likelihood, the parameters' rows of the last layer learn as they do alone."""
    config = tiny_config(stage1={"steps": 1, "warmup": 0}, stage2={"steps": 0})
    faces = Dots(ball_model, 8)
    moved = []
    for settings in ({}, POINTS):
        changed = config.updated(settings)
        run = begin(changed, "ball", ball_model, faces, faces, torch.device("cpu"))
        if moved:
            from twodasl.networks import load_weights

            load_weights(run.networks.regressor, moved[0][0])
        state = {key: value.clone() for key, value in run.networks.regressor.state_dict().items()}
        photos = stack([LandmarksOnly(faces)[i] for i in range(4)])
        batch = prepare([stack([faces[i] for i in range(6)]), photos], changed, 0)
        weights = {**term_weights(changed.loss, changed.stage1), "likelihood": 0.0, "self_critic": 0.0}
        terms, _ = regressor_terms(run.networks, batch, changed, weights, second_pass=True)
        sum(weights[name] * term for name, term in terms.items()).backward()
        moved.append((state, run.networks.regressor.output.weight.grad))
    torch.testing.assert_close(moved[0][1], moved[1][1][:15], rtol=1e-4, atol=1e-6)
    assert (moved[1][1][15:] == 0).all()


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_stopped_run_goes_on_bit_for_bit(ball_model, tmp_path, ema):
    def stop(progress):
        if progress.step == 4:
            raise Stop

    config = tiny_config(**POINTS, optimizer={"ema": ema})
    tiny_run(ball_model, config, output=tmp_path / "whole")
    with pytest.raises(Stop):
        tiny_run(ball_model, config, output=tmp_path / "parts", callback=stop)
    tiny_run(ball_model, config, output=tmp_path / "parts", resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    assert_same_state(whole, parts)
    assert len(whole["regressor"]["output.weight"]) == 15 + 3 * 68


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_network_with_points_starts_from_one_without(ball_model, tmp_path, ema):
    tiny_run(ball_model, tiny_config(optimizer={"ema": ema}), output=tmp_path)
    file = tmp_path / "checkpoint.pt"
    saved = load_checkpoint(file)
    config = tiny_config(network={"points": 68, "start": str(file)})
    networks = begin(config, "ball", ball_model, Dots(ball_model, 8), None, torch.device("cpu")).networks
    state, given = networks.regressor.state_dict(), saved.get("average", saved["regressor"])
    assert torch.equal(state["output.weight"][:15], given["output.weight"])
    assert torch.equal(state["hidden.weight"], given["hidden.weight"])
    assert_same_state(networks.encoder.state_dict(), saved["encoder"])
    result = tiny_run(ball_model, config)
    assert math.isfinite(result.history[-1]["likelihood"])
    with pytest.raises(InputError, match=r"checkpoint\.pt: was trained with other networks than 'resnet50'"):
        begin(
            config.updated({"network": {"regressor": "resnet50"}}),
            "ball", ball_model, Dots(ball_model, 8), None, torch.device("cpu"),
        )  # fmt: skip


def test_a_checkpoint_with_points_is_loaded_with_them(ball_model, tmp_path):
    from twodasl.networks import split_output
    from twodasl.training import load_regressor

    tiny_run(ball_model, tiny_config(**POINTS), output=tmp_path)
    regressor, whitening, info = load_regressor(tmp_path / "checkpoint.pt")
    assert info["config"]["network"]["points"] == 68
    with torch.no_grad():
        said = split_output(regressor(torch.zeros(1, 4, 120, 120)), len(whitening.mean))
    assert said.points.shape == (1, 68, 2)


@pytest.mark.parametrize("count", [1, 18, -68, 69])
def test_other_numbers_of_points_are_refused(count):
    with pytest.raises(InputError, match=f"points: expected 0 or 68, got {count}"):
        TrainingConfig().updated({"network": {"points": count}})


def test_likelihood_under_bfloat16(ball_model):
    """Places and sigma leave the network as float32."""
    config = tiny_config(network={"points": 68, "precision": "bfloat16"})
    networks = begin(config, "ball", ball_model, Dots(ball_model, 8), None, torch.device("cpu")).networks
    said = networks.regress(torch.randn(2, 4, 120, 120), "bfloat16")
    assert {values.dtype for values in said} == {torch.float32}
    assert math.isfinite(tiny_run(ball_model, config).history[-1]["likelihood"])
