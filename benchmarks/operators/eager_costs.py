"""importance_weights and vertex_distance_cost in eager PyTorch, as careful users might write them.

A formulation takes the mean and the modes, prepares what depends on them alone, and gives back a function of
predicted and target parameters (B, 12 + K), `[pose row-major 3x4 | coefficients]`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .eager_vertices import Formulation, Function, by_component, features, folded_coefficients


def _split(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Coefficients (B, K) and pose (B, 3, 4)."""
    return parameters[:, 12:], parameters[:, :12].reshape(-1, 3, 4)


def _weights(predicted: Tensor, target: Tensor, columns: Tensor, modes: Tensor, count: int) -> Tensor:
    """From the norms of the shape's columns (B, 3) and of the turned modes (B, K): 3D, sum to 1."""
    shift = columns.new_full((len(columns), 1), count**0.5)
    norms = torch.cat((columns, shift, columns, shift, columns, 0 * shift, modes), dim=1)
    weights = (predicted - target).abs() * norms
    return weights / weights.sum(dim=1, keepdim=True)


def _column_norms(mean: Tensor, modes: Tensor) -> Function:
    flat_mean, flat_modes = mean.T.reshape(-1), modes.transpose(1, 2).reshape(len(modes), -1).contiguous()

    def run(coefficients: Tensor, pose: Tensor) -> Tensor:
        shape = torch.addmm(flat_mean, coefficients, flat_modes).view(len(pose), 3, -1)
        return torch.linalg.vector_norm(shape, dim=2)

    return run


def turned_modes(mean: Tensor, modes: Tensor) -> Function:
    """Landmark rows (L, 3), (K, L, 3): every mode turned by every pose, then its norm."""
    columns, rows = _column_norms(mean, modes), modes.reshape(1, -1, 3)

    def run(predicted: Tensor, target: Tensor) -> Tensor:
        coefficients, pose = _split(target)
        moved = (rows @ pose[:, :, :3].transpose(1, 2)).view(len(pose), len(modes), -1)
        norms = torch.linalg.vector_norm(moved, dim=2)
        return _weights(predicted, target, columns(coefficients, pose), norms, len(mean))

    return run


def mode_moments(mean: Tensor, modes: Tensor) -> Function:
    """||M modes_k||^2 is linear in M^T M with the modes' own 3x3 moments: no mode is turned."""
    columns, moments = _column_norms(mean, modes), (modes.transpose(1, 2) @ modes).view(-1, 9).T.contiguous()

    def run(predicted: Tensor, target: Tensor) -> Tensor:
        coefficients, pose = _split(target)
        turn = pose[:, :, :3]
        norms = ((turn.transpose(1, 2) @ turn).view(-1, 9) @ moments).clamp(min=0).sqrt()
        return _weights(predicted, target, columns(coefficients, pose), norms, len(mean))

    return run


def two_shapes(mean: Tensor, modes: Tensor) -> Function:
    """The definition: both dense shapes, what one writes first."""
    shape = by_component(mean, modes)

    def run(predicted: Tensor, target: Tensor) -> Tensor:
        difference = shape(*_split(predicted)) - shape(*_split(target))
        return difference.square().sum(dim=2).mean(dim=1)

    return run


def _difference(predicted: Tensor, target: Tensor) -> Tensor:
    """The features' factors (3 B, F) of one shape minus the other, free of cancellation."""
    (c, pose), (c_target, pose_target) = _split(predicted), _split(target)
    turn, turn_target = pose[:, :, None, :3], pose_target[:, :, None, :3]
    one = torch.nn.functional.pad(c, (1, 0), value=1.0)[:, None, :, None]
    step = torch.nn.functional.pad(c - c_target, (1, 0))[:, None, :, None]
    products = ((turn - turn_target) * one + turn_target * step).flatten(2)
    return torch.cat((products, pose[:, :, 3:] - pose_target[:, :, 3:]), dim=2).flatten(0, 1)


def one_difference(mean: Tensor, modes: Tensor) -> Function:
    """One GEMM for the difference of the shapes."""
    table = features(mean, modes)

    def run(predicted: Tensor, target: Tensor) -> Tensor:
        difference = (folded_coefficients(*_split(predicted)) - folded_coefficients(*_split(target))) @ table
        return difference.square().view(len(target), -1).sum(dim=1) / len(mean)

    return run


def factor(mean: Tensor, modes: Tensor) -> Function:
    """The algebra that removes the vertices, in PyTorch: the norm under a factor of the second moments."""
    table = features(mean.double(), modes.double()).T
    root = (torch.linalg.qr(table, mode="r").R / len(mean) ** 0.5).to(mean.dtype).T.contiguous()

    def run(predicted: Tensor, target: Tensor) -> Tensor:
        return (_difference(predicted, target) @ root).square().view(len(target), -1).sum(dim=1)

    return run


IMPORTANCE_WEIGHTS: dict[str, Formulation] = {"turned modes": turned_modes, "mode moments": mode_moments}
COMPILED_WEIGHTS: dict[str, Formulation] = {"mode moments": mode_moments}
DISTANCE_COSTS: dict[str, Formulation] = {
    "two shapes": two_shapes,
    "one difference": one_difference,
    "second moments": factor,
}
COMPILED_COSTS: dict[str, Formulation] = {"second moments": factor}
