"""Gradients of fit_landmarks at the optimum: against differences of whole fits, and what must be zero."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import twodasl_ext as te
from twodasl_ext import reference

from .fit_cases import CAMERAS, make_fit, operator_arguments, with_outliers

CHECK = {"eps": 1e-5, "atol": 1e-6, "rtol": 1e-4, "nondet_tol": 0.0}
"""A fit is exact to the root of a rounding error, so the differences are taken over wide steps."""


def small(camera, **options):
    return make_fit(camera, count=9, modes=3, batch=options.pop("batch", 2), seed=4, noise=1.5, **options)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("full_prior", [False, True], ids=["own precisions", "full precision"])
@pytest.mark.parametrize("outliers", [False, True], ids=["clean", "outliers"])
def test_gradcheck(camera, full_prior, outliers):
    fit = small(camera, full_prior=full_prior)
    fit = with_outliers(fit) if outliers else fit
    size = (fit.run().residuals.norm(dim=2) / fit.sigma).detach()
    assert bool((size > 2.2).any()) == outliers or not outliers
    assert ((size - 2).abs() > 1e-2).all()  # nobody on the kink
    check(fit, {})


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("full_prior", [False, True], ids=["own precisions", "full precision"])
def test_gradcheck_through_groups(camera, full_prior):
    fit = with_outliers(small(camera, batch=3, full_prior=full_prior))
    check(fit, {"groups": [1, 0, 1], "shared": 2})


def check(fit, options):
    prior = fit.options["prior"]
    free = fit.options["pose_sigma"] > 0

    def run(points, sigma, start, pose_sigma, mean, precision):
        symmetric = (precision + precision.mT) / 2 if precision.dim() == 3 else precision
        return fit.run(
            points=points, sigma=sigma, start=start, pose_sigma=torch.where(free, pose_sigma, 0),
            prior=te.CoefficientPrior(mean, symmetric), **options,
        ).parameters  # fmt: skip

    given = (
        fit.points,
        fit.sigma,
        fit.options["start"],
        fit.options["pose_sigma"],
        prior.mean,
        prior.precision,
    )
    leaves = [t.clone().requires_grad_() for t in given]
    assert torch.autograd.gradcheck(run, leaves, **CHECK)


@pytest.mark.parametrize("camera", CAMERAS)
def test_gradcheck_of_a_basis_that_is_trained(camera):
    fit = with_outliers(small(camera))
    basis = te.MorphableBasis(
        fit.basis.mean.clone().requires_grad_(),
        fit.basis.modes.clone().requires_grad_(),
        fit.basis.landmarks,
        storage=torch.float64,
    )  # fmt: skip
    found = fit.run(basis=basis)
    weight = torch.randn(
        found.parameters.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    grads = torch.autograd.grad((found.parameters * weight).sum(), (basis.mean, basis.modes))
    center = basis.mean[basis.landmarks].detach().mean(dim=0)
    for tensor, got, name in zip((basis.mean, basis.modes), grads, ("mean", "modes"), strict=True):
        way = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        if name == "mean":  # the center is a constant
            way[basis.landmarks] -= way[basis.landmarks].mean(dim=0)
        values = []
        for step in (1e-4, -1e-4):
            parts = {"mean": fit.basis.mean, "modes": fit.basis.modes}
            parts[name] = parts[name] + step * way
            moved = te.MorphableBasis(
                parts["mean"], parts["modes"], fit.basis.landmarks, storage=torch.float64
            )
            torch.testing.assert_close(moved.mean[moved.landmarks].mean(dim=0), center)
            values.append((fit.run(basis=moved).parameters * weight).sum())
        slope = (values[0] - values[1]) / 2e-4
        torch.testing.assert_close((got * way).sum(), slope, rtol=1e-4, atol=1e-4)


def test_unused_rows_of_a_trained_basis_have_no_gradient():
    fit = small("orthographic")
    mean = fit.basis.mean.clone().requires_grad_()
    basis = te.MorphableBasis(mean, fit.basis.modes, fit.basis.landmarks, storage=torch.float64)
    (grad,) = torch.autograd.grad(fit.run(basis=basis).coefficients.sum(), mean)
    used = torch.zeros(len(mean), dtype=torch.bool)
    used[fit.basis.landmarks] = True
    assert (grad[~used] == 0).all()
    assert (grad[used] != 0).any(dim=1).all()


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in groups"])
def test_the_reference_agrees(camera, dtype, grouped):
    fit = with_outliers(make_fit(camera, batch=5, dtype=dtype, full_prior=grouped))
    groups = {"groups": [0, 1, 0, 1, 1], "shared": 3} if grouped else {}
    arguments = operator_arguments(fit, iterations=30, **groups)
    found = torch.ops.twodasl.fit_landmarks(*arguments)
    grad = torch.randn(found[0].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(
        dtype
    )
    mean, modes, _, _, center, *faces = arguments[:13]
    inputs = (grad, mean, modes, center, *faces)
    result = torch.ops.twodasl.fit_landmarks_backward(
        *inputs, *arguments[13:15], found[2], found[5], True, True
    )
    wide = [t.double() for t in inputs[:-1]]
    expected = reference.fit_landmarks_backward(
        *wide, inputs[-1], found[2].double(), found[5], *arguments[13:15]
    )
    tolerance = 1e-9 if dtype == torch.float64 else 5e-3
    for one, other in zip(result, expected, strict=True):
        assert one.shape == other.shape
        bound = tolerance * other.abs().amax().clamp(min=1e-3)
        assert ((one.double() - other).abs() <= bound).all()


def test_a_free_pose_has_no_gradient_of_its_start():
    """Without a prior of the pose, turning, growing or shifting the start leaves the optimum where it is."""
    fit = small("orthographic")
    start = fit.options["start"].clone().requires_grad_()
    found = fit.run(start=start, pose_sigma=None)
    (grad,) = torch.autograd.grad((found.pose[:, :2].sin().sum() + found.coefficients.sum()), start)
    matrix, of_matrix = start.detach()[:, :, :3], grad[:, :, :3]
    assert of_matrix.abs().max() > 1  # a shear is another model
    turns = of_matrix @ matrix.mT
    scale = of_matrix.abs().max()
    assert (turns - turns.mT).abs().max() < 1e-6 * scale
    assert turns.diagonal(dim1=1, dim2=2).sum(dim=1).abs().max() < 1e-6 * scale
    assert grad[:, :2, 3].abs().max() < 1e-8


def test_what_is_not_seen_has_no_gradient():
    fit = small("orthographic")
    points, sigma = fit.points.clone(), fit.sigma.clone()
    points[0, 2] = torch.nan
    sigma[1, 5] = torch.inf
    points.requires_grad_()
    sigma.requires_grad_()
    grads = torch.autograd.grad(fit.run(points=points, sigma=sigma).parameters.sum(), (points, sigma))
    for grad in grads:
        assert grad.isfinite().all()
    assert (grads[0][0, 2] == 0).all()
    assert grads[1][0, 2] == 0
    assert (grads[0][1, 5] == 0).all()
    assert grads[1][1, 5] == 0
    assert (grads[0][1, 4] != 0).all()


def test_only_parameters_are_differentiable():
    fit = small("orthographic")
    found = fit.run(points=fit.points.clone().requires_grad_())
    for name, value in found._asdict().items():
        assert value.requires_grad == (name in ("parameters", "pose", "coefficients")), name


def test_second_derivatives_are_refused():
    fit = small("orthographic")
    points = fit.points.clone().requires_grad_()
    (grad,) = torch.autograd.grad(fit.run(points=points).parameters.square().sum(), points, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative is not implemented"):
        torch.autograd.grad(grad.sum(), points)


def test_a_network_learns_its_points_through_the_fit():
    """Points that are systematically off are put right by gradient descent on the fitted shape alone."""
    fit = make_fit("orthographic", batch=8, count=30, noise=0.0)
    prior = te.CoefficientPrior.of_deviations(torch.full((5,), 3.0, dtype=torch.float64))
    truth = fit.coefficients
    bias = (
        2 * torch.randn(30, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ).requires_grad_()
    optimizer = torch.optim.Adam([bias], lr=0.2)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        found = fit.run(
            points=fit.points + bias, prior=prior, pose_sigma=None, iterations=20, robust=torch.inf
        )
        loss = (found.coefficients - truth).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]


def test_a_saddle_falls_back_to_gauss_newton():
    """Far from any optimum the Hessian need not be positive definite; gradients stay finite and are its."""
    fit = replace(make_fit("orthographic", batch=40, count=6, modes=3, noise=60.0), options={})
    points = fit.points.clone().requires_grad_()
    prior = te.CoefficientPrior.of_deviations(torch.full((3,), 10.0, dtype=torch.float64))
    found = te.fit_landmarks(fit.basis, points, 1.0, prior=prior, iterations=1, robust=torch.inf)
    (grad,) = torch.autograd.grad(found.parameters.sum(), points)
    assert grad.isfinite().all()
