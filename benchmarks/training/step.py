"""python -m benchmarks.training.step: what the losses cost beside the ResNet-50 that they train.

The losses run as in training: `twodasl.training.model.regressor_terms` with all terms of both stages and
the second pass, forward and backward; only the networks are replaced by tensors that stand for their outputs.
The networks are timed alone, in turn with the losses, on the same cores. For contrast the same losses with
the operators in plain PyTorch, by their definitions and at their best.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast
from unittest import mock

import torch
from torch import Tensor, nn
from twodasl.geometry import projection
from twodasl.landmarks import landmark_map
from twodasl.networks import Critic, Encoder, build_regressor
from twodasl.training import losses
from twodasl.training.config import StageConfig, TrainingConfig
from twodasl.training.model import regressor_terms, term_weights, weighted_sum

from twodasl_ext import MorphableBasis, reference

from ..machine import RESULTS, load, machine
from ..measure import MILLISECONDS, interleaved
from ..operators.eager_costs import factor, mode_moments
from ..operators.eager_vertices import by_component
from .step_data import Step, make_step
from .step_table import markdown

_CONFIG, _STAGE = TrainingConfig(), StageConfig(parameters=1.0, vertices=1.0)


def all_losses(step: Step) -> tuple[Tensor, ...]:
    """Every term, forward and backward: gradients of what the networks predicted."""
    step.rewind()
    weights = term_weights(_CONFIG.loss, _STAGE)
    terms, _ = regressor_terms(step.networks, step.faces, _CONFIG, weights, second_pass=True)
    total = weighted_sum(terms, weights) + losses.critic_loss(step.real, step.fake)
    return torch.autograd.grad(total, step.leaves)


def each_loss(step: Step) -> dict[str, Callable[[], Any]]:
    """Every part of `all_losses` alone, over the whole batch, forward and backward."""
    faces, networks = step.faces, step.networks
    basis, whitening = networks.basis, networks.whitening
    target = step.target
    predicted = whitening.unwhiten(step.first.detach()).requires_grad_()
    turned = projection.turned(predicted.detach()).requires_grad_()
    with torch.no_grad():
        points = networks.project(turned)
        returned = networks.project(projection.turned(whitening.unwhiten(step.second)))
    grad = torch.ones_like(points)
    points.requires_grad_()
    returned.requires_grad_()

    def differentiated(function: Callable[[], Tensor], *leaves: Tensor) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(function(), leaves)

    return {
        "parameter_loss": differentiated(
            lambda: losses.parameter_loss(basis, whitening, predicted, target), predicted
        ),
        "vertex_loss": differentiated(lambda: losses.vertex_loss(basis, predicted, target), predicted),
        "consistency": differentiated(
            lambda: torch.stack(losses.consistency(points, returned, faces.observed, faces.visible)).sum(),
            points,
            returned,
        ),
        "self_critic_loss and critic_loss": differentiated(
            lambda: losses.self_critic_loss(step.fake) + losses.critic_loss(step.real, step.fake),
            step.fake,
            step.real,
        ),
        "landmark synthesis, each of two passes": lambda: torch.autograd.grad(
            networks.project(turned), turned, grad
        ),
        "landmark map of the second pass": lambda: landmark_map(points[..., :2]),
    }


@contextlib.contextmanager
def operators(**replaced: Callable[..., Tensor]) -> Iterator[None]:
    """The losses with other operators in place of `twodasl_ext`'s."""
    with (
        mock.patch.object(losses, "importance_weights", replaced["importance_weights"]),
        mock.patch.object(losses, "vertex_distance_cost", replaced["vertex_distance_cost"]),
        mock.patch.object(projection, "landmarks", replaced["landmarks"]),
    ):
        yield


def by_definition(basis: MorphableBasis) -> dict[str, Callable[..., Tensor]]:
    """Operators in plain PyTorch as the formulas read: 12 + K reconstructions, two dense shapes."""
    mean, modes = basis.mean, basis.modes
    rows = cast(Tensor, basis.landmarks)
    return {
        "importance_weights": lambda _, p, t, **kw: reference.importance_weights(
            mean, modes, rows, p.detach(), t, **kw
        ),
        "vertex_distance_cost": lambda _, p, t, **kw: reference.vertex_distance_cost(mean, modes, p, t, **kw),
        "landmarks": lambda b, c, pose, indices=None: reference.landmarks(
            b.mean, b.modes, b.landmarks if indices is None else indices, c, pose
        ),
    }


