"""The training loop: both stages of the paper, from the first step to the last, in the order they happen."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ..arguments import flag, path_of, whole_number
from ..devices import usable_device
from ..distributed import Ranks, ToldElsewhere
from ..errors import InputError
from ..io.locks import own_folder
from ..morphable import MorphableModel, Whitening, load_model
from ..workers import refuse_import
from .checkpoint import save_checkpoint
from .config import TrainingConfig
from .datasets import configured_faces, configured_photos
from .feed import Feed, shares
from .journal import LOG_EVERY, Journal
from .objective import StepBatch, critic_term, regressor_terms, term_weights
from .pace import fitted, refitted
from .signals import StopSignals
from .state import CHECKPOINT, Run, begin, contents, restore, resumed_config, saved_run, share
from .streams import WORKERS, FaceDataset
from .watch import Stopwatch, name_batch


@dataclass(frozen=True)
class Progress:
    """What a callback sees after each step."""

    step: int
    """Steps done, from 1."""
    steps: int
    terms: dict[str, float]
    """The step's terms, not weighted; `critic` and `total` among them."""
    learning_rate: float
    regressor: nn.Module
    """In training mode; leave it so."""


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


class NotFinite(InputError):
    """A loss or a gradient that is no number any more."""


def train(
    config: TrainingConfig,
    *,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    model: MorphableModel | None = None,
    faces: FaceDataset | None = None,
    photos: FaceDataset | None = None,
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
        resume: go on from `output/checkpoint.pt`, bit for bit as if the run had not stopped; where there is
            no checkpoint yet, begin.
        model: the face model; None loads `config.data.model`.
        faces: 3D-annotated faces instead of those that `config.data` names, see `streams.StepBatch`.
        photos: faces with 2D landmarks instead of those that `config.data` names.
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
    refuse_import(WORKERS)
    folder = None if output is None else path_of(output, "a folder", "output")
    resume, progress = flag(resume, "resume"), flag(progress, "progress")
    stop_on_signals = flag(stop_on_signals, "stop_on_signals")
    pictures_every = whole_number(pictures_every, "pictures_every", 0)
    data = (model, faces, photos)
    with ExitStack() as held:
        if folder is not None:
            Ranks.here().from_leader(lambda: held.enter_context(own_folder(folder)))
        return _train(
            config,
            folder,
            resume,
            data,
            usable_device(device),
            callback,
            progress,
            pictures_every,
            stop_on_signals,
        )


def _train(
    config: TrainingConfig,
    folder: Path | None,
    resume: bool,
    data: tuple[MorphableModel | None, FaceDataset | None, FaceDataset | None],
    device: torch.device,
    callback: Callable[[Progress], None] | None,
    progress: bool,
    pictures_every: int,
    stop_on_signals: bool,
) -> TrainingResult:
    """`train` in a folder that is its own."""
    started = time.monotonic()
    model, faces, photos = data
    ranks = Ranks.here()
    progress = progress and ranks.leads
    saved = ranks.from_leader(lambda: saved_run(folder, resume))
    name = config.data.model if model is None else model.name
    model = load_model(config.data.model) if model is None else model
    if saved is not None and folder is not None:
        config = resumed_config(folder / CHECKPOINT, saved, config, model)
    torch.manual_seed(config.seed)
    faces = configured_faces(config, model, progress) if faces is None else faces
    photos = configured_photos(config, model, progress) if photos is None else photos
    faces, photos = shares(config, faces, photos)
    run = begin(config, name, model, faces, photos, device)
    if saved is not None and folder is not None:
        restore(run, saved, folder / CHECKPOINT)
    share(run, ranks)
    if run.step == config.steps:
        return _result(run, folder)
    feed = Feed(config, faces, photos, run.networks.mirror, progress)

    run.networks.regressor.train()
    if saved is None:
        remaining = config.time_limit - (time.monotonic() - started)
        trial = fitted(run, partial(_step, run, ranks, feed.first().to(device)), remaining)
        config = run.config = ranks.from_leader(lambda: trial)
        run.networks.precision = config.network.precision

    batches = feed.steps(run.step, config.steps)
    training_began = time.monotonic()
    stopped_by = ""
    written = folder if ranks.leads else None
    journal = Journal(run, written, feed, progress, pictures_every)
    with journal, closing(batches), StopSignals(stop_on_signals) as stop:
        watch = journal.stopwatch
        while run.step < config.steps and not stopped_by:
            with watch.waiting():
                batch = next(batches).to(device)
            try:
                with watch.step(len(batch.inputs) * ranks.count, journal.times_losses(run.step)):
                    terms = _step(run, ranks, batch, run.step, watch)
            except NotFinite as error:
                raise _with_names(error, folder, feed, run.step) from None
            run.step += 1
            if saved is None and config.time_limit and run.step == config.stage1.steps:
                now = time.monotonic()
                step_took, remaining = (now - training_began) / run.step, config.time_limit - (now - started)
                config = run.config = ranks.from_leader(partial(refitted, config, step_took, remaining))
            learning_rate = run.optimizer.param_groups[0]["lr"]
            run.recent.append({"learning_rate": learning_rate, **terms})
            if run.step % LOG_EVERY == 0 or _is_due(run):
                run.history.append({"step": run.step, **_means(run.recent)})
                run.recent = []
                journal.entry(run.history[-1])
            journal.step(terms)
            if callback is not None:
                callback(Progress(run.step, config.steps, terms, learning_rate, run.networks.regressor))
            stopped_by = ranks.signal_of_any(stop.received)
            if written is not None:
                _save_if_due(run, written, bool(stopped_by))
    return _result(run, folder, stopped_by)


def _step(
    run: Run, ranks: Ranks, faces: StepBatch, step: int, watch: Stopwatch | None = None
) -> dict[str, float]:
    """One training step, the regressor then encoder and critic; the values of all terms.

    faces: this process's share. A rank differentiates its part of the mean; the sum is the whole batch's.
    """
    config, networks = run.config, run.networks
    stage, step_of_stage = config.stage_at(step)
    for group in run.optimizer.param_groups:
        group["lr"] = stage.learning_rate_at(step_of_stage)

    weights = term_weights(config.loss, stage)
    second_pass = step % config.loss.second_pass_every == 0
    with nullcontext() if watch is None else watch.forward():
        terms, whitened = regressor_terms(networks, faces, config.loss, weights, second_pass)
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    if watch is not None:
        watch.backward(total)
    run.optimizer.zero_grad()
    run.scaler.scale(total / ranks.count).backward()
    ranks.sum_gradients(networks.regressor.parameters())
    run.scaler.unscale_(run.optimizer)
    norm = nn.utils.clip_grad_norm_(networks.regressor.parameters(), config.optimizer.clip or math.inf)
    # A scaled gradient may overflow: that step is skipped and the scale halved, down to 1.
    overflow = run.scaler.is_enabled() and run.scaler.get_scale() > 1
    values = ranks.means({"total": total, **terms})
    _check_finite(values if overflow else {**values, "gradient": norm.item()}, step)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.average is not None:
        run.average.update(networks.regressor, step)

    if "self_critic" in terms:
        critic = critic_term(networks, faces, whitened)
        run.critic_optimizer.zero_grad()
        (critic / ranks.count).backward()
        ranks.sum_gradients(networks.adversaries())
        values |= ranks.means({"critic": critic})
        _check_finite(values, step)
        run.critic_optimizer.step()
    return values


def _check_finite(values: dict[str, float], step: int) -> None:
    if all(math.isfinite(value) for value in values.values()):
        return
    listed = ", ".join(f"{name} {value:.3g}" for name, value in values.items())
    raise NotFinite(
        f"step {step + 1}: the loss is no longer finite ({listed}); lower the learning rate or optimizer.clip"
    )


def _with_names(error: NotFinite, folder: Path | None, feed: Feed, step: int) -> InputError:
    """The error, and where to look: the first process writes down the step's faces."""
    if not feed.ranks.leads:
        return ToldElsewhere(str(error))
    if folder is None:
        return error
    text = f"{error}; {name_batch(folder, step, feed.names(step))} names the step's faces"
    checkpoint = folder / CHECKPOINT
    return InputError(f"{text}; {checkpoint} holds the last good state" if checkpoint.exists() else text)


def _means(entries: list[dict[str, float]]) -> dict[str, float]:
    """Means of each key over the entries that have it."""
    keys = dict.fromkeys(key for entry in entries for key in entry)
    return {key: sum(e[key] for e in entries if key in e) / sum(key in e for e in entries) for key in keys}


def _is_due(run: Run) -> bool:
    """Whether a checkpoint follows this step."""
    return run.step == run.config.steps or run.step % run.config.checkpoint_every == 0


def _save_if_due(run: Run, folder: Path, now: bool) -> None:
    config = run.config
    if now or _is_due(run):
        save_checkpoint(folder / CHECKPOINT, contents(run))
    if config.keep_every and run.step % config.keep_every == 0:
        save_checkpoint(folder / f"checkpoint-{run.step:07d}.pt", contents(run))


def _result(run: Run, folder: Path | None, stopped: str = "") -> TrainingResult:
    return TrainingResult(
        regressor=run.networks.regressor.eval() if run.average is None else run.average.network,
        whitening=run.networks.whitening,
        model=run.model,
        config=run.config,
        history=run.history,
        checkpoint=None if folder is None else folder / CHECKPOINT,
        step=run.step,
        stopped_by=stopped,
    )
