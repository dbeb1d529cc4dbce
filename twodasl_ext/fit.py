"""fit_landmarks: pose and coefficients of a face model from a few points, a batch at a time."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._fit_groups import check_groups, order_of, share_prior
from ._fit_inputs import Perspective, check_faces, check_options
from ._fit_operator import fit
from ._fit_rows import rows_of
from ._fit_start import closed_form
from .basis import MorphableBasis
from .contours import Contours
from .fit_priors import CoefficientPrior
from .rotation import nearest_rotation


class LandmarkFit(NamedTuple):
    """What `fit_landmarks` found. Gradients flow through `parameters`, `pose` and `coefficients` alone.

    Attributes:
        parameters: (B, 12 + K), `[pose row-major 3x4 | coefficients]`, as every operator here takes it.
        pose, coefficients: (B, 3, 4), rows of `M | t`, and (B, K): the two parts of it.
        pose_deviations: (B, 7), standard deviations of the turn about x, y and z (radians, in the space of
            the points), of the logarithm of the scale, and of the center's shift (the points' unit). 0 for
            what was held, infinity for what neither points nor priors tell.
        coefficient_deviations: (B, K).
        cost: (B,), E, of which less than the number of numbers in `points` is usual where the deviations are
            honest. Of a group, each face's part.
        residuals: (B, L, D), points minus the fitted model's; 0 for points that are not seen.
        vertices: (B, L) int64, which vertex each point was compared with; -1 for a mean of several.
        iterations: (B,) int32, how many steps were tried.
        converged: (B,) bool, whether the cost stopped falling before `iterations`.
    """

    parameters: Tensor
    pose: Tensor
    coefficients: Tensor
    pose_deviations: Tensor
    coefficient_deviations: Tensor
    cost: Tensor
    residuals: Tensor
    vertices: Tensor
    iterations: Tensor
    converged: Tensor


def fit_landmarks(
    basis: MorphableBasis,
    points: Tensor,
    sigma: Tensor | float,
    *,
    camera: str | Perspective | None = None,
    start: Tensor | None = None,
    pose_sigma: Any = None,
    prior: CoefficientPrior | None = None,
    vertices: Any = None,
    contours: Contours | None = None,
    groups: Any = None,
    shared: int | None = None,
    robust: float = 2.0,
    iterations: int = 20,
    tolerance: float = 1e-6,
) -> LandmarkFit:
    """The pose and the coefficients with which the model's points come to lie on the given ones.

    For each face the minimum of

        E = sum_i rho(|x_i - y_i| / sigma_i) + sum_j (u_j / pose_sigma_j)^2 + (c - n)^T A (c - n)

    over a turn w, a growth s and a shift d about the start pose M0 | t0, and the coefficients c:

        y_i = pi(M (S_i(c) - o) + q),   M = exp(s) exp([w]x) M0,   q = M0 o + t0 + d,   t = q - M o

    S_i(c) is vertex i of the shape, o the middle of the mean shape's points, u = (w, s, d), and rho Huber's
    norm: e^2 up to e = `robust`, 2 robust e - robust^2 beyond.

    Args:
        basis: K modes.
        points: (B, L, 2) in the image, or (B, L, 3) in space, of the basis's dtype (half precision is
            promoted), or a list or array. One that is not finite is not seen.
        sigma: (B, L), (L,) or a number: the points' standard deviations, in their unit, at least 1e-15 in
            float32. Infinite, or NaN in a tensor: not seen. On a GPU, where no value is looked at, 0 or less
            counts as not seen too.
        camera: "orthographic" (scaled; the depth of the center stays as it is), `Perspective(fx, fy, cx, cy)`
            with known intrinsics (the scale stays that of the start unless `pose_sigma` frees it: a model in
            millimeters gives poses in millimeters), or "space". None: by the points.
        start: (B, 3, 4), M0 | t0 with any M0 that has an inverse. None: the pose of the mean shape in closed
            form, which is a constant to the gradient.
        pose_sigma: how far the pose may be from `start`: (turn in radians, relative growth, shift in the
            points' unit), or a tensor (7,) or (B, 7) of three turns, a growth and three shifts. 0 holds an
            unknown; infinity leaves it free. None: all are free.
        prior: of the coefficients, n and A; None: nothing is known, which takes more points than unknowns.
            See `CoefficientPrior`, which also joins a network's prediction with the model's own spread.
        vertices: (L,) vertex indices; or (L, N) weights that sum to 1, for points that are means of several
            vertices. None: the basis's landmarks.
        contours: `Contours` instead of `vertices`: candidates for points on the outline, chosen for every
            pose.
        groups: (B,) integers, in any order: faces of the same number have the first `shared` coefficients in
            common, exactly. The prior of those is the mean of the faces' (once, not once a face).
        shared: how many leading coefficients faces of a group share; with `groups` only.
        robust: Huber's limit, in standard deviations, at least 1e-6; infinity: least squares.
        iterations: how many steps to try at most.
        tolerance: a fit has converged when a step changes the cost by no more than this times (1 + cost).

    Returns:
        LandmarkFit. The cost is never above that of the start. What nothing tells of an unknown stays at the
        start or the prior's mean; nothing is NaN where start and priors are finite. A start with a seen
        point behind the camera is given back as it is, with infinite cost.

    Steps are Gauss-Newton's on Huber's weights with Levenberg's damping (Marquardt's scaling), a group's by
    the Schur complement of what its faces share, linear in the number of faces. Deviations are those of the
    normal distribution about the optimum, from the same matrix.

    Gradients flow from `parameters` to points, sigma, start, pose_sigma, the prior's mean and precision, and
    to a basis that is being trained, by the implicit function theorem with the whole Hessian; they are those
    of the optimum, and right as far as the fit converged. Where the Hessian there is not positive definite,
    Gauss-Newton's stands for it. The choice of a contour's candidates and the camera are constants. First
    derivatives only.

    The same inputs give the same bits whatever the number of threads and, without groups, the rest of the
    batch. On CUDA nothing waits for the device, and a CUDA graph can hold all of it.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came; on the CPU also for sigma
            <= 0, and for a start or prior that is not finite.
        RuntimeError: a second derivative, or forward-mode differentiation.

    Source: Levenberg 1944; Marquardt 1963; Huber 1964; Triggs et al., "Bundle Adjustment", 2000 (groups); Zhu
    et al., "High-fidelity Pose and Expression Normalization", 2015 (contours).
    """
    options = check_options(robust, iterations, tolerance)
    rows = rows_of(basis, vertices, contours)
    faces = check_faces(points, sigma, camera, start, pose_sigma, prior, basis, rows.candidates.shape[0])
    if rows.candidates.shape[1] > 1 and faces.points.shape[2] == 3:
        raise ValueError("contours: expected None for points in space, which have no outline")
    batch, modes = faces.prior_mean.shape
    groups, shared = check_groups(groups, shared, batch, modes, faces.points.device)
    begin = faces.start
    if begin is None:
        seen, sigmas, lens = (t.detach() for t in (faces.points, faces.sigma, faces.intrinsics))
        mean = rows.mean.detach()
        begin = closed_form(mean, rows.candidates, rows.center, seen, sigmas, lens, nearest_rotation)
    by_face: tuple[Tensor, ...] = (
        faces.points, faces.sigma, begin, faces.pose_sigma, faces.prior_mean, faces.prior_precision,
        faces.intrinsics,
    )  # fmt: skip
    arguments: tuple[Any, ...]
    if groups is None:
        offsets = torch.zeros(0, dtype=torch.int64, device=begin.device)
        arguments = (*rows[:5], *by_face, offsets, 0, *options)
        found = fit(*arguments)
    else:
        order = order_of(groups)
        by_face = tuple(t[order.faces] if t.dim() > 1 else t for t in by_face)
        precision = share_prior(by_face[5], order.size, shared)
        arguments = (*rows[:5], *by_face[:5], precision, by_face[6], order.offsets, shared, *options)
        found = tuple(t[order.back] for t in fit(*arguments))
    parameters, deviations, _, cost, residuals, chosen, steps, converged = found
    used = rows.vertices[chosen.to(torch.int64)]
    pose, coefficients = parameters[:, :12].unflatten(1, (3, 4)), parameters[:, 12:]
    return LandmarkFit(
        parameters,
        pose,
        coefficients,
        deviations[:, :7],
        deviations[:, 7:],
        cost,
        residuals,
        used,
        steps,
        converged,
    )