def at_its_best(basis: MorphableBasis) -> dict[str, Callable[..., Tensor]]:
    """Operators in plain PyTorch with our algebra: moments in place of reconstructions and of vertices."""
    rows = cast(Tensor, basis.landmarks)
    mean, modes = basis.mean[rows], basis.modes[:, rows]
    weights = mode_moments(mean, modes)
    cost = factor(basis.mean, basis.modes)
    keep = torch.ones(12 + basis.mode_count, device=basis.device)
    keep[11] = 0  # ignore_depth, as the training's vertex loss does

    def at_landmarks(b: MorphableBasis, c: Tensor, pose: Tensor, indices: Tensor | None = None) -> Tensor:
        chosen = b.landmarks if indices is None else indices
        return by_component(b.mean[chosen], b.modes[:, chosen])(c, pose)

    return {
        "importance_weights": lambda _, p, t, **__: weights(p.detach(), t),
        "vertex_distance_cost": lambda _, p, t, **__: cost(p * keep, t * keep),
        "landmarks": at_landmarks,
    }


def networks_once(step: Step, regressor: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """Milliseconds of one pass of the ResNet-50 and of its optimizer."""
    clock = [time.perf_counter()]
    output = regressor(step.faces.inputs)
    clock.append(time.perf_counter())
    output.backward(torch.ones_like(output))
    clock.append(time.perf_counter())
    nn.utils.clip_grad_norm_(regressor.parameters(), 10.0)
    optimizer.step()
    optimizer.zero_grad()
    clock.append(time.perf_counter())
    names = ("ResNet-50 forward", "ResNet-50 backward", "clipping and optimizer")
    return {n: MILLISECONDS * (b - a) for n, a, b in zip(names, clock, clock[1:], strict=False)}


def adversaries(step: Step) -> Callable[[], Any]:
    """Encoder and critic, forward and backward, of the critic's own step."""
    encoder = Encoder()
    critic = Critic(encoder.latent, step.first.shape[1])
    weights = [*encoder.parameters(), *critic.parameters()]
    return lambda: torch.autograd.grad(critic(encoder(step.faces.inputs), step.first.detach()).sum(), weights)


def measure(repeats: int, seconds: float, batch: int) -> dict[str, Any]:
    """The report as JSON holds it."""
    about = machine()
    step = make_step(batch)
    basis = step.networks.basis
    regressor = build_regressor("resnet50", step.first.shape[1]).train()
    optimizer = torch.optim.AdamW(regressor.parameters(), 1e-4)
    variants = {"by definition": by_definition(basis), "eager at its best": at_its_best(basis)}
    expected = all_losses(step)
    for name, variant in variants.items():
        with operators(**variant):
            for found, value in zip(all_losses(step), expected, strict=True):
                # float32 sums over 53,215 vertices, in another order.
                assert (found - value).norm() <= 1e-3 * value.norm(), name
    networks_once(step, regressor, optimizer)
    network_times: dict[str, list[float]] = {}
    loss_times: dict[str, list[float]] = {}

    def timed(runs: dict[str, Callable[[], Any]], least: int = 3) -> None:
        for name, timing in interleaved(runs, seconds, least=least).items():
            loss_times.setdefault(name, []).extend(timing.milliseconds)

    critic_step = adversaries(step)
    for _ in range(repeats):
        for name, taken in networks_once(step, regressor, optimizer).items():
            network_times.setdefault(name, []).append(taken)
        timed({"encoder and critic, forward and backward": critic_step}, least=1)
        timed({"all losses": lambda: all_losses(step), **each_loss(step)})
        for name, variant in variants.items():
            with operators(**variant):
                timed({f"all losses, {name}": lambda: all_losses(step)}, least=1)
    about["load_after"] = load()
    milliseconds = {
        name: {"median_ms": round(statistics.median(v), 4), "minimum_ms": round(min(v), 4)}
        for name, v in {**network_times, **loss_times}.items()
    }
    report: dict[str, Any] = {"machine": about, "batch": batch, "parts": milliseconds}
    report["shares"] = shares(milliseconds)
    return report


def shares(parts: dict[str, dict[str, float]]) -> dict[str, float]:
    """Each kind of losses over the ResNet-50's forward and backward, medians."""
    network = sum(parts[f"ResNet-50 {way}"]["median_ms"] for way in ("forward", "backward"))
    kinds = [name for name in parts if name.startswith("all losses")]
    return {name: float(f"{parts[name]['median_ms'] / network:.3g}") for name in kinds}


def main() -> None:
    """Parses the arguments, measures, writes."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training.step", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repeats", type=int, default=5, help="passes of the ResNet-50 (default 5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="for the losses beside each (default 0.5)")
    parser.add_argument("--batch", type=int, default=32, help="faces (default 32)")
    parser.add_argument("--threads", type=int, help="torch's threads (default: torch's own choice)")
    parser.add_argument("-o", "--output", type=Path, help="path without suffix")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    report = measure(options.repeats, options.seconds, options.batch)
    output = options.output or RESULTS / f"training-step-{report['machine']['date']}"
    output.parent.mkdir(parents=True, exist_ok=True)
    written = [output.with_name(output.name + suffix) for suffix in (".json", ".md")]
    written[0].write_text(json.dumps(report, indent=1) + "\n")
    written[1].write_text(markdown(report))
    print(markdown(report))
    print("wrote " + ", ".join(map(str, written)))


if __name__ == "__main__":
    main()
