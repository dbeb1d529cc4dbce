"""fit_landmarks under vmap, torch.func, compile, export, opcheck and other numbers of threads."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, vmap

import twodasl_ext as te

from .fit_cases import CAMERAS, make_fit, operator_arguments, with_outliers

ops = torch.ops.twodasl
SAMPLES = 3


@pytest.fixture(autouse=True)
def rules_of_our_own():
    """Without a rule, vmap would run an operator sample by sample in silence; here that is an error."""
    torch._C._functorch._set_vmap_fallback_enabled(False)
    yield
    torch._C._functorch._set_vmap_fallback_enabled(True)


@pytest.fixture(autouse=True)
def fresh_dynamo():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def samples_of(fit):
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(SAMPLES, *fit.points.shape, generator=generator, dtype=torch.float64)
    return fit.points + noise


def assert_same(results, expected):
    for name, one, other in zip(results._fields, results, expected, strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("options", [{}, {"groups": [3, 0, 3], "shared": 2}], ids=["alone", "in groups"])
@pytest.mark.parametrize("start", [True, False])
def test_vmap_folds_samples_into_faces(camera, options, start):
    fit = make_fit(camera)
    options = {**options, "iterations": 6} | ({} if start else {"start": None})
    points = samples_of(fit)

    def run(points, sigma):
        return fit.run(points=points, sigma=sigma, **options)

    sigma = torch.stack([fit.sigma * k for k in (0.5, 1.0, 2.0)])
    looped = te.LandmarkFit(*map(torch.stack, zip(*map(run, points, sigma), strict=True)))
    assert_same(vmap(run)(points, sigma), looped)
    assert_same(vmap(run, in_dims=(2, 1))(points.movedim(0, 2), sigma.movedim(0, 1)), looped)
    one = te.LandmarkFit(*map(torch.stack, zip(*(run(p, fit.sigma) for p in points), strict=True)))
    assert_same(vmap(run, in_dims=(0, None))(points, fit.sigma), one)


def test_vmap_over_groups():
    fit = make_fit("orthographic", batch=4)
    groups = torch.tensor([[0, 0, 1, 1], [5, 5, 5, 5], [3, 2, 1, 0], [0, 1, 0, 1]])

    def run(groups):
        return fit.run(groups=groups, shared=3, iterations=6)

    looped = te.LandmarkFit(*map(torch.stack, zip(*map(run, groups), strict=True)))
    assert_same(vmap(run)(groups), looped)


def test_vmap_over_vertices_runs_sample_by_sample():
    fit = make_fit("orthographic")
    vertices = torch.stack([fit.basis.landmarks, fit.basis.landmarks.flip(0)])

    def run(vertices):
        return fit.run(vertices=vertices, iterations=4)

    looped = te.LandmarkFit(*map(torch.stack, zip(*map(run, vertices), strict=True)))
    assert_same(vmap(run)(vertices), looped)


@pytest.mark.parametrize("options", [{}, {"groups": [3, 0, 3], "shared": 2}], ids=["alone", "in groups"])
def test_torch_func_grad_is_autograd(options):
    fit = with_outliers(make_fit("perspective"))

    def loss(points, sigma):
        return fit.run(points=points, sigma=sigma, iterations=30, **options).parameters.sin().sum()

    leaves = [fit.points.clone().requires_grad_(), fit.sigma.clone().requires_grad_()]
    expected = torch.autograd.grad(loss(*leaves), leaves)
    found = grad(loss, argnums=(0, 1))(fit.points, fit.sigma)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)
    points = samples_of(fit)
    each = torch.stack([grad(loss)(p, fit.sigma) for p in points])
    assert torch.equal(vmap(grad(loss), in_dims=(0, None))(points, fit.sigma), each)


def test_forward_mode_is_refused():
    fit = make_fit("orthographic")
    with pytest.raises(NotImplementedError, match="forward-mode differentiation is not implemented"):
        torch.func.jvp(lambda p: fit.run(points=p).parameters, (fit.points,), (fit.points,))


@pytest.mark.parametrize(
    ("camera", "options", "start"),
    [
        ("orthographic", {}, False),
        ("perspective", {}, False),
        ("space", {}, False),
        ("orthographic", {"groups": [3, 0, 3], "shared": 2}, True),
    ],
)
def test_it_compiles_into_one_graph(camera, options, start):
    fit = make_fit(camera).to(torch.float32)
    options = {**options, "iterations": 6} | ({} if start else {"start": None})
    if "groups" in options:
        options["groups"] = torch.tensor(options["groups"])

    def run(points, sigma, mean):
        prior = te.CoefficientPrior.of_deviations(torch.ones_like(mean), mean)
        model = te.CoefficientPrior.of_deviations(torch.ones_like(mean) * 2)
        found = fit.run(points=points, sigma=sigma, prior=prior.joined(model), **options)
        return found.pose.sum() + found.coefficients.square().sum(), found.cost

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    for shift in (0.0, 0.5):
        gradients = []
        for function in (run, compiled):
            leaves = [fit.points + shift, fit.sigma, fit.options["prior"].mean]
            leaves = [leaf.clone().requires_grad_() for leaf in leaves]
            value, cost = function(*leaves)
            gradients.append([value.detach(), cost.detach(), *torch.autograd.grad(value, leaves)])
        for eager, traced in zip(*gradients, strict=True):
            torch.testing.assert_close(traced, eager, rtol=1e-3, atol=1e-3)


def test_weights_and_contours_compile():
    fit = make_fit("orthographic").to(torch.float32)
    weights = torch.eye(fit.basis.vertex_count)[fit.basis.landmarks]
    candidates = torch.stack((fit.basis.landmarks, fit.basis.landmarks.flip(0)), dim=1)
    contours = te.Contours(candidates, torch.ones(20, 2))
    for options in ({"vertices": weights}, {"contours": contours}):

        def run(points, options=options):
            return fit.run(points=points, iterations=6, **options)

        compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(fit.points).parameters, run(fit.points).parameters)


def test_export_with_any_number_of_faces():
    fit = make_fit("orthographic").to(torch.float32)

    class Fitted(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.basis = fit.basis
            self.prior = te.CoefficientPrior.of_deviations(torch.ones(5))

        def forward(self, points, sigma):
            found = te.fit_landmarks(self.basis, points, sigma, prior=self.prior, iterations=6)
            return found.parameters, found.cost

    batch = torch.export.Dim("batch", min=2, max=64)
    shapes = ({0: batch}, {0: batch})
    program = torch.export.export(Fitted(), (fit.points, fit.sigma), dynamic_shapes=shapes)
    more = fit.points.repeat(3, 1, 1), fit.sigma.repeat(3, 1)
    for one, other in zip(program.module()(*more), Fitted()(*more), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    ("camera", "options", "full_prior"),
    [
        ("orthographic", {}, False),
        ("perspective", {}, True),
        ("space", {"groups": [3, 0, 3], "shared": 2}, True),
    ],
)
def test_opcheck(camera, options, full_prior):
    arguments = list(operator_arguments(make_fit(camera, full_prior=full_prior), iterations=5, **options))
    arguments = [a.contiguous() if isinstance(a, torch.Tensor) else a for a in arguments]
    torch.library.opcheck(ops.fit_landmarks, arguments)
    torch.library.opcheck(ops.fit_landmarks_forward, arguments)
    trained = [
        a.clone().requires_grad_() if i in (0, 1, *range(5, 11)) else a for i, a in enumerate(arguments)
    ]
    torch.library.opcheck(ops.fit_landmarks, trained)
    found = ops.fit_landmarks_forward(*arguments)
    mean, modes, _, _, center, *faces = arguments[:13]
    for needs in ((True, True), (False, False)):
        inputs = (
            torch.ones_like(found[0]),
            mean,
            modes,
            center,
            *faces,
            *arguments[13:15],
            found[2],
            found[5],
        )
        torch.library.opcheck(ops.fit_landmarks_backward, (*inputs, *needs))


@pytest.mark.parametrize(
    "options", [{}, {"groups": [3, 0, 3, 3, 1, 1, 0, 0], "shared": 2}], ids=["alone", "groups"]
)
def test_the_number_of_threads_changes_no_bit(options):
    fit = with_outliers(make_fit("orthographic", batch=8, count=68, modes=50, dtype=torch.float32))
    before = torch.get_num_threads()

    def run():
        points = fit.points.clone().requires_grad_()
        found = fit.run(points=points, iterations=10, **options)
        (of_points,) = torch.autograd.grad(found.parameters.sin().sum(), points)
        return [*(t.detach() for t in found), of_points]

    try:
        torch.set_num_threads(1)
        alone = run()
        for threads in (2, 3, 7):
            torch.set_num_threads(threads)
            for one, other in zip(alone, run(), strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(before)
