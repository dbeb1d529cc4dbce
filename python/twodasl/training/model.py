"""What a training step minimises: the terms of both stages, from a batch of each kind of face."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from twodasl_ext import MorphableBasis

from ..distributed import Ranks
from ..geometry.projection import crop_landmarks
from ..landmarks import eighteen_from_21, eighteen_from_68, landmark_map, twenty_one_from_68
from ..morphable import Whitening
from ..networks import Critic, Encoder
from ..networks.inputs import network_input
from . import losses
from .augment import PartOfGenerator, Random, augment, detect, observed_eighteen, observed_twenty_one
from .config import LossConfig, StageConfig, TrainingConfig
from .random_streams import RandomStream
from .streams import Batch

_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class Networks:
    """What is trained, and what it is trained with."""

    regressor: nn.Module
    encoder: Encoder
    critic: Critic
    basis: MorphableBasis
    whitening: Whitening
    precision: str = "float32"
    mirror: Tensor | None = None
    """The face model's `mirror_map`, where faces are mirrored and it has one."""
    eared: Tensor | None = None
    """(70,) int64, the vertices of the 68 landmarks and of AFLW's ears, the image's left one first, where the
    losses use 21 points."""

    def regress(self, inputs: Tensor) -> Tensor:
        """(B, 4, 120, 120) -> whitened parameters (B, 12+K) float32."""
        half = _HALVES.get(self.precision)
        with torch.autocast(inputs.device.type, half, enabled=half is not None):
            whitened = self.regressor(inputs)
        return whitened.float()

    def project(self, parameters: Tensor) -> Tensor:
        """Parameters (B, 12+K) -> the points of the losses (B, 18 or 21, 3) in crop pixels (x, row, z)."""
        points = crop_landmarks(self.basis, parameters, self.eared)
        if self.eared is None:
            return eighteen_from_68(points)
        return twenty_one_from_68(points[:, :68], ears=points[:, 68:])

    def redraw(self, points: Tensor) -> Tensor:
        """The landmark map (B, 1, 120, 120) of what `project` gives, of the 18 among them."""
        eighteen = points if self.eared is None else eighteen_from_21(points)
        return landmark_map(eighteen[..., :2])

    def adversaries(self) -> Iterator[nn.Parameter]:
        """The weights of encoder and critic, which one optimiser trains."""
        yield from self.encoder.parameters()
        yield from self.critic.parameters()


@dataclass
class StepBatch:
    """A batch as the step sees it: 3D-annotated faces first, then the 2D-only ones."""

    inputs: Tensor
    """(B, 4, 120, 120) image and landmark map."""
    observed: Tensor
    """(B, 18 or 21, 2) the annotated 2D landmarks of the losses, crop pixels."""
    visible: Tensor
    """(B, 18 or 21) bool: which of them count."""
    parameters: Tensor
    """(A, 12+K) ground truth of the first A faces."""

    def to(self, device: torch.device | str) -> StepBatch:
        """The same on a device."""
        return StepBatch(
            self.inputs.to(device),
            self.observed.to(device),
            self.visible.to(device),
            self.parameters.to(device),
        )


def prepare(
    faces: Batch,
    photos: Batch | None,
    config: TrainingConfig,
    step: int,
    mirror: Tensor | None = None,
    ranks: Ranks | None = None,
) -> StepBatch:
    """Augment, simulate the detector, draw the maps. The random numbers are a function of seed and step.

    ranks: where the batches are shares of larger ones; the faces then become what they become in those.
    The landmarks of a 3D-annotated face are its model's, and all that there are count; of a 2D-only face the
    visible ones.
    """
    observe = observed_eighteen if config.loss.points == 18 else observed_twenty_one
    parts = [faces] if photos is None else [faces, photos]
    whole = np.random.default_rng((config.seed, RandomStream.AUGMENTATION, step))
    rng: Random = whole if ranks is None else PartOfGenerator(whole, ranks.rank, ranks.count)
    columns: list[tuple[Tensor, ...]] = []
    for position, part in enumerate(parts):
        part = augment(part, config.augment, rng, mirror)
        observed, visible = observe(part)
        if position == 0:
            parameters, visible = part["parameters"], observed.isfinite().all(dim=-1)
        columns.append((part["image"], *detect(part, config.landmarks, rng), observed, visible))
    images, points, shown, observed, visible = (torch.cat(column) for column in zip(*columns, strict=True))
    return StepBatch(network_input(images, points, shown), observed, visible, parameters)


def term_weights(loss: LossConfig, stage: StageConfig) -> dict[str, float]:
    """The weight of every term in a stage."""
    return {
        "parameters": stage.parameters,
        "vertices": stage.vertices,
        "landmarks_2d": loss.landmarks_2d,
        "landmarks_3d": loss.landmarks_3d,
        "cycle": loss.cycle,
        "self_critic": loss.self_critic,
    }


def regressor_terms(
    networks: Networks, faces: StepBatch, loss: LossConfig, weights: dict[str, float], second_pass: bool
) -> tuple[dict[str, Tensor], Tensor]:
    """The terms, not yet weighted, that have a weight; and the whitened prediction (B, 12+K).

    Args:
        second_pass: whether L3d-con and Lcyc, which need one, are computed in this step.
    """
    annotated = len(faces.parameters)
    whitened = networks.regress(faces.inputs)
    predicted = networks.whitening.unwhiten(whitened)
    points = networks.project(predicted)
    supervised, target = predicted[:annotated], faces.parameters
    terms: dict[str, Tensor] = {}
    if weights["parameters"]:
        terms["parameters"] = losses.parameter_loss(
            networks.basis,
            networks.whitening,
            supervised,
            target,
            space=loss.space,
            normalize=loss.normalize,
            importance=loss.importance,
        )
    if weights["vertices"]:
        terms["vertices"] = losses.vertex_loss(networks.basis, supervised, target)
    if weights["landmarks_2d"]:
        importance = None if loss.landmark_weights else losses.equal_weights(points)
        terms["landmarks_2d"] = losses.landmark_consistency_2d(
            points[..., :2], faces.observed, faces.visible, importance
        )
    if second_pass and (weights["landmarks_3d"] or weights["cycle"]):
        # The same image with the map of the landmarks just predicted: a face must map to itself.
        redrawn = torch.cat([faces.inputs[:, :3], networks.redraw(points)], dim=1)
        returned = networks.project(networks.whitening.unwhiten(networks.regress(redrawn)))
        if weights["landmarks_3d"]:
            terms["landmarks_3d"] = losses.landmark_consistency_3d(points, returned)
        if weights["cycle"]:
            terms["cycle"] = losses.cycle_loss(faces.observed, returned[..., :2], faces.visible)
    if weights["self_critic"] and annotated < len(whitened):
        fakes, images = whitened[annotated:], faces.inputs[annotated:]
        with torch.no_grad():
            code = networks.encoder(images)
        terms["self_critic"] = losses.self_critic_loss(networks.critic(code, fakes), loss.adversarial)
    return terms, whitened


def critic_term(networks: Networks, faces: StepBatch, whitened: Tensor) -> Tensor:
    """The critic's loss: ground truth of annotated faces against what was regressed for the 2D-only ones."""
    annotated = len(faces.parameters)
    code = networks.encoder(faces.inputs)
    real = networks.critic(code[:annotated], networks.whitening.whiten(faces.parameters))
    fake = networks.critic(code[annotated:], whitened[annotated:].detach())
    return losses.critic_loss(real, fake)
