"""What there is to fit faces to: what the network says of them, and the landmarks that came with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .face_input import FaceInput
from .face_network import Said
from .landmark_fit import Points


class Look(NamedTuple):
    """Of B faces, in the pixels of their crops.

    Attributes:
        given, faces: as they came, and as the network saw them last.
        said: what it says of them.
        detected: the landmarks that came with them; None where none did.
        own: the network's own points; None where it has none.
    """

    given: list[FaceInput]
    faces: list[FaceInput]
    said: Said
    detected: Points | None
    own: Points | None


def joined_looks(looks: Sequence[Look]) -> tuple[Tensor, Points | None, Points | None]:
    """Parameters (B, 12+K), landmarks and own points of all faces. Those without landmarks have NaN there."""
    parameters = torch.cat([look.said.parameters for look in looks])
    detected = None
    if any(look.detected is not None for look in looks):
        detected = _joined([look.detected or _unseen(look.said.parameters) for look in looks])
    own = [look.own for look in looks if look.own is not None]
    return parameters, detected, _joined(own) if own else None


def _unseen(parameters: Tensor) -> Points:
    places = parameters.new_full((len(parameters), 68, 2), torch.nan)
    return Points(places, parameters.new_full((len(parameters), 68), torch.inf))


def _joined(sources: Sequence[Points]) -> Points:
    return Points(*(torch.cat(values) for values in zip(*sources, strict=True)))
