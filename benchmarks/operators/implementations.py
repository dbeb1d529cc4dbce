"""Every way of running a workload, and the check that each way gives the right result before it is timed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

import twodasl_ext as te
from twodasl_ext import reference

from . import fits, skins
from .eager_costs import COMPILED_COSTS, COMPILED_WEIGHTS, DISTANCE_COSTS, IMPORTANCE_WEIGHTS
from .eager_rasterize import rasterize
from .eager_vertices import COMPILED_VERTICES, VERTICES, Formulation, Function, into
from .inputs import Inputs, make_inputs, make_scene
from .workloads import BOTH, FORWARD, Workload

Results = tuple[Tensor, ...]
FUSED, EAGER, CONTIGUOUS, COMPILED = "fused", "eager", "eager_contiguous", "compiled"
KINDS = (FUSED, EAGER, COMPILED)
USUAL = "usual"
USUAL_FORMULATIONS = ("interleaved", "turned modes", "two shapes", "4x4 per vertex")
"""What one writes first, and what the code of most face models does."""
STORAGES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class Implementation:
    """One formulation of one kind, ready to run."""

    kind: str
    formulation: str
    run: Callable[[], Results]
    contiguous: bool = True
    """Whether its output is a contiguous (B, N, 3) as the operators', and not a strided view."""

    @property
    def name(self) -> str:
        """Kind and formulation."""
        return f"{self.kind}: {self.formulation}" if self.formulation else self.kind


def supported(workload: Workload) -> bool:
    """Whether the operators take what the workload asks for."""
    return not workload.preallocated or "out" in inspect.signature(te.vertices).parameters


def implementations(workload: Workload, kinds: tuple[str, ...] = KINDS) -> list[Implementation]:
    """The formulations of the kinds asked for: the fused operator, then eager ones, then compiled ones."""
    found = _all(workload, kinds)
    return [i for i in found if i.kind in kinds]


def _all(workload: Workload, kinds: tuple[str, ...]) -> list[Implementation]:
    if workload.operator == "rasterize":  # torch.compile would break the graph: sizes depend on values
        vertices, triangles = make_scene(workload)
        size = workload.pixels
        return [
            Implementation(FUSED, "", lambda: te.rasterize(vertices, triangles, size)[:1]),
            Implementation(EAGER, "two scatters", lambda: (rasterize(vertices, triangles, size),)),
        ]
    if workload.operator == "fit_landmarks":
        return _fits(workload)
    if workload.operator == "skin":
        return _skins(workload, kinds)
    inputs = make_inputs(workload)
    mean, modes = inputs.mean, inputs.modes
    if workload.sparse:
        mean, modes = mean[inputs.landmarks], modes[:, inputs.landmarks].contiguous()
    leaves, grad = (inputs.coefficients, inputs.pose), inputs.grad
    if workload.operator in ("importance_weights", "vertex_distance_cost"):
        leaves, grad = (inputs.predicted, inputs.target), torch.ones(workload.batch)

    found = []
    if FUSED in kinds:
        found.append(_implementation(workload, FUSED, "", _fused(workload, inputs), leaves, grad))
    if workload.preallocated:
        kept = into(mean, modes, workload.batch)
        return found + [_implementation(workload, EAGER, n, f, leaves, grad) for n, f in kept.items()]
    eager, to_compile = _formulations(workload)
    for name, make in eager.items() if EAGER in kinds else ():
        found.append(_implementation(workload, EAGER, name, make(mean, modes), leaves, grad))
    if COMPILED in kinds:
        torch._dynamo.reset()  # forget the compiled functions of earlier workloads, and their limit
        for name, make in to_compile.items():
            function = torch.compile(make(mean, modes), dynamic=False)
            found.append(_implementation(workload, COMPILED, name, function, leaves, grad))
    return found


def _fits(workload: Workload) -> list[Implementation]:
    # No torch.compile: the graph breaks after every step, which asks whether all faces have converged, and
    # torch 2.13's compiler fails on the pieces where the machine has AVX-512.
    made = fits.make_fits(workload)
    return [
        Implementation(FUSED, "", fits.fused(workload, made)),
        Implementation(EAGER, "batched Cholesky", fits.eager(workload, made, torch.float32)),
    ]


def _skins(workload: Workload, kinds: tuple[str, ...]) -> list[Implementation]:
    vertices, weights, transforms, grad = skins.make_skins(workload)
    leaves, eager = (vertices, transforms), skins.formulations(weights)
    found = [_implementation(workload, FUSED, "", lambda v, m: te.skin(v, weights, m), leaves, grad)]
    for name, function in eager.items() if EAGER in kinds else ():
        found.append(_implementation(workload, EAGER, name, function, leaves, grad))
    if COMPILED in kinds:
        torch._dynamo.reset()
        for name, function in eager.items():
            compiled = torch.compile(function, dynamic=False)
            found.append(_implementation(workload, COMPILED, name, compiled, leaves, grad))
    return found


