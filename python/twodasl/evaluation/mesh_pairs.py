"""Folders of predicted and true meshes: matched by file name, measured one pair after the other."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag, path_of
from ..errors import InputError
from ..meshes import SUFFIXES, read_mesh
from ..progress import progress_bar
from .reconstruction import ReconstructionError, check_protocol, reconstruction_error

BROKEN_LIMIT = 0.5
"""A set of which a larger part than this cannot be measured is an error and not a result."""

_NAMED = 3  # files that an error message names


@dataclass(frozen=True)
class Pair:
    """A predicted and a true mesh of one stem."""

    name: str
    predicted: Path
    truth: Path


@dataclass(frozen=True)
class Pairs:
    """What two folders hold: pairs in name order, and the stems that only one of them has."""

    pairs: tuple[Pair, ...]
    without_prediction: tuple[str, ...]
    without_truth: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Measured:
    """The faces that could be measured, in name order, and why the others could not.

    skipped: name -> sentence; a true mesh without a prediction is among them.
    """

    pairs: tuple[Pair, ...]
    errors: tuple[ReconstructionError, ...]
    skipped: Mapping[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Stems of the measured faces."""
        return tuple(pair.name for pair in self.pairs)

    @property
    def nme(self) -> NDArray[np.float64]:
        """(n,) fractions."""
        return np.array([error.nme for error in self.errors])


def find_pairs(predicted: str | os.PathLike[str], truth: str | os.PathLike[str]) -> Pairs:
    """Meshes of two folders with one stem (`face.ply`, `face.mat`), in name order.

    Of several files of a stem in one folder the first of `.ply .obj .npy .mat` counts. Raises InputError when
    a folder is missing or holds no mesh, or no stem is in both.
    """
    found = _meshes(path_of(predicted, "a folder", "predicted"))
    true = _meshes(path_of(truth, "a folder", "truth"))
    names = sorted(found.keys() & true.keys())
    if not names:
        raise InputError(
            f"{predicted}, {truth}: expected meshes of one name in both, got none; predictions are"
            f" {_some(sorted(found))}, ground truths {_some(sorted(true))}"
        )
    return Pairs(
        tuple(Pair(name, found[name], true[name]) for name in names),
        tuple(sorted(true.keys() - found.keys())),
        tuple(sorted(found.keys() - true.keys())),
    )


def measure_pairs(
    found: Pairs, *, protocol: str = "nearest", scale: bool = False, progress: bool = True
) -> Measured:
    """Measure every pair; files that cannot be read or compared are skipped, with the reason.

    progress: a bar on standard error. Raises InputError when more than `BROKEN_LIMIT` of the ground truths
    could not be measured; a mean over the rest would say nothing about the set.
    """
    scale, progress = flag(scale, "scale"), flag(progress, "progress")
    pairs: list[Pair] = []
    errors: list[ReconstructionError] = []
    skipped = {name: f"{name}: no prediction of this name" for name in found.without_prediction}
    for pair in progress_bar(found.pairs, description="measuring", unit="face", show=progress):
        try:
            error = measure_pair(pair, protocol=protocol, scale=scale)
        except InputError as reason:
            skipped[pair.name] = str(reason)
            continue
        pairs.append(pair)
        errors.append(error)
    total = len(pairs) + len(skipped)
    if len(skipped) > BROKEN_LIMIT * total:
        reasons = "; ".join(list(skipped.values())[:_NAMED])
        raise InputError(
            f"{len(skipped)} of {total} faces could not be measured, too many to go on: {reasons}"
        )
    return Measured(tuple(pairs), tuple(errors), dict(sorted(skipped.items())))


def measure_pair(pair: Pair, *, protocol: str = "nearest", scale: bool = False) -> ReconstructionError:
    """The error of one pair. Raises InputError naming the files that cannot be read or do not fit."""
    check_protocol(protocol, scale)
    predicted, truth = read_mesh(pair.predicted), read_mesh(pair.truth)
    try:
        return reconstruction_error(predicted.vertices, truth.vertices, protocol=protocol, scale=scale)
    except Exception as error:  # numbers that nobody foresaw
        raise InputError(f"{pair.predicted}, {pair.truth}: {error}") from error


def _meshes(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one of meshes ({', '.join(SUFFIXES)})")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir(), key=lambda file: (_rank(file), file.name)):
        if _rank(file) < len(SUFFIXES) and not file.name.startswith("."):
            files.setdefault(file.stem, file)
    if not files:
        raise InputError(f"{folder}: expected meshes ({', '.join(SUFFIXES)}), found none")
    return files


def _rank(file: Path) -> int:
    suffix = file.suffix.lower()
    return SUFFIXES.index(suffix) if suffix in SUFFIXES else len(SUFFIXES)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
