"""The priors of a fit: what they are made of, in which form they are kept, and measured on known errors."""

import json
import math

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.pose import pose_matrix
from twodasl.geometry.projection import crop_landmarks
from twodasl.morphable import Whitening, join_parameters
from twodasl.training.priors import FitPriors, measure_priors

PRIORS = FitPriors((0.1, 0.2, 0.4), (0.05, 0.1, 0.2), (1.0, 2.0, 8.0), (0.5, 1.0, 2.0), 1.5)


def test_the_pose_is_as_sure_as_the_yaw_lets_it():
    """At 15, 45 and 75 degrees as given, in between linear, beyond constant; left and right alike."""
    yaw = torch.deg2rad(torch.tensor([0.0, 15, -15, 30, -60, 75, 90]))
    found = PRIORS.pose_sigma(yaw)
    assert found.shape == (7, 7)
    assert found.dtype == torch.float32
    turn, growth, shift = found[:, 0], found[:, 3], found[:, 4]
    torch.testing.assert_close(turn, torch.tensor([0.1, 0.1, 0.1, 0.15, 0.3, 0.4, 0.4]))
    torch.testing.assert_close(growth, torch.tensor([0.05, 0.05, 0.05, 0.075, 0.15, 0.2, 0.2]))
    torch.testing.assert_close(shift, torch.tensor([1.0, 1, 1, 1.5, 5, 8, 8]))
    for column in (1, 2):
        assert torch.equal(found[:, column], turn)
    for column in (5, 6):
        assert torch.equal(found[:, column], shift)


def test_coefficients_are_in_the_models_deviations():
    spread = torch.tensor([2.0, 4.0, 1.0])
    torch.testing.assert_close(PRIORS.coefficient_sigma(spread), torch.tensor([1.0, 4.0, 2.0]))
    assert torch.equal(FitPriors().coefficient_sigma(spread), spread)


@pytest.mark.parametrize("priors", [PRIORS, FitPriors()])
def test_they_come_back_from_json(priors):
    assert FitPriors.from_dict(json.loads(json.dumps(priors.to_dict())), 3, "x") == priors


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("turn", [1, 2], "priors.turn: expected 3 numbers from 1e-06 to 1e+06"),
        ("turn", "abc", "priors.turn: expected 3 numbers"),
        ("growth", [1, 2, 0], "priors.growth: expected 3 numbers"),
        ("growth", [1, 2, True], "priors.growth: expected 3 numbers"),
        ("shift", [1, 2, math.nan], "priors.shift: expected 3 numbers"),
        ("shift", [1, 2, 10**400], "priors.shift: expected 3 numbers"),
        ("shift", [1, 2, 1e-300], "priors.shift: expected 3 numbers"),
        ("shift", None, "priors.shift: expected 3 numbers"),
        ("coefficients", [1, 1], "priors.coefficients: expected 0 or 3 numbers"),
        ("points", -1, "priors.points: expected a number from 1e-06 to 1e+06"),
        ("points", math.inf, "priors.points: expected a number"),
        ("points", [1], "priors.points: expected a number"),
    ],
)
def test_what_is_no_prior_is_named(key, value, message):
    with pytest.raises(InputError) as caught:
        FitPriors.from_dict({**PRIORS.to_dict(), key: value}, 3, "w.json")
    assert str(caught.value).startswith(f"w.json: {message}")


@pytest.mark.parametrize("values", [None, [], {}, {"turn": [1, 1, 1]}, {**PRIORS.to_dict(), "more": 1}])
def test_other_keys_are_refused(values):
    with pytest.raises(
        InputError, match=r"^w.json: priors: expected coefficients, growth, points, shift, turn$"
    ):
        FitPriors.from_dict(values, 3, "w.json")


class Known:
    """Faces whose pictures are empty: a stand-in for a network knows them by their number."""

    def __init__(self, parameters):
        self.all = parameters

    def __len__(self):
        return len(self.all)

    def __getitem__(self, index):
        image = torch.zeros(120, 120, 3, dtype=torch.uint8)
        return {"image": image, "parameters": self.all[index]}


class Answers(torch.nn.Module):
    def __init__(self, answers):
        super().__init__()
        self.answers, self.seen = answers, 0

    def forward(self, batch):
        assert (batch[:, 3] == -1).all()  # blank maps
        self.seen += len(batch)
        return self.answers[self.seen - len(batch) : self.seen]


def plain(size):
    return Whitening(torch.zeros(size), torch.ones(size))


