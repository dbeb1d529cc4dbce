"""release_memory: hands back what is kept for the next large result."""

from __future__ import annotations

import torch

from . import _load  # noqa: F401  (registers the operators)


def release_memory() -> None:
    """Gives the memory of freed results back to the system.

    A large result (256 KB and more) on the CPU lies in a block that is kept when the last tensor over it is
    gone, because new memory costs several times what filling it does: at most 256 MB, of which the system may
    take the pages whenever it runs short, and which are dropped before a result of another size is allocated.
    A program that is done with such results can hand them back at once. Tensors in use are not touched.
    """
    torch.ops.twodasl.release_memory.default()
