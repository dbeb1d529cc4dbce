"""The state of a training run: how it begins, what a checkpoint holds of it, how it is put back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..distributed import Ranks, shared_statistics
from ..errors import InputError
from ..morphable import MorphableModel, Whitening
from ..morphable.sketch import sketch
from ..networks import Critic, Encoder, build_regressor
from .checkpoint import check_model, load_checkpoint
from .config import TrainingConfig
from .ema import WeightAverage
from .mirror import mirror_map
from .objective import Networks
from .start import start
from .streams import FaceDataset, read

CHECKPOINT = "checkpoint.pt"
"""The newest checkpoint's name in the output folder."""

# What a run needs of a checkpoint beyond what every checkpoint has.
_TO_GO_ON = ("encoder", "critic", "optimizers", "lengths", "rng", "history")
# What optimisers remember of a weight.
_ADAM = {"step", "exp_avg", "exp_avg_sq"}
_REMEMBERED = {torch.optim.Adam: _ADAM, torch.optim.AdamW: _ADAM, torch.optim.SGD: {"momentum_buffer"}}
# Parameter vectors from which the whitening is estimated.
_WHITENING_SAMPLES = 20_000


@dataclass
class Run:
    """Everything that changes while a run goes on."""

    config: TrainingConfig
    model_name: str
    model: MorphableModel
    networks: Networks
    optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer
    lengths: list[int]
    scaler: torch.amp.GradScaler
    """Does nothing but for float16."""
    average: WeightAverage | None
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)
    """The steps since the last entry of the history."""


def begin(
    config: TrainingConfig,
    name: str,
    model: MorphableModel,
    faces: FaceDataset,
    photos: FaceDataset | None,
    device: torch.device,
) -> Run:
    """Fresh networks and optimisers. name: what `load_model` finds the face model by, for the checkpoint."""
    mirror = mirror_map(model) if config.augment.flip else None
    if config.augment.flip and mirror is None and photos is None:
        raise InputError(
            f"augment.flip: the face model {model.name!r} is not symmetric, so that faces with parameters"
            " cannot be mirrored, and the run has no others; set augment.flip=0"
        )
    basis = model.basis(device)
    outputs = 12 + basis.mode_count
    regressor = build_regressor(config.network.regressor, outputs)
    encoder = Encoder(config.network.encoder_widths)
    networks = Networks(
        regressor.to(device),
        encoder.to(device),
        Critic(encoder.latent, outputs).to(device),
        basis,
        estimate_whitening(faces).to(device),
        config.network.precision,
        mirror,
        _eared(model).to(device) if config.loss.points == 21 else None,
    )
    if config.network.start:
        start(networks, config.network, model)
    choice, weights = config.optimizer, list(regressor.parameters())
    rate = config.stage1.learning_rate
    optimizer: torch.optim.Optimizer
    if choice.name == "sgd":
        optimizer = torch.optim.SGD(weights, rate, momentum=choice.momentum, weight_decay=choice.weight_decay)
    else:
        optimizer = torch.optim.AdamW(weights, rate, weight_decay=choice.weight_decay)
    critic_optimizer = torch.optim.Adam(list(networks.adversaries()), choice.critic_learning_rate)
    lengths = [len(faces), 0 if photos is None else len(photos)]
    scaler = torch.amp.GradScaler(device.type, enabled=config.network.precision == "float16")
    average = WeightAverage(regressor, choice.ema) if choice.ema else None
    return Run(config, name, model, networks, optimizer, critic_optimizer, lengths, scaler, average)


def _eared(model: MorphableModel) -> torch.Tensor:
    """The vertices of landmarks and ears, see `Networks`. Raises InputError when the model names no ears."""
    names = ("ear_left", "ear_right")
    if missing := [name for name in names if name not in model.named_landmarks]:
        raise InputError(
            f"loss.points: 21 points need a face model whose named_landmarks have ear_left and ear_right,"
            f" {model.name!r} lacks {', '.join(missing)}; set loss.points=18"
        )
    ears = [model.named_landmarks[name] for name in names]
    return torch.from_numpy(np.concatenate([model.landmarks, ears]))


