"""Faces of one person or one film: sorted by group, with the prior of what they share entering once."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._arguments import INTEGERS, as_indices, whole_number
from ._checks import check_tensor, shape_text


class Order(NamedTuple):
    """Faces in the order of their groups."""

    faces: Tensor
    """(B,) which face comes where."""
    back: Tensor
    """(B,) where each face went."""
    offsets: Tensor
    """(B + 1,) where each group begins; groups that do not exist begin at B."""
    size: Tensor
    """(B,) how many faces the group of each sorted face has."""


def check_groups(groups: Any, shared: Any, batch: int, modes: int, device: torch.device) -> tuple[Any, int]:
    """(B,) integers or None, and how many leading coefficients a group's faces share."""
    if groups is None:
        if shared is not None:
            raise ValueError(f"shared: expected None without groups, got {shared!r}")
        return None, 0
    groups = check_tensor(as_indices(groups, "groups", device), "groups")
    if groups.dtype not in INTEGERS:
        raise TypeError(f"groups: expected integers, got {groups.dtype}")
    if groups.shape != (batch,):
        raise ValueError(f"groups: expected ({batch},) for points of as many faces, got {shape_text(groups)}")
    if groups.device != device:
        raise ValueError(f"groups: expected device {device} like the basis, got {groups.device}")
    if shared is None:
        raise ValueError(
            f"shared: expected with groups how many of the {modes} coefficients they share, got None"
        )
    count = whole_number(shared, "shared", f"a number of coefficients in [0, {modes}]")
    if not 0 <= count <= modes:
        raise ValueError(f"shared: expected a number of coefficients in [0, {modes}], got {count}")
    return (groups.to(torch.int64) if count else None), count


def order_of(groups: Tensor) -> Order:
    """Without looking at a value, so that nothing waits for a device."""
    ordered, faces = torch.sort(groups, stable=True)
    begins = torch.ones_like(ordered)
    begins[1:] = (ordered[1:] != ordered[:-1]).to(begins.dtype)
    number = begins.cumsum(0) - 1
    sizes = torch.zeros_like(groups).scatter_add(0, number, torch.ones_like(groups))
    offsets = torch.cat((torch.zeros_like(sizes[:1]), sizes.cumsum(0)))
    size = sizes[number]
    return Order(faces, torch.argsort(faces), offsets, size)


def share_prior(precision: Tensor, size: Tensor, shared: int) -> Tensor:
    """The precisions (B, K) or (B, K, K) whose sum over a group has what is shared once, as the faces' mean.

    A precision that ties shared and own coefficients together is a prior of the shared ones, which is
    divided by the number of faces, times one of each face's own given those, which stays.
    """
    left = 1 - 1 / size.to(precision.dtype)
    if precision.dim() == 2:
        common, own = precision[:, :shared], precision[:, shared:]
        return torch.cat((common * (1 - left)[:, None], own), dim=1)
    common, between = precision[:, :shared, :shared], precision[:, :shared, shared:]
    own = precision[:, shared:, shared:]
    alone = common - between @ _solved(own, between.mT)
    common = common - left[:, None, None] * alone
    return torch.cat((torch.cat((common, between), dim=2), torch.cat((between.mT, own), dim=2)), dim=1)


def _solved(matrix: Tensor, right: Tensor) -> Tensor:
    """matrix^-1 right, of a matrix that may be singular where right is zero."""
    count = matrix.shape[-1]
    if not count:
        return right
    size = matrix.diagonal(dim1=1, dim2=2).sum(dim=1) / count
    ridge = torch.finfo(matrix.dtype).eps * size + (size == 0)
    raised = matrix + ridge[:, None, None] * torch.eye(count, dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.solve_ex(raised, right)[0]
