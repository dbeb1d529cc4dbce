"""python -m benchmarks.training.launches: how many kernels a step's losses launch on a GPU, term by term.

No GPU is needed: what is counted are the operators that torch dispatches, forward and backward, less those
that only make a view or allocate. An operator that torch composes of several is counted as often as it
launches there, see `_SEVERAL`. An operator of `twodasl_ext` counts as one. So the count is an estimate from
below, and the same on every machine.

The losses are those of `benchmarks.training.step`, with a network that has points of its own as well. Terms
are added one by one, in the order of the table, so a row is what a term costs beside those above it; L2d-con,
L3d-con and Lcyc are one expression, so the last of them adds little.
"""

from __future__ import annotations

import argparse
import functools
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.autograd import Function
from torch.utils._python_dispatch import TorchDispatchMode
from twodasl.training import compiled as graphs_of_losses
from twodasl.training import losses
from twodasl.training.config import LossConfig, StageConfig, TrainingConfig
from twodasl.training.model import regressor_objective, term_weights
from twodasl.training.objective import Fixed, Given, Mix

from .step_data import Step, make_step
from .triton_kernels import launched

_STAGE = StageConfig(parameters=1.0, vertices=1.0)
_LOSS = LossConfig(compile="off")
_OURS = {"pose_free": 0.5, "gaps": 0.5}
"""Weights of the terms that the presets `base-start`, `base` and `research` have besides."""

_FREE = frozenset(
    (
        "_reshape_alias",
        "_unsafe_view",
        "alias",
        "as_strided",
        "detach",
        "empty",
        "empty_like",
        "empty_strided",
        "expand",
        "lift_fresh",
        "new_empty",
        "new_empty_strided",
        "permute",
        "select",
        "slice",
        "split",
        "split_with_sizes",
        "squeeze",
        "t",
        "transpose",
        "unbind",
        "unsafe_split",
        "unsqueeze",
        "view",
    )
)
"""ATen's operators that launch nothing."""

_SEVERAL = {
    "select_backward": 2,  # zeros, and a copy into them
    "slice_backward": 2,
    "constant_pad_nd": 2,
    "index_put": 6,  # a copy, the indices' sum and sort, the addition
    "_unsafe_index_put": 6,
    "index_put_": 5,
    "_index_put_impl_": 5,
    "scatter": 2,  # a copy, and the scatter
    "index_add": 2,
    "masked_fill": 2,
    "dot": 2,
}
"""ATen's operators that launch more than one kernel on CUDA, at least so many."""


class Launches(TorchDispatchMode):
    """While entered, counts launches by operator."""

    def __init__(self) -> None:
        super().__init__()
        self.of: Counter[str] = Counter()

    @property
    def total(self) -> int:
        """All of them."""
        return self.of.total()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        namespace, name = function.namespace, function.overloadpacket.__name__
        if name == "basis_factor":  # kept, except while somebody watches
            return function(*args, **(kwargs or {}))
        if namespace != "aten":
            self.of[f"{namespace}::{name}"] += 1
        elif name not in _FREE:
            self.of[name] += _SEVERAL.get(name, 1)
        return function(*args, **(kwargs or {}))


def launches(run: Callable[[], Any]) -> Launches:
    """What a function launches, the second time: constants are then on the device."""
    run()
    with Launches() as counted:
        run()
    return counted


def objective(
    step: Step, loss: LossConfig = _LOSS, second_pass: bool = True, weights: dict[str, float] | None = None
) -> tuple[Tensor | None, ...]:
    """Forward and backward of the terms that have a weight; gradients of what the networks gave.

    weights: other ones than those of `loss`.
    """
    step.rewind()
    weights = term_weights(loss, _STAGE) if weights is None else weights
    config = TrainingConfig(loss=loss)
    total, _, _ = regressor_objective(step.networks, step.faces, config, weights, second_pass)
    return torch.autograd.grad(total, step.leaves, allow_unused=True)


