"""What a command does once, when it starts."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting_imports() -> Iterator[None]:
    """Import torch and what needs it within: the garbage collector then leaves what they made alone.

    Torch makes hundreds of thousands of objects that live until the end. Looking for garbage among them,
    again and again while they are made and once more at the exit, takes a fifth of a short command's time.
    For commands, whose process is their own; does nothing where torch is there already.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
