"""fit_landmarks against its reference, against SciPy's least squares, and against what made the points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

import twodasl_ext as te
from twodasl_ext import reference

from .fit_cases import CAMERAS, make_fit, operator_arguments, project, with_outliers

GROUPS = torch.tensor([7, -2, 7, 7, 0])


def tolerances(dtype):
    return {"rtol": 1e-9, "atol": 1e-8} if dtype == torch.float64 else {"rtol": 2e-3, "atol": 2e-3}


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("full_prior", [False, True], ids=["own precisions", "full precision"])
@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in groups"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("robust", [2.0, torch.inf])
def test_the_reference_agrees(camera, full_prior, grouped, dtype, robust):
    fit = with_outliers(make_fit(camera, batch=5, full_prior=full_prior, dtype=dtype))
    options = {"iterations": 30, "tolerance": 1e-9 if dtype == torch.float64 else 1e-5, "robust": robust}
    options |= {"groups": GROUPS, "shared": 3} if grouped else {}
    arguments = operator_arguments(fit, **options)
    result = torch.ops.twodasl.fit_landmarks(*arguments)
    wide = [a.double() if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in arguments]
    expected = reference.fit_landmarks(*wide)
    scale = expected[0].abs().amax(dim=0).clamp(min=1)
    torch.testing.assert_close(result[0].double() / scale, expected[0] / scale, **tolerances(dtype))
    torch.testing.assert_close(result[3].double(), expected[3], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(result[4].double(), expected[4], **tolerances(dtype) | {"atol": 0.1})
    torch.testing.assert_close(result[1].double(), expected[1], rtol=1e-3, atol=1e-5)
    if dtype == torch.float64:
        assert torch.equal(result[6], expected[6])
        assert torch.equal(result[7], expected[7])


def whole_cost(fit, face, unknowns, robust):
    """E of one face, written once more, in NumPy."""
    turn, growth, shift, c = unknowns[:3], unknowns[3], unknowns[4:7], unknowns[7:]
    rows = fit.basis.landmarks
    mean, modes = fit.basis.mean[rows].numpy(), fit.basis.modes[:, rows].numpy()
    center = mean.mean(axis=0)
    start = fit.options["start"][face].numpy()
    matrix = np.exp(growth) * Rotation.from_rotvec(turn).as_matrix() @ start[:, :3]
    shape = mean + np.tensordot(c, modes, axes=1)
    places = (shape - center) @ matrix.T + start[:, :3] @ center + start[:, 3] + shift
    planar = fit.points.shape[2] == 2
    perspective = "camera" in fit.options
    kind = "perspective" if perspective else "orthographic"
    image = project(torch.from_numpy(places), kind).numpy() if planar else places
    e = np.linalg.norm(image - fit.points[face].numpy(), axis=1) / fit.sigma[face].numpy()
    limit = min(robust, 1e9)
    data = np.where(e <= limit, e**2, 2 * limit * e - limit**2).sum()
    free = fit.options["pose_sigma"][face].numpy() > 0
    pose = np.square(unknowns[:7][free] / fit.options["pose_sigma"][face].numpy()[free]).sum()
    prior = fit.options["prior"]
    apart = c - prior.mean[face].numpy()
    return data + pose + (prior.precision[face].numpy() * apart**2).sum()


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("robust", [2.0, np.inf])
def test_scipy_finds_no_lower_cost(camera, robust):
    fit = with_outliers(make_fit(camera, count=12, modes=3))
    held = {"orthographic": 6, "perspective": 3, "space": None}[camera]
    found = fit.run(robust=robust)
    for face in range(len(fit.points)):

        def cost(free, face=face):
            return whole_cost(fit, face, np.insert(free, held, 0) if held else free, robust)

        best = minimize(cost, np.zeros(9 if held else 10), method="BFGS", options={"gtol": 1e-7})
        assert found.cost[face].item() == pytest.approx(best.fun, rel=1e-9)
        c = best.x[-3:]
        np.testing.assert_allclose(found.coefficients[face].numpy(), c, atol=1e-4)


@pytest.mark.parametrize("camera", CAMERAS)
def test_points_without_noise_give_back_what_made_them(camera):
    fit = make_fit(camera, noise=0.0, count=40)
    weak = te.CoefficientPrior.of_deviations(torch.full((5,), 1e4, dtype=torch.float64))
    for start in (None, fit.options["start"]):
        found = fit.run(start=start, pose_sigma=None, prior=weak)
        torch.testing.assert_close(found.coefficients, fit.coefficients, rtol=0, atol=1e-5)
        rows = 2 if camera == "orthographic" else 3
        torch.testing.assert_close(found.pose[:, :rows], fit.pose[:, :rows], rtol=0, atol=1e-4)


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("grouped", [False, True], ids=["alone", "in groups"])
def test_the_cost_never_rises(camera, grouped):
    fit = with_outliers(make_fit(camera, batch=5, noise=3.0), 200.0).to(torch.float32)
    groups = {"groups": GROUPS, "shared": 5} if grouped else {}
    costs = torch.stack([fit.run(iterations=i, start=None, **groups).cost for i in range(12)]).double()
    if grouped:
        costs = torch.stack([costs[:, g == GROUPS].sum(dim=1) for g in GROUPS.unique()], dim=1)
    assert (costs[1:] <= costs[:-1] * (1 + 1e-6)).all()
    assert (costs[-1] < 0.9 * costs[0]).all()


def test_outliers_lose_their_weight():
    clean = make_fit("orthographic", count=40)
    fit = with_outliers(clean, 100.0)
    robust, plain = (fit.run(robust=limit).coefficients - fit.coefficients for limit in (2.0, torch.inf))
    assert robust.norm() < 0.3 * plain.norm()


def test_deviations_say_how_far_the_truth_is():
    """Over many faces whose priors are right, errors divided by deviations have variance 1."""
    fit = make_fit("orthographic", batch=400, count=25, noise=1.0)
    truth = torch.randn(400, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    points = te.landmarks(fit.basis, truth, fit.pose)[..., :2]
    points = points + torch.randn(
        points.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    prior = te.CoefficientPrior.of_deviations(torch.ones(5, dtype=torch.float64))
    found = fit.run(points=points, sigma=1.0, prior=prior, pose_sigma=None, robust=torch.inf)
    ratio = ((found.coefficients - truth) / found.coefficient_deviations).square().mean()
    assert 0.85 < ratio < 1.15


def test_weights_of_vertices_are_means_of_their_points():
    fit = make_fit("orthographic", count=20)
    weights = torch.zeros(4, fit.basis.vertex_count, dtype=torch.float64)
    weights[0, 3], weights[1, [2, 4]], weights[2, [1, 5, 9]], weights[3, 7] = 1, 0.5, 1 / 3, 1
    points = (weights @ te.vertices(fit.basis, fit.coefficients, fit.pose))[..., :2]
    found = fit.run(points=points, sigma=0.01, vertices=weights)
    places = te.vertices(fit.basis, found.coefficients, found.pose)
    torch.testing.assert_close((weights @ places)[..., :2], points - found.residuals)
    assert found.residuals.abs().max() < 0.1
    single = fit.run(points=points[:, [0, 3]], sigma=0.01, vertices=weights[[0, 3]])
    same = fit.run(points=points[:, [0, 3]], sigma=0.01, vertices=[3, 7])
    torch.testing.assert_close(single.parameters, same.parameters)
    assert (single.vertices == -1).all()
    assert same.vertices.tolist() == [[3, 7]] * 3


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("full_prior", [False, True], ids=["own precisions", "full precision"])
def test_groups_equal_one_joint_problem(camera, full_prior):
    """The joint cost of a group, minimized by BFGS over everybody's unknowns at once."""
    fit = with_outliers(make_fit(camera, batch=3, count=10, modes=3, full_prior=full_prior))
    shared, groups = 2, torch.tensor([4, 4, 4])
    found = fit.run(groups=groups, shared=shared)
    assert (found.coefficients[:, :shared] == found.coefficients[0, :shared]).all()
    arguments = operator_arguments(fit, iterations=0)
    precision = arguments[10] if full_prior else torch.diag_embed(arguments[10])
    common, cross, own = (
        precision[:, :shared, :shared],
        precision[:, :shared, shared:],
        precision[:, shared:, shared:],
    )
    alone = common - cross @ torch.linalg.inv(own) @ cross.mT
    problem = reference.fit_terms.Problem(*arguments[:10], precision, arguments[11], 2.0)

    def cost(free):
        faces = torch.cat((free[shared:].reshape(3, 8)[:, :7], free[:shared].expand(3, -1)), dim=1)
        u = torch.cat((faces, free[shared:].reshape(3, 8)[:, 7:]), dim=1)
        u = torch.where(problem.held, 0, u)
        apart = u[:, 7 : 7 + shared] - problem.prior_mean[:, :shared]
        once = (apart[:, None] @ alone @ apart[..., None]).sum()
        return reference.fit_terms.evaluate(problem, u).cost.sum() - once * (2 / 3)

    def both(free):
        x = torch.from_numpy(free).requires_grad_()
        value = cost(x)
        return value.item(), torch.autograd.grad(value, x)[0].numpy()

    best = minimize(
        both, np.zeros(shared + 24), jac=True, method="BFGS", options={"gtol": 1e-8, "maxiter": 2000}
    )
    np.testing.assert_allclose(found.coefficients[0, :shared].numpy(), best.x[:shared], atol=2e-5)
    np.testing.assert_allclose(
        found.coefficients[:, shared].numpy(), best.x[shared:].reshape(3, 8)[:, 7], atol=2e-5
    )


