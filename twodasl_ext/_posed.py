"""What both operators behind `vertices` share: the result kept for the backward pass, and gradient shapes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._dispatch import transformed

# Without this function a kept result lives as long as its graph.
_keeps_graph = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)


def keep(ctx: Any, output: Tensor, needed: bool) -> Tensor | None:
    """Keeps the result for a gradient of the pose; returns what belongs among the saved tensors.

    Reading the result is faster than computing the shapes again. A saved tensor must not change, but writing
    into a result is common (a flipped axis). So the result is kept beside the saved tensors, and writing into
    it leads to the slower path instead of an error.
    """
    ctx.posed = None
    if needed and transformed():
        return output
    if needed:
        ctx.posed, ctx.posed_version = output.detach(), output._version
    return None


def recall(ctx: Any, saved: Tensor | None) -> Tensor | None:
    """The forward's result if nothing wrote into it; released when the saved tensors are."""
    if saved is not None:
        return saved
    posed: Tensor | None = ctx.posed
    if posed is None or posed._version != ctx.posed_version:
        return None
    if _keeps_graph is not None and not _keeps_graph():
        ctx.posed = None
    return posed


def empty_gradients(
    mean: Tensor, coefficients: Tensor, need_coefficients: bool, need_pose: bool
) -> tuple[Tensor, Tensor]:
    """Memory for the gradients of the coefficients and the pose, empty where one is not needed."""
    batch, modes_count = coefficients.shape
    return (
        mean.new_empty((batch if need_coefficients else 0, modes_count)),
        mean.new_empty((batch if need_pose else 0, 3, 4)),
    )