def erring(model, count=900, yaws=(15.0, 45.0, 75.0)):
    """Truth, and answers with errors of known deviations that grow with the yaw."""
    rng = np.random.default_rng(0)
    modes = len(model.coefficient_std)
    yaw = np.radians(np.resize(yaws, count))
    grade = np.resize((1.0, 2.0, 3.0), count)
    angles = np.stack([np.zeros(count), yaw, np.zeros(count)], 1)
    off = angles + rng.normal(size=(count, 3)) * 0.02 * grade[:, None] * [1, 1, 0]
    scale = 0.45 * np.exp(rng.normal(size=count) * 0.03 * grade)
    shift = np.array([60.0, 61, 0]) + rng.normal(size=(count, 3)) * [1.5, 1.5, 0] * grade[:, None]
    coefficients = rng.normal(size=(count, modes))
    wrong = coefficients + rng.normal(size=(count, modes)) * np.array([0.5, 1.0, 0.01])

    def vectors(scale, angles, shift, coefficients):
        pose = pose_matrix(*(torch.from_numpy(np.asarray(x)) for x in (scale, angles, shift)))
        return join_parameters(pose, torch.from_numpy(coefficients)).float()

    truth = vectors(np.full(count, 0.45), angles, np.tile([60.0, 61, 0], (count, 1)), coefficients)
    return truth, vectors(scale, off, shift, wrong)


def test_errors_of_known_size_are_measured(ball_model):
    truth, found = erring(ball_model)
    spread = torch.from_numpy(ball_model.coefficient_std)
    priors = measure_priors(Answers(found), plain(truth.shape[1]), ball_model.basis(), spread, Known(truth))
    for grade, shift in zip((1, 2, 3), priors.shift, strict=True):
        assert shift == pytest.approx(1.5 * grade, rel=0.15)
    for grade, growth in zip((1, 2, 3), priors.growth, strict=True):
        assert growth == pytest.approx(0.03 * grade, rel=0.15)
    for grade, turn in zip((1, 2, 3), priors.turn, strict=True):
        assert turn == pytest.approx(0.02 * grade * math.sqrt(2 / 3), rel=0.15)
    # One that is known better than 0.3 is not believed to be.
    assert priors.coefficients == pytest.approx((0.5, 1.0, 0.3), rel=0.1)
    assert priors.points == 1.0


def test_a_network_that_is_too_sure_of_its_points_gets_a_factor(ball_model):
    truth, found = erring(ball_model, 300)
    marks = crop_landmarks(ball_model.basis(), truth)[..., :2]
    generator = torch.Generator().manual_seed(1)
    points = marks + 3 * torch.randn(marks.shape, generator=generator)
    places = ((points - 59.5) / 30).flatten(1)
    exponents = torch.full((300, 68), math.log(1.5 / 4))
    answers = torch.cat([found, places, exponents], dim=1)
    spread = torch.from_numpy(ball_model.coefficient_std)
    priors = measure_priors(Answers(answers), plain(15), ball_model.basis(), spread, Known(truth))
    assert priors.points == pytest.approx(3 / 1.5, rel=0.05)


def test_a_few_faces_that_are_wholly_wrong_do_not_matter_much(ball_model):
    truth, found = erring(ball_model)
    spread = torch.from_numpy(ball_model.coefficient_std)

    def measured(answers):
        return measure_priors(Answers(answers), plain(15), ball_model.basis(), spread, Known(truth))

    wrong = found.clone()
    wrong[::100, 3] += 1e4
    for usual, among_others in zip(measured(found).shift, measured(wrong).shift, strict=True):
        assert usual <= among_others < 1.3 * usual


def test_a_network_without_errors_still_has_priors_that_can_be_kept(ball_model):
    truth, _ = erring(ball_model, 60)
    spread = torch.from_numpy(ball_model.coefficient_std)
    priors = measure_priors(Answers(truth), plain(15), ball_model.basis(), spread, Known(truth))
    assert FitPriors.from_dict(priors.to_dict(), 3, "x") == priors
    assert max(priors.turn + priors.growth + priors.shift) < 1e-3


def test_nothing_to_measure_and_nothing_measured_are_refused(ball_model):
    truth, found = erring(ball_model, 6)
    spread, basis = torch.from_numpy(ball_model.coefficient_std), ball_model.basis()
    with pytest.raises(
        InputError, match=r"^priors: expected faces to measure the network's errors on, got none$"
    ):
        measure_priors(Answers(found), plain(15), basis, spread, Known(truth[:0]))
    found[3, 2] = math.nan
    with pytest.raises(
        InputError, match=r"^priors: the network gives NaN or infinity; take an earlier checkpoint$"
    ):
        measure_priors(Answers(found), plain(15), basis, spread, Known(truth))


def test_wider_priors_leave_the_coefficients():
    given = FitPriors((0.1, 0.2, 0.3), (0.01, 0.02, 0.03), (1.0, 2.0, 3.0), (0.5, 1.5), 0.8)
    wide = given.widened(2.0)
    assert wide.turn == (0.2, 0.4, 0.6)
    assert wide.growth == (0.02, 0.04, 0.06)
    assert wide.shift == (2.0, 4.0, 6.0)
    assert wide.points == 1.6
    assert wide.coefficients == given.coefficients
