"""The faces of a run's steps: which, in which order, and as a step sees them; a process's share of them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
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
from .streams import Batch, FaceDataset, FacePool, LandmarksOnly, Order, Subset, batches, name_of, read, stack

# What a progress bar calls the faces of a batch.
_LABELS = {"batch": "faces", "fitted_batch": "fitted photos", "photo_batch": "photos"}


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
        photos: of which the visible 2D landmarks count alone, or None.
        fitted: with 3D annotation, `fitted_batch` a step beside those of `faces`, or None.
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
        fitted: FaceDataset | None = None,
    ) -> None:
        self.config, self.mirror, self.ranks = config, mirror, Ranks.here()
        # What is known of them besides must not make 3D-annotated faces of them.
        photos = None if photos is None else LandmarksOnly(photos)
        given = [
            (faces, config.batch, RandomStream.FACE_ORDER, "batch"),
            (fitted, config.fitted_batch, RandomStream.FITTED_ORDER, "fitted_batch"),
            (photos, config.photo_batch, RandomStream.PHOTO_ORDER, "photo_batch"),
        ]
        self._sets: list[tuple[FaceDataset, Order]] = []
        for part, size, stream, key in given:
            if part is not None and size:
                order = Order(len(part), size, (config.seed, stream), self.ranks, key)
                self._sets.append((part, order))
        if config.data.pool:
            check_memory([part for part, _ in self._sets], processes_here())
            workers = config.data.workers
            self._sets = [
                (FacePool(part, workers, f"preparing {_LABELS[order.key]}", progress), order)
                for part, order in self._sets
            ]

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
        """The data sets' first faces, so many with 3D annotation and without, to try or to show something.

        None: as many as in this process's share of a batch.
        """
        asked = {"batch": faces, "photo_batch": photos}
        parts = []
        for part, order in self._sets:
            whole = order.batch // self.ranks.count if faces is photos is None else 0
            count = asked.get(order.key)
            if count := whole if count is None else count:
                parts.append(stack(read(part, [index % len(part) for index in range(count)])))
        return self._prepared(parts, 0)

    def names(self, step: int) -> list[str]:
        """The faces of a step's batch by name, those with 3D annotation first."""
        return [name_of(faces, index) for faces, order in self._sets for index in order.whole(step)]

    def _prepared(self, parts: list[Batch], step: int, ranks: Ranks | None = None) -> StepBatch:
        return prepare(parts, self.config, step, self.mirror, ranks)


def prepare(
    parts: Sequence[Batch],
    config: TrainingConfig,
    step: int,
    mirror: Tensor | None = None,
    ranks: Ranks | None = None,
) -> StepBatch:
    """Augment, simulate the detector, draw the maps. The random numbers are a function of seed and step.

    parts: those with parameters first. ranks: where the batches are shares of larger ones; the faces then
    become what they become in those.
    The landmarks of a 3D-annotated face are its model's, and all that there are count; of a 2D-only face the
    visible ones.
    """
    observe = observed_eighteen if config.loss.points == 18 else observed_twenty_one
    whole = np.random.default_rng((config.seed, RandomStream.AUGMENTATION, step))
    rng: Random = whole if ranks is None else PartOfGenerator(whole, ranks.rank, ranks.count)
    parameters: list[Tensor] = []
    columns: list[tuple[Tensor, ...]] = []
    for part in parts:
        part = augment(part, config.augment, rng, mirror)
        observed, visible = observe(part)
        if "parameters" in part:
            parameters.append(part["parameters"])
            visible = observed.isfinite().all(dim=-1)
        columns.append((part["image"], *detect(part, config.landmarks, rng), observed, visible))
    images, points, shown, observed, visible = (torch.cat(column) for column in zip(*columns, strict=True))
    return StepBatch(network_input(images, points, shown), observed, visible, torch.cat(parameters))
