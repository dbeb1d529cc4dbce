"""The critic: are these coefficients plausible for this image? (paper section 3.2)"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Critic(nn.Module):
    """Fully connected 512, 1024, 1024, 1 on `[z, coefficients]`.

    The paper ends the critic with a softmax, but a softmax over one neuron is the constant 1 and has no
    gradient. The working reading, used here, is a sigmoid: the output is the probability that the
    coefficients are ground truth for the image behind z. `forward` returns its *logit*, because
    `log sigmoid` and `log (1 - sigmoid)` are only stable when taken from it (`twodasl.training.losses`
    does so).

    Args:
        latent: size of z.
        coefficients: size of the whitened parameter vector, 12 + K.
    """

    def __init__(self, latent: int, coefficients: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent + coefficients, 512),
            nn.ReLU(inplace=True),
            nn.Linear(512, 1024),
            nn.ReLU(inplace=True),
            nn.Linear(1024, 1024),
            nn.ReLU(inplace=True),
            nn.Linear(1024, 1),
        ).float()  # regardless of torch's default dtype

    def forward(self, z: Tensor, coefficients: Tensor) -> Tensor:
        """(B, latent), (B, 12+K) whitened -> (B,) logits."""
        return self.layers(torch.cat([z, coefficients], dim=1)).squeeze(1)
