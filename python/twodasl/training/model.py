"""What is trained, and for what: the three networks of the paper and the objective of a step (section 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from twodasl_ext import MorphableBasis

from ..errors import InputError
from ..geometry.constants import constant
from ..geometry.projection import row_signs, turned, turned_landmarks
from ..landmarks import eighteen_from_21, eighteen_from_68, landmark_map, twenty_one_from_68
from ..morphable import MorphableModel, Whitening
from ..networks import Critic, Encoder, Prediction, build_regressor, split_output
from . import compiled as graphs
from . import losses, objective, per_face, shape_losses
from .config import LossConfig, StageConfig, TrainingConfig
from .prepared import fixed_of, mix_of

_HALVES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class Networks:
    """Regressor, encoder and critic, and what turns the regressor's output into points of the image."""

    regressor: nn.Module
    encoder: Encoder
    critic: Critic
    basis: MorphableBasis
    whitening: Whitening
    eared: Tensor | None = None
    """(70,) int64, the vertices of the 68 landmarks and of AFLW's ears, the image's left one first, where the
    losses use 21 points."""
    marks: MorphableBasis = field(init=False)
    """Of the points of the losses, 18 or 21: a mean of two vertices is itself linear in the coefficients."""
    metric: Tensor = field(init=False)
    """(K, K) of `shape_losses.pose_free_metric`."""
    kept: dict[Any, Any] = field(init=False, repr=False, default_factory=dict)
    """Constants of the losses, see `prepared.py`."""

    def __post_init__(self) -> None:
        self.marks = _marks(self.basis, self.eared)
        self.metric = shape_losses.pose_free_metric(self.basis)

    @classmethod
    def build(
        cls, config: TrainingConfig, model: MorphableModel, whitening: Whitening, device: torch.device
    ) -> Networks:
        """Fresh networks for a face model, with random weights from torch's generator.

        Raises InputError where `loss.points` needs ears that the model does not name.
        """
        basis = model.basis(device)
        outputs = 12 + basis.mode_count
        regressor = build_regressor(config.network.regressor, outputs, config.network.points)
        encoder = Encoder(config.network.encoder_widths)
        critic = Critic(encoder.latent, outputs)
        eared = _eared(model).to(device) if config.loss.points == 21 else None
        networks = (regressor.to(device), encoder.to(device), critic.to(device))
        return cls(*networks, basis, whitening.to(device), eared)

    def regress(self, inputs: Tensor, precision: str = "float32") -> Prediction:
        """(B, 4, 120, 120) -> whitened parameters (B, 12+K) float32, and points where it has them.

        precision: of the arithmetic inside the regressor, see `NetworkConfig.precision`; not "auto".
        """
        half = _HALVES.get(precision)
        with torch.autocast(inputs.device.type, half, enabled=half is not None):
            output = self.regressor(inputs)
        return split_output(output.float(), len(self.whitening.mean))

    def image_frame(self) -> tuple[Tensor, Tensor]:
        """(12+K,) mean and standard deviation: `addcmul(mean, whitened, std)` are `turned` parameters."""
        return turned(self.whitening.mean), self.whitening.std * row_signs(self.whitening.std)[1]

    def project(self, parameters: Tensor) -> Tensor:
        """`turned` parameters (B, 12+K) -> the losses' points (B, 18 or 21, 3), crop pixels (x, row, z)."""
        return turned_landmarks(self.marks, parameters)

    def redraw(self, points: Tensor) -> Tensor:
        """The landmark map (B, 1, 120, 120) of what `project` gives, of the 18 among them."""
        eighteen = points if self.eared is None else eighteen_from_21(points)
        return landmark_map(eighteen[..., :2])

    def judge(self, code: Tensor, whitened: Tensor) -> Tensor:
        """The critic's logits (B,), for the regressor to learn from: the critic's weights are constants."""
        weights = {name: weight.detach() for name, weight in self.critic.named_parameters()}
        return functional_call(self.critic, weights, (code, whitened))

    def adversaries(self) -> Iterator[nn.Parameter]:
        """The weights of encoder and critic, which one optimizer trains."""
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


def term_weights(loss: LossConfig, stage: StageConfig) -> dict[str, float]:
    """The weight of every term in a stage."""
    return {
        "parameters": stage.parameters,
        "vertices": stage.vertices,
        "landmarks_2d": loss.landmarks_2d,
        "landmarks_3d": loss.landmarks_3d,
        "cycle": loss.cycle,
        "self_critic": loss.self_critic,
        "likelihood": loss.likelihood,
        "pose_free": loss.pose_free,
        "gaps": loss.gaps,
    }


