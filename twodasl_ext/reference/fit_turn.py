"""The turn R(w) = exp([w]x) and its derivatives, exact for every angle."""

from __future__ import annotations

import torch
from torch import Tensor


def cross_matrix(w: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3): [w]x, with [w]x v = w x v."""
    x, y, z = w.unbind(-1)
    o = torch.zeros_like(x)
    return torch.stack((o, -z, y, z, o, -x, -y, x, o), dim=-1).reshape(*w.shape[:-1], 3, 3)


def _series(square: Tensor, small: tuple[float, ...], large: Tensor) -> Tensor:
    """A function of the angle's square: its series near 0, where the closed form cancels."""
    near = torch.zeros_like(square)
    for factor in reversed(small):
        near = near * square + factor
    return torch.where(square < 0.25, near, large)


def coefficients(w: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(B,) each: a = sin t / t, b = (1 - cos t) / t^2, c = (t - sin t) / t^3, and b'/t, c'/t; t = |w|."""
    square = w.square().sum(dim=-1)
    far = torch.where(square < 0.25, 1.0, square)
    t = far.sqrt()
    sin, versine = t.sin(), 2 * (t / 2).sin().square()
    a = _series(square, (1, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800), sin / t)
    b = _series(
        square,
        (1 / 2, -1 / 24, 1 / 720, -1 / 40320, 1 / 3628800, -1 / 479001600, 1 / 87178291200),
        versine / far,
    )
    c = _series(
        square,
        (1 / 6, -1 / 120, 1 / 5040, -1 / 362880, 1 / 39916800, -1 / 6227020800, 1 / 1307674368000),
        (t - sin) / (t * far),
    )
    b1 = _series(
        square,
        (-1 / 12, 1 / 180, -1 / 6720, 1 / 453600, -1 / 47900160, 1 / 7264857600),
        (sin * t - 2 * versine) / far.square(),
    )
    c1 = _series(
        square,
        (-1 / 60, 1 / 1260, -1 / 60480, 1 / 4989600, -1 / 622702080, 1 / 108972864000),
        (t * versine - 3 * (t - sin)) / (far.square() * t),
    )
    return a, b, c, b1, c1


def turn(w: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 3) -> R(w) (B, 3, 3), and the left Jacobian J of dR = [J dw]x R."""
    a, b, c, _, _ = (f[..., None, None] for f in coefficients(w))
    k = cross_matrix(w)
    kk = k @ k
    one = torch.eye(3, dtype=w.dtype, device=w.device)
    return one + a * k + b * kk, one + b * k + c * kk


def change_of_left_jacobian(w: Tensor) -> Tensor:
    """(B, 3, 3, 3): entry [k, :, j] is d(J e_j) / dw_k."""
    _, b, c, b1, c1 = (f[..., None, None, None] for f in coefficients(w))
    k = cross_matrix(w)[..., None, :, :]
    e = cross_matrix(torch.eye(3, dtype=w.dtype, device=w.device))
    along = w[..., None, None]
    return along * (b1 * k + c1 * (k @ k)) + b * e + c * (e @ k + k @ e)
