"""How a run begins: face model, data, fresh networks and optimizers, or those of a checkpoint."""

from __future__ import annotations

from pathlib import Path

import torch

from ..distributed import Ranks, shared_statistics
from ..errors import InputError
from ..morphable import MorphableModel, Whitening, load_model
from .compiled import decided
from .config import OptimizerConfig, TrainingConfig
from .datasets import configured_faces, configured_fitted, configured_photos
from .ema import WeightAverage
from .feed import shares
from .mirror import mirror_map
from .model import Networks
from .plan import resumed_config
from .start import start
from .state import CHECKPOINT, Run, restore, saved_run
from .streams import FaceDataset, read

# Parameter vectors from which the whitening is estimated.
_WHITENING_SAMPLES = 20_000

Data = tuple[MorphableModel | None, FaceDataset | None, FaceDataset | None, FaceDataset | None]
"""Face model, 3D-annotated faces, 2D-only ones, fitted photos; None takes what the configuration names."""


def set_up(
    config: TrainingConfig,
    folder: Path | None,
    resume: bool,
    data: Data,
    device: torch.device,
    progress: bool,
) -> tuple[Run, FaceDataset, FaceDataset | None, FaceDataset | None]:
    """A run before its first step, or after the last one of its checkpoint; and its data sets.

    Raises InputError, see `loop.train`.
    """
    ranks = Ranks.here()
    model, faces, photos, fitted = data
    saved = ranks.from_leader(lambda: saved_run(folder, resume))
    path = Path() if folder is None else folder / CHECKPOINT
    name = config.data.model if model is None else model.name
    model = load_model(config.data.model) if model is None else model
    if saved is not None:
        config = resumed_config(path, saved, config, model)
    config = ranks.from_leader(lambda: decided(config, device))
    torch.manual_seed(config.seed)
    faces = configured_faces(config, model, progress) if faces is None else faces
    photos = configured_photos(config, model, progress) if photos is None else photos
    fitted = configured_fitted(config, model, progress) if fitted is None else fitted
    faces, photos = shares(config, faces, photos)
    run = begin(config, name, model, faces, photos, device, fitted)
    if saved is not None:
        restore(run, saved, path)
        run.resumed = True
    share(run, ranks)
    return run, faces, photos, fitted


def begin(
    config: TrainingConfig,
    name: str,
    model: MorphableModel,
    faces: FaceDataset,
    photos: FaceDataset | None,
    device: torch.device,
    fitted: FaceDataset | None = None,
) -> Run:
    """Fresh networks and optimizers. name: what `load_model` finds the face model by, for the checkpoint."""
    mirror = mirror_map(model) if config.augment.flip else None
    if config.augment.flip and mirror is None and photos is None:
        raise InputError(
            f"augment.flip: the face model {model.name!r} is not symmetric, so that faces with parameters"
            " cannot be mirrored, and the run has no others; set augment.flip=0"
        )
    networks = Networks.build(config, model, estimate_whitening(faces), device)
    if config.network.start:
        start(networks, config.network, model)
    choice = config.optimizer
    return Run(
        config,
        name,
        model,
        networks,
        _optimizer(networks.regressor, choice, config.stage1.learning_rate),
        torch.optim.Adam(list(networks.adversaries()), choice.critic_learning_rate),
        [len(faces), 0 if photos is None else len(photos), *([] if fitted is None else [len(fitted)])],
        torch.amp.GradScaler(device.type, enabled=config.network.precision == "float16"),
        WeightAverage(networks.regressor, choice.ema) if choice.ema else None,
        mirror,
    )


def _optimizer(regressor: torch.nn.Module, choice: OptimizerConfig, rate: float) -> torch.optim.Optimizer:
    weights = list(regressor.parameters())
    if choice.name == "sgd":
        return torch.optim.SGD(weights, rate, momentum=choice.momentum, weight_decay=choice.weight_decay)
    return torch.optim.AdamW(weights, rate, weight_decay=choice.weight_decay)


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
    """Make the run one of several processes': equal weights, batch statistics of the whole batch."""
    run.ranks, networks = ranks, run.networks
    average = [] if run.average is None else [run.average.network]
    ranks.copy_from_leader(
        [networks.regressor, networks.encoder, networks.critic, networks.whitening, *average]
    )
    networks.regressor = shared_statistics(networks.regressor, ranks)
