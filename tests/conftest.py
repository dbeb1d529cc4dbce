"""Lets the tests import `benchmarks`, which is not installed."""

import sys
from pathlib import Path

# Last: the installed packages, which have their compiled parts, go before the source folders beside this one.
sys.path.append(str(Path(__file__).resolve().parents[1]))
