"""The calibration of confidence: what it makes of clues, how it is fitted, and how weights keep it."""

import json
import math

import pytest
import torch
from twodasl.errors import InputError
from twodasl.training import load_checkpoint
from twodasl.training.confidence import Calibration, Clues, fitted_line, log_loss, probabilities
from twodasl.training.priors import FitPriors
from twodasl.training.trained import load_regressor
from twodasl.training.weights import read_weights, save_weights

KNOWN = Calibration((-4.0, -1.0, -18.0), (-1.5, -1.0, -3.0, -15.0), 1.4)


def scattered(count, columns, seed=0):
    """Clues from 0.1 to 100 % of a face."""
    generator = torch.Generator().manual_seed(seed)
    return 10 ** (torch.rand(count, columns, generator=generator, dtype=torch.float64) * 3 - 3)


def test_the_probability_is_the_logistic_function_of_a_line():
    line = -4 * math.log(0.03) - math.log(0.01) - 18
    assert KNOWN(Clues(0.03, 0.01)) == pytest.approx(1 / (1 + math.exp(-line)))
    marked = -1.5 * math.log(0.03) - math.log(0.01) - 3 * math.log(0.02) - 15
    assert KNOWN(Clues(0.03, 0.01, 0.02)) == pytest.approx(1 / (1 + math.exp(-marked)))


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e300, math.inf])
def test_clues_without_bounds_give_probabilities(value):
    for clues in (Clues(value, 0.01), Clues(0.01, value), Clues(value, value, value)):
        assert 0 <= KNOWN(clues) <= 1


def test_a_known_line_is_found_again():
    clues = scattered(20000, 2)
    line = torch.tensor([-2.0, -0.7, -9.0], dtype=torch.float64)
    chance = torch.rand(20000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = fitted_line(clues, chance < probabilities(clues, line))
    assert found == pytest.approx(line.tolist(), rel=0.06)


def test_a_clue_never_speaks_for_a_face():
    """The second one would, by these numbers; the first is then fitted alone."""
    clues = scattered(4000, 2)
    both = torch.tensor([-2.0, 1.0, -4.0], dtype=torch.float64)
    chance = torch.rand(4000, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    good = chance < probabilities(clues, both)
    first, second, _ = fitted_line(clues, good)
    assert second == 0
    assert first == pytest.approx(fitted_line(clues[:, :1], good)[0])
    assert first < -1


@pytest.mark.parametrize("outcome", [False, True])
def test_nothing_is_certain_where_all_scenes_end_alike(outcome):
    clues = scattered(100, 2)
    line = torch.tensor(fitted_line(clues, torch.full((100,), outcome)), dtype=torch.float64)
    said = probabilities(clues, line)
    expected = 101 / 102 if outcome else 1 / 102
    torch.testing.assert_close(said, torch.full_like(said, expected), rtol=0, atol=2e-3)


def test_separable_scenes_give_a_steep_line_of_finite_numbers():
    clues = scattered(500, 2)
    line = fitted_line(clues, clues[:, 0] < 0.03)
    assert all(map(math.isfinite, line))
    said = probabilities(torch.tensor([[0.01, 0.03], [0.1, 0.03]]).double(), torch.tensor(line).double())
    assert said[0] > 0.9
    assert said[1] < 0.1


def test_the_log_loss_is_least_where_what_is_said_comes_true():
    good = torch.tensor([True, True, True, False])
    losses = [log_loss(torch.full((4,), said), good) for said in (0.6, 0.75, 0.9)]
    assert losses[1] == min(losses)
    assert math.isfinite(log_loss(torch.zeros(4), good))


def test_it_comes_back_from_json():
    assert Calibration.from_dict(json.loads(json.dumps(KNOWN.to_dict())), "x") == KNOWN


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("alone", [1, 2], "confidence.alone: expected 3 numbers from -10000 to 10000"),
        ("alone", [1, 2, math.nan], "confidence.alone: expected 3 numbers"),
        ("alone", "abc", "confidence.alone: expected 3 numbers"),
        ("landmarks", [1, 2, 3], "confidence.landmarks: expected 4 numbers"),
        ("landmarks", [1, 2, 3, True], "confidence.landmarks: expected 4 numbers"),
        ("landmarks", [1, 2, 3, 1e300], "confidence.landmarks: expected 4 numbers"),
        ("photos", 0, "confidence.photos: expected a number above 0"),
        ("photos", None, "confidence.photos: expected a number above 0"),
    ],
)
def test_what_is_no_calibration_is_named(key, value, message):
    with pytest.raises(InputError) as caught:
        Calibration.from_dict({**KNOWN.to_dict(), key: value}, "w.json")
    assert str(caught.value).startswith(f"w.json: {message}")


@pytest.mark.parametrize("values", [[], {}, 3, {**KNOWN.to_dict(), "more": 1}])
def test_other_keys_are_refused(values):
    with pytest.raises(InputError, match=r"^w.json: confidence: expected alone, landmarks, photos$"):
        Calibration.from_dict(values, "w.json")


@pytest.mark.parametrize("confidence", [None, KNOWN])
def test_weights_keep_it_or_go_without(tmp_path, lively_checkpoint, confidence):
    file = tmp_path / "w.safetensors"
    save_weights(file, load_checkpoint(lively_checkpoint), FitPriors(), {}, confidence)
    assert ("confidence" in json.loads(file.with_suffix(".json").read_text())) == (confidence is not None)
    assert read_weights(file)["confidence"] == confidence
    assert load_regressor(file)[2]["confidence"] == confidence


def test_a_damaged_one_is_an_error(tmp_path, lively_checkpoint):
    file = tmp_path / "w.safetensors"
    save_weights(file, load_checkpoint(lively_checkpoint), FitPriors(), {}, KNOWN)
    side = file.with_suffix(".json")
    head = json.loads(side.read_text())
    head["confidence"]["alone"] = [1]
    side.write_text(json.dumps(head))
    with pytest.raises(InputError, match=r"w.json: confidence.alone: expected 3 numbers"):
        read_weights(file)


def test_it_is_described_where_a_clue_does_not_matter():
    assert KNOWN.describe().startswith("0.5 where the network's own sigma is 3.5 % of the face, 0.9 where")
    flat = Calibration((0.0, -1.0, -5.0), KNOWN.landmarks, 1.0)
    assert "no matter how much" in flat.describe()
