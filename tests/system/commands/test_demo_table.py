"""The demo's table: landmarks of a network's parameters, with points of its own beside them and without."""

import pytest
import torch
from twodasl.commands.demo.training import _landmarks
from twodasl.geometry.projection import crop_landmarks
from twodasl.morphable import Whitening

from ..tiny_runs import Dots


@pytest.mark.parametrize("points", [0, 68])
def test_the_table_measures_the_parameters(ball_model, points):
    truth = torch.stack([Dots(ball_model, 3).parameters(index) for index in range(3)])
    output = torch.cat([truth, torch.ones(3, 3 * points)], dim=1)
    found = _landmarks(
        lambda inputs: output,
        Whitening(torch.zeros(15), torch.ones(15)),
        ball_model,
        torch.zeros(3, 4, 120, 120),
    )
    assert (found == crop_landmarks(ball_model.basis(), truth)[..., :2].numpy()).all()
