"""What a training step works on, in the paper's sizes: random faces, and tensors in place of the networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from twodasl.geometry.projection import turned
from twodasl.morphable import Whitening
from twodasl.networks import Critic, Encoder, Prediction
from twodasl.training.model import Networks, StepBatch

import twodasl_ext as te

_VERTICES, _MODES, _LANDMARKS, _LATENT = 53215, 50, 68, 256


class Replay(nn.Module):
    """A network that gives back tensors made before, one at each call."""

    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self.outputs, self.calls = outputs, 0

    def rewind(self) -> None:
        """The next call gives the first one again."""
        self.calls = 0

    def forward(self, *_: Tensor) -> Tensor:
        self.calls += 1
        return self.outputs[(self.calls - 1) % len(self.outputs)]


@dataclass
class Replayed(Networks):
    """Networks whose regressor says what it was told to, also of the face's points."""

    places: Tensor | None = None
    """(B, 68, 2), or None where it has no points of its own."""
    sigma: Tensor | None = None
    """(B, 68)."""

    def regress(self, inputs: Tensor, precision: str = "float32") -> Prediction:
        whitened = self.regressor(inputs)
        none = whitened[:, :0]
        if self.places is None or self.sigma is None:
            return Prediction(whitened, none[..., None], none)
        return Prediction(whitened, self.places, self.sigma)


@dataclass
class Step:
    """Inputs of a step and the outputs of its networks."""

    networks: Replayed
    """With `Replay` for all three."""
    faces: StepBatch
    """A quarter of them without parameters, as photographs are."""
    target: Tensor
    """(B, 12+K) parameters of all of them."""
    first: Tensor
    """(B, 12+K) whitened, what the regressor gives in the first pass."""
    second: Tensor
    """(B, 12+K) and in the second."""
    fake: Tensor
    """Logits of the faces without parameters."""
    real: Tensor
    """(B,) logits of ground truth."""

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """What the losses are differentiated by."""
        own = (self.networks.places, self.networks.sigma)
        return self.first, self.second, self.fake, self.real, *(each for each in own if each is not None)

    def rewind(self) -> None:
        """The regressor's next answer is that of the first pass."""
        cast(Replay, self.networks.regressor).rewind()


def make_step(batch: int, points: bool = False, vertices: int = _VERTICES) -> Step:
    """Random numbers with poses in the crop, so that every landmark counts and is drawn.

    points: whether the regressor has points of its own. vertices: of the face model.
    """
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    basis = te.MorphableBasis(
        normal(vertices, 3) * 20,
        normal(_MODES, vertices, 3),
        torch.randint(0, vertices, (_LANDMARKS,), generator=generator),
    )
    whitening = Whitening(
        torch.cat((torch.eye(3, 4).flatten() * 0.5, torch.zeros(_MODES))), torch.ones(12 + _MODES) * 0.05
    )
    whitening.mean[[3, 7]] = 60.0
    whitened = normal(batch, 12 + _MODES)
    target = whitening.unwhiten(whitened)
    first, second = (whitened + 0.1 * normal(*whitened.shape) for _ in range(2))
    annotated = batch - batch // 4
    fake, real = normal(batch - annotated), normal(batch)
    for leaf in (first, second, fake, real):
        leaf.requires_grad_()
    networks = Replayed(
        Replay(first, second),
        cast(Encoder, Replay(torch.zeros(batch - annotated, _LATENT))),
        cast(Critic, Replay(fake)),
        basis,
        whitening,
    )
    with torch.no_grad():
        observed = networks.project(turned(target))[..., :2] + normal(batch, 18, 2)
    faces = StepBatch(
        inputs=normal(batch, 4, 120, 120),
        observed=observed,
        visible=torch.rand(batch, 18, generator=generator) > 0.1,
        parameters=target[:annotated],
    )
    if points:
        networks.places = (60 + 30 * normal(batch, _LANDMARKS, 2)).requires_grad_()
        networks.sigma = (0.5 + torch.rand(batch, _LANDMARKS, generator=generator)).requires_grad_()
    return Step(networks, faces, target, first, second, fake, real)
