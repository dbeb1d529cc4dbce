"""What a regressor says: parameters and, where it was made to, points of its own and how sure it is of them.

The second half is ours, not the paper's. Points are regressed beside the parameters, so that their errors are
not those of the parameters, and a fit to them (`twodasl_ext.fit_landmarks`) is better than either.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# The middle of the crop, and pixels a unit of output: points are about a unit from the middle.
_MIDDLE, _SPREAD = 59.5, 30.0
# Pixels where the output is zero, and how far its exponent may go: from 0.07 to 80 pixels.
_SIGMA, _LEAST, _MOST = 4.0, -4.0, 3.0


class Prediction(NamedTuple):
    """The output of a regressor, taken apart.

    Attributes:
        whitened: (B, 12+K) parameters.
        points: (B, P, 2) the face model's landmarks in crop pixels (x, row), also hidden ones; P may be 0.
        sigma: (B, P) their standard deviations along either axis, in pixels.
    """

    whitened: Tensor
    points: Tensor
    sigma: Tensor


def split_output(output: Tensor, parameters: int) -> Prediction:
    """Take apart a regressor's output (B, parameters + 3 P), `[whitened | 2 P places | P exponents]`.

    Differentiable. Raises ValueError where the numbers left over are not those of whole points.
    """
    rest = output[:, parameters:]
    if output.shape[1] < parameters or rest.shape[1] % 3:
        raise ValueError(f"output: expected {parameters} + 3 P numbers, got {output.shape[1]}")
    count = rest.shape[1] // 3
    places = _MIDDLE + _SPREAD * rest[:, : 2 * count].unflatten(1, (count, 2))
    return Prediction(
        output[:, :parameters], places, _SIGMA * torch.exp(rest[:, 2 * count :].clamp(_LEAST, _MOST))
    )
