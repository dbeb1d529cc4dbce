"""On a real GPU only: side streams, captured graphs, a second device."""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te
from benchmarks.gpu import step as steps

from ..ext.cases import make
from . import operators


@pytest.fixture(scope="module")
def calls(gpu):
    return operators.calls(gpu)


def same(found, expected):
    return all(
        torch.equal(a.contiguous().view(torch.uint8), b.contiguous().view(torch.uint8))
        for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("name", operators.NAMES)
def test_an_operator_runs_on_torchs_current_stream(gpu, calls, name):
    expected = [t.clone() for t in calls[name]()]
    torch.cuda.synchronize()
    side, ahead = torch.cuda.Stream(), torch.cuda.Event()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)  # some 10 ms during which the stream is busy
        found = calls[name]()
        ahead.record()
    # Work that waits behind the sleep is not done yet. What runs on another stream would be.
    pending = not ahead.query()
    side.synchronize()
    assert pending
    assert same(found, expected)


@pytest.mark.parametrize("name", operators.NAMES)
def test_an_operator_is_captured_and_replayed(gpu, calls, name):
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what the first call builds is built before
        expected = [t.clone() for t in calls[name]()]
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = calls[name]()
    for _ in range(3):
        for tensor in found:
            tensor.detach().zero_()
        graph.replay()
        assert same(found, expected)


def test_a_graph_computes_with_the_numbers_of_its_replay(gpu):
    inputs = operators.on(make(operators.FACE).to(torch.float32), gpu)
    basis = inputs.basis()
    te.vertices(basis, inputs.coefficients, inputs.pose)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = te.vertices(basis, inputs.coefficients, inputs.pose)
    inputs.coefficients.mul_(-2)
    graph.replay()
    assert torch.equal(found, te.vertices(basis, inputs.coefficients, inputs.pose))


def test_a_whole_step_of_losses_is_captured(gpu):
    step = steps.make_step_on(gpu, 32)
    expected = [t.clone() for t in steps.losses_of(step)]
    replay, found = steps.captured(lambda: steps.losses_of(step))
    for _ in range(2):
        replay()
        assert same(found, expected)


def test_a_second_device(gpu):
    if torch.cuda.device_count() < 2:
        pytest.skip("one GPU only")
    there = operators.calls(torch.device("cuda", 1))
    here = operators.calls(torch.device("cuda", 0))
    assert torch.cuda.current_device() == 0
    for name in operators.NAMES:
        found = there[name]()
        assert all(t.device.index == 1 for t in found)
        if torch.cuda.get_device_name(0) == torch.cuda.get_device_name(1):
            assert same([t.cpu() for t in found], [t.cpu() for t in here[name]()])
    assert torch.cuda.current_device() == 0
