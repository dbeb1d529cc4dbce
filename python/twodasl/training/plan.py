"""What a configuration leaves open, decided before the first step: the arithmetic, and how many steps fit.

A plan is a configuration with nothing left open. It is what the checkpoint holds, so that the checkpoint's
configuration reproduces the run.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..morphable import MorphableModel
from .checkpoint import check_model
from .config import TrainingConfig
from .feed import Feed
from .hooks import Hook
from .model import StepBatch
from .state import Run, contents, restore

# bfloat16 must win by this factor: where it is about as fast, the more exact arithmetic is the better one.
_WORTH = 1.15
# A time limit never cuts a run below this share of its steps.
_LEAST = 0.1
# Nor stage 2, once more, below this share of what the trial left of it: the learning rate must come down.
_LEAST_OF_STAGE_2 = 0.25
# Trial steps for one measurement, after one that warms up.
_TRIALS = 3


Step = Callable[[Run, StepBatch], object]


def plan(run: Run, feed: Feed, step: Step, started: float) -> TrainingConfig:
    """The run's configuration, `network.precision = "auto"` decided and the steps fitted to the time left.

    A few trial steps tell how fast this machine is; they leave no trace in the run. A resumed run keeps the
    plan that its checkpoint holds. Of several processes the first one decides.

    Args:
        feed: has the faces to try with.
        step: does one training step of the run that it is given, as that one's configuration says.
        started: `time.monotonic()` when the run began; `time_limit` counts from there.
    """
    config = run.config
    if run.resumed or (config.network.precision != "auto" and not config.time_limit):
        return config
    choices = ("float32", "bfloat16") if config.network.precision == "auto" else (config.network.precision,)
    remaining = config.time_limit - (time.monotonic() - started)
    batch = feed.first().to(run.device)
    before = copy.deepcopy(contents(run))
    seconds = {
        choice: _seconds_per_step(replace(run, config=_with_precision(config, choice)), step, batch)
        for choice in choices
    }
    restore(run, before, Path("trial"))
    precision = min(choices, key=lambda choice: seconds[choice] * (_WORTH if choice == "bfloat16" else 1))
    decided = _with_precision(config, precision)
    if config.time_limit:
        share = max(_LEAST, min(1.0, remaining / (seconds[precision] * config.steps)))
        decided = _shortened(decided, share)
    return run.ranks.from_leader(lambda: decided)


def resumed_config(
    path: Path, saved: dict[str, Any], config: TrainingConfig, model: MorphableModel
) -> TrainingConfig:
    """The configuration of a run to go on with: the one asked for, with what was decided when the run began.

    The name of the preset is a note, and stays what it was. Raises InputError when the checkpoint belongs to
    another face model or configuration.
    """
    check_model(path, saved, model)
    began = TrainingConfig.from_dict(saved["config"], where=str(path))
    config = replace(config, preset=began.preset)
    if config.network.precision == "auto":
        precision = began.network.precision
        config = replace(config, network=replace(config.network, precision=precision))
    # A run whose checkpoint does not say so began before losses could be compiled.
    settled = "off" if began.loss.compile == "auto" else began.loss.compile
    began = replace(began, loss=replace(began.loss, compile=settled))
    if config.loss.compile == "auto":
        config = replace(config, loss=replace(config.loss, compile=settled))
    if config.time_limit:
        stage1 = replace(config.stage1, steps=began.stage1.steps, warmup=began.stage1.warmup)
        stage2 = replace(config.stage2, steps=began.stage2.steps, warmup=began.stage2.warmup)
        config = replace(config, stage1=stage1, stage2=stage2)
    if differences := began.differences(config):
        raise InputError(
            f"{path}: the run began with another configuration: {', '.join(differences)}; resume with the"
            " same, or choose another folder"
        )
    return config


class TimeLimit(Hook):
    """Shortens stage 2 when stage 1 took longer than the trial steps promised: a machine may be shared.

    Args:
        started: `time.monotonic()` when the run began, preparations included.
    """

    def __init__(self, started: float) -> None:
        self._started, self._first_step = started, time.monotonic()

    def after_step(self, run: Run, terms: dict[str, float]) -> None:
        """At the end of stage 1, decide once more how long stage 2 is."""
        if run.step != run.config.stage1.steps:
            return
        now = time.monotonic()
        seconds, remaining = (
            (now - self._first_step) / run.step,
            run.config.time_limit - (now - self._started),
        )
        run.config = run.ranks.from_leader(lambda: with_shorter_stage2(run.config, seconds, remaining))


def with_shorter_stage2(config: TrainingConfig, seconds: float, remaining: float) -> TrainingConfig:
    """The configuration at the end of stage 1, its second stage shortened to the time that is left.

    Args:
        seconds: a step of stage 1, on average.
        remaining: seconds for stage 2.
    """
    planned = config.stage2.steps
    if not planned:
        return config
    share = max(_LEAST_OF_STAGE_2, min(1.0, remaining / (seconds * planned)))
    steps = max(1, round(planned * share))
    stage = replace(config.stage2, steps=steps, warmup=round(config.stage2.warmup * share))
    return replace(config, stage2=stage)


def _with_precision(config: TrainingConfig, precision: str) -> TrainingConfig:
    return replace(config, network=replace(config.network, precision=precision))


def _seconds_per_step(trial: Run, step: Step, batch: StepBatch) -> float:
    """Mean over the steps with a second pass and those without, in their proportion."""
    every = trial.config.loss.second_pass_every
    with_second = _time(replace(trial, step=0), step, batch)
    if every == 1:
        return with_second
    return (with_second + (every - 1) * _time(replace(trial, step=1), step, batch)) / every


def _time(trial: Run, step: Step, batch: StepBatch) -> float:
    step(trial, batch)
    started = time.perf_counter()
    for _ in range(_TRIALS):
        step(trial, batch)
    if trial.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / _TRIALS


def _shortened(config: TrainingConfig, share: float) -> TrainingConfig:
    stages = [
        replace(stage, steps=round(stage.steps * share), warmup=round(stage.warmup * share))
        for stage in (config.stage1, config.stage2)
    ]
    if not stages[0].steps + stages[1].steps:
        stages[0] = replace(stages[0], steps=1)
    return replace(config, stage1=stages[0], stage2=stages[1])
