"""Fitting a run to the machine: precision and steps; the trial leaves no trace."""

import copy
import time

import pytest
import torch
from twodasl.geometry.crops import SIZE
from twodasl.training.pace import fitted, refitted
from twodasl.training.state import begin, contents

from ..tiny_runs import Dots, assert_same_state, tiny_config, tiny_run


def slow_step(run, seconds):
    """Stands for a training step that takes so long in each precision, and leaves its mark on the run."""
    calls = []

    def step(number):
        calls.append((run.networks.precision, number))
        with torch.no_grad():
            run.networks.regressor.output.bias.add_(1)
        run.networks.regressor(torch.randn(2, 4, SIZE, SIZE))  # moves batch statistics and torch's generator
        time.sleep(seconds[run.networks.precision])

    return step, calls


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"float32": 0.6, "bfloat16": 0.0}, "bfloat16"),
        ({"float32": 0.0, "bfloat16": 0.6}, "float32"),
    ],
)
def test_auto_precision_takes_the_faster_and_leaves_no_trace(ball_model, seconds, chosen):
    config = tiny_config(network={"precision": "auto"})
    faces = Dots(ball_model, 10)
    run = begin(config, "ball", ball_model, faces, faces, torch.device("cpu"))
    before = copy.deepcopy(contents(run))
    step, calls = slow_step(run, seconds)
    fit = fitted(run, step, 0.0)
    assert_same_state(contents(run), before)
    assert {precision for precision, _ in calls} == {"float32", "bfloat16"}
    assert fit == config.updated({"network": {"precision": chosen}})
    assert run.networks.precision == chosen


def test_a_time_limit_shortens_both_stages(ball_model):
    config = tiny_config(time_limit=10.0, stage1={"steps": 400, "warmup": 40}, stage2={"steps": 600})
    faces = Dots(ball_model, 10)
    run = begin(config, "ball", ball_model, faces, faces, torch.device("cpu"))
    step, _ = slow_step(run, {"float32": 0.1})
    assert fitted(run, step, 1e6) == config
    fit = fitted(run, step, 50.0)
    # A step takes 0.1 s and a little more for the small network: just under 500 of the 1000 steps fit.
    assert 150 < fit.steps <= 500
    assert fit.stage1.steps / fit.steps == pytest.approx(0.4, abs=0.01)
    assert fit.stage1.warmup == pytest.approx(0.1 * fit.stage1.steps, abs=1)
    assert fitted(run, step, -3.0).steps == 100


def test_a_slow_first_stage_shortens_the_second():
    config = tiny_config(time_limit=10.0, stage1={"steps": 400}, stage2={"steps": 600, "warmup": 60})
    assert refitted(config, seconds=0.1, remaining=61.0) == config
    half = refitted(config, seconds=0.2, remaining=60.0)
    assert (half.stage1, half.stage2.steps, half.stage2.warmup) == (config.stage1, 300, 30)
    assert refitted(config, seconds=0.2, remaining=-5.0).stage2.steps == 150
    only = tiny_config(stage1={"steps": 400}, stage2={"steps": 0})
    assert refitted(only, seconds=0.2, remaining=-5.0) == only


def test_runs_that_fit_themselves_can_be_resumed(ball_model, tmp_path):
    config = tiny_config(
        network={"precision": "auto"}, time_limit=0.001, stage1={"steps": 40}, stage2={"steps": 20}
    )
    first = tiny_run(ball_model, config, output=tmp_path)
    # A tenth of both stages, 4 + 2, and of the second, when stage 1 was over time, the one step that must be.
    assert first.config.steps == 5
    assert first.config.network.precision in ("float32", "bfloat16")
    assert first.history[-1]["step"] == 5
    again = tiny_run(ball_model, config, output=tmp_path, resume=True)
    assert again.config == first.config
    # The checkpoint's configuration, which names what was decided, reproduces the run.
    repeated = tiny_run(ball_model, first.config.updated({"time_limit": 0.0}))
    assert repeated.history == first.history
    assert_same_state(repeated.regressor.state_dict(), first.regressor.state_dict())
