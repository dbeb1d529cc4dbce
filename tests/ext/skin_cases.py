"""Inputs of skin, stated once for the tests of values, gradients, levels, threads and CUDA."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class SkinCase:
    """Sizes; `reach` is the number of joints with a weight at a vertex, 0 for all of them."""

    name: str
    vertices: int
    joints: int
    batch: int
    reach: int = 0


SKIN_CASES = (
    SkinCase("one of everything", 1, 1, 1),
    SkinCase("no joints", 20, 0, 2),
    SkinCase("no elements", 20, 4, 0),
    SkinCase("no vertices", 0, 4, 3),
    SkinCase("one block exactly", 16, 3, 2),
    SkinCase("one vertex over", 17, 9, 3),
    SkinCase("a head of five joints", 203, 5, 5, 2),
    SkinCase("a body", 701, 55, 3, 4),
    SkinCase("every weight", 150, 37, 4),
    SkinCase("many joints", 40, 300, 2, 6),
    SkinCase("several parts", 5321, 24, 3, 4),
    SkinCase("a large batch", 75, 6, 150, 3),
)
SKIN_NAMES = [c.name for c in SKIN_CASES]


@dataclass
class SkinInputs:
    """One case's tensors in float64; `to` gives them in another dtype or on a device."""

    vertices: Tensor
    weights: Tensor
    transforms: Tensor
    grad: Tensor

    def to(self, *place: torch.dtype | torch.device) -> SkinInputs:
        """The same numbers in a dtype or on a device."""
        return replace(self, **{name: tensor.to(*place) for name, tensor in vars(self).items()})

    def leaves(self) -> list[Tensor]:
        """Copies that require gradients."""
        return [t.clone().requires_grad_() for t in (self.vertices, self.weights, self.transforms)]


def make_skin(case: SkinCase) -> SkinInputs:
    """Random numbers, rounded to float32; joints with a weight follow each other along the mesh."""
    generator = torch.Generator().manual_seed(case.vertices * 1000 + case.joints)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weights = torch.rand(case.vertices, case.joints, generator=generator, dtype=torch.float64) + 0.1
    if case.reach:
        middle = torch.linspace(0, case.joints - 1, case.vertices, dtype=torch.float64)
        away = (torch.arange(case.joints) - middle[:, None]).abs()
        weights[away > case.reach / 2] = 0
    weights = weights / weights.sum(dim=1, keepdim=True) if case.joints else weights
    scale = torch.tensor([1.0, 1.0, 1.0, 60.0], dtype=torch.float64)
    inputs = SkinInputs(
        normal(case.batch, case.vertices, 3) * 60,
        weights,
        normal(case.batch, case.joints, 3, 4) * scale,
        normal(case.batch, case.vertices, 3),
    )
    return inputs.to(torch.float32).to(torch.float64)
