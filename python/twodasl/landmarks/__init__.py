"""Landmark schemes (68, 21 and 18 points), landmark maps and landmark files."""

from .files import SUFFIXES, read_landmarks
from .maps import landmark_map
from .schemes import (
    CONNECTIONS_18,
    CONNECTIONS_68,
    EIGHTEEN_NAMES,
    EIGHTEEN_WEIGHTS,
    FLIP_18,
    FLIP_21,
    FLIP_68,
    FLIPS,
    GROUPS_68,
    NAMES_68,
    TWENTY_ONE_NAMES,
    TWENTY_ONE_WEIGHTS,
    eighteen_from_21,
    eighteen_from_68,
    flip_landmarks,
    pairs_of_eighteen,
    twenty_one_from_68,
)

__all__ = [
    "CONNECTIONS_18",
    "CONNECTIONS_68",
    "EIGHTEEN_NAMES",
    "EIGHTEEN_WEIGHTS",
    "FLIPS",
    "FLIP_18",
    "FLIP_21",
    "FLIP_68",
    "GROUPS_68",
    "NAMES_68",
    "SUFFIXES",
    "TWENTY_ONE_NAMES",
    "TWENTY_ONE_WEIGHTS",
    "eighteen_from_21",
    "eighteen_from_68",
    "flip_landmarks",
    "landmark_map",
    "pairs_of_eighteen",
    "read_landmarks",
    "twenty_one_from_68",
]
