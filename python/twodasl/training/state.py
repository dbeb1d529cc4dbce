"""The state of a run: what changes while it goes on, what a checkpoint holds of it, how it is put back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..distributed import Ranks
from ..errors import InputError
from ..morphable import MorphableModel
from ..morphable.sketch import sketch
from .checkpoint import load_checkpoint
from .config import TrainingConfig
from .ema import WeightAverage
from .model import Networks

CHECKPOINT = "checkpoint.pt"
"""The newest checkpoint's name in the output folder."""
LOG_EVERY = 20
"""Steps averaged in one entry of the history."""

# What a run needs of a checkpoint beyond what every checkpoint has.
_TO_GO_ON = ("encoder", "critic", "optimizers", "lengths", "rng", "history")
# What optimizers remember of a weight.
_ADAM = {"step", "exp_avg", "exp_avg_sq"}
_REMEMBERED = {torch.optim.Adam: _ADAM, torch.optim.AdamW: _ADAM, torch.optim.SGD: {"momentum_buffer"}}


@dataclass
class Run:
    """Everything that changes while a run goes on, and what it goes on with."""

    config: TrainingConfig
    """The one that counts, with precision and steps as `plan` decided them."""
    model_name: str
    model: MorphableModel
    networks: Networks
    optimizer: torch.optim.Optimizer
    critic_optimizer: torch.optim.Optimizer
    lengths: list[int]
    """The numbers of 3D-annotated and of 2D-only faces, and of fitted photos where there are some."""
    scaler: torch.amp.GradScaler
    """Does nothing but for float16."""
    average: WeightAverage | None
    mirror: Tensor | None
    """The face model's `mirror_map`, where faces are mirrored and it has one."""
    ranks: Ranks = field(default_factory=Ranks)
    resumed: bool = False
    step: int = 0
    """Steps done."""
    stopped_by: str = ""
    """The signal that ends the run before its last step; empty where there is none."""
    history: list[dict[str, float]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)
    """The steps since the last entry of the history."""

    @property
    def ended(self) -> bool:
        """Whether no step is left to do."""
        return self.step == self.config.steps or bool(self.stopped_by)

    @property
    def checkpoint_due(self) -> bool:
        """Whether a checkpoint follows the last step."""
        return self.step == self.config.steps or self.step % self.config.checkpoint_every == 0

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.networks.whitening.mean.device

    @property
    def learning_rate(self) -> float:
        """The regressor's, of the last step."""
        return self.optimizer.param_groups[0]["lr"]

    @property
    def entry(self) -> dict[str, float] | None:
        """The entry of the history that the last step completed, if it did."""
        return self.history[-1] if self.history and self.history[-1]["step"] == self.step else None

    def record(self, terms: dict[str, float]) -> None:
        """Count a step that was done, and note its terms."""
        self.step += 1
        self.recent.append({"learning_rate": self.learning_rate, **terms})
        if self.step % LOG_EVERY == 0 or self.checkpoint_due:
            self.history.append({"step": self.step, **_means(self.recent)})
            self.recent = []


def _means(entries: list[dict[str, float]]) -> dict[str, float]:
    """Means of each key over the entries that have it."""
    keys = dict.fromkeys(key for entry in entries for key in entry)
    return {key: sum(e[key] for e in entries if key in e) / sum(key in e for e in entries) for key in keys}


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
    """Put back what an optimizer remembers of each weight; its settings are the configuration's.

    Raises ValueError where it is not this optimizer's, of these weights: a step would stop at it later.
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
