"""skin: fused, the best eager PyTorch and torch.compile, grouped by workload."""

from __future__ import annotations

import pytest

from .implementations import COMPILED, EAGER, FUSED
from .timed import run
from .workloads import skin_workloads

WORKLOADS = skin_workloads()


@pytest.mark.parametrize("workload", WORKLOADS, ids=[w.name for w in WORKLOADS])
@pytest.mark.parametrize("implementation", [FUSED, EAGER, COMPILED])
def bench_skin(benchmark, workload, implementation):
    run(benchmark, workload, implementation)
