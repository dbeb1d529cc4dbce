"""torch.func over vertex_distance_cost: every transform against the same one of the reference."""

from __future__ import annotations

import pytest
import torch
from torch.func import grad, hessian, jacfwd, jacrev, jvp, vjp, vmap

import twodasl_ext as te
from twodasl_ext import reference

from .cases import CASES, make

TRANSFORMS = {
    "grad of the prediction": lambda f, p, t: grad(lambda p: f(p, t).sum())(p),
    "grad of both": lambda f, p, t: grad(lambda p, t: f(p, t).sum(), argnums=(0, 1))(p, t),
    "vmap": lambda f, p, t: vmap(f)(several(p), several(t)),
    "vmap of the prediction": lambda f, p, t: vmap(f, in_dims=(1, None))(several(p).movedim(0, 1), t),
    "jacrev": lambda f, p, t: jacrev(f)(p, t),
    "jacfwd": lambda f, p, t: jacfwd(f, argnums=(0, 1))(p, t),
    "jvp": lambda f, p, t: jvp(f, (p, t), (p.sin(), t.cos())),
    "jvp of the target": lambda f, p, t: jvp(lambda t: f(p, t), (t,), (t.cos(),)),
    "vmap of grad": lambda f, p, t: vmap(grad(lambda p, t: f(p, t).sum()))(several(p), several(t)),
    "vmap of vjp": lambda f, p, t: vmap(lambda p: vjp(lambda p: f(p, t), p)[1](p[:, 0])[0])(several(p)),
}


def several(tensor):
    return torch.stack((tensor, 1.1 * tensor, tensor - 0.3))


@pytest.fixture
def functions():
    inputs = make(CASES[4])
    basis = inputs.basis()
    return (
        lambda p, t: te.vertex_distance_cost(basis, p, t),
        lambda p, t: reference.vertex_distance_cost(inputs.mean, inputs.modes, p, t),
        inputs.predicted,
        inputs.target,
    )


@pytest.mark.parametrize("name", list(TRANSFORMS))
def test_a_transform_gives_the_reference_s(name, functions):
    fused, plain, predicted, target = functions
    result = TRANSFORMS[name](fused, predicted, target)
    torch.testing.assert_close(result, TRANSFORMS[name](plain, predicted, target))


def test_vmap_folds_its_samples_into_faces(functions):
    fused, _, predicted, target = functions
    together = vmap(fused)(several(predicted), several(target))
    for cost, p, t in zip(together, several(predicted), several(target), strict=True):
        assert torch.equal(cost, fused(p, t))


def test_a_hessian_is_refused(functions):
    fused, _, predicted, target = functions
    with pytest.raises(RuntimeError, match="the second derivative is not implemented"):
        hessian(lambda p: fused(p, target).sum())(predicted)
