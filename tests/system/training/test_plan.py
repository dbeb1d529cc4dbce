"""Fitting a run to the machine: precision and steps; the trial leaves no trace."""

import copy
import time

import pytest
import torch
from twodasl.geometry.crops import SIZE
from twodasl.training.feed import Feed
from twodasl.training.loop import training_step
from twodasl.training.plan import TimeLimit, plan, with_shorter_stage2
from twodasl.training.setup import begin
from twodasl.training.state import contents

from ..tiny_runs import Dots, assert_same_state, tiny_config, tiny_run


def slow_step(seconds):
    """Stands for a training step that takes so long in each precision, and leaves its mark on the run."""
    calls = []

    def step(run, batch):
        precision = run.config.network.precision
        calls.append((precision, run.step))
        with torch.no_grad():
            run.networks.regressor.output.bias.add_(1)
        run.networks.regressor(torch.randn(2, 4, SIZE, SIZE))  # moves batch statistics and torch's generator
        time.sleep(seconds[precision])

    return step, calls


def begun(model, config):
    faces = Dots(model, 10)
    run = begin(config, "ball", model, faces, faces, torch.device("cpu"))
    return run, Feed(config, faces, faces, progress=False)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({"float32": 0.6, "bfloat16": 0.0}, "bfloat16"),
        ({"float32": 0.0, "bfloat16": 0.6}, "float32"),
    ],
)
def test_auto_precision_takes_the_faster_and_leaves_no_trace(ball_model, seconds, chosen):
    config = tiny_config(network={"precision": "auto"})
    run, feed = begun(ball_model, config)
    before = copy.deepcopy(contents(run))
    step, calls = slow_step(seconds)
    decided = plan(run, feed, step, time.monotonic())
    assert_same_state(contents(run), before)
    # Steps with a second pass and steps without, in both.
    assert set(calls) == {(precision, number) for precision in seconds for number in (0, 1)}
    assert decided == config.updated({"network": {"precision": chosen}})


def test_trial_steps_are_training_steps_and_leave_no_trace(ball_model):
    run, feed = begun(ball_model, tiny_config(network={"precision": "auto"}, optimizer={"ema": 0.9}))
    before = copy.deepcopy(contents(run))
    seen = []

    def step(trial, batch):
        seen.append(training_step(trial, batch))

    plan(run, feed, step, time.monotonic())
    assert {"parameters", "cycle", "critic"} <= set(seen[0])
    assert seen[0] != seen[1]  # the weights moved
    assert_same_state(contents(run), before)


def test_a_settled_configuration_is_its_own_plan(ball_model):
    for config, resumed in ((tiny_config(), False), (tiny_config(network={"precision": "auto"}), True)):
        run, feed = begun(ball_model, config)
        run.resumed = resumed
        assert plan(run, feed, None, 0.0) is config  # without a trial step


def test_a_time_limit_shortens_both_stages(ball_model):
    config = tiny_config(time_limit=1e6, stage1={"steps": 400, "warmup": 40}, stage2={"steps": 600})
    run, feed = begun(ball_model, config)
    step, _ = slow_step({"float32": 0.1})
    assert plan(run, feed, step, time.monotonic()) == config
    run.config = config.updated({"time_limit": 50.0})
    fit = plan(run, feed, step, time.monotonic())
    # A step takes 0.1 s and a little more for the small network: just under 500 of the 1000 steps fit.
    assert 150 < fit.steps <= 500
    assert fit.stage1.steps / fit.steps == pytest.approx(0.4, abs=0.01)
    assert fit.stage1.warmup == pytest.approx(0.1 * fit.stage1.steps, abs=1)
    assert plan(run, feed, step, time.monotonic() - 53.0).steps == 100


def test_a_slow_first_stage_shortens_the_second():
    config = tiny_config(time_limit=10.0, stage1={"steps": 400}, stage2={"steps": 600, "warmup": 60})
    assert with_shorter_stage2(config, seconds=0.1, remaining=61.0) == config
    half = with_shorter_stage2(config, seconds=0.2, remaining=60.0)
    assert (half.stage1, half.stage2.steps, half.stage2.warmup) == (config.stage1, 300, 30)
    assert with_shorter_stage2(config, seconds=0.2, remaining=-5.0).stage2.steps == 150
    only = tiny_config(stage1={"steps": 400}, stage2={"steps": 0})
    assert with_shorter_stage2(only, seconds=0.2, remaining=-5.0) == only


def test_the_time_limit_looks_once_at_the_end_of_stage_1(ball_model):
    config = tiny_config(time_limit=10.0, stage2={"steps": 100})
    run, _ = begun(ball_model, config)
    hook = TimeLimit(time.monotonic() - 11.0)
    for run.step in (3, 5):
        hook.after_step(run, {})
        assert run.config is config
    run.step = 4
    hook.after_step(run, {})
    assert run.config.stage2.steps == 25


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