def check(workload: Workload, found: list[Implementation]) -> None:
    """AssertionError unless every implementation agrees with the reference in double precision."""
    expected = _expected(workload)
    # Half storage rounds the modes themselves; the rest is float32 rounding of sums over K and N.
    tolerance = 1e-5 if workload.storage == "float32" else 1e-2
    for implementation in found:
        where = f"{workload.name}, {implementation.name}"
        results = implementation.run()
        assert len(results) == len(expected), where
        for result, value in zip(results, expected, strict=True):
            assert result.shape == value.shape, f"{where}: {tuple(result.shape)} for {tuple(value.shape)}"
            error = (result.detach().double() - value).norm() / value.double().norm()
            assert error <= tolerance, f"{where}: relative error {error:.2e}"


def _fused(workload: Workload, inputs: Inputs) -> Function:
    storage = STORAGES[workload.storage]
    basis = te.MorphableBasis(inputs.mean, inputs.modes, inputs.landmarks, storage=storage)
    operator = getattr(te, workload.operator)
    if workload.preallocated:
        output = torch.empty(workload.batch, workload.vertices, 3)
        return lambda first, second: operator(basis, first, second, out=output)
    return lambda first, second: operator(basis, first, second)


def _formulations(workload: Workload) -> tuple[dict[str, Formulation], dict[str, Formulation]]:
    if workload.operator == "importance_weights":
        return IMPORTANCE_WEIGHTS, COMPILED_WEIGHTS
    if workload.operator == "vertex_distance_cost":
        return DISTANCE_COSTS, COMPILED_COSTS
    return VERTICES, COMPILED_VERTICES


def _implementation(
    workload: Workload, kind: str, name: str, function: Function, leaves: tuple[Tensor, ...], grad: Tensor
) -> Implementation:
    with torch.no_grad():
        output = function(*leaves)
    if workload.direction == FORWARD:

        def forward() -> Results:
            with torch.no_grad():
                return (function(*leaves),)

        return Implementation(kind, name, forward, output.is_contiguous())

    leaves = tuple(leaf.clone().requires_grad_() for leaf in leaves)
    # In the output's own order in memory, which is what the loss that follows would hand back.
    laid_out = torch.empty_like(output).copy_(grad)

    def forward_and_backward() -> Results:
        return torch.autograd.grad(function(*leaves), leaves, laid_out)

    return Implementation(kind, name, forward_and_backward, output.is_contiguous())


@lru_cache(maxsize=1)
def _expected(workload: Workload) -> Results:
    if workload.operator == "rasterize":
        # Brute force over all pixels does not fit; tests/ext compares with it. Here both must agree exactly.
        return (rasterize(*make_scene(workload), workload.pixels),)
    if workload.operator == "fit_landmarks":
        return fits.expected(workload)
    if workload.operator == "skin":
        vertices, weights, transforms, grad = (t.double() for t in skins.make_skins(workload))
        both = (vertices.requires_grad_(), transforms.requires_grad_())
        result = reference.skin(both[0], weights, both[1])
        return (result.detach(),) if workload.direction != BOTH else torch.autograd.grad(result, both, grad)
    inputs = make_inputs(workload)
    exact = {name: t if name == "landmarks" else t.double() for name, t in vars(inputs).items()}
    mean, modes = exact["mean"], exact["modes"]
    parameters = (exact["predicted"], exact["target"])
    if workload.operator == "importance_weights":
        return (reference.importance_weights(mean, modes, exact["landmarks"], *parameters),)
    leaves, grad = (exact["coefficients"], exact["pose"]), exact["grad"]

    def function(first: Tensor, second: Tensor) -> Tensor:
        return reference.vertices(mean, modes, first, second)

    if workload.operator == "vertex_distance_cost":
        leaves, grad = parameters, torch.ones(workload.batch, dtype=torch.float64)

        def function(first: Tensor, second: Tensor) -> Tensor:
            return reference.vertex_distance_cost(mean, modes, first, second)

    elif workload.sparse:
        mean, modes = mean[exact["landmarks"]], modes[:, exact["landmarks"]]
    if workload.direction != BOTH:
        return (function(*leaves),)
    leaves = tuple(leaf.requires_grad_() for leaf in leaves)
    return torch.autograd.grad(function(*leaves), leaves, grad)
