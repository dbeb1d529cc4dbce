"""Lets the tests import `benchmarks`, which is not installed, and shares the cores between test processes."""

import os
import sys
from pathlib import Path

# Last: the installed packages, which have their compiled parts, go before the source folders beside this one.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# Before torch is imported, and for the commands that tests start: torch's threads spin while they wait, and
# more threads than cores make everything several times slower.
_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _processes > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _processes)))
