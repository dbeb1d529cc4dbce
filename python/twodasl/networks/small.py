"""A regressor for CPUs: 1.7 million weights, 56 million multiply-adds per image (ResNet-50: 2 billion).

Design:

- On a CPU, large maps cost the most time, so the stem goes from 120 to 30 pixels in one step: a 4x4
  convolution of stride 4, which has a separate weight for every pixel of its patch and so loses no position.
  Four residual stages follow at 30, 15, 8, and 4 pixels.
- The landmark map holds 18 single pixels. Its value in a patch jumps when a point moves by one pixel, and a
  network needs many examples to learn that neighboring weights mean neighboring positions. The stem therefore
  spreads the points with a fixed Gaussian of one pixel before its convolution. In a trial on maps only
  (16,000 faces, one epoch), the mean landmark error was 2.7 px with it and 3.1 px without; coordinate
  channels had no effect and were left out.
- Translation and scale are outputs, so the *position* of a feature must reach the last layer: the 4x4 map is
  flattened, not averaged.
- The last layer starts near zero, so an untrained network predicts the mean parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# The crop's side, twodasl.geometry.crops.SIZE; not imported, so that networks depend on nothing else.
CROP = 120


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch normalization, the first of which may halve the map, and a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module | None = None
        if stride != 1 or channels != width:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.shortcut is None else self.shortcut(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + shortcut, inplace=True)


class SmallRegressor(nn.Module):
    """The CPU regressor: (B, 4, 120, 120) -> (B, outputs) whitened parameters.

    Args:
        outputs: how many numbers it regresses, 12 + K and three a point.
        widths: channels of the four stages.
        hidden: size of the hidden fully connected layer.
        spread: standard deviation, in pixels, of the Gaussian over the landmark map.
    """

    LAST = "output"
    """The layer of the outputs."""

    blur: Tensor

    def __init__(
        self,
        outputs: int,
        widths: Sequence[int] = (32, 64, 128, 192),
        hidden: int = 256,
        spread: float = 1.0,
    ) -> None:
        super().__init__()
        pixels = torch.arange(CROP, dtype=torch.float32)
        distance = (pixels[:, None] - pixels).abs()
        # A peak of one, not a sum of one: an isolated point keeps its height.
        blur = torch.exp(-0.5 * (distance / spread) ** 2) * (distance <= 3 * spread)
        self.register_buffer("blur", blur, persistent=False)
        self.stem = nn.Conv2d(4, widths[0], 4, 4, bias=False)
        self.stem_norm = nn.BatchNorm2d(widths[0])
        stages = [ResidualBlock(widths[0], widths[0], 1)]
        for channels, width in pairwise(widths):
            stages.append(ResidualBlock(channels, width, 2))
        self.stages = nn.Sequential(*stages)
        self.hidden = nn.Linear(widths[-1] * 4 * 4, hidden)
        self.output = nn.Linear(hidden, outputs)
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(torch.cat([x[:, :3], self.spread_points(x[:, 3:])], dim=1))
        # Channels-last maps make torch's CPU convolutions about a fifth faster.
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.stages(F.relu(self.stem_norm(x), inplace=True)).flatten(1)
        x = F.relu(self.hidden(x), inplace=True)
        # bfloat16 has eight bits: a quarter of a pixel at the crop's border.
        with torch.autocast(x.device.type, enabled=False):
            return self.output(x.to(self.output.weight.dtype))

    def spread_points(self, landmark_map: Tensor) -> Tensor:
        """(B, 1, 120, 120), 1 at the points and -1 elsewhere -> 0 far from a point, 1 at an isolated one."""
        # Two products with a banded matrix: a convolution of one channel takes ten times as long on a CPU.
        blur = self.blur.to(landmark_map.dtype)
        return blur @ ((landmark_map + 1) / 2) @ blur
