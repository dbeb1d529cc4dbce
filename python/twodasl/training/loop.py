"""The training loop: both stages of the paper, from the first step to the last, in the order they happen.

`model.py` has the networks and the terms of the objective, `losses.py` each of them as one expression.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..arguments import flag, path_of, whole_number
from ..devices import usable_device
from ..distributed import Ranks
from ..io.locks import own_folder
from ..morphable import MorphableModel, Whitening
from ..workers import refuse_import
from .board import FOLDER, SHOWN, Board
from .config import TrainingConfig
from .feed import Feed
from .hooks import Callback, Checkpoints, Hook, Progress
from .journal import Journal
from .model import StepBatch, critic_term, regressor_objective, term_weights
from .plan import TimeLimit, plan
from .setup import set_up
from .signals import StopSignals
from .state import CHECKPOINT, Run
from .streams import WORKERS, FaceDataset
from .watch import METRICS, Metrics, Stopwatch, check_finite, naming_faces


@dataclass(frozen=True)
class TrainingResult:
    """What a finished run leaves behind."""

    regressor: nn.Module
    """In evaluation mode; of averaged weights where the run averages them."""
    whitening: Whitening
    model: MorphableModel
    config: TrainingConfig
    history: list[dict[str, float]]
    """Means over up to 20 steps each: step, learning_rate, total and the terms."""
    checkpoint: Path | None
    step: int
    """Steps done."""
    stopped_by: str
    """The signal that ended the run before its last step: SIGTERM or SIGINT; empty where none did."""


def train(
    config: TrainingConfig,
    *,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    model: MorphableModel | None = None,
    faces: FaceDataset | None = None,
    photos: FaceDataset | None = None,
    fitted: FaceDataset | None = None,
    device: torch.device | str = "cpu",
    callback: Callable[[Progress], None] | None = None,
    progress: bool = True,
    pictures_every: int = 0,
    stop_on_signals: bool = False,
) -> TrainingResult:
    """Train a regressor. In a process group of torch.distributed all processes call this, and train as one.

    Args:
        config: everything that decides the outcome. Same configuration, machine and libraries: same bits.
        output: folder for `checkpoint.pt` and `metrics.jsonl`; None keeps nothing on the disk.
        resume: go on from `output/checkpoint.pt`, bit for bit as if it had not stopped; without one, begin.
        model: the face model; None loads `config.data.model`.
        faces: 3D-annotated faces instead of those that `config.data` names, see `streams.FaceDataset`.
        photos: faces with 2D landmarks instead of those that `config.data` names.
        fitted: photos with 3D annotation instead of those of `config.data.fitted_source`.
        device: where to compute.
        callback: called after every step.
        progress: whether to show progress bars on a terminal, and elsewhere a line now and then.
        pictures_every: with a number, `output/tensorboard` has the curves, and pictures every so many steps.
        stop_on_signals: on SIGTERM or SIGINT finish the step, save, and return.

    Raises:
        InputError: a face model, data set or checkpoint that does not fit, a photo that cannot be read any
            more, an output folder that is in use, or a loss that is no longer finite (a file in `output`
            then names that step's faces).
    """
    started = time.monotonic()
    refuse_import(WORKERS)
    folder = None if output is None else path_of(output, "a folder", "output")
    resume, progress = flag(resume, "resume"), flag(progress, "progress")
    stop_on_signals = flag(stop_on_signals, "stop_on_signals")
    pictures_every = whole_number(pictures_every, "pictures_every", 0)
    ranks, device = Ranks.here(), usable_device(device)
    progress = progress and ranks.leads
    with ExitStack() as held:
        if folder is not None:
            ranks.from_leader(lambda: held.enter_context(own_folder(folder)))
        data = (model, faces, photos, fitted)
        run, faces, photos, fitted = set_up(config, folder, resume, data, device, progress)
        if run.ended:
            return _result(run, folder)
        feed = Feed(run.config, faces, photos, run.mirror, progress, fitted)
        run.config = plan(run, feed, training_step, started)
        watch = Stopwatch(run.device, ranks.count)
        hooks = _hooks(run, feed, folder, watch, started, progress, pictures_every, stop_on_signals, callback)
        for hook in hooks:
            held.enter_context(hook)
        held.enter_context(naming_faces(run, feed, folder))
        for batch in watch.timed(held.enter_context(closing(feed.steps(run.step, run.config.steps)))):
            terms = training_step(run, batch.to(run.device))
            run.record(terms)
            for hook in hooks:
                hook.after_step(run, terms)
            if run.ended:
                break
    return _result(run, folder)


def training_step(run: Run, batch: StepBatch) -> dict[str, float]:
    """The next step of a run, the regressor's and then encoder's and critic's; the values of all terms.

    batch: this process's share; it differentiates its part of the mean, and the sum is the whole batch's.
    """
    config, networks = run.config, run.networks
    stage, step_of_stage = config.stage_at(run.step)
    for group in run.optimizer.param_groups:
        group["lr"] = stage.learning_rate_at(step_of_stage)

    weights = term_weights(config.loss, stage)
    second_pass = run.step % config.loss.second_pass_every == 0
    total, terms, whitened = regressor_objective(networks, batch, config, weights, second_pass)
    run.optimizer.zero_grad()
    run.scaler.scale(total / run.ranks.count).backward()
    run.ranks.sum_gradients(networks.regressor.parameters())
    run.scaler.unscale_(run.optimizer)
    norm = nn.utils.clip_grad_norm_(networks.regressor.parameters(), config.optimizer.clip or math.inf)
    # A scaled gradient may overflow: that step is skipped and the scale halved, down to 1.
    overflow = run.scaler.is_enabled() and run.scaler.get_scale() > 1
    values = run.ranks.means({"total": total, **terms})
    check_finite(values if overflow else {**values, "gradient": norm.item()}, run.step)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.average is not None:
        run.average.update(networks.regressor, run.step)

    if "self_critic" in terms:
        critic = critic_term(networks, batch, whitened)
        run.critic_optimizer.zero_grad()
        (critic / run.ranks.count).backward()
        run.ranks.sum_gradients(networks.adversaries())
        values |= run.ranks.means({"critic": critic})
        check_finite(values, run.step)
        run.critic_optimizer.step()
    return values


def _hooks(
    run: Run,
    feed: Feed,
    folder: Path | None,
    watch: Stopwatch,
    started: float,
    progress: bool,
    pictures_every: int,
    stop_on_signals: bool,
    callback: Callable[[Progress], None] | None,
) -> list[Hook]:
    """What happens after each step, in this order. Of several processes the first one writes."""
    written = folder if run.ranks.leads else None
    hooks: list[Hook] = []
    if run.config.time_limit and not run.resumed:
        hooks.append(TimeLimit(started))
    writers = []
    if written is not None:
        writers.append(Metrics(written / METRICS, run.history).append)
    if written is not None and pictures_every:
        hooks.append(board := Board(written / FOLDER, run, feed.first(*SHOWN), pictures_every))
        writers.append(board.scalars)
    hooks.append(Journal(run, watch, progress, writers))
    if callback is not None:
        hooks.append(Callback(callback))
    if stop_on_signals:
        hooks.append(StopSignals())
    if written is not None:
        hooks.append(Checkpoints(written))
    return hooks


def _result(run: Run, folder: Path | None) -> TrainingResult:
    return TrainingResult(
        regressor=run.networks.regressor.eval() if run.average is None else run.average.network,
        whitening=run.networks.whitening,
        model=run.model,
        config=run.config,
        history=run.history,
        checkpoint=None if folder is None else folder / CHECKPOINT,
        step=run.step,
        stopped_by=run.stopped_by,
    )
