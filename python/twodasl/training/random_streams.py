"""What each random number of a run is for."""

from __future__ import annotations

from enum import IntEnum


class RandomStream(IntEnum):
    """The random streams of a run: `numpy.random.default_rng((seed, stream, ...))`.

    One purpose never takes numbers from another, so that changing one setting leaves the other choices alone.
    The values are part of what `--resume` and equal seeds promise: add new ones, change none.
    """

    FACE_ORDER = 0
    """The order of the 3D-annotated faces; followed by the epoch."""
    PHOTO_ORDER = 1
    """The order of the 2D-only faces; followed by the epoch."""
    AUGMENTATION = 2
    """Augmentation and the simulated detector; followed by the step."""
    FACE_SHARE = 3
    """Which 3D-annotated faces a run with `data.face_share` keeps."""
    PHOTO_SHARE = 4
    """Which 2D-only faces a run with `data.photo_share` keeps."""
    FITTED_ORDER = 5
    """The order of the photos of `data.fitted_source`; followed by the epoch."""


class SyntheticSeed(IntEnum):
    """Where the seeds of each set of synthetic faces begin; a run adds its own. No two sets share a face."""

    HELD_OUT = 1_000_000
    """Faces that measure a run and are never trained on."""
    FACES = 2_000_000
    """The 3D-annotated faces."""
    PHOTOS = 3_000_000
    """The 2D-only faces."""
