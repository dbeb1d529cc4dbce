"""`in_order`: the order, the bound on memory, and what an exception leaves behind."""

import threading
import time

import pytest
from twodasl.commands.in_order import GROUP, in_order


def _run(items, first=lambda item: item, middle=None, last=None, threads=3, size=lambda _: 0):
    return in_order(
        items,
        first,
        middle or (lambda items, made: made),
        last or (lambda items, values, ended: values),
        threads=threads,
        size=size,
    )


@pytest.mark.parametrize("count", [0, 1, GROUP, 5 * GROUP + 3])
def test_results_come_in_order_however_long_each_takes(count):
    groups = []

    def slow(item):
        time.sleep(0.01 if item % 7 == 0 else 0)
        return item * item

    def middle(items, made):
        groups.append(len(items))
        assert made == [item * item for item in items]
        return [value + 1 for value in made]

    found = list(_run(list(range(count)), slow, middle))
    assert found == [(item, item * item + 1) for item in range(count)]
    assert groups == [GROUP] * (count // GROUP) + [count % GROUP] * (count % GROUP > 0)


def test_large_items_are_few_at_once():
    alive, most, lock = set(), 0, threading.Lock()

    def first(item):
        nonlocal most
        with lock:
            alive.add(item)
            most = max(most, len(alive))
        return item

    def last(items, values, ended):
        with lock:
            alive.difference_update(items)
        return values

    found = list(_run(range(40), first, last=last, size=lambda _: 300 << 20))
    assert [item for item, _ in found] == list(range(40))
    assert most <= 3


@pytest.mark.parametrize("step", ["first", "middle", "last"])
def test_an_exception_ends_everything_and_leaves_no_thread(step):
    begun = []

    def fail(what, value):
        begun.append(what)
        if what == step:
            raise RuntimeError(step)
        return value

    flow = _run(
        range(1000),
        lambda item: fail("first", item),
        lambda items, made: fail("middle", made),
        lambda items, values, ended: fail("last", values),
    )
    with pytest.raises(RuntimeError, match=step):
        list(flow)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("twodasl")]
    assert begun.count("first") < 200


def test_whoever_stops_listening_stops_the_work():
    told = []

    def last(items, values, ended):
        while items[0] > 0 and not ended():
            time.sleep(0.001)
        told.append(items[0])
        return values

    flow = _run(range(1000), last=last)
    assert next(flow) == (0, 0)
    flow.close()
    assert max(told) < 10 * GROUP
