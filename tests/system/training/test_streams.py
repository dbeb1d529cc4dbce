"""Batches: every face once an epoch, an order that depends on seed and step alone, pools and workers."""

import pytest
import torch
from twodasl.synthetic import SyntheticFaces
from twodasl.training.random_streams import RandomStream, SyntheticSeed
from twodasl.training.streams import FacePool, LandmarksOnly, Order, batches, stack


class Numbered:
    """Sample i says i."""

    def __init__(self, length):
        self.length, self.reads = length, 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.reads += 1
        return {
            "image": torch.full((4, 4, 3), index, dtype=torch.uint8),
            "parameters": torch.tensor([float(index)]),
            "landmarks": torch.full((68, 3), float(index)),
            "visible": torch.ones(68, dtype=torch.bool),
            "yaw": index / 100,
        }


def test_every_face_once_an_epoch():
    order = Order(10, 4, (0, 1))
    seen = [i for step in range(5) for i in order.indices(step)]
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_order_is_a_function_of_seed_and_step():
    steps = [Order(50, 8, (3, 0)).indices(step) for step in range(20)]
    again = Order(50, 8, (3, 0))
    assert [again.indices(step) for step in reversed(range(20))] == steps[::-1]
    assert Order(50, 8, (4, 0)).indices(0) != steps[0]
    assert Order(50, 8, (3, 1)).indices(0) != steps[0]


def test_random_streams_keep_their_numbers():
    """A run that is resumed, or made again from its seed, sees the faces that it saw."""
    assert [*RandomStream] == [0, 1, 2, 3, 4, 5]
    assert Order(50, 8, (3, RandomStream.PHOTO_ORDER)).indices(0) == Order(50, 8, (3, 1)).indices(0)
    starts = sorted(SyntheticSeed)
    assert starts == [1_000_000, 2_000_000, 3_000_000]


def test_a_batch_may_be_larger_than_the_data():
    indices = Order(3, 8, (0,)).indices(0)
    assert sorted(indices[:3]) == sorted(indices[3:6]) == [0, 1, 2]
    with pytest.raises(ValueError, match="0 and 8"):
        Order(0, 8, (0,))


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def test_streams_begin_anywhere():
    faces, order = Numbered(30), Order(30, 4, (0,))
    full = list(batches(faces, order, 0, 9))
    tail = list(batches(faces, order, 5, 9))
    assert len(full) == 9
    assert all(same(a, b) for a, b in zip(full[5:], tail, strict=True))
    expected = stack([faces[i] for i in order.indices(5)])
    assert same(tail[0], expected)
    assert expected["parameters"].shape == (4, 1)


def test_pool_holds_what_the_dataset_gives():
    faces, order = Numbered(150), Order(150, 16, (0,))
    pool = FacePool(faces, progress=False)
    assert len(pool) == 150
    assert same(stack([pool[i] for i in range(150)]), stack([faces[i] for i in range(150)]))
    direct = list(batches(faces, order, 2, 12))
    pooled = list(batches(pool, order, 2, 12))
    assert all(same(a, b) for a, b in zip(direct, pooled, strict=True))


@pytest.mark.slow
def test_workers_give_what_the_process_itself_gives(ball_model):
    faces = LandmarksOnly(SyntheticFaces(ball_model, 100))
    assert same(FacePool(faces, 2, progress=False).columns, FacePool(faces, 0, progress=False).columns)
    order = Order(100, 4, (0,))
    here, there = (list(batches(faces, order, 3, 8, workers)) for workers in (0, 2))
    assert len(there) == 5
    assert all(same(a, b) for a, b in zip(here, there, strict=True))


def test_pool_reads_each_face_once():
    faces = Numbered(70)
    pool = FacePool(faces, progress=False)
    list(batches(pool, Order(70, 16, (0,)), 0, 20))
    assert faces.reads == 70


def test_streams_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    list(batches(Numbered(8), Order(8, 2, (0,)), 0, 3))
    FacePool(Numbered(8), progress=False)
    assert torch.equal(before, torch.get_rng_state())


def test_landmarks_only():
    sample = LandmarksOnly(Numbered(5))[3]
    assert sorted(sample) == ["image", "landmarks", "visible", "yaw"]
    assert torch.equal(sample["landmarks"], torch.full((68, 2), 3.0))
