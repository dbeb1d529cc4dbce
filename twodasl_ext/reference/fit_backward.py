"""The gradient of a fit by the implicit function theorem, with the whole Hessian of the cost.

At the optimum half the cost's gradient G(u, x) is zero for every input x, so du/dx = -H^-1 dG/dx with
H = dG/du. A gradient v of the unknowns therefore becomes -(H^-1 v)^T dG/dx; the pose has its start as a
factor besides.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .fit_solve import Groups, least_damping, make_groups, scaled, solve
from .fit_terms import (
    Problem,
    State,
    derivative_of_places,
    evaluate,
    normal_equations,
    prior_hessian,
    robust_weight,
    slopes,
)
from .fit_turn import change_of_left_jacobian, cross_matrix


@dataclass(frozen=True)
class Curvature:
    """Per point, half of: the cost's gradient in the place X, its Hessian there and in the image."""

    pull: Tensor
    """(B, L, 3)."""
    bend: Tensor
    """(B, L, 3, 3)."""
    slope: Tensor
    """(B, L, D, 3): the projection's derivative."""
    image_pull: Tensor
    """(B, L, D)."""
    image_bend: Tensor
    """(B, L, D, D)."""


def fit_landmarks_backward(
    grad: Tensor,
    mean: Tensor,
    modes: Tensor,
    center: Tensor,
    points: Tensor,
    sigma: Tensor,
    start: Tensor,
    pose_sigma: Tensor,
    prior_mean: Tensor,
    prior_precision: Tensor,
    intrinsics: Tensor,
    offsets: Tensor,
    unknowns: Tensor,
    chosen: Tensor,
    shared: int,
    robust: float,
) -> tuple[Tensor, ...]:
    """The gradients of points, sigma, start, pose_sigma, prior_mean and prior_precision; pull, twist, solved.

    The last three, (B, L, 3), (B, L, 3) and (B, K), make the basis's: a row of the mean has the sum of `pull`
    over the points that used it, and one of mode k that of c_k pull + solved_k twist.

    `grad` is that of the parameters (B, 12 + K); `unknowns` and `chosen` are what the fit found; the rest are
    its inputs. Where the Hessian is not positive definite, which happens only where the fit had not arrived,
    the Gauss-Newton approximation stands for it.
    """
    problem = Problem(
        mean, modes, None, points.new_zeros(0, 2), center, points, sigma, start, pose_sigma, prior_mean,
        prior_precision, intrinsics, robust,
    )  # fmt: skip
    chosen = chosen.to(torch.int64)
    state = evaluate(problem, unknowns, chosen)
    ways = derivative_of_places(problem, state)
    groups = make_groups(offsets, len(points), shared, points.device)
    curvature = curvature_of_points(problem, state)
    right = grad_of_unknowns(problem, state, grad)
    dual = _dual(problem, state, ways, curvature, right, unknowns, groups)
    z = (ways @ dual[:, None, :, None])[..., 0]
    seen_in_image = (curvature.slope @ z[..., None])[..., 0]
    grad_points = (curvature.image_bend @ seen_in_image[..., None])[..., 0]
    power = torch.where(state.size <= robust, 2, 1)
    grad_sigma = power * problem.weight * (curvature.image_pull * seen_in_image).sum(dim=2)
    bent = _bent(state, curvature, z, dual)
    grad_start = _grad_of_start(problem, state, curvature, bent, dual, chosen, grad)
    precision = problem.pose_precision
    apart, along = unknowns[:, 7:] - prior_mean, dual[:, 7:]
    if prior_precision.dim() == 2:
        grad_mean, grad_precision = prior_precision * along, -along * apart
    else:
        grad_mean = (prior_precision @ along[..., None])[..., 0]
        outer = along[:, :, None] * apart[:, None]
        grad_precision = -(outer + outer.mT) / 2
    known = precision > 0
    grad_pose_sigma = 2 * dual[:, :7] * unknowns[:, :7] * precision / torch.where(known, pose_sigma, 1)
    pull, twist = -bent[1] @ state.matrix, -curvature.pull @ state.matrix
    return (
        grad_points, grad_sigma, grad_start, grad_pose_sigma, grad_mean, grad_precision, pull, twist, along,
    )  # fmt: skip


def grad_of_unknowns(problem: Problem, state: State, grad: Tensor) -> Tensor:
    """(B, 7 + K): the parameters' gradient, brought to the unknowns; 0 for what is held."""
    pose = grad[:, :12].reshape(-1, 3, 4)
    shift = pose[:, :, 3]
    matrix = pose[:, :, :3] - shift[:, :, None] * problem.center
    axis = torch.linalg.cross(state.matrix, matrix, dim=1).sum(dim=2)
    turned = (state.left.mT @ axis[..., None])[..., 0]
    grown = (state.matrix * matrix).sum(dim=(1, 2))[:, None]
    return torch.where(problem.held, 0, torch.cat((turned, grown, shift, grad[:, 12:]), dim=1))


