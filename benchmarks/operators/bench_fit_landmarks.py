"""fit_landmarks: fused, batched linear algebra in PyTorch and torch.compile, grouped by workload."""

from __future__ import annotations

import pytest

from .implementations import COMPILED, EAGER, FUSED
from .timed import run
from .workloads import fit_workloads

WORKLOADS = fit_workloads()


@pytest.mark.parametrize("workload", WORKLOADS, ids=[w.name for w in WORKLOADS])
@pytest.mark.parametrize("implementation", [FUSED, EAGER, COMPILED])
def bench_fit_landmarks(benchmark, workload, implementation):
    run(benchmark, workload, implementation)
