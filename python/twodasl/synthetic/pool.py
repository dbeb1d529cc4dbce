"""Samples drawn once, by several processes, and kept in memory for training."""

from __future__ import annotations

import os
from contextlib import closing

import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from ..workers import made_ahead, refuse_import
from .dataset import Sample, SyntheticFaces

# Samples per task: long enough to hide the transfer, short enough to distribute evenly.
_CHUNK = 48


def generate_pool(
    faces: SyntheticFaces, workers: int | None = None, progress: bool = True
) -> dict[str, torch.Tensor]:
    """Draw every sample of a dataset and stack them.

    Args:
        faces: the dataset; the result does not depend on `workers`.
        workers: processes; 0 or 1 draws in this one, None uses one per available core. They are spawned, so a
            script that calls this needs the usual `if __name__ == "__main__":`.
        progress: whether to show a progress bar on stderr.

    Returns:
        images (n, 120, 120, 3) uint8, parameters (n, 12+K) float32, landmarks (n, 68, 3) float32, visible (n,
        68) bool, yaw (n,) float32: the samples' contents in one dictionary.
    """
    refuse_import("workers")
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if workers < 0:
        raise ValueError(f"workers: expected at least 0, got {workers}")
    count = len(faces)
    chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    made = made_ahead(_Draw(faces), chunks, workers if workers > 1 else 0, "workers")
    pool: dict[str, torch.Tensor] = {}
    bar = tqdm(total=count, desc="synthetic faces", unit="face", disable=not progress)
    with bar, closing(made):
        for chunk, stacked in zip(chunks, made, strict=True):
            if not pool:
                pool = {key: value.new_empty((count, *value.shape[1:])) for key, value in stacked.items()}
            for key, value in stacked.items():
                pool[key][chunk.start : chunk.stop] = value
            bar.update(len(chunk))
    return pool or stack_samples(faces, range(0))


class FacePool(Dataset[Sample]):
    """The result of `generate_pool` as a map-style dataset, with the same samples as SyntheticFaces."""

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
    """The samples of some indices, under the pool's names."""
    samples = faces.batch(indices)
    if not samples:
        size = 12 + len(faces.model.coefficient_std)
        return {
            "images": torch.empty((0, 120, 120, 3), dtype=torch.uint8),
            "parameters": torch.empty((0, size), dtype=torch.float32),
            "landmarks": torch.empty((0, 68, 3), dtype=torch.float32),
            "visible": torch.empty((0, 68), dtype=torch.bool),
            "yaw": torch.empty(0, dtype=torch.float32),
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


class _Draw:
    """The samples of some indices, for any process."""

    def __init__(self, faces: SyntheticFaces) -> None:
        self.faces = faces

    def __call__(self, indices: range) -> dict[str, torch.Tensor]:
        return stack_samples(self.faces, indices)
