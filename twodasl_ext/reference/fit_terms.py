"""The cost of a fit, and its derivatives in normal equations: one face a row of every tensor.

Unknowns u (B, 7 + K): turn w (3), log of the relative scale s, shift d (3), coefficients c (K). Point i is at
X_i = P_i + q with P_i = exp(s) R(w) M0 (S_i(c) - o) and q = M0 o + t0 + d, and in the image at y = pi(X).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .fit_turn import turn


@dataclass(frozen=True)
class Problem:
    """What a fit is given; see `fit_landmarks` for the shapes. No candidates where the choice is made."""

    mean: Tensor
    modes: Tensor
    candidates: Tensor | None
    outward: Tensor
    center: Tensor
    points: Tensor
    sigma: Tensor
    start: Tensor
    pose_sigma: Tensor
    prior_mean: Tensor
    prior_precision: Tensor
    intrinsics: Tensor
    robust: float

    @cached_property
    def seen(self) -> Tensor:
        """(B, L): which points are there."""
        return self.points.isfinite().all(dim=2) & self.sigma.isfinite() & (self.sigma > 0)

    @cached_property
    def weight(self) -> Tensor:
        """(B, L): 1 / sigma, 0 where a point is not seen."""
        return torch.where(self.seen, 1 / torch.where(self.seen, self.sigma, 1), 0)

    @cached_property
    def target(self) -> Tensor:
        """(B, L, D): the points, zeros where not seen."""
        return torch.where(self.seen[..., None], self.points, 0)

    @property
    def perspective(self) -> bool:
        """Whether there is a division by the depth."""
        return self.intrinsics.numel() > 0

    @cached_property
    def held(self) -> Tensor:
        """(B, 7 + K): the unknowns that stay at zero about the start."""
        pose = ~(self.pose_sigma > 0)
        free = torch.zeros_like(self.prior_mean, dtype=torch.bool)
        return torch.cat((pose, free), dim=1)

    @cached_property
    def pose_precision(self) -> Tensor:
        """(B, 7), zeros for what is held or has no prior."""
        known = (self.pose_sigma > 0) & self.pose_sigma.isfinite()
        return torch.where(known, 1 / torch.where(known, self.pose_sigma, 1).square(), 0)

    def from_prior(self, u: Tensor) -> Tensor:
        """(B, 7 + K): half the gradient of the priors."""
        apart = u[:, 7:] - self.prior_mean
        precision = self.prior_precision
        pulled = precision * apart if precision.dim() == 2 else (precision @ apart[..., None])[..., 0]
        return torch.cat((self.pose_precision * u[:, :7], pulled), dim=1)


@dataclass(frozen=True)
class State:
    """A problem at some unknowns."""

    cost: Tensor
    """(B,) data and priors; infinite where a seen point is behind the camera."""
    chosen: Tensor
    """(B, L) rows of mean and modes that the points were compared with."""
    residuals: Tensor
    """(B, L, D) y - x, zeros where a point is not seen."""
    size: Tensor
    """(B, L) e = |y - x| / sigma."""
    form: Tensor
    """(B, L, 3) S - o."""
    arm: Tensor
    """(B, L, 3) P."""
    place: Tensor
    """(B, L, 3) X."""
    factor: Tensor
    """(B, 3, 3) exp(s) R(w)."""
    matrix: Tensor
    """(B, 3, 3) M = exp(s) R(w) M0."""
    translation: Tensor
    """(B, 3) q - M o."""
    left: Tensor
    """(B, 3, 3) the turn's left Jacobian."""


def evaluate(problem: Problem, u: Tensor, chosen: Tensor | None = None) -> State:
    """The cost at u, with the outermost candidates of the pose at hand unless `chosen` says which."""
    rotation, left = turn(u[:, :3])
    base = problem.start[:, :, :3]
    factor = u[:, 3].exp()[:, None, None] * rotation
    matrix = factor @ base
    origin = (base @ problem.center) + problem.start[:, :, 3] + u[:, 4:7]
    flat = torch.addmm(problem.mean.reshape(1, -1), u[:, 7:], problem.modes.flatten(1))
    forms = flat.reshape(len(u), *problem.mean.shape) - problem.center
    if chosen is None:
        chosen = outermost(problem, forms, origin, matrix)
    form = forms.gather(1, chosen[..., None].expand(-1, -1, 3))
    arm = form @ matrix.mT
    place = arm + origin[:, None]
    image, valid = project(problem, place)
    apart = torch.where(problem.seen[..., None], image - problem.target, 0)
    size = problem.weight * apart.norm(dim=2)
    h = problem.robust
    robust = torch.where(size <= h, size.square(), 2 * h * size - h * h if h < torch.inf else size)
    pulls = problem.from_prior(u)
    prior = (pulls * torch.cat((u[:, :7], u[:, 7:] - problem.prior_mean), dim=1)).sum(dim=1)
    cost = torch.where((valid | ~problem.seen).all(dim=1), robust.sum(dim=1) + prior, torch.inf)
    translation = origin - (matrix @ problem.center)
    return State(cost, chosen, apart, size, form, arm, place, factor, matrix, translation, left)


