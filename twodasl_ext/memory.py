"""release_memory: frees the memory that is kept for the next large result."""

from __future__ import annotations

import torch

from . import _load  # noqa: F401  (registers the operators)


def release_memory() -> None:
    """Returns the memory of freed results to the system.

    The block of a large result (256 KB or more) on the CPU is kept after the last tensor that uses it is
    freed, because new memory costs several times what filling it does. At most 256 MB are kept; the system
    may reclaim the pages whenever it runs short, and blocks are dropped before a result of another size is
    allocated. A program that is done with such results can return them at once. Tensors in use are not
    affected.
    """
    torch.ops.twodasl.release_memory.default()
