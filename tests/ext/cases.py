"""Every operator's inputs, stated once: values, gradients, schemas, levels and threads are tested on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import twodasl_ext as te


@dataclass(frozen=True)
class Case:
    """Sizes of a basis and a batch. Vertices come in blocks of 16, faces in tiles of 8, 4, 2, 1."""

    name: str
    vertices: int
    modes: int
    landmarks: int
    batch: int
    seed: int = 0
    mode_scale: float = 1.0


CASES = (
    Case("one of everything", 1, 1, 1, 1),
    Case("no modes", 37, 0, 5, 3),
    Case("no faces", 40, 7, 4, 0),
    Case("no landmarks", 16, 3, 0, 2),
    Case("one block exactly", 16, 4, 16, 8),
    Case("one vertex over", 17, 5, 17, 9),
    Case("small face", 203, 50, 68, 5),
    Case("odd modes", 1000, 49, 68, 15),
    Case("many modes", 90, 500, 20, 3),
    Case("several parts", 5321, 50, 68, 7),
    Case("faces in groups", 75, 6, 68, 150),
    Case("modes of very different scale", 301, 12, 68, 6, mode_scale=1e4),
)
SMALL = tuple(c for c in CASES if c.vertices <= 40 and c.batch <= 3)
NAMES = [c.name for c in CASES]


@dataclass
class Inputs:
    """One case's tensors in float64; `to` gives them in another dtype."""

    mean: Tensor
    modes: Tensor
    landmarks: Tensor
    coefficients: Tensor
    pose: Tensor
    predicted: Tensor
    target: Tensor
    grad: Tensor

    def to(self, dtype: torch.dtype) -> Inputs:
        """The same numbers in `dtype`; a round trip through float32 leaves float32 numbers in float64."""
        parts = {k: v if k == "landmarks" else v.to(dtype) for k, v in vars(self).items()}
        return Inputs(**parts)

    def basis(self, storage: torch.dtype | None = None) -> te.MorphableBasis:
        """The basis, stored in the mean's dtype by default."""
        return te.MorphableBasis(self.mean, self.modes, self.landmarks, storage=storage or self.mean.dtype)


def make(case: Case) -> Inputs:
    """Random numbers of a face's sizes in millimeters, rounded to float32 so that both precisions agree."""
    generator = torch.Generator().manual_seed(case.seed + case.vertices * 1000 + case.modes)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    mean = normal(case.vertices, 3) * 60
    scales = torch.logspace(0, 1, max(case.modes, 1), base=case.mode_scale, dtype=torch.float64)[: case.modes]
    modes = normal(case.modes, case.vertices, 3) * scales[:, None, None]
    landmarks = torch.randint(0, case.vertices, (case.landmarks,), generator=generator)
    coefficients = normal(case.batch, case.modes) / scales
    pose = normal(case.batch, 3, 4) * torch.tensor([1.0, 1.0, 1.0, 60.0], dtype=torch.float64)
    target = torch.cat((pose.flatten(1), coefficients), dim=1)
    predicted = target * (1 + 0.1 * normal(*target.shape))
    grad = normal(case.batch, case.vertices, 3)
    inputs = Inputs(mean, modes, landmarks, coefficients, pose, predicted, target, grad)
    return inputs.to(torch.float32).to(torch.float64)


def assert_close(result: Tensor, expected: Tensor, scale: Tensor | float, tolerance: float) -> None:
    """|result - expected| <= tolerance * scale everywhere: rounding grows with the size of the terms summed,
    not with the size of a sum that may cancel."""
    assert result.shape == expected.shape
    error = (result.to(torch.float64) - expected.to(torch.float64)).abs()
    assert torch.isfinite(error).all()
    bound = tolerance * torch.as_tensor(scale, dtype=torch.float64)
    assert (error <= bound).all(), f"largest error / bound: {(error / bound).max().item():.3g}"


def with_gradients(
    function: Callable[[Tensor, Tensor], Tensor], predicted: Tensor, target: Tensor, grad: Tensor
) -> list[Tensor]:
    """A cost of two parameter vectors, and its gradients to both."""
    leaves = [predicted.clone().requires_grad_(), target.clone().requires_grad_()]
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves, grad)]


EPSILON = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
"""Unit roundoff: the relative error of one rounding."""
