"""How far a process's peak memory rises while neighbors are found, in a process of its own.

`python -m benchmarks.registration.search_memory "scipy: cKDTree" 1000000` prints the bytes.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import twodasl_ext as te

from .neighbor_peers import PEERS
from .surfaces import aligned_pair

_PEAK = "/proc/self/clear_refs"


def measurable() -> bool:
    """Whether the system lets a process reset its peak memory."""
    return os.access(_PEAK, os.W_OK)


def growth(name: str, count: int) -> int:
    """Bytes of `count` queries in `count` points: structure and result, the clouds themselves not."""
    command = [sys.executable, "-m", "benchmarks.registration.search_memory", name, str(count)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=root)
    if done.returncode != 0:
        raise RuntimeError(f"{name}, {count} points: {done.stderr[-2000:]}")
    return int(done.stdout)


def _peak() -> int:
    with open("/proc/self/status") as status:
        return 1024 * next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def _measure(name: str, count: int) -> int:
    make = PEERS[name].make
    make(*aligned_pair(1_000))()  # libraries, threads and their stacks
    clouds = aligned_pair(count)
    # What making the clouds took and freed goes back to the system, or the search would find it there.
    te.release_memory()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:  # glibc
        trim(0)
    with open(_PEAK, "w") as peak:
        peak.write("5")  # the peak begins again at what is in use now
    before = _peak()
    make(*clouds)()
    return _peak() - before


if __name__ == "__main__":
    print(_measure(sys.argv[1], int(sys.argv[2])))
