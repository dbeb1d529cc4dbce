"""What every data set of photos can be asked, whether its photos are listed in a folder or kept in arrays."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from ..report import DataReport


class PhotoSet(Protocol):
    """A map-style data set of photos with landmarks; see `AnnotatedPhotos` for a sample's entries."""

    report: DataReport
    """How many photos are used, and why others are not."""
    without_parameters: str
    """Why samples have no parameters; "" if they do."""
    has_yaw: bool
    """Whether every sample has a yaw."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> dict[str, Any]: ...

    def name(self, index: int) -> str:
        """A photo's name."""
        ...

    def parameters(self, index: int) -> torch.Tensor:
        """(12+K,); InputError where there are none."""
        ...

    @property
    def yaw_degrees(self) -> NDArray[np.float64]:
        """(n,), NaN if unknown."""
        ...

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(n, L) which landmarks are visible; L is 0 where only parameters place them."""
        ...
