"""torch.func.vmap for operators over a batch of faces.

Every operator already has a batch of faces, so a vmapped dimension of its faces is folded into that one: one
call of the kernel for all samples. What all faces share (a basis, triangles) has no such dimension; where it
is vmapped, the samples run one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Rule = Callable[..., tuple[Any, Any]]
"""(call, info, in_dims, *inputs) -> (outputs, out_dims)."""


def fold(faces: Sequence[int]) -> Rule:
    """The rule for an operator whose tensors at positions `faces`, and whose outputs, are (B, ...) by face.

    An empty output (a gradient that is not needed) stays empty.
    """
    positions = frozenset(faces)

    def rule(call: Callable[..., Any], info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        batched = {i for i, dim in enumerate(in_dims) if dim is not None}
        if not batched <= positions:
            return loop(call, info, in_dims, *inputs)
        samples = info.batch_size
        folded = list(inputs)
        for i in positions:
            dim = in_dims[i]
            if inputs[i] is None:  # an optional tensor that is absent
                continue
            value = inputs[i].expand(samples, *inputs[i].shape) if dim is None else inputs[i].movedim(dim, 0)
            folded[i] = value.reshape(value.shape[0] * value.shape[1], *value.shape[2:])

        def unfold(output: Tensor) -> Tensor:
            return output.reshape(samples, output.shape[0] // samples, *output.shape[1:])

        return _map(unfold, call(*folded)), 0

    return rule


def loop(call: Callable[..., Any], info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
    """The rule for any operator: one sample after the other."""
    results = []
    for sample in range(info.batch_size):
        chosen = zip(inputs, in_dims, strict=True)
        results.append(call(*(v if dim is None else v.select(dim, sample) for v, dim in chosen)))
    if isinstance(results[0], Tensor):
        return torch.stack(results), 0
    return tuple(torch.stack(parts) for parts in zip(*results, strict=True)), 0


def register(name: str, operator: Callable[..., Any], rule: Rule) -> None:
    """Registers the rule with `torch.library.register_vmap`."""

    def registered(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
        return rule(operator, info, in_dims, *inputs)

    torch.library.register_vmap(name, registered)


def _map(function: Callable[[Tensor], Tensor], outputs: Any) -> Any:
    return function(outputs) if isinstance(outputs, Tensor) else tuple(map(function, outputs))
