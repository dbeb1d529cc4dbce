"""Work on many items in three steps that overlap, with the results in the order of the items.

The first and the last step run in threads, which is what reading, detecting and writing can do side by side;
the middle one runs in the caller's thread, on groups, which is what a network wants.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import Any

GROUP = 8
"""Items that go through the middle step together."""

_GROUPS = 4  # in memory at once
_MEMORY = 1 << 30  # bytes of what the first step made, in memory at once; a single item may have more


def in_order(
    items: Sequence[Any],
    first: Callable[[Any], Any],
    middle: Callable[[list[Any], list[Any]], list[Any]],
    last: Callable[[list[Any], list[Any], Callable[[], bool]], list[Any]],
    *,
    threads: int,
    size: Callable[[Any], int] = lambda _: 0,
) -> Iterator[tuple[Any, Any]]:
    """Each item with its result, in order.

    An exception of a step ends everything: what runs is waited for, what waits is dropped. So does closing
    the iterator. Errors that concern one item are results.

    Args:
        items: whatever.
        first: of an item, in a thread.
        middle: of up to `GROUP` items in order and what `first` made of them, in the caller's thread; one
            value an item.
        last: of those items and values, in a thread; the items' results. It is to stop early, and may return
            anything, once its third argument says so.
        threads: for the first and the last step.
        size: bytes of what `first` makes.
    """
    rest = iter(items)
    reading: deque[tuple[Any, Future]] = deque()
    writing: deque[tuple[list[Any], Future]] = deque()
    ended = Event()
    alive = largest = 0
    pool = ThreadPoolExecutor(threads, "twodasl")

    def fill() -> None:
        """Begin as many items as there is room for; before the size of any is known, one a thread."""
        nonlocal alive
        room = max(1, min(_GROUPS * GROUP, _MEMORY // largest)) if largest else threads
        for item in islice(rest, max(0, room - alive)):
            reading.append((item, pool.submit(first, item)))
            alive += 1

    try:
        fill()
        while reading or writing:
            some: list[Any] = []
            made: list[Any] = []
            while reading and len(some) < GROUP:
                item, future = reading.popleft()
                made.append(future.result())
                some.append(item)
                largest = max(largest, size(made[-1]), 1)
                fill()
            if some:
                writing.append((some, pool.submit(last, some, middle(some, made), ended.is_set)))
            while writing and (not reading or writing[0][1].done()):
                written, done = writing.popleft()
                yield from zip(written, done.result(), strict=True)
                alive -= len(written)
                fill()
    finally:
        ended.set()
        pool.shutdown(wait=True, cancel_futures=True)
