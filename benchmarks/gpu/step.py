"""The losses of a training step on a GPU: all of them, forward and backward, in one captured graph."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from ..training.step import all_losses, at_its_best, by_definition, operators
from ..training.step_data import Replay, Step, make_step
from .time import captured

__all__ = ["at_its_best", "by_definition", "captured", "losses_of", "make_step_on", "operators"]


def make_step_on(device: torch.device, batch: int) -> Step:
    """Random faces and outputs of the networks, as `make_step` has them, on the device."""
    step = make_step(batch)
    networks = step.networks

    def moved(tensor: Tensor) -> Tensor:
        return tensor.detach().to(device).requires_grad_(tensor.requires_grad)

    step.first, step.second, step.fake, step.real = map(moved, step.leaves)
    step.target, step.faces = step.target.to(device), step.faces.to(device)
    networks.basis.to(device)
    networks.marks.to(device)
    networks.whitening.to(device)
    cast(Replay, networks.regressor).outputs = (step.first, step.second)
    cast(Replay, networks.critic).outputs = (step.fake,)
    encoder = cast(Replay, networks.encoder)
    encoder.outputs = tuple(t.to(device) for t in encoder.outputs)
    return step


def losses_of(step: Step) -> tuple[Tensor, ...]:
    """Gradients of every term by what the networks predicted. The networks begin again at each call."""
    for network in (step.networks.encoder, step.networks.critic):
        cast(Replay, network).rewind()
    return all_losses(step)