def estimate_whitening(faces: FaceDataset, samples: int = _WHITENING_SAMPLES) -> Whitening:
    """Mean and standard deviation of every parameter over at most `samples` faces, spread over a data set.

    Data sets on disk are sorted: 300W-LP's first folders are not like its others. A dataset with
    `parameters(index)` is asked for those alone, so that no picture is drawn.
    """
    count = min(samples, len(faces))
    chosen = [index * len(faces) // count for index in range(count)]
    if hasattr(faces, "parameters"):
        vectors = [faces.parameters(index) for index in chosen]
    else:
        vectors = [sample["parameters"] for sample in read(faces, chosen)]
    return Whitening.from_samples(torch.stack([torch.as_tensor(v) for v in vectors]))


def share(run: Run, ranks: Ranks) -> None:
    """Make the run one of several ranks': the same weights everywhere, batch statistics over all batches."""
    networks = run.networks
    average = [] if run.average is None else [run.average.network]
    ranks.copy_from_leader(
        [networks.regressor, networks.encoder, networks.critic, networks.whitening, *average]
    )
    networks.regressor = shared_statistics(networks.regressor, ranks)


def contents(run: Run) -> dict[str, Any]:
    """The checkpoint of this moment, see `checkpoint.py`."""
    networks = run.networks
    average = {} if run.average is None else {"average": run.average.network.state_dict()}
    return {
        "config": run.config.to_dict(),
        "model_name": run.model_name,
        "model_identity": run.model.identity,
        "model_counts": list(run.model.counts),
        "model_sketch": torch.from_numpy(sketch(run.model)),
        "whitening": networks.whitening.state_dict(),
        "regressor": networks.regressor.state_dict(),
        **average,
        "encoder": networks.encoder.state_dict(),
        "critic": networks.critic.state_dict(),
        "optimizers": {
            "regressor": run.optimizer.state_dict(),
            "critic": run.critic_optimizer.state_dict(),
        },
        "scaler": run.scaler.state_dict(),
        "step": run.step,
        "epoch": run.step * run.config.batch // run.lengths[0],
        "lengths": run.lengths,
        "rng": torch.get_rng_state(),
        "history": run.history,
        "recent": run.recent,
    }


def saved_run(folder: Path | None, resume: bool) -> dict[str, Any] | None:
    """The checkpoint to go on from, if there is one and it is wanted; the folder is this run's alone."""
    if folder is None:
        if resume:
            raise InputError("resume: expected the output folder of the run to go on with, got none")
        return None
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder for the checkpoints")
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    if not resume:
        raise InputError(f"{path}: a run is there already; go on with --resume, or choose another folder")
    return load_checkpoint(path)


def resumed_config(
    path: Path, saved: dict[str, Any], config: TrainingConfig, model: MorphableModel
) -> TrainingConfig:
    """The configuration of a run to go on with: the one asked for, with what the run decided when it began.

    Raises InputError when the checkpoint belongs to another face model or configuration.
    """
    check_model(path, saved, model)
    began = TrainingConfig.from_dict(saved["config"], where=str(path))
    if config.network.precision == "auto":
        precision = began.network.precision
        config = replace(config, network=replace(config.network, precision=precision))
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


def restore(run: Run, saved: dict[str, Any], path: Path) -> None:
    """Put a checkpoint's state back. Raises InputError when it does not fit the run.

    saved: what `load_checkpoint` gave for `path`, or `contents`.
    """
    if missing := [key for key in _TO_GO_ON if key not in saved]:
        raise InputError(
            f"{path}: lacks {', '.join(missing)} and does not hold a whole training run; it cannot be resumed"
        )
    if saved["lengths"] != run.lengths:
        raise InputError(f"{path}: the run began with {saved['lengths']} faces and photos, got {run.lengths}")
    if saved["step"] > run.config.steps:
        raise InputError(f"{path}: is of step {saved['step']}, expected at most {run.config.steps}")
    networks = run.networks
    try:
        networks.regressor.load_state_dict(saved["regressor"])
        if run.average is not None:
            run.average.network.load_state_dict(saved["average"])
        networks.encoder.load_state_dict(saved["encoder"])
        networks.critic.load_state_dict(saved["critic"])
        networks.whitening.load_state_dict(saved["whitening"])
        _restore_optimizer(run.optimizer, saved["optimizers"]["regressor"]["state"])
        _restore_optimizer(run.critic_optimizer, saved["optimizers"]["critic"]["state"])
        run.scaler.load_state_dict(saved.get("scaler", {}))
        torch.set_rng_state(saved["rng"])
        run.step, run.history = saved["step"], list(saved["history"])
        run.recent = list(saved.get("recent", []))
    except Exception as error:  # torch stops in many ways at a state of something else
        raise InputError(f"{path}: does not hold a whole training run; it cannot be resumed") from error


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, Any]]) -> None:
    """Put back what an optimiser remembers of each weight; its settings are the configuration's.

    Raises ValueError where it is not this optimiser's, of these weights: a step would stop at it later.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    names = _REMEMBERED[type(optimizer)]
    for index, parts in state.items():
        if index >= len(weights) or parts.keys() not in (set(), names):
            raise ValueError(f"optimizer: expected {sorted(names)} of {len(weights)} weights")
        for name, part in parts.items():
            value = torch.as_tensor(part)
            shape = torch.Size() if name == "step" else weights[index].shape
            if value.shape != shape or not bool(torch.isfinite(value).all()):
                raise ValueError(f"optimizer: expected finite {name} of shape {tuple(shape)}")
            if name == "step" and value < 0:
                raise ValueError(f"optimizer: expected a step from 0, got {float(value)}")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
