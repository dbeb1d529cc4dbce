"""A disk that is full, as a limit on the size of files: one sentence, and the old file survives."""

import os
import resource

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.io.files import atomic_path, write_together
from twodasl.io.images import write_image
from twodasl.training import load_checkpoint
from twodasl.training.checkpoint import save_checkpoint
from twodasl.training.watch import Metrics


@pytest.fixture
def full():
    """No file can be longer than 1,000 bytes any more; the kernel's signal is ignored by Python."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refused(path):
    return pytest.raises(InputError, match=f"^{path}: cannot be written \\(File too large\\); make room")


def test_the_old_checkpoint_survives(ball_checkpoint, tmp_path, full):
    contents = load_checkpoint(ball_checkpoint)
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, contents)
    before = path.read_bytes()
    for size in (0, 100, 5000, len(before) // 2, len(before) - 1):
        full(size)
        with refused(path):
            save_checkpoint(path, contents)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_every_kind_of_file_is_named(tmp_path, full):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    metrics = Metrics(tmp_path / "metrics.jsonl", [])
    full(1000)
    with refused(tmp_path / "sheet.png"):
        write_image(tmp_path / "sheet.png", picture)
    with refused(tmp_path / "metrics.jsonl"):
        metrics.append({"step": 1, "long": "x" * 5000})
    with refused(tmp_path / "b.txt"):
        write_together({tmp_path / "a.txt": "short", tmp_path / "b.txt": "x" * 5000})
    with (
        pytest.raises(InputError, match=r"numbers\.npy: cannot be written"),
        atomic_path(tmp_path / "numbers.npy") as at,
    ):
        np.save(at, np.zeros(5000))
    assert os.listdir(tmp_path) == ["metrics.jsonl"]


def test_other_files_errors_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out"):
        (tmp_path / "none").read_bytes()
    with pytest.raises(BrokenPipeError), atomic_path(tmp_path / "out"):
        raise BrokenPipeError
    assert os.listdir(tmp_path) == []
