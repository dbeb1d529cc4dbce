"""Whether shapes tell people apart: distances of shape coefficients, and what they say of who is who."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist
from scipy.stats import rankdata

from ..errors import InputError
from ..morphable import MorphableModel

Floats = NDArray[np.float64]

GALLERY = 102
"""People of whom one photo each is looked through, where there are so many."""

_DRAWS = 20  # random choices of them, whose mean is taken
_LEAST = 1e-12  # length of coefficients without a direction

DISTANCES = {
    "angles": "1 - cosine of the coefficients in standard deviations, the mean of all photos taken off",
    "lengths": "length of the difference of the coefficients in standard deviations",
}


@dataclass(frozen=True)
class Recognition:
    """What distances (n, n) say of who is who.

    auc: the probability that two photos of one person are nearer than two of different people (area under the
    curve of both, ties counting half). rank1: of photos that have another of their person, the share whose
    nearest other photo is one. gallery_rank1: the same where one photo each of `gallery` people is looked
    through, with another photo of each, mean of 20 random choices of people. same, different: pairs.
    """

    auc: float
    rank1: float
    gallery_rank1: float
    gallery: int
    same: int
    different: int


def angles(coefficients: ArrayLike) -> Floats:
    """Distances (n, n) of coefficients (n, K): 1 - cosine, the mean taken off."""
    rows = _rows(coefficients)
    centered = rows - rows.mean(axis=0)
    unit = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), _LEAST)
    return 1 - unit @ unit.T


def lengths(coefficients: ArrayLike) -> Floats:
    """Distances (n, n) of coefficients (n, K): the length of the difference."""
    rows = _rows(coefficients)
    return cdist(rows, rows)


def recognition(distance: ArrayLike, people: ArrayLike, seed: int = 0) -> Recognition:
    """Judge distances (n, n) between photos of `people` (n,); seed: of the random galleries.

    Raises InputError where no person has two photos, or there is one person only.
    """
    apart, who = np.asarray(distance, np.float64), np.asarray(people)
    if apart.shape != (len(who), len(who)):
        raise InputError(f"distance: expected ({len(who)}, {len(who)}), got {apart.shape}")
    same = who[:, None] == who
    other = ~np.eye(len(who), dtype=bool)
    upper = np.triu(np.ones_like(same), 1).astype(bool)
    pairs, strangers = apart[same & upper], apart[~same & upper]
    if not len(pairs) or not len(strangers):
        raise InputError(
            f"people: expected two photos of one person and another person, got {len(who)} photos with"
            f" {len(pairs)} pairs of one person"
        )
    ranks = rankdata(np.concatenate([pairs, strangers]))[: len(pairs)]
    below = (ranks.sum() - len(pairs) * (len(pairs) + 1) / 2) / (len(pairs) * len(strangers))
    mated = (same & other).any(axis=1)
    nearest = np.where(other, apart, np.inf).argmin(axis=1)
    rank1 = float((who[nearest] == who)[mated].mean())
    names, counts = np.unique(who, return_counts=True)
    gallery, found = _galleries(apart, who, names[counts > 1], seed)
    return Recognition(float(1 - below), rank1, found, gallery, len(pairs), len(strangers))


def _galleries(apart: Floats, who: NDArray, mated: NDArray, seed: int) -> tuple[int, float]:
    rng, hits = np.random.default_rng(seed), []
    size = min(GALLERY, len(mated))
    for _ in range(_DRAWS):
        chosen = rng.choice(mated, size, replace=False)
        first, second = np.array([np.flatnonzero(who == name)[:2] for name in chosen]).T
        hits.append((apart[np.ix_(first, second)].argmin(axis=1) == np.arange(size)).mean())
    return size, float(np.mean(hits))


def mesh_distance(coefficients: ArrayLike, model: MorphableModel, people: ArrayLike) -> float:
    """How far the neutral meshes of two people are apart: the mean over all pairs of photos of different
    people of the root mean square distance of their vertices, in the model's units (millimeters).

    coefficients: (n, Ks) shape coefficients in standard deviations.
    """
    rows, who = _rows(coefficients), np.asarray(people)
    shapes = len(model.shape_modes)
    if rows.shape[1] != shapes:
        raise InputError(
            f"coefficients: expected {shapes} shape coefficients of {model.name}, got {rows.shape[1]}"
        )
    scaled = model.shape_modes * model.coefficient_std[:shapes, None, None]
    flat = scaled.reshape(shapes, -1).astype(np.float64)
    # The squared distance of two meshes is a quadratic form of their coefficients' difference.
    variances, axes = np.linalg.eigh(flat @ flat.T / model.vertex_count)
    placed = rows @ (axes * np.sqrt(np.maximum(variances, 0)))
    return float(cdist(placed, placed)[who[:, None] != who].mean())


def _rows(coefficients: ArrayLike) -> Floats:
    rows = np.asarray(coefficients, np.float64)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all():
        raise InputError(f"coefficients: expected finite (n, K), got shape {rows.shape} or NaN")
    return rows


def identity_rows(
    groups: Sequence[tuple[str, Floats, NDArray[np.str_]]], model: MorphableModel | None
) -> dict[str, dict[str, float | int | None]]:
    """Rows of the table: of each group (label, coefficients (n, K) in standard deviations, people (n,)) one
    for each of `DISTANCES`. Without a model no distance of meshes is known."""
    rows: dict[str, dict[str, float | int | None]] = {}
    for label, coefficients, people in groups:
        meshes = None if model is None else mesh_distance(coefficients, model, people)
        for name, measure in (("angles", angles), ("lengths", lengths)):
            found = recognition(measure(coefficients), people)
            rows[f"{label}, {name}"] = {
                "photos": len(people),
                "people": len(np.unique(people)),
                "auc": found.auc,
                "rank1": 100 * found.rank1,
                "gallery_rank1": 100 * found.gallery_rank1,
                "gallery": found.gallery,
                "mesh_distance": meshes,
            }
    return rows
