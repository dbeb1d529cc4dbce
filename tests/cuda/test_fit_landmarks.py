"""fit_landmarks on CUDA against the reference: sizes beside a block's pieces, groups, large matrices."""

from __future__ import annotations

import pytest
import torch

from twodasl_ext import reference

from ..ext.fit_cases import CAMERAS, make_fit, operator_arguments, with_outliers

ops = torch.ops.twodasl
GROUPS = torch.tensor([7, -2, 7, 7, 0])
# Eight points' rows are filled together, four rows and columns are one thread's; 170 modes in double
# precision are a matrix that a block's shared memory does not hold.
SIZES = [(1, 3), (7, 1), (8, 0), (9, 5), (20, 9), (130, 12), (30, 57), (30, 170)]


def arguments_of(camera, count, modes, *, grouped=False, full_prior=False, iterations=12, batch=5):
    fit = with_outliers(make_fit(camera, batch=batch, count=count, modes=modes, full_prior=full_prior))
    options = {"iterations": iterations, "tolerance": 1e-9}
    if grouped:
        options |= {"groups": GROUPS, "shared": modes // 2 + 1}
    arguments = list(operator_arguments(fit, **options))
    arguments[5][1, -1] = torch.nan  # not seen
    return arguments


def on(arguments, device, dtype):
    return [
        a.to(device, dtype if a.is_floating_point() else None) if isinstance(a, torch.Tensor) else a
        for a in arguments
    ]


def wide(arguments):
    """The numbers of these in double precision on the CPU."""
    return on(arguments, torch.device("cpu"), torch.float64)


def check_forward(arguments, device, dtype):
    given = on(arguments, device, dtype)
    result = ops.fit_landmarks(*given)
    expected = reference.fit_landmarks(*wide(given))
    # The same steps from the same numbers: rounding alone, times the condition that the priors leave: up to
    # some 1e4 where 170 modes are told by 30 points.
    close = 1e-8 if dtype == torch.float64 else 1e-3 if arguments[1].shape[0] < 100 else 2e-2
    tolerance = {"rtol": close, "atol": close}
    for i in (0, 2, 3, 4):
        torch.testing.assert_close(result[i].cpu().double(), expected[i], **tolerance)
    # The diagonal is raised by 64 epsilons of the type first: where priors are weak, single precision's show.
    raised = reference.fit_landmarks(*on(given, torch.device("cpu"), dtype))[1].double()
    spread = 1e-8 if dtype == torch.float64 else 1e-2
    torch.testing.assert_close(result[1].cpu().double(), raised, rtol=spread, atol=1e-6)
    assert torch.equal(result[5].cpu(), expected[5])
    if dtype == torch.float64:
        assert torch.equal(result[6].cpu(), expected[6])
        assert torch.equal(result[7].cpu(), expected[7])
    return result


def check_backward(arguments, found, device, dtype):
    given = on(arguments, device, dtype)
    mean, modes, _, _, center, *faces, shared, robust, _, _ = given
    grad = torch.randn(found[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    rest = [grad.to(device, dtype), mean, modes, center, *faces]
    result = ops.fit_landmarks_backward(*rest, shared, robust, found[2], found[5], True, True)
    expected = reference.fit_landmarks_backward(*wide([*rest, found[2]]), found[5].cpu(), shared, robust)
    for ours, theirs in zip(result, expected, strict=True):
        # In double precision whatever the type: rounded once. Numbers of a tensor are of different sizes.
        size = float(theirs.abs().max()) if theirs.numel() else 0.0
        unit = 1e-9 if dtype == torch.float64 else 1e-6
        torch.testing.assert_close(ours.cpu().double(), theirs, rtol=unit, atol=unit * size)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize(("count", "modes"), SIZES)
def test_sizes_beside_the_pieces(camera, count, modes, dtype, device):
    iterations = 2 if modes > 100 else 12
    arguments = arguments_of(camera, count, modes, iterations=iterations, batch=2)
    check_backward(arguments, check_forward(arguments, device, dtype), device, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("full_prior", [False, True], ids=["own precisions", "full precision"])
def test_groups(camera, full_prior, dtype, device):
    arguments = arguments_of(camera, 20, 9, grouped=True, full_prior=full_prior)
    check_backward(arguments, check_forward(arguments, device, dtype), device, dtype)


@pytest.mark.parametrize("camera", ["orthographic", "perspective"])
def test_candidates(camera, device):
    arguments = arguments_of(camera, 20, 4, iterations=6)
    row = torch.arange(20)
    several = torch.stack((row, (row + 1) % 20, (row + 2) % 20), dim=1)
    several[::3, 1:] = -1
    several[1::3, 2] = -1
    angle = 6.28 * torch.rand(20, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    arguments[2], arguments[3] = several, torch.stack((angle.cos(), angle.sin()), dim=1)
    check_forward(arguments, device, torch.float64)


def test_where_no_hessian_is_positive_definite_the_approximation_stands_for_it(device):
    """A fit that was stopped at once, with points on the other side of the face."""
    arguments = arguments_of("orthographic", 20, 5, iterations=1)
    arguments[5] = -arguments[5]
    for grouped in (False, True):
        if grouped:
            arguments[12], arguments[13] = torch.tensor([0, 2, 5, 5]), 3
        check_backward(arguments, check_forward(arguments, device, torch.float64), device, torch.float64)


def test_faces_do_not_mix(device):
    arguments = on(arguments_of("orthographic", 33, 9), device, torch.float32)
    together = ops.fit_landmarks(*arguments)
    for i in (0, 4):
        alone = [a[i : i + 1] if 5 <= j <= 10 else a for j, a in enumerate(arguments)]
        for one, all_of_them in zip(ops.fit_landmarks(*alone), together, strict=True):
            assert torch.equal(one[0], all_of_them[i])


def test_candidates_that_are_no_rows_read_nothing_else(gpu):
    arguments = on(arguments_of("orthographic", 9, 3), gpu, torch.float32)
    arguments[2] = arguments[2] + 10**6
    assert torch.equal(ops.fit_landmarks(*arguments)[5], torch.zeros(5, 9, dtype=torch.int32, device=gpu))