def curvature_of_points(problem: Problem, state: State) -> Curvature:
    """First and second derivatives of the data's half cost by each point's place."""
    slope = slopes(problem, state)
    square = problem.weight.square()
    pull = (robust_weight(problem, state) * square)[..., None] * state.residuals
    inside = (state.size <= problem.robust)[..., None, None]
    eye = torch.eye(slope.shape[2], dtype=slope.dtype, device=slope.device)
    length = torch.where(inside[..., 0], 1, state.residuals.norm(dim=2, keepdim=True))
    way = state.residuals / length
    across = eye - way[..., :, None] * way[..., None, :]
    bend = torch.where(inside, eye, robust_weight(problem, state)[..., None, None] * across)
    bend = square[..., None, None] * bend
    whole = slope.mT @ bend @ slope
    if problem.perspective:
        whole = whole + _division(problem, state, pull)
    return Curvature((slope.mT @ pull[..., None])[..., 0], whole, slope, pull, bend)


def _division(problem: Problem, state: State, pull: Tensor) -> Tensor:
    """(B, L, 3, 3): the second derivative of the division by the depth, along the image's gradient."""
    depth = torch.where(state.place[..., 2] > 0, state.place[..., 2], 1)
    drawn = pull * problem.intrinsics[:, None, :2]
    side = -drawn / depth.square()[..., None]
    deep = 2 * (drawn * state.place[..., :2]).sum(dim=2) / depth**3
    bend = torch.zeros_like(state.place[..., None] * state.place[..., None, :])
    bend[..., :2, 2] = side
    bend[..., 2, :2] = side
    bend[..., 2, 2] = deep
    return bend


def full_hessian(problem: Problem, state: State, ways: Tensor, curvature: Curvature, u: Tensor) -> Tensor:
    """(B, 7 + K, 7 + K): half the cost's Hessian."""
    rows = ways.flatten(1, 2)
    hessian = rows.mT @ (curvature.bend @ ways).flatten(1, 2) + prior_hessian(problem)
    pull = curvature.pull
    spread = pull.mT @ state.arm
    trace = spread.diagonal(dim1=1, dim2=2).sum(dim=1)
    torque = torch.linalg.cross(state.arm, pull).sum(dim=1)
    axes = state.left
    turned = axes.mT @ spread @ axes - trace[:, None, None] * (axes.mT @ axes)
    turned = turned + (change_of_left_jacobian(u[:, :3]).mT @ torque[:, None, :, None])[..., 0]
    moved = ways[..., 7:]
    hessian[:, :3, :3] += (turned + turned.mT) / 2
    twisted = axes.mT @ torch.linalg.cross(moved, pull[..., None].expand_as(moved), dim=2).sum(dim=1)
    for block, first, last in (
        ((axes.mT @ torque[..., None]), slice(0, 3), slice(3, 4)),
        (twisted, slice(0, 3), slice(7, None)),
        ((moved * pull[..., None]).sum(dim=(1, 2))[:, None], slice(3, 4), slice(7, None)),
    ):
        hessian[:, first, last] += block
        hessian[:, last, first] += block.mT
    hessian[:, 3, 3] += trace
    return hessian


def _dual(
    problem: Problem,
    state: State,
    ways: Tensor,
    curvature: Curvature,
    right: Tensor,
    u: Tensor,
    groups: Groups,
) -> Tensor:
    """(B, 7 + K): H^-1 right, zeros where neither H nor its approximation is positive definite."""
    approximate = scaled(normal_equations(problem, state, u)[1], problem.held, groups)
    whole = scaled(full_hessian(problem, state, ways, curvature, u), problem.held, groups, like=approximate)
    raise_by = least_damping(approximate)
    dual, good = solve(whole, right, raise_by)
    instead, usable = solve(approximate, right, raise_by)
    usable = groups.each(usable)[:, None]
    return torch.where(groups.each(good)[:, None], dual, torch.where(usable, instead, 0))


def _bent(state: State, curvature: Curvature, z: Tensor, dual: Tensor) -> tuple[Tensor, Tensor]:
    """How the cost's slope along the dual changes with each place (B, L, 3), as it is and about the center.

    With Omega = [J dual_w]x + dual_s, a change of the arm P moves X by itself, and z by Omega times itself.
    """
    axis = (state.left @ dual[:, :3, None])[..., 0]
    eye = torch.eye(3, dtype=axis.dtype, device=axis.device)
    omega = cross_matrix(axis) + dual[:, 3, None, None] * eye
    bent = (curvature.bend @ z[..., None])[..., 0]
    return bent, bent + curvature.pull @ omega


def _grad_of_start(
    problem: Problem,
    state: State,
    curvature: Curvature,
    bent: tuple[Tensor, Tensor],
    dual: Tensor,
    chosen: Tensor,
    grad: Tensor,
) -> Tensor:
    """(B, 3, 4): through the optimum, and as a factor of the pose."""
    moved = torch.addmm(torch.zeros_like(problem.mean).reshape(1, -1), dual[:, 7:], problem.modes.flatten(1))
    moved = moved.reshape(len(dual), *problem.mean.shape).gather(1, chosen[..., None].expand(-1, -1, 3))
    pulled = bent[1].mT @ state.form + curvature.pull.mT @ moved
    shift = bent[0].sum(dim=1)
    pose = grad[:, :12].reshape(-1, 3, 4)
    straight = pose[:, :, 3]
    pulled = pose[:, :, :3] - straight[:, :, None] * problem.center - pulled
    base = state.factor.mT @ pulled + (straight - shift)[:, :, None] * problem.center
    return torch.cat((base, (straight - shift)[..., None]), dim=2)
