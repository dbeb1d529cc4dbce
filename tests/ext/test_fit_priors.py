"""Normal distributions joined: priors of coefficients, and points from several sources."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def negative_log(prior, c):
    apart = c - prior.mean
    if prior.precision.dim() == 3:
        return (apart[:, None] @ prior.precision @ apart[..., None])[:, 0, 0] / 2
    return (prior.precision * apart.square()).sum(dim=-1) / 2


def random_prior(kind, seed):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    factor = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    if kind == "full":
        return te.CoefficientPrior.of_covariance(factor @ factor.mT, mean)
    return te.CoefficientPrior.of_deviations(factor.square().sum(dim=2).sqrt(), mean)


@pytest.mark.parametrize("kinds", ["own own", "own full", "full own", "full full", "own full own"])
def test_a_product_is_the_sum_of_the_costs(kinds):
    priors = [random_prior(kind, seed) for seed, kind in enumerate(kinds.split())]
    joined = priors[0].joined(*priors[1:])
    differences = []
    for seed in range(5):
        c = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        differences.append(sum(negative_log(p, c) for p in priors) - negative_log(joined, c))
    for difference in differences[1:]:  # the same but for a constant
        torch.testing.assert_close(difference, differences[0])


def test_what_is_not_known_does_not_pull():
    known = te.CoefficientPrior.of_deviations(torch.tensor([2.0, 3.0]), torch.tensor([1.0, -1.0]))
    open_ = te.CoefficientPrior.of_deviations(
        torch.tensor([torch.inf, torch.inf]), torch.tensor([50.0, 60.0])
    )
    for joined in (known.joined(open_), open_.joined(known)):
        torch.testing.assert_close(joined.mean, known.mean)
        torch.testing.assert_close(joined.precision, known.precision)
    nothing = open_.joined(open_)
    assert nothing.mean.isfinite().all()
    assert (nothing.precision == 0).all()


def test_wrong_priors_are_named():
    with pytest.raises(ValueError, match=r"precision: expected \(3,\), \(B, 3\), \(1, 3, 3\) or"):
        te.CoefficientPrior(torch.zeros(3), torch.ones(4))
    with pytest.raises(ValueError, match=r"mean: expected \(K,\) or \(B, K\)"):
        te.CoefficientPrior(torch.zeros(2, 3, 4), torch.ones(4))
    with pytest.raises(ValueError, match="covariance: expected positive definite"):
        te.CoefficientPrior.of_covariance(-torch.eye(3))
    with pytest.raises(ValueError, match="joined: expected priors of 3 coefficients, got 4"):
        te.CoefficientPrior.of_deviations(torch.ones(3)).joined(
            te.CoefficientPrior.of_deviations(torch.ones(4))
        )


@pytest.mark.parametrize("deviations", [[0.0, 1.0], [-1.0, 1.0], [float("nan"), 1.0]])
def test_deviations_are_positive(deviations):
    with pytest.raises(ValueError, match="deviations: expected standard deviations > 0"):
        te.CoefficientPrior.of_deviations(deviations)


def test_distributions_that_are_none_are_refused():
    prior = te.CoefficientPrior
    with pytest.raises(ValueError, match="precision: expected numbers >= 0, got -1"):
        prior(torch.zeros(2), torch.tensor([1.0, -1.0]))
    with pytest.raises(ValueError, match="covariance: expected symmetric"):
        prior.of_covariance(torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(TypeError, match="covariance: expected real numbers"):
        prior.of_covariance(torch.eye(2, dtype=torch.complex64))
    with pytest.raises(TypeError, match="joined: expected CoefficientPriors, got NoneType"):
        prior.of_deviations([1.0]).joined(None)
    two, three = (prior.of_deviations(torch.ones(count, 4)) for count in (2, 3))
    with pytest.raises(ValueError, match="joined: expected priors of as many faces, got 2 and 3"):
        two.joined(three)


def test_lists_integers_and_half_precision_are_taken():
    prior = te.CoefficientPrior
    assert prior.of_deviations([2, 4]).precision.tolist() == [0.25, 0.0625]
    assert prior.of_deviations([2.0, 4.0]).mean.dtype == torch.float32
    half = prior.of_deviations(torch.full((2,), 1e-3, dtype=torch.float16))
    assert half.precision.isfinite().all()
    for kind in (torch.int64, torch.float16, torch.bfloat16):
        assert torch.equal(prior.of_covariance(torch.eye(2).to(kind)).precision[0], torch.eye(2))
    assert prior([0.0, 1.0], [1.0, 1.0]).joined(prior.of_deviations([1, 1])).mean.tolist() == [0.0, 0.5]


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
@pytest.mark.parametrize("ratio", [1e-20, 1.0, 1e20])
def test_points_of_tiny_and_huge_sigma_are_joined(scale, ratio):
    points = torch.zeros(1, 2, 2)
    if not 1e-38 < scale * ratio < 1e38:
        pytest.skip("no number of this type")
    sigma = torch.full((1, 2), scale)
    found, deviation = te.join_points([points, points + 1], [sigma, sigma * ratio])
    wanted = {1e-20: 1.0, 1.0: 0.5, 1e20: 0.0}[ratio]
    torch.testing.assert_close(found, torch.full_like(points, wanted))
    least = scale * min(ratio, 1) / (2**0.5 if ratio == 1 else 1)
    torch.testing.assert_close(deviation / least, torch.ones(1, 2))


def test_joined_points_of_half_precision_and_wrong_arguments():
    points, sigma = torch.zeros(1, 2, 2).half(), torch.ones(1, 2).half()
    found, _ = te.join_points([points, points + 1], [sigma, sigma * 1e-3])
    torch.testing.assert_close(found, torch.ones(1, 2, 2), rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"sigma\[1\]: expected standard deviations > 0"):
        te.join_points([points, points], [sigma, sigma * 0])
    with pytest.raises(TypeError, match="points: expected a list with a tensor a source, got NoneType"):
        te.join_points(None, None)


def test_points_are_averaged_by_their_precisions():
    a, b = normal(2, 5, 2), normal(2, 5, 2) + 1
    sigma_a, sigma_b = (
        torch.full((2, 5), 1.0, dtype=torch.float64),
        torch.full((2, 5), 2.0, dtype=torch.float64),
    )
    a[0, 0] = torch.nan
    sigma_b[0, 1] = torch.inf
    a[1, 2], b[1, 2] = torch.nan, torch.inf
    points, sigma = te.join_points((a, b), (sigma_a, sigma_b))
    torch.testing.assert_close(points[1, 3], 0.8 * a[1, 3] + 0.2 * b[1, 3])
    torch.testing.assert_close(sigma[1, 3], torch.tensor(0.8, dtype=torch.float64).sqrt())
    torch.testing.assert_close(points[0, 0], b[0, 0])
    assert sigma[0, 0] == 2
    torch.testing.assert_close(points[0, 1], a[0, 1])
    assert points[1, 2].isnan().all()
    assert sigma[1, 2] == torch.inf


def test_joining_points_joins_their_costs():
    """A least-squares fit to joined points is the one to both."""
    mean, modes = normal(30, 3) * 50, normal(3, 30, 3) * 5
    basis = te.MorphableBasis(mean, modes, range(30), storage=torch.float64)
    pose = torch.eye(3, 4, dtype=torch.float64)[None]
    places = te.landmarks(basis, normal(1, 3), pose)[..., :2]
    first, second = places + normal(1, 30, 2), places + 2 * normal(2, 30, 1).reshape(1, 30, 2)
    sigma = torch.full((1, 30), 1.0, dtype=torch.float64)
    points, joined = te.join_points((first, second), (sigma, 2 * sigma))
    options = {"start": pose, "robust": torch.inf, "iterations": 100, "tolerance": 1e-20}
    one = te.fit_landmarks(basis, points, joined, **options)
    twice = te.MorphableBasis(mean, modes, [*range(30), *range(30)], storage=torch.float64)
    both = te.fit_landmarks(
        twice, torch.cat((first, second), dim=1), torch.cat((sigma, 2 * sigma), dim=1), **options
    )
    torch.testing.assert_close(one.coefficients, both.coefficients, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(one.coefficient_deviations, both.coefficient_deviations)


def test_gradients_flow_through_joined_points():
    leaves = [t.requires_grad_() for t in (normal(1, 4, 2), normal(2, 4, 1).reshape(1, 4, 2))]
    spreads = [normal(1, 4).exp().requires_grad_(), normal(4, 1).reshape(1, 4).exp().requires_grad_()]
    assert torch.autograd.gradcheck(lambda a, b, c, d: te.join_points((a, b), (c, d)), (*leaves, *spreads))


def test_wrong_sources_are_named():
    points, sigma = torch.zeros(1, 4, 2), torch.ones(1, 4)
    with pytest.raises(ValueError, match="sigma: expected one for each of the 1 points, got 2"):
        te.join_points((points,), (sigma, sigma))
    with pytest.raises(ValueError, match=r"points\[1\]: expected \(B, L, D\) like points\[0\]"):
        te.join_points((points, points[:, :3]), (sigma, sigma))
    with pytest.raises(ValueError, match=r"sigma\[0\]: expected \(1, 4\)"):
        te.join_points((points,), (sigma[0],))