def weighted_sum(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The objective: the sum of terms, each times its weight."""
    stacked = torch.stack(list(terms.values()))
    factors = constant(tuple(float(weights[name]) for name in terms), stacked.device, stacked.dtype)
    return (stacked * factors).sum()


def regressor_terms(
    networks: Networks,
    batch: StepBatch,
    config: TrainingConfig,
    weights: dict[str, float],
    second_pass: bool,
) -> tuple[dict[str, Tensor], Tensor]:
    """The terms, not yet weighted, that have a weight; and the whitened prediction (B, 12+K).

    Never compiled. Each term is differentiable.

    Args:
        weights: as `term_weights` gives them.
        second_pass: whether L3d-con and Lcyc, which need one, are computed in this step.
    """
    given, fixed, mix, names = _networks_give(networks, batch, config, weights, second_pass, False)
    terms = mix.means @ objective.all_values(fixed, mix, given, names, config.loss)
    return dict(zip(names, terms.unbind(), strict=True)), given.whitened


def regressor_objective(
    networks: Networks,
    batch: StepBatch,
    config: TrainingConfig,
    weights: dict[str, float],
    second_pass: bool,
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """The weighted sum of `regressor_terms`, which alone has a gradient; the terms; the whitened prediction.

    Compiled where `loss.compile` is "on". Raises InputError where torch cannot compile it.
    """
    compiled = config.loss.compile == "on"
    given, fixed, mix, names = _networks_give(networks, batch, config, weights, second_pass, compiled)
    run = graphs.objective if compiled else objective.objective
    total, terms = run(fixed, mix, given, names, config.loss)
    return total, dict(zip(names, terms.unbind(), strict=True)), given.whitened


def _networks_give(
    networks: Networks,
    batch: StepBatch,
    config: TrainingConfig,
    weights: dict[str, float],
    second_pass: bool,
    compiled: bool,
) -> tuple[objective.Given, objective.Fixed, objective.Mix, tuple[str, ...]]:
    """What the networks say in this step, the constants for it, and the names of its terms."""
    loss, precision, annotated = config.loss, config.network.precision, len(batch.parameters)
    fixed, again, judged = fixed_of(networks, loss, packed=compiled), None, None
    whitened, places, sigma = networks.regress(batch.inputs, precision)
    if second_pass and (weights["landmarks_3d"] or weights["cycle"]):
        # The same image with the map of the landmarks just predicted: a face must map to itself.
        with torch.no_grad():
            points = networks.project(torch.addcmul(fixed.mean, whitened, fixed.std))
            if compiled:
                points = points if networks.eared is None else eighteen_from_21(points)
                redrawn = graphs.drawn(points, batch.inputs)
            else:
                redrawn = torch.cat([batch.inputs[:, :3], networks.redraw(points)], dim=1)
        again = networks.regress(redrawn, precision).whitened
    if weights["self_critic"] and annotated < len(whitened):
        fakes, images = whitened[annotated:], batch.inputs[annotated:]
        with torch.no_grad():
            code = networks.encoder(images)
        judged = networks.judge(code, fakes)
    absent = {"landmarks_3d", "cycle"} if again is None else set()
    absent |= set() if places.shape[1] else {"likelihood", "gaps"}
    absent |= {"self_critic"} if judged is None else set()
    names = tuple(name for name, weight in weights.items() if weight and name not in absent)
    given = objective.Given(
        whitened, again, places, sigma, judged, batch.observed, batch.visible, batch.parameters
    )
    chosen, saturating = {name: weights[name] for name in names}, loss.adversarial == "saturating"
    mix = mix_of(networks, given, chosen, saturating, flat=not compiled)
    return given, fixed, mix, names


def likelihood(places: Tensor, sigma: Tensor, truth: Tensor, observed: Tensor, visible: Tensor) -> Tensor:
    """`losses.point_likelihood` of the network's own points: of all 68 where the face is known in 3D, and of
    what the marked ones tell of them otherwise.

    Args:
        places, sigma: (B, 68, 2), (B, 68) what the network says.
        truth: (A, 68, 2 or more) crop pixels of the faces known in 3D, the first ones.
        observed, visible: (B, 18 or 21, 2), (B, 18 or 21) what is marked in the photos.
    """
    pairs = per_face.pairs(places)
    values = objective.likelihood_values(places, sigma, truth[..., :2], observed, visible, pairs)
    return values.sum() / len(places)


def critic_term(networks: Networks, batch: StepBatch, whitened: Tensor) -> Tensor:
    """The critic's loss: ground truth of annotated faces against what was regressed for the 2D-only ones."""
    annotated = len(batch.parameters)
    code = networks.encoder(batch.inputs)
    real = networks.critic(code[:annotated], networks.whitening.whiten(batch.parameters))
    fake = networks.critic(code[annotated:], whitened[annotated:].detach())
    return losses.critic_loss(real, fake)


def _marks(basis: MorphableBasis, eared: Tensor | None) -> MorphableBasis:
    """The basis of the points of the losses: of the paper's 18, or with the vertices `eared` of AFLW's 21."""
    rows = basis.landmarks if eared is None else eared

    def chosen(vertices: Tensor) -> Tensor:
        given = vertices[..., rows, :].to(basis.dtype)
        if eared is None:
            return eighteen_from_68(given)
        return twenty_one_from_68(given[..., :68, :], ears=given[..., 68:, :])

    mean, modes = chosen(basis.mean), chosen(basis.modes)
    return MorphableBasis(mean, modes, torch.arange(len(mean)), storage=basis.dtype)


def _eared(model: MorphableModel) -> Tensor:
    """The vertices of landmarks and ears, see `Networks`. Raises InputError when the model names no ears."""
    names = ("ear_left", "ear_right")
    if missing := [name for name in names if name not in model.named_landmarks]:
        raise InputError(
            f"loss.points: 21 points need a face model whose named_landmarks have ear_left and ear_right,"
            f" {model.name!r} lacks {', '.join(missing)}; set loss.points=18"
        )
    ears = [model.named_landmarks[name] for name in names]
    return torch.from_numpy(np.concatenate([model.landmarks, ears]))
