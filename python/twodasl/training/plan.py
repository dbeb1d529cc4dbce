"""Fitting a run to the machine: the faster arithmetic, and no more steps than the time allows."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from .config import TrainingConfig
from .state import Run, contents, restore

# bfloat16 must win by this factor: where it is about as fast, the more exact arithmetic is the better one.
_WORTH = 1.15
# A time limit never cuts a run below this share of its steps.
_LEAST = 0.1
# Nor stage 2, once more, below this share of what the trial left of it: the learning rate must come down.
_LEAST_OF_STAGE_2 = 0.25
# Trial steps for one measurement, after one that warms up.
_TRIALS = 3


def fitted(run: Run, step: Callable[[int], object], remaining: float) -> TrainingConfig:
    """The configuration with `network.precision = "auto"` decided and the steps fitted to the time left.

    What is decided is written into the configuration, so that the checkpoint's reproduces the run. The trial
    steps leave no trace in the run.

    Args:
        step: does the training step of a number, on `run`.
        remaining: seconds for all steps; without a `time_limit` it is not looked at.
    """
    config = run.config
    if config.network.precision != "auto" and not config.time_limit:
        return config
    choices = ["float32", "bfloat16"] if config.network.precision == "auto" else [config.network.precision]
    before = copy.deepcopy(contents(run))
    seconds = {}
    for precision in choices:
        run.networks.precision = precision
        seconds[precision] = _seconds_per_step(run, step)
    restore(run, before, Path("trial"))
    precision = min(choices, key=lambda name: seconds[name] * (_WORTH if name == "bfloat16" else 1))
    run.networks.precision = precision
    config = replace(config, network=replace(config.network, precision=precision))
    if config.time_limit:
        share = max(_LEAST, min(1.0, remaining / (seconds[precision] * config.steps)))
        config = _shortened(config, share)
    return config


def refitted(config: TrainingConfig, seconds: float, remaining: float) -> TrainingConfig:
    """The configuration at the end of stage 1, its second stage shortened to the time that is left.

    A machine that others use as well slows down after the trial steps; what stage 1 took tells.

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


def _seconds_per_step(run: Run, step: Callable[[int], object]) -> float:
    """Mean over the steps with a second pass and those without, in their proportion."""
    every = run.config.loss.second_pass_every
    with_second = _time(run, step, 0)
    if every == 1:
        return with_second
    return (with_second + (every - 1) * _time(run, step, 1)) / every


def _time(run: Run, step: Callable[[int], object], number: int) -> float:
    step(number)
    started = time.perf_counter()
    for _ in range(_TRIALS):
        step(number)
    if run.networks.whitening.mean.is_cuda:
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
