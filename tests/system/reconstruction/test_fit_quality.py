"""Which fits are left out, and why."""

import torch
from twodasl.geometry.parameters import join_parameters
from twodasl.geometry.pose import pose_matrix
from twodasl.reconstruction.fit_quality import Limits, Quality, quality_of, reasons
from twodasl.reconstruction.point_fit import FittedPoints

STD = torch.tensor([2.0, 0.5])


def parameters(yaw=0.0, coefficients=(0.0, 0.0)):
    pose = pose_matrix(0.4, torch.tensor([0.0, yaw, 0.0]), torch.tensor([60.0, 60.0, 0.0]))
    return join_parameters(pose, torch.tensor(coefficients))[None]


def judged(fitted, residual=1.0, network=None, landmarks=None):
    fit = FittedPoints(fitted, torch.zeros(1, 9), torch.tensor([residual]))
    marks = torch.full((1, 68, 3), 60.0) if landmarks is None else landmarks
    return quality_of(fit, parameters() if network is None else network, STD, marks)


def test_it_measures_what_the_limits_limit():
    marks = torch.full((1, 68, 3), 60.0)
    marks[0, :17, 0] = 125.0
    found = judged(parameters(0.5, (4.0, 0.5)), 2.5, landmarks=marks)
    torch.testing.assert_close(found.turn, torch.rad2deg(torch.tensor([0.5])), atol=0.01, rtol=0)
    torch.testing.assert_close(found.spread, torch.tensor([2.5**0.5]))
    torch.testing.assert_close(found.outside, torch.tensor([0.25]))
    assert found.residual.tolist() == [2.5]
    assert found.finite.tolist() == [True]
    # Rounding does not turn a fit that did not turn.
    assert judged(parameters(0.3), network=parameters(0.3)).turn < 0.1


def test_each_limit_has_its_reason():
    good = judged(parameters())
    assert reasons(good) == [""]
    bad = {
        "no finite answer": judged(torch.full((1, 14), torch.nan)),
        "outside the crop": judged(parameters(), landmarks=torch.full((1, 68, 3), 130.0)),
        "misses its points by over 4 pixels": judged(parameters(), 4.1),
        "turned over 25 degrees": judged(parameters(0.45)),
        "over 3 deviations": judged(parameters(coefficients=(9.0, 0.0))),
    }
    for words, quality in bad.items():
        assert words in reasons(quality)[0]
    together = Quality(*(torch.cat(parts) for parts in zip(good, *bad.values(), strict=True)))
    assert [bool(reason) for reason in reasons(together)] == [False] + [True] * 5
    assert reasons(judged(parameters(), 4.1), Limits(residual=5.0)) == [""]
