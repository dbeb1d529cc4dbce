"""The encoder: image -> latent code z, which the critic gets with the coefficients (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Encoder(nn.Module):
    """Six 3x3 convolutions, each followed by ReLU and 2x2 max pooling: 120 -> 60 -> 30 -> 15 -> 7 -> 3 -> 1.

    The paper gives the depth but not the widths; the default doubles up to 256, as is common.

    Args:
        widths: channels after each of the six convolutions; the last is the size of z.
        channels: input channels. The default, 3, excludes the landmark map: z should describe the *image*, so
            that the critic can judge whether the coefficients belong to it.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128, 256, 256), channels: int = 3) -> None:
        super().__init__()
        if len(widths) != 6:
            raise ValueError(f"widths: expected 6, one per convolution, got {len(widths)}")
        layers: list[nn.Module] = []
        for inputs, outputs in zip((channels, *widths[:-1]), widths, strict=True):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        self.layers = nn.Sequential(*layers).float()  # regardless of torch's default dtype
        self.channels = channels
        self.latent = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 120, 120) with C >= `channels` (extra channels are ignored) -> z (B, latent)."""
        return self.layers(x[:, : self.channels]).flatten(1)