def critic(step: Step) -> tuple[Tensor, ...]:
    """Forward and backward of the critic's own loss."""
    return torch.autograd.grad(losses.critic_loss(step.real, step.fake), (step.real, step.fake))


def table(batch: int = 32, **sizes: int) -> dict[str, Launches]:
    """Launches by row, not compiled: each term beside those before it, all of them, also with those that some
    presets have besides, and the critic's loss.

    sizes: further ones of `make_step`.
    """
    step = make_step(batch, points=True, **sizes)
    rows: dict[str, Launches] = {}
    weights: dict[str, float] = {}
    before = Launches()
    known = term_weights(_LOSS, _STAGE)
    for name in known:
        weights[name] = known[name]
        now = launches(lambda: objective(step, weights={**dict.fromkeys(known, 0.0), **weights}))
        rows[name] = Launches()
        rows[name].of = Counter(now.of)
        rows[name].of.subtract(before.of)
        before = now
    rows["all terms"] = before
    rows["with pose_free and gaps"] = launches(lambda: objective(step, replace(_LOSS, **_OURS)))
    rows["the critic's loss"] = launches(lambda: critic(step))
    return rows


def compiled(batch: int = 32, **sizes: int) -> dict[str, Launches]:
    """Launches of compiled losses on a GPU by row, see `triton_kernels`; outside of graphs as in `table`.

    sizes: further ones of `make_step`.
    """
    on = replace(_LOSS, compile="on")
    cases = {
        "all terms": (on, True, True),
        "with pose_free and gaps": (replace(on, **_OURS), True, True),
        "no points of its own": (on, False, True),
        "no second pass": (on, True, False),
    }
    rows: dict[str, Launches] = {}
    for name, (loss, points, second_pass) in cases.items():
        step = make_step(batch, points=points, **sizes)
        run = functools.partial(objective, step, loss, second_pass)
        graphs = launched(run)
        with mock.patch.multiple(graphs_of_losses, objective=_unseen, drawn=_undrawn):
            rows[name] = launches(run)
        for graph in graphs:
            rows[name].of.update(graph)
    return rows


def _unseen(
    fixed: Fixed, mix: Mix, given: Given, names: tuple[str, ...], loss: LossConfig
) -> tuple[Tensor, Tensor]:
    """In the place of the graph: something of the shape of its results."""
    values = (given.whitened, given.again, given.places, given.sigma, given.judged)
    total, terms = _Unseen.apply(len(names), *(each for each in values if each is not None))
    return total, terms


class _Unseen(Function):
    @staticmethod
    def forward(ctx: Any, count: int, *leaves: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(*leaves)
        total, terms = leaves[0].new_empty(()), leaves[0].new_empty(count)
        ctx.mark_non_differentiable(terms)
        ctx.set_materialize_grads(False)
        return total, terms

    @staticmethod
    def backward(ctx: Any, *_: Any) -> tuple[Tensor | None, ...]:
        return None, *(torch.empty_like(leaf) for leaf in ctx.saved_tensors)


def _undrawn(points: Tensor, inputs: Tensor) -> Tensor:
    return torch.empty_like(inputs)


def main() -> None:
    """Counts and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training.launches", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--batch", type=int, default=32, help="faces (default 32)")
    parser.add_argument(
        "--compiled",
        action="store_true",
        help="of losses that torch.compile made graphs of, on a GPU with Triton",
    )
    parser.add_argument("--operators", action="store_true", help="also which operators each row launches")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args()
    rows = compiled(options.batch) if options.compiled else table(options.batch)
    if options.json:
        print(json.dumps({name: row.of for name, row in rows.items()}, indent=1))
        return
    print("| term | launches | of `twodasl_ext` |\n|---|---|---|")
    for name, row in rows.items():
        own = sum(
            count for key, count in row.of.items() if "twodasl" in key and not key.startswith("triton_")
        )
        print(f"| {name} | {row.total} | {own} |")
        if options.operators:
            print("| | " + ", ".join(f"{key} {n}" for key, n in sorted(row.of.items()) if n) + " | |")


if __name__ == "__main__":
    main()
