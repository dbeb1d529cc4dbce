"""What lies above the kernels of a few landmarks: `python -m benchmarks.operators.overhead`.

A batch of landmarks takes about as long to compute as a dozen Python function calls, so each layer is timed
by itself: reading the basis, checks, the choice of a path, the dispatcher, autograd. Calls of all layers are
timed one by one and in turn; on a busy machine the minimum is the figure to compare.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import twodasl_ext as te
from twodasl_ext import _checks, _dispatch

MICROSECONDS = 1e6
LANDMARKS, MODES = 68, 50


class BothKernels(torch.autograd.Function):
    """Both operators and nothing else: what no derivative written in Python is faster than."""

    @staticmethod
    def forward(ctx: Any, packed: tuple[Tensor, Tensor, int], coefficients: Tensor, pose: Tensor) -> Tensor:
        ctx.packed = packed
        ctx.save_for_backward(coefficients, pose)
        return torch.ops.twodasl.vertices_forward.default(*packed, coefficients, pose)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # type: ignore[override]
        operator = torch.ops.twodasl.vertices_backward.default
        return None, *operator(grad, *ctx.packed[:2], *ctx.saved_tensors, None, True, True)


def layers(batch: int) -> dict[str, Callable[[], Any]]:
    """Name -> one layer, from the outside in."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    mean, modes = normal(LANDMARKS, 3), normal(MODES, LANDMARKS, 3)
    basis = te.MorphableBasis(mean, modes, torch.arange(LANDMARKS))
    coefficients, pose, grad = normal(batch, MODES), normal(batch, 3, 4), normal(batch, LANDMARKS, 3)
    predicted, target = normal(batch, 12 + MODES), normal(batch, 12 + MODES)
    leaves = (coefficients.clone().requires_grad_(), pose.clone().requires_grad_())
    packed = basis.packed_landmarks()
    nobody = (coefficients[:0], pose[:0])
    operators = torch.ops.twodasl
    flat_mean = mean.T.reshape(-1).contiguous()
    flat_modes = modes.transpose(1, 2).reshape(MODES, -1).contiguous()

    def eager(c: Tensor, p: Tensor) -> Tensor:
        shape = torch.addmm(flat_mean, c, flat_modes).view(batch, 3, -1)
        return torch.baddbmm(p[:, :, 3:], p[:, :, :3], shape)

    def registered(c: Tensor, p: Tensor) -> Tensor:
        return operators.vertices.default(*packed, c, p)

    def differentiate(function: Callable[[Tensor, Tensor], Tensor], gradient: Tensor) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(function(*leaves), leaves, gradient)

    turned = grad.transpose(1, 2).contiguous()
    return {
        "landmarks": lambda: te.landmarks(basis, coefficients, pose),
        "  reading the basis": basis.packed_landmarks,
        "  checks": lambda: _checks.check_coefficients_and_pose(
            coefficients, pose, MODES, packed[0].dtype, packed[0].device
        ),
        "  choosing a path": _dispatch.plain,
        "  operator": lambda: operators.vertices_forward.default(*packed, coefficients, pose),
        "    of which for no faces": lambda: operators.vertices_forward.default(*packed, *nobody),
        "  eager PyTorch": lambda: eager(coefficients, pose),
        "landmarks, gradients wanted": lambda: te.landmarks(basis, *leaves),
        "  registered operator alone": lambda: registered(*leaves),
        "  eager PyTorch ": lambda: eager(*leaves),
        "landmarks, forward + backward": differentiate(lambda c, p: te.landmarks(basis, c, p), grad),
        "  backward operator": lambda: operators.vertices_backward.default(
            grad, *packed[:2], coefficients, pose, None, True, True
        ),
        "  autograd around both operators": differentiate(lambda c, p: BothKernels.apply(packed, c, p), grad),
        "  autograd around c + c": lambda: torch.autograd.grad(
            leaves[0] + leaves[0], leaves[0], coefficients
        ),
        "  registered operator alone ": differentiate(registered, grad),
        "  eager PyTorch  ": differentiate(eager, turned),
        "importance_weights": lambda: te.importance_weights(basis, predicted, target),
        "  operator ": lambda: operators.importance_weights.default(*packed, predicted, target, False, False),
    }


def measure(runs: dict[str, Callable[[], Any]], seconds: float) -> dict[str, list[float]]:
    """Microseconds of every call, in turn."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(50):
        for run in runs.values():
            run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, run in runs.items():
            run()  # the second call finds its code and data in the caches, as a loop's does
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) * MICROSECONDS)
    return times


def main() -> None:
    """Prints a table for each batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads, L={LANDMARKS} K={MODES}; microseconds")
    for batch in options.batch:
        print(f"\n{f'B={batch}':34s} {'min':>7s} {'median':>7s}")
        for name, times in measure(layers(batch), options.seconds).items():
            print(f"{name:34s} {min(times):7.1f} {statistics.median(times):7.1f}")


if __name__ == "__main__":
    main()
