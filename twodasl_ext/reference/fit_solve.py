"""Block-arrow systems: every face has unknowns of its own, and the faces of a group have some in common."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """Which group each face is in (B,), how many there are, and how many leading coefficients they share."""

    of_face: Tensor
    count: int
    shared: int

    def total(self, by_face: Tensor) -> Tensor:
        """(B, ...) -> (G, ...): the sum over a group's faces."""
        if not self.shared:
            return by_face
        zero = by_face.new_zeros(self.count, *by_face.shape[1:])
        return zero.index_add(0, self.of_face, by_face)

    def each(self, by_group: Tensor) -> Tensor:
        """(G, ...) -> (B, ...)."""
        return by_group[self.of_face] if self.shared else by_group


def make_groups(offsets: Tensor, batch: int, shared: int, device: torch.device) -> Groups:
    """The groups of sorted faces; without offsets or shared coefficients every face is its own."""
    if not offsets.numel() or not shared:
        return Groups(torch.arange(batch, device=device), batch, 0)
    faces = torch.arange(batch, device=device)
    return Groups(torch.searchsorted(offsets, faces, right=True) - 1, len(offsets) - 1, shared)


@dataclass(frozen=True)
class System:
    """H scaled to a unit diagonal, split into own unknowns (B, n, n), shared ones (G, S, S), and between."""

    own: Tensor
    between: Tensor
    common: Tensor
    own_scale: Tensor
    common_scale: Tensor
    groups: Groups


def split(vector: Tensor, groups: Groups) -> tuple[Tensor, Tensor]:
    """(B, 7 + K, ...) -> own (B, 7 + K - S, ...), what is shared (B, S, ...)."""
    s = groups.shared
    return torch.cat((vector[:, :7], vector[:, 7 + s :]), dim=1), vector[:, 7 : 7 + s]


def join(own: Tensor, common: Tensor, groups: Groups) -> Tensor:
    """The reverse, with (G, S) for what is shared."""
    return torch.cat((own[:, :7], groups.each(common), own[:, 7:]), dim=1) if groups.shared else own


def scaled(hessian: Tensor, held: Tensor, groups: Groups, like: System | None = None) -> System:
    """The system without what is held or what nothing is known of: those rows are the identity's.

    The scales are those of `like`, or bring the diagonal to 1.
    """
    by_row = torch.cat(split(hessian, groups), dim=1)
    full = torch.cat(split(by_row.mT, groups), dim=1)
    s = groups.shared
    n = full.shape[1] - s
    own, between, common = full[:, :n, :n], full[:, :n, n:], groups.total(full[:, n:, n:])
    if like is None:
        own_scale = _scale(own, split(held, groups)[0])
        common_scale = _scale(common, common.new_zeros(common.shape[:2], dtype=torch.bool))
    else:
        own_scale, common_scale = like.own_scale, like.common_scale
    own = _unit(own, own_scale)
    if not s:
        return System(own, between, common, own_scale, common_scale, groups)
    between = own_scale[:, :, None] * between * groups.each(common_scale)[:, None]
    return System(own, between, _unit(common, common_scale), own_scale, common_scale, groups)


def _scale(matrix: Tensor, held: Tensor) -> Tensor:
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    known = (diagonal > 0) & ~held
    return torch.where(known, torch.where(known, diagonal, 1).rsqrt(), 0)


def _unit(matrix: Tensor, scale: Tensor) -> Tensor:
    return scale[:, :, None] * matrix * scale[:, None] + torch.diag_embed((scale == 0).to(scale))


def solve(system: System, right: Tensor, damping: Tensor) -> tuple[Tensor, Tensor]:
    """(H + damping diag H)^-1 right, (B, 7 + K), by Cholesky, and which groups (G,) it succeeded for.

    `damping` is (G,); `right` is (B, 7 + K), whose shared part is added up over a group.
    """
    groups = system.groups
    own_right, common_right = split(right, groups)
    own_right = (system.own_scale * own_right)[..., None]
    own, failed = torch.linalg.cholesky_ex(_raised(system.own, groups.each(damping)))
    if not groups.shared:
        solution = torch.cholesky_solve(own_right, own)[..., 0]
        return system.own_scale * solution, failed == 0
    eliminated = torch.cholesky_solve(torch.cat((system.between, own_right), dim=2), own)
    toward, alone = eliminated[..., :-1], eliminated[..., -1:]
    reduced = _raised(system.common, damping) - groups.total(system.between.mT @ toward)
    left = system.common_scale * groups.total(common_right)
    left = left[..., None] - groups.total(system.between.mT @ alone)
    common, failed_common = torch.linalg.cholesky_ex(reduced)
    found = torch.cholesky_solve(left, common)
    solution = (alone - toward @ groups.each(found))[..., 0]
    good = (failed_common == 0) & (groups.total((failed != 0).to(torch.int64)) == 0)
    return join(system.own_scale * solution, system.common_scale * found[..., 0], groups), good


def _raised(matrix: Tensor, damping: Tensor) -> Tensor:
    eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return matrix + damping[:, None, None] * eye


def least_damping(system: System) -> Tensor:
    """(G,): what rounding may take from a diagonal of 1: what is open comes out large, and not as noise."""
    return system.own.new_full((system.groups.count,), 64 * torch.finfo(system.own.dtype).eps)


def deviations(system: System, held: Tensor) -> Tensor:
    """(B, 7 + K): the square roots of the inverse's diagonal; 0 for what is held, infinite where unknown."""
    groups = system.groups
    raise_by = least_damping(system)
    own, failed = torch.linalg.cholesky_ex(_raised(system.own, groups.each(raise_by)))
    inverse = torch.cholesky_inverse(own)
    variance = inverse.diagonal(dim1=1, dim2=2)
    good = failed == 0
    common_variance = variance.new_zeros(groups.count, 0)
    if groups.shared:
        toward = inverse @ system.between
        reduced = _raised(system.common, raise_by) - groups.total(system.between.mT @ toward)
        common, failed_common = torch.linalg.cholesky_ex(reduced)
        common_inverse = torch.cholesky_inverse(common)
        common_variance = common_inverse.diagonal(dim1=1, dim2=2)
        variance = variance + ((toward @ groups.each(common_inverse)) * toward).sum(dim=2)
        good = groups.each((failed_common == 0) & (groups.total((failed != 0).to(torch.int64)) == 0))
    scale = join(system.own_scale, system.common_scale, groups)
    variance = join(variance, common_variance, groups)
    known = (scale > 0) & good[:, None]
    found = torch.where(known, scale * variance.clamp(min=0).sqrt(), torch.inf)
    return torch.where(held, 0, found)
