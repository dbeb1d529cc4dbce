"""Defaults of pytest-benchmark that suit these workloads; options on the command line win."""

from __future__ import annotations

import pytest

# name of the option: what pytest-benchmark takes unless told, and what fits here.
_DEFAULTS = {
    "benchmark_max_time": ("1.0", "0.4"),
    "benchmark_min_rounds": (5, 3),
    "benchmark_columns": (None, ["median", "min", "iqr", "rounds", "iterations"]),
}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Before pytest-benchmark reads them."""
    for name, (theirs, ours) in _DEFAULTS.items():
        if str(getattr(config.option, name, ours)) == str(theirs):
            setattr(config.option, name, ours)
