"""Large results: blocks that are reused, released on request, and never shared."""

from __future__ import annotations

import os
import threading

import pytest
import torch

import twodasl_ext as te

COUNT = 40_000  # 0.5 MB a face

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="needs Linux")


@pytest.fixture(scope="module")
def basis():
    generator = torch.Generator().manual_seed(0)
    return te.MorphableBasis(
        torch.randn(COUNT, 3, generator=generator), torch.randn(2, COUNT, 3, generator=generator)
    )


def shape(basis, batch, value=1.0):
    return te.vertices(basis, torch.full((batch, 2), value), torch.eye(3, 4).repeat(batch, 1, 1))


needs_own_blocks = pytest.mark.skipif(
    tuple(int(v) for v in torch.__version__.split(".")[:2]) < (2, 11),
    reason="torch 2.10 keeps its own blocks",
)


@needs_own_blocks
def test_a_block_is_reused_when_nothing_holds_it(basis):
    te.release_memory()
    first = shape(basis, 8)
    address = first.data_ptr()
    view = first[3]
    del first
    assert shape(basis, 8).data_ptr() != address  # the view still holds it
    expected = shape(basis, 8, 2.0)[3].clone()
    assert not torch.equal(view, expected)
    del view
    te.release_memory()
    again = shape(basis, 8)
    address = again.data_ptr()
    del again
    assert shape(basis, 8, 2.0).data_ptr() == address
    assert torch.equal(shape(basis, 8, 2.0)[3], expected)


@needs_own_blocks
def test_released_memory_goes_back(basis):
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    te.release_memory()
    before = resident()
    result = shape(basis, 64)
    del result
    held = resident() - before
    te.release_memory()
    assert held - (resident() - before) > 20e6


def test_a_result_is_an_ordinary_tensor(basis):
    result = shape(basis, 8)
    assert result.is_contiguous()
    assert result.untyped_storage().nbytes() == result.numel() * 4
    assert torch.equal(result.clone(), result)
    assert torch.equal(torch.from_numpy(result.numpy()), result)
    result.add_(1)
    kept = result[2:3]
    expected = kept.clone()
    del result
    shape(basis, 8, 5.0)
    assert torch.equal(kept, expected)


def test_results_of_many_threads_are_apart(basis):
    expected = [shape(basis, 4, float(i)).clone() for i in range(6)]
    wrong = []

    def work(i):
        for _ in range(20):
            if not torch.equal(shape(basis, 4, float(i)), expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_forked_process_has_its_own(basis):
    kept = shape(basis, 8)
    expected = kept.clone()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            torch.set_num_threads(1)  # a fork has no worker threads
            kept.zero_()
            status = 0 if torch.equal(shape(basis, 8), expected) else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert torch.equal(kept, expected)