def project(problem: Problem, place: Tensor) -> tuple[Tensor, Tensor]:
    """(B, L, 3) -> (B, L, D), and whether a point is before the camera."""
    if not problem.perspective:
        valid = torch.ones_like(place[..., 0], dtype=torch.bool)
        return place[..., : problem.points.shape[2]], valid
    depth = place[..., 2:]
    valid = depth > 0
    focal, middle = problem.intrinsics[:, None, :2], problem.intrinsics[:, None, 2:]
    image = focal * place[..., :2] / torch.where(valid, depth, 1) + middle
    return image, valid[..., 0]


def outermost(problem: Problem, forms: Tensor, origin: Tensor, matrix: Tensor) -> Tensor:
    """(B, L): the candidate of each point that lies furthest outward in the image, ties to the first."""
    candidates = problem.candidates
    assert candidates is not None
    batch, (count, width) = len(forms), candidates.shape
    if width == 1:
        return candidates[:, 0].expand(batch, count)
    places = forms[:, candidates.clamp(min=0).flatten()] @ matrix.mT + origin[:, None]
    image, _ = project(problem, places)
    up = matrix[:, :2, 1]
    up = up / up.norm(dim=1, keepdim=True).clamp(min=torch.finfo(up.dtype).tiny)
    side = torch.stack((up[:, 1], -up[:, 0]), dim=1)
    side = -side if problem.perspective else side
    direction = problem.outward[:, :1] * side[:, None] + problem.outward[:, 1:] * up[:, None]
    reach = (image.reshape(batch, count, width, 2) * direction[:, :, None]).sum(dim=3)
    reach = torch.where(candidates >= 0, reach, -torch.inf)
    first = (reach == reach.amax(dim=2, keepdim=True)).to(torch.uint8).argmax(dim=2)
    return candidates.expand(batch, -1, -1).gather(2, first[..., None])[..., 0]


def slopes(problem: Problem, state: State) -> Tensor:
    """(B, L, D, 3): the derivative of the projection."""
    d = problem.points.shape[2]
    eye = torch.eye(3, dtype=state.place.dtype, device=state.place.device)[:d]
    if not problem.perspective:
        return eye.expand(*state.place.shape[:2], d, 3)
    inverse = 1 / torch.where(state.place[..., 2:] > 0, state.place[..., 2:], 1)
    focal = problem.intrinsics[:, None, :2] * inverse
    away = -focal * state.place[..., :2] * inverse
    return torch.cat((torch.diag_embed(focal), away[..., None]), dim=3)


def robust_weight(problem: Problem, state: State) -> Tensor:
    """(B, L): how much of its square a residual counts, 1 within the robust limit."""
    outside = state.size > problem.robust
    limit = torch.where(outside, problem.robust, 1.0).to(state.size)
    return torch.where(outside, limit / torch.where(outside, state.size, 1), 1) * problem.seen


def derivative_of_places(problem: Problem, state: State) -> Tensor:
    """(B, L, 3, 7 + K): dX / du."""
    batch, count = state.chosen.shape
    ways = state.left.mT[:, None]  # a row is the axis about which an unknown turns
    turned = torch.linalg.cross(ways.expand(-1, count, -1, -1), state.arm[:, :, None].expand(-1, -1, 3, -1))
    shift = torch.eye(3, dtype=turned.dtype, device=turned.device).expand(batch, count, 3, 3)
    moved = problem.modes.permute(1, 0, 2).reshape(-1, 3) @ state.matrix.mT
    moved = moved.reshape(batch, len(problem.mean), len(problem.modes), 3)
    if problem.candidates is not None and problem.candidates.shape[1] == 1:
        moved = moved[:, problem.candidates[:, 0]]
    else:
        moved = moved.gather(1, state.chosen[..., None, None].expand(-1, -1, *moved.shape[2:]))
    return torch.cat((turned.mT, state.arm[..., None], shift, moved.mT), dim=3)


def prior_hessian(problem: Problem) -> Tensor:
    """(B, 7 + K, 7 + K): half the priors' second derivatives."""
    precision = problem.prior_precision
    batch, modes = problem.prior_mean.shape
    hessian = precision.new_zeros(batch, 7 + modes, 7 + modes)
    hessian[:, 7:, 7:] = torch.diag_embed(precision) if precision.dim() == 2 else precision
    hessian.diagonal(dim1=1, dim2=2)[:, :7] = problem.pose_precision
    return hessian


def normal_equations(problem: Problem, state: State, u: Tensor) -> tuple[Tensor, Tensor]:
    """Half the gradient (B, 7 + K), and the Gauss-Newton approximation of half the Hessian."""
    jacobian = slopes(problem, state) @ derivative_of_places(problem, state)
    weight = robust_weight(problem, state).sqrt() * problem.weight
    rows = (weight[..., None, None] * jacobian).flatten(1, 2)
    right = (weight * problem.weight * robust_weight(problem, state).sqrt())[..., None] * state.residuals
    gradient = (jacobian.flatten(1, 2).mT @ right.flatten(1)[..., None])[..., 0] + problem.from_prior(u)
    return gradient, rows.mT @ rows + prior_hessian(problem)
