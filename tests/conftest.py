"""Lets the tests import `benchmarks`, which is not installed, and shares the cores between test processes."""

import os
import sys
from pathlib import Path

import pytest

# Last: the installed packages, which have their compiled parts, go before the source folders beside this one.
sys.path.append(str(Path(__file__).resolve().parents[1]))

# Before torch is imported, and for the commands that tests start: torch's threads spin while they wait, and
# more threads than cores make everything several times slower.
_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _processes > 1:
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // _processes)))


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Gives each process of `-n` a stretch of the tests, so that what a file shares is made once.

    A process that has finished takes tests from the others. Where xdist is installed, and `--dist` not given.
    """
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"
