"""What is measured on a GPU: every operator at its sizes, beside eager and compiled PyTorch.

A row is one workload with every way of computing it. Each way is checked against the fused operator, which
tests/cuda compares with the reference, before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

import twodasl_ext as te

from ..operators.eager_costs import COMPILED_COSTS, COMPILED_WEIGHTS, DISTANCE_COSTS, IMPORTANCE_WEIGHTS
from ..operators.eager_rasterize import rasterize
from ..operators.eager_vertices import (
    COMPILED_VERTICES,
    Formulation,
    Function,
    by_component,
    folded,
    interleaved,
)
from ..operators.inputs import Inputs, make_inputs, make_scene
from ..operators.workloads import BATCHES, BOTH, FORWARD, Workload
from ..registration.surfaces import pair
from .choice import CHOICES, chosen, has_both
from .time import SETS

Tensors = tuple[Tensor, ...]
Run = Callable[[], Tensors]
EAGER_VERTICES: dict[str, Formulation] = {
    "by component": by_component,
    "interleaved": interleaved,
    "folded": folded,
}
"""Those in chunks are for a processor's cache."""


@dataclass(frozen=True)
class Sizes:
    """How large everything is; `tiny` only tries the program."""

    vertices: int = 53215
    batches: tuple[int, ...] = BATCHES
    batch: int = 32
    points: tuple[int, ...] = (10_000, 53_215)
    scene: int = 25088
    pixels: int = 120
    iterations: int = 30


TINY = Sizes(vertices=300, batches=(1, 3), batch=4, points=(120,), scene=128, pixels=20, iterations=2)


@dataclass
class Row:
    """One workload. `runs`: "fused", "eager: ..." and "compiled: ..."."""

    name: str
    runs: dict[str, Run | tuple[Run, ...]]
    """Several runs of a way are the same over other data: a graph has calls of all."""
    workload: Workload | None = None
    """Knows the floor, where there is one."""
    tolerance: float = 1e-4
    """Relative difference of the ways' results that rounding explains."""
    exact: bool = True
    """Whether results are compared at all: neighbors may be others that are as near."""

    def of(self, name: str) -> tuple[Run, ...]:
        """The runs of a way; the first one is checked and called."""
        runs = self.runs[name]
        return runs if isinstance(runs, tuple) else (runs,)


def rows(
    device: torch.device, sizes: Sizes, *, compiled: bool = True
) -> Iterator[tuple[str, Callable[[], Row]]]:
    """Names of rows, to be made one after the other: what one holds is freed before the next."""
    for direction in (FORWARD, BOTH):
        for batch in sizes.batches:
            for storage in ("float32", "bfloat16"):
                w = Workload("vertices", direction, sizes.vertices, batch=batch, storage=storage)
                yield w.name, lambda w=w: _over_a_basis(w, device, compiled)  # type: ignore[misc]
    for operator, directions in (
        ("landmarks", (FORWARD, BOTH)),
        ("importance_weights", (FORWARD,)),
        ("vertex_distance_cost", (FORWARD, BOTH)),
    ):
        for direction in directions:
            for batch in sorted({sizes.batches[0], sizes.batch, sizes.batches[-1]}):
                w = Workload(operator, direction, sizes.vertices, batch=batch)
                yield w.name, lambda w=w: _over_a_basis(w, device, compiled)  # type: ignore[misc]
    for count in sizes.points:
        name = f"nearest_neighbors {count} in {count} points"
        yield name, lambda name=name, count=count: _neighbors(name, count, device)  # type: ignore[misc]
        name = f"iterative_closest_point {count} points, {sizes.iterations} iterations"
        yield (
            name,
            lambda name=name, count=count: _registration(name, count, sizes.iterations, device),  # type: ignore[misc]
        )
    for batch in (1, 16):
        w = Workload("rasterize", vertices=sizes.scene, batch=batch, pixels=sizes.pixels)
        yield w.name, lambda w=w: _rasterize(w, device)  # type: ignore[misc]
    name = f"all losses of a step, forward+backward, B={sizes.batch}"
    yield name, lambda: _losses(name, sizes.batch, device)


def on(inputs: Inputs, device: torch.device) -> Inputs:
    """The same numbers there."""
    return Inputs(**{name: tensor.to(device) for name, tensor in vars(inputs).items()})


def _over_a_basis(workload: Workload, device: torch.device, compiled: bool) -> Row:
    inputs = on(make_inputs(workload), device)
    leaves, grad = (inputs.coefficients, inputs.pose), inputs.grad
    eager, to_compile = EAGER_VERTICES, COMPILED_VERTICES
    if workload.operator in ("importance_weights", "vertex_distance_cost"):
        leaves, grad = (inputs.predicted, inputs.target), torch.ones(workload.batch, device=device)
        eager, to_compile = IMPORTANCE_WEIGHTS, COMPILED_WEIGHTS
    if workload.operator == "vertex_distance_cost":
        eager, to_compile = DISTANCE_COSTS, COMPILED_COSTS
    storage = {"float32": torch.float32, "bfloat16": torch.bfloat16}[workload.storage]
    fused = getattr(te, workload.operator)
    ways: dict[str, list[Function]] = {}
    for number in range(SETS):  # the same numbers in other places
        basis = te.MorphableBasis(inputs.mean, inputs.modes, inputs.landmarks, storage=storage)
        ways.setdefault("fused", []).append(lambda a, b, basis=basis: fused(basis, a, b))  # type: ignore[misc]
        if workload.storage != "float32":  # eager PyTorch has no half storage with float32 arithmetic
            continue
        mean, modes = inputs.mean.clone(), inputs.modes.clone()
        if workload.sparse:
            mean, modes = mean[inputs.landmarks], modes[:, inputs.landmarks].contiguous()
        for name, make in eager.items():
            ways.setdefault(f"eager: {name}", []).append(make(mean, modes))
        if compiled and number == 0:  # one basis: every other would be compiled again
            torch._dynamo.reset()  # forget the functions of earlier rows, and their limit
            for name, make in to_compile.items():
                ways[f"compiled: {name}"] = [torch.compile(make(mean, modes), dynamic=False)]
    runs: dict[str, Run | tuple[Run, ...]] = {}
    for way, functions in ways.items():
        own: tuple[Run, ...] = tuple(_run(workload, function, leaves, grad) for function in functions)
        runs[way] = own
        if way == "fused" and workload.operator == "vertices" and has_both(device):
            for name, wanted in CHOICES.items():
                runs[f"fused: {name}"] = tuple(chosen(run, wanted) for run in own)
    return Row(workload.name, runs, workload)


