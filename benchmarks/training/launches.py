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
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from twodasl.training import losses
from twodasl.training.config import StageConfig, TrainingConfig
from twodasl.training.model import regressor_terms, term_weights, weighted_sum

from .step_data import Step, make_step

_CONFIG, _STAGE = TrainingConfig(), StageConfig(parameters=1.0, vertices=1.0)

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


def objective(step: Step, names: set[str]) -> tuple[Tensor, ...]:
    """Forward and backward of the terms so named; gradients of what the networks gave."""
    step.rewind()
    weights = {n: w if n in names else 0.0 for n, w in term_weights(_CONFIG.loss, _STAGE).items()}
    terms, _ = regressor_terms(step.networks, step.faces, _CONFIG, weights, second_pass=True)
    return torch.autograd.grad(weighted_sum(terms, weights), step.leaves, allow_unused=True)


def critic(step: Step) -> tuple[Tensor, ...]:
    """Forward and backward of the critic's own loss."""
    return torch.autograd.grad(losses.critic_loss(step.real, step.fake), (step.real, step.fake))


def table(batch: int = 32, **sizes: int) -> dict[str, Launches]:
    """Launches by row: each term beside those before it, all of them, and the critic's loss.

    sizes: further ones of `make_step`.
    """
    step = make_step(batch, points=True, **sizes)
    rows: dict[str, Launches] = {}
    names: set[str] = set()
    before = Launches()
    for name in term_weights(_CONFIG.loss, _STAGE):
        names.add(name)
        now = launches(lambda: objective(step, names))
        rows[name] = Launches()
        rows[name].of = Counter(now.of)
        rows[name].of.subtract(before.of)
        before = now
    rows["all terms"] = before
    rows["the critic's loss"] = launches(lambda: critic(step))
    return rows


def main() -> None:
    """Counts and prints."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training.launches", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--batch", type=int, default=32, help="faces (default 32)")
    parser.add_argument("--operators", action="store_true", help="also which operators each row launches")
    parser.add_argument("--json", action="store_true", help="as JSON")
    options = parser.parse_args()
    rows = table(options.batch)
    if options.json:
        print(json.dumps({name: row.of for name, row in rows.items()}, indent=1))
        return
    print("| term | launches | of `twodasl_ext` |\n|---|---|---|")
    for name, row in rows.items():
        own = sum(count for key, count in row.of.items() if key.startswith("twodasl::"))
        print(f"| {name} | {row.total} | {own} |")
        if options.operators:
            print("| | " + ", ".join(f"{key} {n}" for key, n in sorted(row.of.items()) if n) + " | |")


if __name__ == "__main__":
    main()
