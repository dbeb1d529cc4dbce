"""What fit_landmarks refuses, in which words, and what it makes of points that say little or nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import twodasl_ext as te

from .fit_cases import CAMERAS, make_fit

NAN, INF = torch.nan, torch.inf


@pytest.fixture
def fit():
    return make_fit("orthographic")


def changed(tensor, index, value):
    tensor = tensor.clone()
    tensor[index] = value
    return tensor


REFUSALS = {
    "points shape": (
        {"points": torch.zeros(3, 19, 2)},
        ValueError, r"points: expected \(B, 20, 2\) or \(B, 20, 3\)",
    ),
    "points list": ({"points": [[1.0]]}, ValueError, r"points: expected \(B, 20, 2\)"),
    "points type": ({"points": "no"}, TypeError, "points: expected a torch.Tensor"),
    "points complex": ({"points": np.zeros((3, 20, 2), complex)}, TypeError, "points: expected real numbers"),
    "points dtype": (
        {"points": torch.zeros(3, 20, 2)},
        TypeError, "points: expected torch.float64 like the basis",
    ),
    "sigma shape": (
        {"sigma": torch.ones(20, 3).double()},
        ValueError, r"sigma: expected \(3, 20\) or \(20,\)",
    ),
    "sigma zero": (
        {"sigma": changed(torch.ones(3, 20).double(), (1, 4), 0)},
        ValueError, r"sigma: expected standard deviations of at least 1e-120, got 0 at \(1, 4\)",
    ),
    "sigma negative": ({"sigma": -1.0}, ValueError, "sigma: expected standard deviations .*, got -1"),
    "sigma tiny": ({"sigma": 1e-200}, ValueError, "sigma: expected standard deviations .*, got 1e-200"),
    "sigma of no float": ({"sigma": -(10**400)}, ValueError, "sigma: expected standard deviations"),
    "sigma NaN number": ({"sigma": NAN}, ValueError, "sigma: expected standard deviations .*, got nan"),
    "sigma type": ({"sigma": "1"}, TypeError, "sigma: expected standard deviations > 0, got '1'"),
    "camera": ({"camera": "fisheye"}, ValueError, "camera: expected 'orthographic', 'space' or Perspective"),
    "camera of space": ({"camera": "space"}, ValueError, r"points: expected \(B, L, 3\) for camera 'space'"),
    "focal length": (
        {"camera": te.Perspective(0, 1, 1, 1)},
        ValueError, "camera's fx: expected a number from 1e-06 to 1e.09 in size, got 0",
    ),
    "focal lengths": (
        {"camera": te.Perspective(torch.tensor([1.0, NAN, 1.0]), 1, 1, 1)},
        ValueError, "camera's fx: expected numbers from 1e-06",
    ),
    "center": (
        {"camera": te.Perspective(1, 1, 1e30, 1)},
        ValueError, "camera's cx: expected a number from 0 to 1e.09 in size",
    ),
    "camera list": ({"camera": np.array(["a", "b"])}, ValueError, "camera: expected 'orthographic', 'space'"),
    "focal length type": (
        {"camera": te.Perspective("1", 1, 1, 1)},
        TypeError, "camera's fx: expected a number",
    ),
    "start shape": (
        {"start": torch.zeros(3, 4).double()},
        ValueError, r"start: expected \(3, 3, 4\) or None",
    ),
    "start NaN": (
        {"start": torch.full((3, 3, 4), NAN).double()},
        ValueError, "start: expected finite numbers",
    ),
    "pose_sigma shape": (
        {"pose_sigma": torch.ones(3, 6).double()},
        ValueError, "pose_sigma: expected three numbers",
    ),
    "pose_sigma count": ({"pose_sigma": (1.0, 1.0)}, ValueError, "pose_sigma: expected three numbers"),
    "pose_sigma negative": (
        {"pose_sigma": (0.1, -1.0, 1.0)},
        ValueError, "pose_sigma: expected standard deviations",
    ),
    "pose_sigma NaN": (
        {"pose_sigma": torch.full((7,), NAN).double()},
        ValueError, "pose_sigma: expected standard",
    ),
    "prior type": (
        {"prior": torch.ones(5)},
        TypeError, "prior: expected a CoefficientPrior or None, got Tensor",
    ),
    "prior modes": (
        {"prior": te.CoefficientPrior.of_deviations(torch.ones(4).double())},
        ValueError, "prior's mean: expected .* 5 modes",
    ),
    "prior faces": (
        {"prior": te.CoefficientPrior.of_deviations(torch.ones(2, 5).double())},
        ValueError, "prior's mean: expected one row or 3",
    ),
    "prior NaN": (
        {"prior": te.CoefficientPrior(torch.full((5,), NAN).double(), torch.ones(5).double())},
        ValueError, "prior's mean: expected finite numbers",
    ),
    "vertices": (
        {"vertices": [0] * 19 + [99]},
        ValueError, r"vertices: expected vertex indices in \[0, 27\), got 99",
    ),
    "weights shape": (
        {"vertices": torch.ones(20, 5).double()},
        ValueError, r"vertices: expected vertex indices \(L,\), or w",
    ),
    "weights sum": (
        {"vertices": torch.ones(20, 27).double()},
        ValueError, "vertices: expected weights that sum to 1, got 27",
    ),
    "contours type": ({"contours": torch.zeros(20, 2)}, TypeError, "contours: expected Contours or None"),
    "groups shape": ({"groups": [1, 2], "shared": 1}, ValueError, r"groups: expected \(3,\)"),
    "groups type": ({"groups": torch.zeros(3), "shared": 1}, TypeError, "groups: expected integers"),
    "shared alone": ({"shared": 1}, ValueError, "shared: expected None without groups"),
    "groups alone": ({"groups": [1, 2, 3]}, ValueError, "shared: expected with groups"),
    "shared too many": ({"groups": [1, 2, 3], "shared": 6}, ValueError, r"shared: .*\[0, 5\], got 6"),
    "robust": ({"robust": 0.0}, ValueError, "robust: expected a number from 1e-06"),
    "robust tiny": ({"robust": 1e-40}, ValueError, "robust: expected a number from 1e-06"),
    "iterations": ({"iterations": -1}, ValueError, r"iterations: expected an integer from 0 to 2\^63 - 1"),
    "iterations many": ({"iterations": 2**63}, ValueError, r"an integer from 0 to 2\^63 - 1, got 922"),
    "tolerance": ({"tolerance": NAN}, ValueError, "tolerance: expected a number >= 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_wrong_arguments_are_named(fit, name):
    changes, error, message = REFUSALS[name]
    with pytest.raises(error, match=message):
        fit.run(**changes)


def test_lists_and_arrays_are_taken(fit):
    expected = fit.run(sigma=torch.full((20,), 0.5).double())
    points = fit.points.numpy()
    for sigma in (np.float32(0.5), np.full(20, 0.5, np.float32), [0.5] * 20, torch.tensor(0.5), 0.5):
        found = fit.run(points=points.tolist(), sigma=sigma)
        assert torch.equal(found.parameters, expected.parameters)
    start = closed = te.fit_landmarks(fit.basis, fit.points, 0.5, iterations=0).pose
    one = fit.run(start=start.tolist(), pose_sigma=np.full(7, 0.5, np.float32))
    assert torch.equal(one.parameters, fit.run(start=closed, pose_sigma=[0.5] * 7).parameters)


def test_sigma_beyond_the_type_is_not_seen():
    basis = te.MorphableBasis(torch.randn(9, 3), torch.randn(2, 9, 3), list(range(9)))
    points, prior = torch.randn(2, 9, 2), te.CoefficientPrior.of_deviations([1.0, 1.0])
    for sigma in (1e300, float("inf"), 10**400):
        assert (te.fit_landmarks(basis, points, sigma, prior=prior).residuals == 0).all()
    with pytest.raises(ValueError, match="sigma: expected standard deviations of at least 1e-15"):
        te.fit_landmarks(basis, points, 1e-20, prior=prior)


def test_contours_are_checked(fit):
    for wrong in (
        {"width": 10**6},
        {"width": 0},
        {"reach": 0},
        {"reach": NAN},
        {"reach": 2},
        {"thickness": -1},
    ):
        with pytest.raises(ValueError, match=rf"{next(iter(wrong))}: expected"):
            te.Contours.of_outline(fit.basis, range(4), range(20), **wrong)
    for wrong in ({"reach": "x"}, {"thickness": "x"}, {"width": 1.5}):
        with pytest.raises(TypeError, match=rf"{next(iter(wrong))}: expected"):
            te.Contours.of_outline(fit.basis, range(4), range(20), **wrong)
    lists = te.Contours([[0, 1], [2, -1]], [[0.0, 1.0], [1.0, 0.0]])
    assert lists.candidates.dtype == torch.int64
    with pytest.raises(ValueError, match="contours: it cannot be moved there"):
        lists.to("cuda" if not torch.cuda.is_available() else "cuda:999")
    with pytest.raises(ValueError, match=r"candidates: expected \(L, C\)"):
        te.Contours(torch.zeros(3, dtype=torch.int64), torch.zeros(3, 2))
    with pytest.raises(ValueError, match=r"outward: expected \(3, 2\)"):
        te.Contours(torch.zeros(3, 2, dtype=torch.int64), torch.zeros(3, 3))
    candidates, outward = torch.zeros(20, 2, dtype=torch.int64), torch.zeros(20, 2)
    with pytest.raises(ValueError, match=r"contours' candidates: .* got 27"):
        fit.run(contours=te.Contours(changed(candidates, (3, 1), 27), outward))
    with pytest.raises(ValueError, match=r"contours' first candidates: .* got -1"):
        fit.run(contours=te.Contours(changed(candidates, (3, 0), -1), outward))
    with pytest.raises(ValueError, match="vertices: expected None with contours"):
        fit.run(contours=te.Contours(candidates, outward), vertices=[1])
    space = make_fit("space")
    with pytest.raises(ValueError, match="contours: expected None for points in space"):
        space.run(contours=te.Contours(candidates, outward))


def assert_finite(found, but=()):
    for name, value in found._asdict().items():
        if name not in but:
            assert not value.isnan().any(), name
    for name in ("parameters", "cost", "residuals"):
        assert getattr(found, name).isfinite().all(), name


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("how", ["NaN points", "infinite points", "infinite sigma", "NaN sigma"])
def test_a_face_that_is_not_seen_stays_at_its_prior(camera, dtype, how):
    fit = make_fit(camera, dtype=dtype)
    points, sigma = fit.points.clone(), fit.sigma.clone()
    if how.endswith("points"):
        points[1] = NAN if how.startswith("NaN") else INF
    else:
        sigma[1] = NAN if how.startswith("NaN") else INF
    found = fit.run(points=points, sigma=sigma)
    assert_finite(found)
    torch.testing.assert_close(found.coefficients[1], fit.options["prior"].mean[1])
    torch.testing.assert_close(found.pose[1], fit.options["start"][1], rtol=1e-5, atol=1e-4)
    assert found.converged[1]
    deviations = fit.options["prior"].precision[1].rsqrt()
    torch.testing.assert_close(found.coefficient_deviations[1], deviations, rtol=1e-4, atol=0)
    assert torch.equal(found.parameters[[0, 2]], fit.run().parameters[[0, 2]])


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("start", [True, False], ids=["start", "no start"])
@pytest.mark.parametrize("prior", [True, False], ids=["prior", "no prior"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_degenerate_points_give_numbers(camera, start, prior, dtype):
    fit = make_fit(camera, dtype=dtype, batch=6)
    points = fit.points.clone()
    points[0] = points[0, :1]  # all on one place
    points[1, 1:] = NAN  # one point
    along = torch.linspace(-1, 1, 20, dtype=dtype)[:, None]
    points[2] = points[2, :1] + 50 * along * torch.ones(points.shape[2], dtype=dtype)  # on a line
    points[3] = NAN
    points[4, 2:] = NAN
    points[5] *= 1e4
    options = {} if start else {"start": None, "pose_sigma": None}
    options |= {} if prior else {"prior": None}
    for more in ({}, {"groups": [0, 1, 2, 0, 1, 2], "shared": 3}):
        leaf = points.clone().requires_grad_()
        found = fit.run(points=leaf, iterations=30, **options, **more)
        before = fit.run(points=points, iterations=0, **options, **more)
        assert_finite(found._replace(parameters=found.parameters.detach()))
        totals = [f.cost.detach() for f in (before, found)]
        if more:
            totals = [t.reshape(2, 3).sum(dim=0) for t in totals]
        assert (totals[1] <= totals[0] * (1 + 1e-5) + 1e-4).all()
        (grad,) = torch.autograd.grad(found.parameters.sum(), leaf)
        assert grad.isfinite().all()


@pytest.mark.parametrize("camera", CAMERAS)
def test_no_faces_no_modes_no_points(camera):
    fit = make_fit(camera)
    none = {name: fit.options[name][:0] for name in ("start", "pose_sigma")}
    prior = te.CoefficientPrior.of_deviations(torch.ones(5, dtype=torch.float64))
    for options in ({}, {"groups": torch.zeros(0, dtype=torch.int64), "shared": 2}):
        for start in (none, {"start": None}):
            found = fit.run(
                points=fit.points[:0],
                sigma=fit.sigma[:0],
                **{**start, "pose_sigma": None},
                prior=prior,
                **options,
            )
            assert found.parameters.shape == (0, 17)
            assert found.residuals.shape == (0, *fit.points.shape[1:])
    rigid = te.MorphableBasis(fit.basis.mean, fit.basis.modes[:0], fit.basis.landmarks, storage=torch.float64)
    for options in ({}, {"groups": [1, 1, 2], "shared": 0}):
        found = fit.run(basis=rigid, prior=None, **options)
        assert found.parameters.shape == (3, 12)
        assert_finite(found)
        assert found.converged.all()
    found = fit.run(points=fit.points[:, :0], sigma=fit.sigma[:, :0], vertices=[])
    torch.testing.assert_close(found.pose, fit.options["start"])
    torch.testing.assert_close(found.coefficients, fit.options["prior"].mean)


def test_what_nothing_tells_has_an_infinite_deviation():
    fit = make_fit("orthographic")
    points = changed(fit.points, slice(None), NAN)
    found = fit.run(points=points, prior=None, pose_sigma=None)
    assert (found.coefficient_deviations == INF).all()
    assert (found.pose_deviations[:, :6] == INF).all()
    assert (found.pose_deviations[:, 6] == 0).all()
    torch.testing.assert_close(found.pose, fit.options["start"])


@pytest.mark.parametrize("yaw", [-80, -40, 0, 40, 80])
@pytest.mark.parametrize("down", [False, True], ids=["y up", "y down"])
def test_the_closed_form_finds_any_pose_of_the_mean(yaw, down):
    fit = make_fit("perspective", count=30, modes=0)
    angle = torch.tensor(yaw * torch.pi / 180, dtype=torch.float64)
    cos, sin, one, zero = angle.cos(), angle.sin(), torch.ones_like(angle), torch.zeros_like(angle)
    turn = torch.stack((cos, zero, sin, zero, one, zero, -sin, zero, cos)).reshape(3, 3)
    turn = torch.diag(torch.tensor([1.0, -1, -1], dtype=torch.float64)) @ turn if down else turn
    for camera, scale, depth in (
        (None, 0.7, 0.0),
        ("space", 0.7, 30.0),
        (te.Perspective(900, 900, 300, 200), 1.0, 900.0),
    ):
        pose = torch.cat((scale * turn, torch.tensor([[12.0], [-7], [depth]], dtype=torch.float64)), dim=1)[
            None
        ]
        places = te.landmarks(fit.basis, torch.zeros(1, 0, dtype=torch.float64), pose)
        points = places if camera == "space" else places[..., :2]
        if isinstance(camera, te.Perspective):
            points = 900 * places[..., :2] / places[..., 2:] + torch.tensor(
                [300.0, 200.0], dtype=torch.float64
            )
        found = te.fit_landmarks(fit.basis, points, 1.0, camera=camera, iterations=0)
        rows = 2 if camera is None else 3
        off = 0.03 if isinstance(camera, te.Perspective) else 1e-3
        assert (found.pose - pose)[:, :rows, :3].abs().max() < off
        arrived = te.fit_landmarks(fit.basis, points, 1.0, camera=camera, iterations=50, tolerance=1e-20)
        assert (arrived.pose - pose)[:, :rows].abs().max() < 1e-6


def test_numbers_common_to_all_faces(fit):
    spread = torch.full((5,), 2.0, dtype=torch.float64)
    common = te.CoefficientPrior.of_deviations(spread)
    each = te.CoefficientPrior.of_deviations(spread.repeat(3, 1))
    one = fit.run(sigma=1.5, prior=common, pose_sigma=(0.1, 0.2, 3.0))
    pose_sigma = torch.tensor([0.1, 0.1, 0.1, 0.2, 3, 3, 3], dtype=torch.float64)
    many = fit.run(sigma=torch.full((3, 20), 1.5).double(), prior=each, pose_sigma=pose_sigma.repeat(3, 1))
    row = fit.run(sigma=torch.full((20,), 1.5).double(), prior=each, pose_sigma=pose_sigma)
    for other in (many, row):
        assert torch.equal(one.parameters, other.parameters)
    half = fit.to(torch.float32)
    narrow = half.run(points=half.points.bfloat16(), iterations=5)
    assert torch.equal(
        narrow.parameters, half.run(points=half.points.bfloat16().float(), iterations=5).parameters
    )


def test_intrinsics_of_each_face():
    fit = make_fit("perspective")
    values = [torch.full((3,), v, dtype=torch.float64) for v in (1000.0, 1100.0, 320.0, 240.0)]
    found = fit.run(camera=te.Perspective(*values))
    assert torch.equal(found.parameters, fit.run().parameters)


def test_a_basis_that_changed_is_gathered_again(fit):
    before = fit.run()
    vertices = fit.basis.landmarks.clone()
    assert torch.equal(fit.run(vertices=vertices).parameters, before.parameters)
    fit.basis.mean += 1.0
    for found in (fit.run(), fit.run(vertices=vertices)):
        assert not torch.equal(found.parameters, before.parameters)
        places = te.landmarks(fit.basis, found.coefficients, found.pose)[..., :2]
        torch.testing.assert_close(places, fit.points - found.residuals)
    fit.basis.mean -= 1.0
    vertices[0] = vertices[1]
    assert not torch.equal(fit.run(vertices=vertices).parameters, before.parameters)
