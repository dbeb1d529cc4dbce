"""The faces of a run's steps: which, in which order, and as a step sees them; a process's share of them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, closing

import numpy as np
import torch
from torch import Tensor

from ..distributed import Ranks, processes_here
from ..networks.inputs import network_input
from .augment import PartOfGenerator, Random, augment, detect, observed_eighteen, observed_twenty_one
from .config import TrainingConfig
from .datasets import check_memory
from .model import StepBatch
from .random_streams import RandomStream
from .streams import Batch, FaceDataset, FacePool, Order, Subset, batches, name_of, read, stack


def shares(
    config: TrainingConfig, faces: FaceDataset, photos: FaceDataset | None
) -> tuple[FaceDataset, FaceDataset | None]:
    """Both data sets, cut to the shares that the configuration asks for."""
    data = config.data
    if data.face_share < 1:
        faces = Subset(faces, data.face_share, (config.seed, RandomStream.FACE_SHARE))
    if photos is not None and data.photo_share < 1:
        photos = (
            Subset(photos, data.photo_share, (config.seed, RandomStream.PHOTO_SHARE))
            if data.photo_share
            else None
        )
    return faces, photos


class Feed:
    """The batches of both kinds of faces; a function of the seed and the step alone.

    Args:
        faces: with 3D annotation.
        photos: with 2D landmarks only, or None.
        mirror: the face model's `mirror_map`.
        progress: whether bars show how the pools are filled.
    """

    def __init__(
        self,
        config: TrainingConfig,
        faces: FaceDataset,
        photos: FaceDataset | None,
        mirror: Tensor | None = None,
        progress: bool = True,
    ) -> None:
        self.config, self.mirror, self.ranks = config, mirror, Ranks.here()
        photos = photos if config.photo_batch else None
        orders = [Order(len(faces), config.batch, (config.seed, RandomStream.FACE_ORDER), self.ranks)]
        if photos is not None:
            seed = (config.seed, RandomStream.PHOTO_ORDER)
            orders.append(Order(len(photos), config.photo_batch, seed, self.ranks, "photo_batch"))
        if config.data.pool:
            check_memory(faces, photos, processes_here())
            faces = FacePool(faces, config.data.workers, "preparing faces", progress)
            if photos is not None:
                photos = FacePool(photos, config.data.workers, "preparing photos", progress)
        self._sets = [(faces, orders[0])]
        if photos is not None:
            self._sets.append((photos, orders[1]))

    def steps(self, start: int, stop: int) -> Generator[StepBatch, None, None]:
        """What steps start, ..., stop - 1 see. Close the iterator: worker processes end then."""
        workers = self.config.data.workers
        with ExitStack() as opened:
            streams = [
                opened.enter_context(closing(batches(faces, order, start, stop, workers)))
                for faces, order in self._sets
            ]
            for step, parts in zip(range(start, stop), zip(*streams, strict=True), strict=True):
                yield self._prepared(list(parts), step, self.ranks)

    def first(self, faces: int | None = None, photos: int | None = None) -> StepBatch:
        """The data sets' first faces, so many of each kind, to try or to show something.

        None: as many as in this process's share of a batch.
        """
        counts = (
            self.config.batch // self.ranks.count if faces is None else faces,
            self.config.photo_batch // self.ranks.count if photos is None else photos,
        )
        parts = [
            stack(read(part, [index % len(part) for index in range(count)]))
            for (part, _), count in zip(self._sets, counts, strict=False)
            if count
        ]
        return self._prepared(parts, 0)

    def names(self, step: int) -> list[str]:
        """The faces of a step's batch by name, those with 3D annotation first."""
        return [name_of(faces, index) for faces, order in self._sets for index in order.whole(step)]

    def _prepared(self, parts: list[Batch], step: int, ranks: Ranks | None = None) -> StepBatch:
        photos = parts[1] if len(parts) > 1 else None
        return prepare(parts[0], photos, self.config, step, self.mirror, ranks)


def prepare(
    faces: Batch,
    photos: Batch | None,
    config: TrainingConfig,
    step: int,
    mirror: Tensor | None = None,
    ranks: Ranks | None = None,
) -> StepBatch:
    """Augment, simulate the detector, draw the maps. The random numbers are a function of seed and step.

    ranks: where the batches are shares of larger ones; the faces then become what they become in those.
    The landmarks of a 3D-annotated face are its model's, and all that there are count; of a 2D-only face the
    visible ones.
    """
    observe = observed_eighteen if config.loss.points == 18 else observed_twenty_one
    parts = [faces] if photos is None else [faces, photos]
    whole = np.random.default_rng((config.seed, RandomStream.AUGMENTATION, step))
    rng: Random = whole if ranks is None else PartOfGenerator(whole, ranks.rank, ranks.count)
    columns: list[tuple[Tensor, ...]] = []
    for position, part in enumerate(parts):
        part = augment(part, config.augment, rng, mirror)
        observed, visible = observe(part)
        if position == 0:
            parameters, visible = part["parameters"], observed.isfinite().all(dim=-1)
        columns.append((part["image"], *detect(part, config.landmarks, rng), observed, visible))
    images, points, shown, observed, visible = (torch.cat(column) for column in zip(*columns, strict=True))
    return StepBatch(network_input(images, points, shown), observed, visible, parameters)
