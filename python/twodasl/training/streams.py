"""Batches in an order that is a function of seed and step alone, so that a resumed run goes on exactly."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..arguments import flag, whole_number
from ..distributed import Ranks
from ..progress import progress_bar
from ..workers import Batch, made_ahead

Sample = dict[str, Any]

WORKERS = "data.workers"
"""The setting that is to blame where worker processes fail."""

# FaceDataset that a worker renders before it hands them over.
_CHUNK = 64


class FaceDataset(Protocol):
    """A map-style dataset of faces: what `twodasl.synthetic.SyntheticFaces` gives for an index.

    A sample has image (120, 120, 3) uint8 BGR, landmarks (68, 2 or 3) crop pixels and visible (68,) bool (or
    AFLW's 21 points, or the 18), and may have parameters (12+K,) float32 and yaw (radians). A dataset may
    also have `batch(indices)`, for speed, `parameters(index)` and `name(index)`.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


class LandmarksOnly(Dataset):
    """FaceDataset of which only the visible 2D landmarks are known, made from annotated ones."""

    def __init__(self, faces: FaceDataset) -> None:
        self.faces = faces

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> Sample:
        return self.batch([index])[0]

    def batch(self, indices: Sequence[int]) -> list[Sample]:
        """The samples of several indices."""
        kept = ("image", "landmarks", "visible", "yaw")
        samples = [{key: s[key] for key in kept if key in s} for s in read(self.faces, indices)]
        return [{**sample, "landmarks": sample["landmarks"][:, :2]} for sample in samples]

    def name(self, index: int) -> str:
        """The display name of a sample."""
        return name_of(self.faces, index)


class Joined(Dataset):
    """The faces of several datasets with the same keys, one after the other."""

    def __init__(self, sets: Sequence[FaceDataset]) -> None:
        self.sets = list(sets)
        self._ends = np.cumsum([len(part) for part in self.sets])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        part, place = self._place(index)
        return part[place]

    def name(self, index: int) -> str:
        """The display name of a sample."""
        return name_of(*self._place(index))

    def _place(self, index: int) -> tuple[FaceDataset, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self.sets[number], index - int(self._ends[number]) + len(self.sets[number])


class Subset(Dataset):
    """A share of a dataset's faces, drawn once; of two with one seed the smaller is part of the larger."""

    def __init__(self, faces: FaceDataset, share: float, seed: Sequence[int]) -> None:
        self.faces = faces
        count = max(1, round(share * len(faces)))
        self.rows = np.sort(np.random.default_rng(tuple(seed)).permutation(len(faces))[:count])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Sample:
        return self.faces[int(self.rows[index])]

    def batch(self, indices: Sequence[int]) -> list[Sample]:
        """The samples of several indices."""
        return read(self.faces, self.rows[list(indices)].tolist())

    def parameters(self, index: int) -> Tensor:
        """Only the parameter vector of a face."""
        if hasattr(self.faces, "parameters"):
            return self.faces.parameters(int(self.rows[index]))
        return self[index]["parameters"]

    def name(self, index: int) -> str:
        """The display name of a sample."""
        return name_of(self.faces, int(self.rows[index]))


class FacePool(Dataset):
    """Every sample of a dataset, made once and kept in memory: 43 KB a face.

    Where several processes train together each makes a part, and all hold the whole. Samples are those of the
    dataset, with tensors throughout: yaw becomes float32. `columns` holds them stacked.

    Args:
        faces: the dataset; what the pool holds does not depend on the other arguments.
        workers: processes that make the samples; 0 makes them here. They are spawned, so a script that asks
            for them needs the usual `if __name__ == "__main__":`.
        label: what the progress bar says.
        progress: whether there is one.

    Raises InputError where `workers` is negative, or as `workers.made_ahead`.
    """

    def __init__(
        self, faces: FaceDataset, workers: int = 0, label: str = "faces", progress: bool = True
    ) -> None:
        progress = flag(progress, "progress")
        workers = whole_number(workers, "workers", 0)
        ranks, chunks = Ranks.here(), range(0, len(faces), _CHUNK)
        divided = len(chunks) >= ranks.count > 1
        if divided:
            chunks = chunks[ranks.rank :: ranks.count]
        made = made_ahead(_Chunks(faces), chunks, workers, WORKERS)
        self.faces, self.columns = faces, Batch()
        count = sum(min(_CHUNK, len(faces) - start) for start in chunks)
        bar = progress_bar(total=count, description=label, unit="face", show=progress, announce_from=500)
        with bar, closing(made):
            for start, chunk in zip(chunks, made, strict=True):
                if not self.columns:
                    self.columns = {k: v.new_zeros(len(faces), *v.shape[1:]) for k, v in chunk.items()}
                size = len(chunk["image"])
                for key, values in chunk.items():
                    self.columns[key][start : start + size] = values
                bar.update(size)
        if divided:
            ranks.merge(self.columns)

    def __len__(self) -> int:
        return len(self.faces)

    def __getitem__(self, index: int) -> Sample:
        return {key: values[index] for key, values in self.columns.items()}

    def gather(self, indices: Sequence[int]) -> Batch:
        """The samples of several indices, stacked."""
        rows = torch.as_tensor(np.asarray(indices))
        return {key: values[rows] for key, values in self.columns.items()}


class Order:
    """Which samples a step sees: epoch after epoch, each a random permutation of its own.

    Args:
        length: of the dataset.
        batch: samples a step; a batch may reach from one epoch into the next.
        seed: a sequence of numbers from 0; other numbers give another order.
        ranks: the processes that share the batches.
        key: what to call `batch` where they cannot.
    """

    def __init__(
        self, length: int, batch: int, seed: Sequence[int], ranks: Ranks | None = None, key: str = "batch"
    ) -> None:
        self._ranks, self.key = ranks or Ranks(), key
        self._ranks.share(range(batch), key)
        if length < 1 or batch < 1:
            raise ValueError(f"length, batch: expected positive numbers, got {length} and {batch}")
        self.length, self.batch, self.seed = length, batch, tuple(seed)
        self._epoch, self._permutation = -1, np.empty(0, np.int64)

    def indices(self, step: int) -> list[int]:
        """The dataset indices of a step's batch, or of this process's share of it."""
        return list(self._ranks.share(self.whole(step), self.key))

    def whole(self, step: int) -> list[int]:
        """The dataset indices of a step's batch."""
        first = step * self.batch
        return [self._at(position) for position in range(first, first + self.batch)]

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self.length)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = np.random.default_rng((*self.seed, epoch)).permutation(self.length)
        return int(self._permutation[place])


def batches(
    faces: FaceDataset, order: Order, start: int, stop: int, workers: int = 0
) -> Generator[Batch, None, None]:
    """The stacked batches of steps start, ..., stop - 1; `workers` processes, if any, make them ahead.

    Close the iterator: its workers end then. Raises InputError as `workers.made_ahead`.
    """
    if isinstance(faces, FacePool):
        return (faces.gather(order.indices(step)) for step in range(start, stop))
    return made_ahead(_Steps(faces, order), range(start, stop), workers, WORKERS)


def read(faces: FaceDataset, indices: Sequence[int]) -> list[Sample]:
    """Several samples of a dataset, with its `batch` where it has one."""
    if hasattr(faces, "batch"):
        return faces.batch(indices)
    return [faces[index] for index in indices]


def name_of(faces: FaceDataset, index: int) -> str:
    """The display name of a sample: its file, where the dataset knows it, or its number."""
    return faces.name(index) if hasattr(faces, "name") else f"face {index}"


def stack(samples: Sequence[Sample]) -> Batch:
    """One tensor a key; Python's numbers become float32, whatever torch's default is."""
    return {key: torch.stack([_tensor(sample[key]) for sample in samples]) for key in samples[0]}


def _tensor(value: Any) -> Tensor:
    return torch.tensor(value, dtype=torch.float32) if isinstance(value, float) else torch.as_tensor(value)


class _Chunks:
    def __init__(self, faces: FaceDataset) -> None:
        self.faces = faces

    def __call__(self, start: int) -> Batch:
        return stack(read(self.faces, range(start, min(start + _CHUNK, len(self.faces)))))


class _Steps:
    def __init__(self, faces: FaceDataset, order: Order) -> None:
        self.faces, self.order = faces, order

    def __call__(self, step: int) -> Batch:
        return stack(read(self.faces, self.order.indices(step)))
