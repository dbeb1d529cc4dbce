"""fit_landmarks in batched linear algebra: Gauss-Newton with Levenberg's damping on Huber's weights."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from .fit_solve import Groups, System, deviations, make_groups, scaled, solve, split
from .fit_terms import Problem, State, evaluate, normal_equations

FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING, SETTLED_DAMPING = 1e-4, 1e-7, 1e8, 1e-2


def fit_landmarks(
    mean: Tensor,
    modes: Tensor,
    candidates: Tensor,
    outward: Tensor,
    center: Tensor,
    points: Tensor,
    sigma: Tensor,
    start: Tensor,
    pose_sigma: Tensor,
    prior_mean: Tensor,
    prior_precision: Tensor,
    intrinsics: Tensor,
    offsets: Tensor,
    shared: int,
    robust: float,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The operator under `twodasl_ext.fit_landmarks`, in the dtype of its inputs.

    Args:
        mean, modes: (R, 3), (K, R, 3): the rows that points are compared with.
        candidates: (L, C) int64 rows of each point, -1 for none; the first is always one.
        outward: (L, 2): which way is out for points with several candidates; (0, 2) where C is 1.
        center: (3,), about which the face turns and grows.
        points, sigma: (B, L, D), (B, L).
        start: (B, 3, 4).
        pose_sigma: (B, 7); 0 holds an unknown (the depth in an orthographic image), infinity leaves it
            without a prior.
        prior_mean, prior_precision: (B, K), and (B, K) or (B, K, K).
        intrinsics: (B, 4) fx, fy, cx, cy, or (0,) without perspective.
        offsets: (G + 1,) int64, where each group of faces begins; (0,) without groups.

    Returns:
        parameters (B, 12 + K), deviations (B, 7 + K), unknowns (B, 7 + K), cost (B,), residuals (B, L, D),
        chosen (B, L) int32, steps (B,) int32, converged (B,) bool.
    """
    problem = Problem(
        mean, modes, candidates, outward, center, points, sigma, start, pose_sigma, prior_mean,
        prior_precision, intrinsics, robust,
    )  # fmt: skip
    groups = make_groups(offsets, len(points), shared, points.device)
    u, state, steps, converged = minimize(problem, groups, iterations, tolerance)
    _, hessian = normal_equations(problem, state, u)
    spread = deviations(scaled(hessian, problem.held, groups), problem.held)
    pose = torch.cat((state.matrix, state.translation[..., None]), dim=2).flatten(1)
    return (
        torch.cat((pose, u[:, 7:]), dim=1),
        spread,
        u,
        state.cost,
        torch.where(problem.seen[..., None], -state.residuals, 0),
        state.chosen.to(torch.int32),
        groups.each(steps).to(torch.int32),
        groups.each(converged),
    )


def minimize(
    problem: Problem, groups: Groups, iterations: int, tolerance: float
) -> tuple[Tensor, State, Tensor, Tensor]:
    """Unknowns, the state there, and the solves and success of each group."""
    u = first_unknowns(problem, groups)
    state = evaluate(problem, u)
    cost = groups.total(state.cost)
    damping = torch.full_like(cost, FIRST_DAMPING)
    steps, converged = torch.zeros_like(cost, dtype=torch.int64), ~cost.isfinite()
    for _ in range(iterations):
        if bool(converged.all()):
            break
        gradient, hessian = normal_equations(problem, state, u)
        system = scaled(hessian, problem.held, groups)
        step, good = solve(system, gradient, damping)
        good = good & (groups.total((~step.isfinite()).sum(dim=1)) == 0)
        step = torch.where(groups.each(good)[:, None], step, 0)
        trial = evaluate(problem, u - step)
        trial_cost = groups.total(trial.cost)
        fall = expected_fall(system, gradient, step, damping, groups)
        noise = 256 * torch.finfo(cost.dtype).eps * (1 + cost)
        # Near the optimum a step gains less than the cost's own rounding, which then does not judge it.
        level = (fall <= noise) & (trial_cost <= cost + noise)
        better = good & ((trial_cost <= cost) | level) & ~converged
        done = good & (damping <= SETTLED_DAMPING) & (fall <= tolerance * (1 + cost))
        steps = steps + ~converged
        taken = groups.each(better)
        u = torch.where(taken[:, None], u - step, u)
        both = zip(vars(trial).values(), vars(state).values(), strict=True)
        state = State(*(_where(taken, new, old) for new, old in both))
        cost = torch.where(better, torch.minimum(cost, trial_cost), cost)
        damping = torch.where(better, damping / 10, damping * 10).clamp(LEAST_DAMPING, MOST_DAMPING)
        converged = converged | done
    alone = cost if not groups.shared else state.cost
    return u, replace(state, cost=alone), steps, converged & cost.isfinite()


def first_unknowns(problem: Problem, groups: Groups) -> Tensor:
    """The start: no motion, the prior's mean, which a group's faces begin with in common."""
    shared = groups.shared
    common = problem.prior_mean[:, :shared]
    if shared:
        count = groups.total(torch.ones_like(common[:, :1])).clamp(min=1)
        common = groups.each(groups.total(common) / count)
    pose = torch.zeros_like(problem.pose_sigma)
    return torch.cat((pose, common, problem.prior_mean[:, shared:]), dim=1)


def expected_fall(system: System, gradient: Tensor, step: Tensor, damping: Tensor, groups: Groups) -> Tensor:
    """(G,): what the quadratic model says that the step gains, g^T d + damping d^T diag(H) d."""
    own, common = split(step, groups)
    own = torch.where(system.own_scale > 0, own / system.own_scale, 0).square().sum(dim=1)
    length = groups.total(own)
    if groups.shared:
        first = common.new_zeros(groups.count, common.shape[1]).index_copy(0, groups.of_face, common)
        scale = system.common_scale
        length = length + torch.where(scale > 0, first / scale, 0).square().sum(dim=1)
    return groups.total((gradient * step).sum(dim=1)) + damping * length


def _where(taken: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(taken.reshape(-1, *[1] * (new.dim() - 1)), new, old)