def test_faces_of_a_group_of_one_are_fitted_as_alone():
    fit = make_fit("orthographic", batch=4)
    alone, grouped = fit.run(), fit.run(groups=[5, 2, 9, 1], shared=3)
    torch.testing.assert_close(grouped.parameters, alone.parameters, rtol=1e-7, atol=1e-6)
    torch.testing.assert_close(grouped.coefficient_deviations, alone.coefficient_deviations)


def test_photos_of_one_person_say_more_of_the_shape_than_one_does():
    fit = make_fit("orthographic", batch=60, noise=2.0)
    coefficients = fit.coefficients.clone()
    coefficients[:, :4] = fit.coefficients[:1, :4]
    points = te.landmarks(fit.basis, coefficients, fit.pose)[..., :2]
    points = points + 2 * torch.randn(
        points.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    prior = te.CoefficientPrior.of_deviations(torch.ones(5, dtype=torch.float64))
    options = {"points": points, "sigma": 2.0, "prior": prior, "pose_sigma": None}
    alone, together = (
        fit.run(**options),
        fit.run(groups=torch.zeros(60, dtype=torch.int64), shared=4, **options),
    )
    apart = [(f.coefficients[:, :4] - coefficients[:, :4]).square().mean().sqrt() for f in (alone, together)]
    assert apart[1] < 0.3 * apart[0]
    deviation = together.coefficient_deviations[0, :4]
    assert (deviation < 0.25 * alone.coefficient_deviations[:, :4].mean(dim=0)).all()
    assert ((together.coefficients[0, :4] - coefficients[0, :4]).abs() < 4 * deviation).all()


def test_a_contour_is_where_the_model_ends_in_the_image():
    """A sphere: of a line of vertices around it, the one at the edge is chosen, whatever the turn."""
    angles = torch.linspace(0, torch.pi, 37, dtype=torch.float64)  # from +x over +z to -x
    line = 50 * torch.stack((angles.cos(), torch.zeros_like(angles), angles.sin()), dim=1)
    rest = torch.tensor(
        [[0, 50, 0], [0, -50, 0], [0, 0, 60], [20, 30, 40], [-20, 30, 40.0]], dtype=torch.float64
    )
    basis = te.MorphableBasis(torch.cat((line, rest)), torch.zeros(0, 42, 3), storage=torch.float64)
    candidates = torch.full((6, 19), -1)
    candidates[0] = torch.arange(19)
    candidates[1:, 0] = torch.arange(37, 42)
    contours = te.Contours(candidates, torch.tensor([[1.0, 0.0]] * 6, dtype=torch.float64))
    for yaw in (0.0, 0.4, 0.8, 1.2):
        turn = torch.tensor([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        pose = torch.cat((turn, torch.tensor([[5.0], [-3.0], [0.0]])), dim=1)[None]
        points = te.vertices(basis, torch.zeros(1, 0, dtype=torch.float64), pose)[
            :, [0, 37, 38, 39, 40, 41], :2
        ]
        points[0, 0] = torch.tensor([55.0, -3.0])  # the sphere's edge, not vertex 0
        found = te.fit_landmarks(basis, points, 1.0, contours=contours, iterations=50)
        angle = angles[found.vertices[0, 0]]
        assert abs(angle - yaw) < 0.05
        torch.testing.assert_close(found.pose[:, :2], pose[:, :2], rtol=0, atol=0.2)
        assert found.vertices[0, 1:].tolist() == list(range(37, 42))


@pytest.mark.parametrize("camera", ["orthographic", "perspective"])
def test_contours_agree_with_the_reference(camera):
    fit = make_fit(camera, count=20)
    vertices = fit.basis.landmarks
    candidates = torch.full((20, 4), -1)
    candidates[:, 0] = vertices
    candidates[:5, 1:] = torch.randint(
        0, fit.basis.vertex_count, (5, 3), generator=torch.Generator().manual_seed(0)
    )
    candidates[3, 2] = -1
    outward = torch.nn.functional.normalize(
        torch.randn(20, 2, generator=torch.Generator().manual_seed(1)), dim=1
    )
    contours = te.Contours(candidates, outward)
    arguments = operator_arguments(fit, contours=contours, iterations=20)
    result, expected = torch.ops.twodasl.fit_landmarks(*arguments), reference.fit_landmarks(*arguments)
    torch.testing.assert_close(result[0], expected[0], rtol=1e-8, atol=1e-7)
    assert torch.equal(result[5], expected[5])
    found = fit.run(contours=contours, iterations=20)
    assert (found.vertices[:, 5:] == vertices[5:]).all()
    assert (found.vertices != vertices).any()


def test_the_prior_pulls_as_its_precision_says():
    """One mode along x seen by one point: the mean of prior and point by their precisions."""
    basis = te.MorphableBasis(
        torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]),
        torch.tensor([[[1.0, 0, 0], [0, 0, 0], [0, 0, 0]]]),
        [0, 1, 2], storage=torch.float64,
    )  # fmt: skip
    prior = te.CoefficientPrior.of_deviations(
        torch.tensor([2.0], dtype=torch.float64), torch.tensor([1.0], dtype=torch.float64)
    )
    points = torch.tensor([[[4.0, 0], [1, 0], [0, 1]]], dtype=torch.float64)
    start = torch.eye(3, 4, dtype=torch.float64)[None]
    found = te.fit_landmarks(
        basis, points, torch.tensor([1.0, torch.inf, torch.inf], dtype=torch.float64), start=start,
        pose_sigma=(0, 0, 0), prior=prior, robust=torch.inf,
    )  # fmt: skip
    assert found.coefficients.item() == pytest.approx((4 / 1 + 1 / 4) / (1 / 1 + 1 / 4))
    assert found.coefficient_deviations.item() == pytest.approx((1 / (1 + 1 / 4)) ** 0.5)
    assert torch.equal(found.pose, start)
    assert (found.pose_deviations == 0).all()


def test_a_start_behind_the_camera_is_given_back():
    fit = make_fit("perspective")
    start = fit.options["start"].clone()
    start[1, 2, 3] = -800
    found = fit.run(start=start)
    assert found.cost[1] == torch.inf
    assert not found.converged[1]
    torch.testing.assert_close(found.pose[1], start[1])
    torch.testing.assert_close(found.parameters[[0, 2]], fit.run().parameters[[0, 2]])


def test_faces_do_not_depend_on_each_other():
    fit = make_fit("orthographic", batch=6).to(torch.float32)
    together = fit.run(iterations=8)
    for face in range(6):
        prior = te.CoefficientPrior(*(t[face : face + 1] for t in vars(fit.options["prior"]).values()))
        one = replace(fit, points=fit.points[face : face + 1], sigma=fit.sigma[face : face + 1])
        options = {k: fit.options[k][face : face + 1] for k in ("start", "pose_sigma")}
        alone = one.run(prior=prior, iterations=8, **options)
        assert torch.equal(alone.parameters[0], together.parameters[face])


def test_the_parts_of_the_parameters_are_fields():
    """So that a compiled function can read them; torch 2.10 compiles no property of a named tuple."""
    fields = te.LandmarkFit._fields
    assert fields[:3] == ("parameters", "pose", "coefficients")
    assert not [name for name, value in vars(te.LandmarkFit).items() if isinstance(value, property)]


def test_the_parts_are_those_of_the_parameters():
    fit = make_fit("orthographic", batch=3)
    found = fit.run()
    assert torch.equal(found.pose.flatten(1), found.parameters[:, :12])
    assert torch.equal(found.coefficients, found.parameters[:, 12:])
