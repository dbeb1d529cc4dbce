"""The losses of a step as graphs that `torch.compile` makes: a fifth of the kernels on a GPU.

What is compiled are functions of `objective.py`, each into a graph per kind of step: the stage's terms, with
or without a second pass, so many faces of either kind. Sizes are constants of a graph, and nothing is chosen
by timing, so that a run that goes on gives the bits of one that did not stop.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from . import objective as plain
from .config import LossConfig, TrainingConfig
from .objective import Fixed, Given, Mix

# Of `torch.compile`; tests also take one that makes no code.
_BACKEND = "inductor"
# Kinds of steps that one process may see, of all its runs; torch's default is 8 for a function.
_MOST_GRAPHS = 256
# Triton's.
_LEAST_CAPABILITY = (7, 0)


def decided(config: TrainingConfig, device: torch.device) -> TrainingConfig:
    """The configuration with `loss.compile` decided: on a GPU, where Triton is there, losses are compiled.

    Raises InputError where it is "on" and this machine cannot compile.
    """
    choice = config.loss.compile
    if choice == "auto":
        choice = "on" if device.type == "cuda" and not _missing(device) else "off"
    elif choice == "on" and (missing := _missing(device)):
        raise InputError(f"loss.compile: torch.compile needs {missing}; set loss.compile=off")
    return replace(config, loss=replace(config.loss, compile=choice))


def objective(
    fixed: Fixed, mix: Mix, given: Given, names: tuple[str, ...], loss: LossConfig
) -> tuple[Tensor, Tensor]:
    """`objective.objective`, compiled. Raises InputError where torch cannot compile it."""
    total, terms = _run(plain.objective, fixed, mix, given, names, loss)
    return total, terms


@torch.no_grad()
def drawn(points: Tensor, inputs: Tensor) -> Tensor:
    """`objective.drawn`, compiled. Raises InputError where torch cannot compile it."""
    inputs = _run(plain.drawn, points, inputs)
    return inputs


def _missing(device: torch.device) -> str:
    """What a machine lacks for `torch.compile`; empty where there is all."""
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "Triton, which is not installed"
        capability = torch.cuda.get_device_capability(device)
        if capability < _LEAST_CAPABILITY:
            return "a GPU of compute capability 7.0 or later, got {}.{}".format(*capability)
        return ""
    compiler = os.environ.get("CXX", "g++")
    return "" if shutil.which(compiler) else f"a C++ compiler, and {compiler} is not there"


@functools.cache
def _compiled(function: Callable[..., Any], backend: str) -> Callable[..., Any]:
    options: dict[str, Any] = {}
    if backend == "inductor":
        from torch._inductor import config

        # Nothing by timing: another tile is another order of a sum.
        options = {"deterministic": True} if hasattr(config, "deterministic") else {}
    return torch.compile(function, backend=backend, fullgraph=True, dynamic=False, options=options)


def _run(function: Callable[..., Any], *arguments: Any) -> Any:
    from torch._dynamo import config
    from torch._dynamo.exc import TorchDynamoException

    try:
        with config.patch(recompile_limit=_MOST_GRAPHS, accumulated_recompile_limit=_MOST_GRAPHS):
            return _compiled(function, _BACKEND)(*arguments)
    except TorchDynamoException as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"loss.compile: torch.compile failed ({reason}); set loss.compile=off") from error
