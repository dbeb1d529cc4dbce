"""The training loop: both stages of the paper, from the first step to the last, in the order they happen."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..errors import InputError
from ..morphable import MorphableModel, Whitening, load_model
from .checkpoint import save_checkpoint
from .config import TrainingConfig
from .datasets import check_memory, configured_faces, configured_photos
from .objective import critic_term, prepare, regressor_terms, term_weights
from .pace import fitted, refitted
from .state import CHECKPOINT, Run, begin, contents, restore, resumed_config, saved_run
from .streams import Batch, Faces, Order, Pool, Subset, batches, read, stack

# Random streams of a run: the data orders' here, augmentation's (2) in objective.py.
_FACES, _PHOTOS, _FACE_SHARE, _PHOTO_SHARE = 0, 1, 3, 4
# Steps averaged in one entry of the history.
_LOG_EVERY = 20


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


def train(
    config: TrainingConfig,
    *,
    output: str | os.PathLike[str] | None = None,
    resume: bool = False,
    model: MorphableModel | None = None,
    faces: Faces | None = None,
    photos: Faces | None = None,
    device: torch.device | str = "cpu",
    callback: Callable[[Progress], None] | None = None,
    progress: bool = True,
) -> TrainingResult:
    """Train a regressor.

    Args:
        config: everything that decides the outcome. Same configuration, machine and libraries: same bits.
        output: folder for `checkpoint.pt`; None keeps nothing on the disk.
        resume: go on from `output/checkpoint.pt`, bit for bit as if the run had not stopped; where there is
            no checkpoint yet, begin.
        model: the face model; None loads `config.data.model`.
        faces: 3D-annotated faces instead of those that `config.data` names, see `streams.Faces`.
        photos: faces with 2D landmarks instead of those that `config.data` names.
        device: where to compute.
        callback: called after every step.
        progress: whether to show progress bars (on a terminal).

    Raises:
        InputError: a face model, data set or checkpoint that does not fit, a photo that cannot be read any
            more, an output folder that is in use, or a loss that is no longer finite.
    """
    started = time.monotonic()
    folder = None if output is None else Path(output)
    saved = saved_run(folder, resume)
    name = config.data.model if model is None else model.name
    model = load_model(config.data.model) if model is None else model
    if saved is not None and folder is not None:
        config = resumed_config(folder / CHECKPOINT, saved, config, model)
    torch.manual_seed(config.seed)
    faces = configured_faces(config, model, progress) if faces is None else faces
    photos = configured_photos(config, model, progress) if photos is None else photos
    faces, photos = _shares(config, faces, photos)
    run = begin(config, name, model, faces, photos, torch.device(device))
    if saved is not None and folder is not None:
        restore(run, saved, folder / CHECKPOINT)
    if config.data.pool and run.step < config.steps:
        check_memory(faces, photos)
        faces = Pool(faces, config.data.workers, "preparing faces", progress)
        if photos is not None:
            photos = Pool(photos, config.data.workers, "preparing photos", progress)

    run.networks.regressor.train()
    if saved is None:
        trial = partial(_step, run, _first_batch(config, faces, photos), folder=folder)
        remaining = config.time_limit - (time.monotonic() - started)
        config = run.config = fitted(run, trial, remaining)

    stream = _stream(config, faces, photos, run.step)
    recent: list[dict[str, float]] = []
    training_began = time.monotonic()
    with tqdm(
        total=config.steps, initial=run.step, desc="training", unit="step", disable=None if progress else True
    ) as bar:
        for step in range(run.step, config.steps):
            terms = _step(run, next(stream), step, folder)
            learning_rate = run.optimizer.param_groups[0]["lr"]

            run.step = step + 1
            if saved is None and config.time_limit and run.step == config.stage1.steps:
                now = time.monotonic()
                config = run.config = refitted(
                    config, (now - training_began) / run.step, config.time_limit - (now - started)
                )
                bar.total = config.steps
            recent.append({"learning_rate": learning_rate, **terms})
            if run.step % _LOG_EVERY == 0 or _is_due(run):
                run.history.append({"step": run.step, **_means(recent)})
                recent = []
            bar.set_postfix({name: f"{value:.3g}" for name, value in terms.items()}, refresh=False)
            bar.update()
            if callback is not None:
                callback(Progress(run.step, config.steps, terms, learning_rate, run.networks.regressor))
            if folder is not None:
                _save_if_due(run, folder)
            if run.step == config.steps:  # fewer than planned, where the second stage was shortened
                break

    trained = run.networks.regressor.eval() if run.average is None else run.average.network
    return TrainingResult(
        trained,
        run.networks.whitening,
        model,
        config,
        run.history,
        None if folder is None else folder / CHECKPOINT,
    )


def _step(run: Run, data: tuple[Batch, Batch | None], step: int, folder: Path | None) -> dict[str, float]:
    """One training step, the regressor then encoder and critic; the values of all terms."""
    config, networks = run.config, run.networks
    stage, step_of_stage = config.stage_at(step)
    for group in run.optimizer.param_groups:
        group["lr"] = stage.learning_rate_at(step_of_stage)
    faces = prepare(*data, config, step, networks.mirror).to(networks.whitening.mean.device)

    weights = term_weights(config.loss, stage)
    second_pass = step % config.loss.second_pass_every == 0
    terms, whitened = regressor_terms(networks, faces, config.loss, weights, second_pass)
    total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
    run.optimizer.zero_grad()
    run.scaler.scale(total).backward()
    run.scaler.unscale_(run.optimizer)
    norm = nn.utils.clip_grad_norm_(networks.regressor.parameters(), config.optimizer.clip or math.inf)
    # A scaled gradient may overflow: that step is skipped and the scale halved, down to 1.
    overflow = run.scaler.is_enabled() and run.scaler.get_scale() > 1
    _check_finite({**terms, "total": total, **({} if overflow else {"gradient": norm})}, step, folder)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.average is not None:
        run.average.update(networks.regressor, step)

    if "self_critic" in terms:
        terms["critic"] = critic_term(networks, faces, whitened)
        run.critic_optimizer.zero_grad()
        terms["critic"].backward()
        _check_finite({"critic": terms["critic"]}, step, folder)
        run.critic_optimizer.step()
    return {"total": total.item(), **{name: term.item() for name, term in terms.items()}}


def _shares(config: TrainingConfig, faces: Faces, photos: Faces | None) -> tuple[Faces, Faces | None]:
    """Both data sets, cut to the shares that the configuration asks for."""
    data = config.data
    if data.face_share < 1:
        faces = Subset(faces, data.face_share, (config.seed, _FACE_SHARE))
    if photos is not None and data.photo_share < 1:
        photos = Subset(photos, data.photo_share, (config.seed, _PHOTO_SHARE)) if data.photo_share else None
    return faces, photos


def _first_batch(config: TrainingConfig, faces: Faces, photos: Faces | None) -> tuple[Batch, Batch | None]:
    """The first faces of both sets, to try a step on."""
    first = stack(read(faces, [i % len(faces) for i in range(config.batch)]))
    if photos is None or not config.photo_batch:
        return first, None
    return first, stack(read(photos, [i % len(photos) for i in range(config.photo_batch)]))


def _stream(
    config: TrainingConfig, faces: Faces, photos: Faces | None, start: int
) -> Iterator[tuple[Batch, Batch | None]]:
    """The batches of both kinds from a step on."""
    order = Order(len(faces), config.batch, (config.seed, _FACES))
    first = batches(faces, order, start, config.steps, config.data.workers)
    if photos is None or not config.photo_batch:
        return ((batch, None) for batch in first)
    order = Order(len(photos), config.photo_batch, (config.seed, _PHOTOS))
    return zip(first, batches(photos, order, start, config.steps, config.data.workers), strict=True)


def _check_finite(values: dict[str, Tensor], step: int, folder: Path | None) -> None:
    numbers = {name: value.item() for name, value in values.items()}
    if all(math.isfinite(number) for number in numbers.values()):
        return
    listed = ", ".join(f"{name} {number:.3g}" for name, number in numbers.items())
    last = "" if folder is None else f"; {folder / CHECKPOINT} holds the last good state"
    raise InputError(
        f"step {step + 1}: the loss is no longer finite ({listed}); lower the learning rate or"
        f" optimizer.clip{last}"
    )


def _means(entries: list[dict[str, float]]) -> dict[str, float]:
    """Means of each key over the entries that have it."""
    keys = dict.fromkeys(key for entry in entries for key in entry)
    return {key: sum(e[key] for e in entries if key in e) / sum(key in e for e in entries) for key in keys}


def _is_due(run: Run) -> bool:
    """Whether a checkpoint follows this step."""
    return run.step == run.config.steps or run.step % run.config.checkpoint_every == 0


def _save_if_due(run: Run, folder: Path) -> None:
    config = run.config
    if _is_due(run):
        save_checkpoint(folder / CHECKPOINT, contents(run))
    if config.keep_every and run.step % config.keep_every == 0:
        save_checkpoint(folder / f"checkpoint-{run.step:07d}.pt", contents(run))
