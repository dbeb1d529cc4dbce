"""The running average of a network's weights, which is steadier than the weights of any one step."""

from __future__ import annotations

import copy

import torch
from torch import nn


class WeightAverage:
    """The exponential moving average of a network's weights and batch statistics.

    average <- d average + (1 - d) weights after every step, with d = min(decay, (1 + step) / (10 + step)):
    while a run is young the average looks back over a tenth of it only, and the random start is forgotten.

    Args:
        network: what is averaged; the average begins as a copy of it.
        decay: from 0 to below 1; 0.999 looks back over about a thousand steps.

    `network` is the averaged network, in evaluation mode and without gradients.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after a step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = network.state_dict()
        for name, average in self.network.state_dict().items():
            if average.is_floating_point():
                average.lerp_(current[name], 1 - decay)
            else:  # how many batches the statistics have seen
                average.copy_(current[name])
