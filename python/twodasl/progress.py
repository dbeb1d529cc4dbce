"""Progress bars: on a terminal only, so that log files are not filled with them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

_hidden = False


def progress_bar(
    items: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    description: str,
    unit: str,
    show: bool = True,
    announce_from: int = 0,
    leave: bool = True,
) -> tqdm:
    """A bar on a terminal's stderr, and nothing elsewhere.

    Args:
        items: to iterate over; without them call `update` on what is returned, which is a context manager.
        total: how many there are; None: `len(items)`.
        description, unit: what is going on, and what is counted, in the singular.
        show: False: no bar and no line.
        announce_from: where stderr is no terminal, one line at the start says what begins if there are at
            least so many items, as many as take minutes; 0: never.
        leave: whether the bar stays when it is full.
    """
    from tqdm import tqdm  # every command imports this module, also for its --help

    bar = tqdm(
        items,
        total=total,
        desc=description,
        unit=unit,
        disable=None if show and not _hidden else True,
        leave=leave,
    )
    count = total if total is not None else len(items) if isinstance(items, Sized) else 0
    if show and not _hidden and bar.disable and 0 < announce_from <= count:
        print(f"{description}: {count:,} {unit}s", file=sys.stderr, flush=True)
    return bar


@contextmanager
def hidden_bars(hide: bool) -> Iterator[None]:
    """Show no bars, and announce nothing, within the block where `hide`."""
    global _hidden
    before, _hidden = _hidden, hide or _hidden
    try:
        yield
    finally:
        _hidden = before
