"""Whether an argument's values are checked: only where that does not wait for a device."""

from __future__ import annotations

from torch import Tensor

LOOKED_AT = {"cpu"}
"""Device types on which tensor values are checked. Elsewhere the kernels accept any values."""


def seen(tensor: Tensor) -> bool:
    """Whether the tensor's values may be checked before the kernels run."""
    return tensor.device.type in LOOKED_AT
