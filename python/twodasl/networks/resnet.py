"""ResNet-50 with a landmark map as fourth input channel (paper section 3.2).

It differs from the ImageNet ResNet-50 in two ways, both as in the authors' network: the last stage keeps its
resolution (stride 1, so a 120-pixel crop ends as 8x8), and a 7x7 average pool of stride 2 replaces global
pooling, so the last row and column of the 8x8 map are unused. Module names are torchvision's (`conv1`,
`layer1.0.conv1`, `layer1.0.downsample.0`, `fc`), so that its files and the authors' load after the renaming
below.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Mean and standard deviation, RGB in [0, 1], of the input of torchvision's ImageNet networks.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Bottleneck(nn.Module):
    """1x1 reduce, 3x3 (which carries the stride), 1x1 expand by four, plus the shortcut."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * self.expansion
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.relu(self.bn3(self.conv3(y)) + shortcut, inplace=True)


class ResNet50(nn.Module):
    """The paper's regressor: (B, 4, 120, 120) -> (B, outputs) whitened parameters."""

    LAST = "fc"
    """The layer of the outputs."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, blocks=3, stride=1)
        self.layer2 = _stage(256, 128, blocks=4, stride=2)
        self.layer3 = _stage(512, 256, blocks=6, stride=2)
        self.layer4 = _stage(1024, 512, blocks=3, stride=1)
        self.fc = nn.Linear(2048, outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.max_pool2d(x, 3, 2, 1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        x = F.avg_pool2d(x, 7, 2).flatten(1)
        with torch.autocast(x.device.type, enabled=False):
            return self.fc(x.to(self.fc.weight.dtype))


def _stage(channels: int, width: int, *, blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels, width, stride)
    out = width * Bottleneck.expansion
    return nn.Sequential(first, *(Bottleneck(out, width, 1) for _ in range(blocks - 1)))


def imagenet_state_dict(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn torchvision's ImageNet ResNet-50 weights into initial weights for `ResNet50`.

    - `fc` (1000 classes) is dropped: load with `strict=False` and expect only `fc` to be missing.
    - `conv1` (64, 3, 7, 7) becomes (64, 4, 7, 7). The three image channels are reordered from RGB to BGR and
      rescaled from the ImageNet normalization to `(BGR - 127.5) / 128`; the remaining constant goes into
      `bn1.running_mean`, so that away from the zero-padded border the first layer's output is unchanged.
    - The landmark map's filters start at zero: the network starts as the ImageNet network and learns the map.

    Raises:
        ValueError: `state` has no 3-channel `conv1.weight` and `bn1.running_mean`.
    """
    if "conv1.weight" not in state or "bn1.running_mean" not in state:
        raise ValueError("state: expected a torchvision ResNet-50 with conv1.weight and bn1.running_mean")
    conv = state["conv1.weight"]
    if conv.shape != (64, 3, 7, 7):
        raise ValueError(f"state: expected conv1.weight of shape (64, 3, 7, 7), got {tuple(conv.shape)}")
    mean = torch.tensor(IMAGENET_MEAN, dtype=conv.dtype).view(1, 3, 1, 1)
    std = torch.tensor(IMAGENET_STD, dtype=conv.dtype).view(1, 3, 1, 1)
    # (v / 255 - mean) / std with v = 128 u + 127.5, where u is our channel: a scale and a constant.
    scaled = conv * (128 / 255) / std
    constant = (conv * (0.5 - mean) / std).sum(dim=(1, 2, 3))
    converted = {name: value.clone() for name, value in state.items() if not name.startswith("fc.")}
    converted["conv1.weight"] = torch.cat([scaled.flip(1), torch.zeros_like(conv[:, :1])], dim=1)
    converted["bn1.running_mean"] = state["bn1.running_mean"] - constant
    return converted


def authors_state_dict(checkpoint: Mapping[str, object]) -> dict[str, Tensor]:
    """The regressor's weights in a checkpoint of the authors' trainer.

    They are stored under `res_state_dict`, with names prefixed `module.` by DataParallel. Files older than
    torch 0.4.1 lack `num_batches_tracked`, which inference does not use; zeros are filled in.

    Raises:
        ValueError: there is no `res_state_dict`.
    """
    state = checkpoint.get("res_state_dict")
    if not isinstance(state, Mapping):
        raise ValueError("checkpoint: expected the authors' key 'res_state_dict' with the network's weights")
    renamed = {name.removeprefix("module."): value for name, value in state.items()}
    for name in [n for n in renamed if n.endswith("running_mean")]:
        renamed.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    return renamed
