"""What evaluation asks of a data set of faces."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class BenchmarkFaces(Protocol):
    """n images with faces: `Aflw2000` or `SparseSet` of `twodasl.datasets.benchmarks`.

    names: of the images. rows: (n,) each image's row in the whole folder of `total` images.
    """

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def rows(self) -> NDArray[np.int64]: ...

    @property
    def total(self) -> int: ...

    def __len__(self) -> int: ...

    def read_image(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR."""
        ...

    def crops_to_image(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points (n, L, 2 or 3) from each image's crop pixels to image pixels."""
        ...