def _run(workload: Workload, function: Function, leaves: Tensors, grad: Tensor) -> Run:
    if workload.direction == FORWARD:

        def forward() -> Tensors:
            with torch.no_grad():
                return (function(*leaves),)

        return forward
    leaves = tuple(leaf.clone().requires_grad_() for leaf in leaves)
    # In the output's own order in memory, which is what the loss that follows would hand back.
    laid_out = torch.empty_like(function(*leaves).detach()).copy_(grad)
    return lambda: torch.autograd.grad(function(*leaves), leaves, laid_out)


def _neighbors(name: str, count: int, device: torch.device) -> Row:
    source, target = (t[None].to(device) for t in pair(count))
    index = te.PointIndex(target)
    hint = te.nearest_neighbors(source, index)[1]

    def all_pairs() -> Tensors:
        parts = [torch.cdist(q, target[0]).min(dim=1) for q in source[0].split(8192)]
        distances, indices = (torch.cat([p[i] for p in parts])[None] for i in range(2))
        return distances.square(), indices

    runs: dict[str, Run | tuple[Run, ...]] = {
        "fused": lambda: te.nearest_neighbors(source, target),
        "fused: ready PointIndex": lambda: te.nearest_neighbors(source, index),
        "fused: PointIndex and last hints": lambda: te.nearest_neighbors(source, index, hint=hint),
        "eager: cdist": all_pairs,
    }
    return Row(name, runs, exact=False)


def _registration(name: str, count: int, iterations: int, device: torch.device) -> Row:
    source, target = (t[None].to(device) for t in pair(count, 10.0))

    def fused() -> Tensors:
        found = te.iterative_closest_point(source, target, max_iterations=iterations, tolerance=None)
        return found.rotation, found.translation

    def eager() -> Tensors:
        turn, shift = torch.eye(3, device=device), torch.zeros(3, device=device)
        for _ in range(iterations):
            moved = source[0] @ turn.T + shift
            nearest = torch.cat([torch.cdist(q, target[0]).argmin(dim=1) for q in moved.split(8192)])
            chosen = target[0][nearest]
            centers = source[0].mean(dim=0), chosen.mean(dim=0)
            covariance = (chosen - centers[1]).T @ (source[0] - centers[0])
            u, _, v = torch.linalg.svd(covariance)
            flip = torch.ones(3, device=device)
            flip[2] = torch.sign(torch.det(u @ v))
            turn = u @ (flip[:, None] * v)
            shift = centers[1] - turn @ centers[0]
        return turn[None], shift[None]

    runs: dict[str, Run | tuple[Run, ...]] = {"fused": fused, "eager: cdist and SVD": eager}
    return Row(name, runs, exact=False)


def _rasterize(workload: Workload, device: torch.device) -> Row:
    vertices, triangles = (t.to(device) for t in make_scene(workload))
    runs: dict[str, Run | tuple[Run, ...]] = {
        "fused": lambda: te.rasterize(vertices, triangles, workload.pixels)[:1],
        "eager: two scatters": lambda: (rasterize(vertices, triangles, workload.pixels),),
    }
    return Row(workload.name, runs, workload)


def _losses(name: str, batch: int, device: torch.device) -> Row:
    # Here alone is the system needed, which asks for more packages than the operators do.
    from .step import at_its_best, by_definition, losses_of, make_step_on, operators

    step = make_step_on(device, batch)
    basis = step.networks.basis
    variants = {"by definition": by_definition(basis), "at its best": at_its_best(basis)}
    runs: dict[str, Run | tuple[Run, ...]] = {"fused": lambda: losses_of(step)}
    for kind, variant in variants.items():

        def run(variant: dict[str, Callable[..., Tensor]] = variant) -> Tensors:
            with operators(**variant):
                return losses_of(step)

        runs[f"eager: {kind}"] = run
    return Row(name, runs, tolerance=1e-3)


def check(row: Row) -> dict[str, str]:
    """What is wrong with a way's result, by its name; such a way is not timed."""
    wrong: dict[str, str] = {}
    expected: Tensors | None = None
    for name in row.runs:
        try:
            found = [t.detach().double() for t in row.of(name)[0]()]
        except Exception as error:  # a compiler that is missing, memory that does not suffice
            wrong[name] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            continue
        if expected is None:
            expected = cast(Tensors, tuple(found))
        if not all(bool(torch.isfinite(t).all()) for t in found):
            wrong[name] = "the result is not finite"
        elif row.exact:
            for a, b in zip(found, expected, strict=True):
                error = float((a - b).norm() / b.norm().clamp(min=1e-300))
                if error > row.tolerance:
                    wrong[name] = f"differs from the first by {error:.1e} of its size"
    return wrong
