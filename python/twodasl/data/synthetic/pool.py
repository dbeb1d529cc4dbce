"""Samples drawn once, by several processes, and kept in memory for training."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from .dataset import Sample, SyntheticFaces

# Samples a task: long enough to hide the transfer, short enough to share out evenly.
_CHUNK = 48

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_worker_faces: SyntheticFaces | None = None


def generate_pool(
    faces: SyntheticFaces, workers: int | None = None, progress: bool = True
) -> dict[str, torch.Tensor]:
    """Every sample of a dataset, stacked.

    Args:
        faces: what to draw; the result does not depend on `workers`.
        workers: processes; 0 or 1 draws in this one, None uses as many as there are cores for this process.
            They are spawned, so a script that calls this needs the usual `if __name__ == "__main__":`.
        progress: whether to show a progress bar on stderr.

    Returns:
        images (n, 120, 120, 3) uint8, parameters (n, 12+K) float32, landmarks (n, 68, 3) float32,
        visible (n, 68) bool, yaw (n,) float32: what the samples hold, all in one dictionary.
    """
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 0:
        raise ValueError(f"workers: expected at least 0, got {workers}")
    count = len(faces)
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    workers = min(workers, len(chunks))
    pool: dict[str, torch.Tensor] = {}
    with tqdm(total=count, desc="synthetic faces", unit="face", disable=not progress) as bar:
        for chunk, stacked in _drawn(faces, chunks, workers):
            if not pool:
                pool = {key: value.new_empty((count, *value.shape[1:])) for key, value in stacked.items()}
            for key, value in stacked.items():
                pool[key][chunk.start : chunk.stop] = value
            bar.update(len(chunk))
    return pool or stack_samples(faces, range(0))


class FacePool(Dataset[Sample]):
    """What `generate_pool` returned, as a map-style dataset of the same samples that SyntheticFaces gives."""

    def __init__(self, pool: dict[str, torch.Tensor]) -> None:
        lengths = {len(value) for value in pool.values()}
        if len(lengths) != 1:
            raise ValueError(f"pool: expected tensors of one length, got {sorted(lengths)}")
        self.pool = pool

    @classmethod
    def generate(cls, faces: SyntheticFaces, workers: int | None = None, progress: bool = True) -> FacePool:
        """Draws every sample of a dataset; see `generate_pool`."""
        return cls(generate_pool(faces, workers, progress))

    def __len__(self) -> int:
        return len(self.pool["images"])

    def __getitem__(self, index: int) -> Sample:
        pool = self.pool
        return {
            "image": pool["images"][index],
            "parameters": pool["parameters"][index],
            "landmarks": pool["landmarks"][index],
            "visible": pool["visible"][index],
            "yaw": float(pool["yaw"][index]),
        }


def stack_samples(faces: SyntheticFaces, indices: range) -> dict[str, torch.Tensor]:
    """The samples of some indices under the pool's names."""
    samples = faces.batch(indices)
    if not samples:
        size = 12 + len(faces.model.coefficient_std)
        return {
            "images": torch.empty((0, 120, 120, 3), dtype=torch.uint8),
            "parameters": torch.empty((0, size)),
            "landmarks": torch.empty((0, 68, 3)),
            "visible": torch.empty((0, 68), dtype=torch.bool),
            "yaw": torch.empty(0),
        }
    pool = {
        name: torch.stack([sample[key] for sample in samples])
        for name, key in (
            ("images", "image"),
            ("parameters", "parameters"),
            ("landmarks", "landmarks"),
            ("visible", "visible"),
        )
    }
    pool["yaw"] = torch.tensor([sample["yaw"] for sample in samples], dtype=torch.float32)
    return pool


def _drawn(
    faces: SyntheticFaces, chunks: list[range], workers: int
) -> Iterator[tuple[range, dict[str, torch.Tensor]]]:
    if workers <= 1:
        for chunk in chunks:
            yield chunk, stack_samples(faces, chunk)
        return
    context = multiprocessing.get_context("spawn")
    with _single_threaded_children(), context.Pool(workers, _start_worker, (faces,)) as processes:
        for chunk, arrays in processes.imap_unordered(_draw_chunk, chunks):
            yield chunk, {key: torch.from_numpy(array) for key, array in arrays.items()}


def _start_worker(faces: SyntheticFaces) -> None:
    global _worker_faces
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker_faces = faces


def _draw_chunk(chunk: range) -> tuple[range, dict[str, Any]]:
    assert _worker_faces is not None
    # As arrays: tensors would travel through files in shared memory, of which some machines allow few.
    return chunk, {key: value.numpy() for key, value in stack_samples(_worker_faces, chunk).items()}


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Workers share the cores among them: their libraries must not start threads of their own."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
