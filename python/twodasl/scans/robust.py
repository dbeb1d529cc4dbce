"""Which points count, and how much: Tukey's weights, and scales that outliers do not move."""

from __future__ import annotations

from torch import Tensor

TUKEY = 4.685
"""Tukey's cut in standard deviations: 95 % of least squares' efficiency where all is noise."""

_OF_MEDIAN = 1.4826  # a normal distribution's standard deviation over its median absolute value


def spread(values: Tensor) -> float:
    """The standard deviation about zero of values (M,), from their median absolute value."""
    return _OF_MEDIAN * float(values.abs().median()) if len(values) else 0.0


def tukey(distances: Tensor, cut: float) -> Tensor:
    """Weights in [0, 1], zero from the cut on."""
    return (1 - (distances / cut).square()).clamp_min(0).square()


def local_spread(residuals: Tensor, place: Tensor) -> float | None:
    """The standard deviation of what differs between neighbors, which is noise and not shape.

    residuals: (M,), signed. place: (M,) the triangle of each. Points of one triangle are neighbors. None
    where too few are.
    """
    order = place.argsort(stable=True)
    sorted_place, sorted_residuals = place[order], residuals[order]
    together = sorted_place[1:] == sorted_place[:-1]
    if int(together.sum()) < 100:
        return None
    return spread((sorted_residuals[1:] - sorted_residuals[:-1])[together]) / 2**0.5
