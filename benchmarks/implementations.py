"""Every way of running a workload, and the check that each way gives the right result before it is timed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

import twodasl_ext as te
from twodasl_ext import reference

from . import eager
from .workloads import BOTH, STORAGES, Workload, make_inputs, make_scene

Run = Callable[[], tuple[Tensor, ...]]
FUSED, EAGER, COMPILED = "fused", "eager", "compiled"


def implementations(workload: Workload, *, compiled: bool = True) -> dict[str, Run]:
    """Name -> a function without arguments that runs the workload and gives back its results."""
    torch._dynamo.reset()
    runs = {
        "vertices": _vertices,
        "landmarks": _vertices,
        "importance_weights": _importance_weights,
        "vertex_distance_cost": _vertex_distance_cost,
        "rasterize": _rasterize,
    }[workload.operator](workload)
    if compiled and workload.operator != "rasterize":
        runs[COMPILED] = runs.pop("to compile")
    else:
        runs.pop("to compile")
    return runs


def check(workload: Workload, runs: dict[str, Run]) -> None:
    """AssertionError unless every implementation agrees with the reference in double precision."""
    expected = _expected(workload)
    # Half storage rounds the modes themselves; the rest is float32 rounding of sums over K and N.
    tolerance = 1e-5 if workload.storage == "float32" else 1e-2
    for name, run in runs.items():
        results = run()
        assert len(results) == len(expected), name
        for result, value in zip(results, expected, strict=True):
            assert result.shape == value.shape, f"{name}: {tuple(result.shape)} for {tuple(value.shape)}"
            error = (result.detach().double() - value).norm() / value.double().norm()
            assert error <= tolerance, f"{workload.name}, {name}: relative error {error:.2e}"


def _differentiate(
    function: Callable[[Tensor, Tensor], Tensor], leaves: tuple[Tensor, ...], grad: Tensor | None, both: bool
) -> Run:
    if not both:

        def forward() -> tuple[Tensor, ...]:
            with torch.no_grad():
                return (function(*leaves),)

        return forward
    leaves = tuple(leaf.clone().requires_grad_() for leaf in leaves)

    def forward_and_backward() -> tuple[Tensor, ...]:
        output = function(*leaves)
        return torch.autograd.grad(output, leaves, torch.ones_like(output) if grad is None else grad)

    return forward_and_backward


def _vertices(workload: Workload) -> dict[str, Run]:
    inputs = make_inputs(workload)
    basis = te.MorphableBasis(inputs.mean, inputs.modes, inputs.landmarks, storage=STORAGES[workload.storage])
    fused = te.landmarks if workload.operator == "landmarks" else te.vertices
    mean, modes = inputs.mean, inputs.modes
    if workload.operator == "landmarks":
        mean, modes = mean[inputs.landmarks], modes[:, inputs.landmarks]
    flat_mean = mean.T.reshape(-1).contiguous()
    flat_modes = modes.transpose(1, 2).reshape(len(modes), -1).contiguous()

    def plain(coefficients: Tensor, pose: Tensor) -> Tensor:
        return eager.vertices(flat_mean, flat_modes, coefficients, pose)

    both = workload.direction == BOTH
    leaves = (inputs.coefficients, inputs.pose)
    return {
        FUSED: _differentiate(lambda c, p: fused(basis, c, p), leaves, inputs.grad, both),
        EAGER: _differentiate(plain, leaves, inputs.grad, both),
        "to compile": _differentiate(torch.compile(plain), leaves, inputs.grad, both),
    }


def _importance_weights(workload: Workload) -> dict[str, Run]:
    inputs = make_inputs(workload)
    basis = te.MorphableBasis(inputs.mean, inputs.modes, inputs.landmarks)
    mean, modes = inputs.mean[inputs.landmarks], inputs.modes[:, inputs.landmarks].contiguous()

    def plain(predicted: Tensor, target: Tensor) -> Tensor:
        return eager.importance_weights(mean, modes, predicted, target)

    leaves = (inputs.predicted, inputs.target)
    return {
        FUSED: _differentiate(lambda p, t: te.importance_weights(basis, p, t), leaves, None, False),
        EAGER: _differentiate(plain, leaves, None, False),
        "to compile": _differentiate(torch.compile(plain), leaves, None, False),
    }


def _vertex_distance_cost(workload: Workload) -> dict[str, Run]:
    inputs = make_inputs(workload)
    basis = te.MorphableBasis(inputs.mean, inputs.modes)
    basis.distance_factor()
    flat_mean = inputs.mean.T.reshape(-1).contiguous()
    flat_modes = inputs.modes.transpose(1, 2).reshape(workload.modes, -1).contiguous()

    def plain(predicted: Tensor, target: Tensor) -> Tensor:
        shapes = [
            eager.vertices(flat_mean, flat_modes, p[:, 12:], p[:, :12].reshape(-1, 3, 4))
            for p in (predicted, target)
        ]
        return (shapes[0] - shapes[1]).square().sum(dim=2).mean(dim=1)

    both = workload.direction == BOTH
    leaves = (inputs.predicted, inputs.target)
    return {
        FUSED: _differentiate(lambda p, t: te.vertex_distance_cost(basis, p, t), leaves, None, both),
        EAGER: _differentiate(plain, leaves, None, both),
        "to compile": _differentiate(torch.compile(plain), leaves, None, both),
    }


def _rasterize(workload: Workload) -> dict[str, Run]:
    vertices, triangles = make_scene(workload)
    return {
        FUSED: lambda: te.rasterize(vertices, triangles, workload.pixels)[:1],
        EAGER: lambda: (eager.rasterize(vertices, triangles, workload.pixels),),
        "to compile": lambda: (),  # its sizes depend on values: torch.compile would break the graph
    }


def _expected(workload: Workload) -> tuple[Tensor, ...]:
    if workload.operator == "rasterize":
        # Brute force over all pixels does not fit; tests/ext compares with it. Here both must agree exactly.
        vertices, triangles = make_scene(workload)
        return (eager.rasterize(vertices, triangles, workload.pixels),)
    inputs = make_inputs(workload)
    exact = {name: t if name == "landmarks" else t.double() for name, t in vars(inputs).items()}
    mean, modes = exact["mean"], exact["modes"]
    parameters = (exact["predicted"], exact["target"])
    if workload.operator == "importance_weights":
        return (reference.importance_weights(mean, modes, exact["landmarks"], *parameters),)
    both = workload.direction == BOTH
    if workload.operator == "vertex_distance_cost":
        function = lambda p, t: reference.vertex_distance_cost(mean, modes, p, t)  # noqa: E731
        return _differentiate(function, parameters, None, both)()
    if workload.operator == "landmarks":
        mean, modes = mean[exact["landmarks"]], modes[:, exact["landmarks"]]
    leaves = (exact["coefficients"], exact["pose"])
    return _differentiate(lambda c, p: reference.vertices(mean, modes, c, p), leaves, exact["grad"], both)()
