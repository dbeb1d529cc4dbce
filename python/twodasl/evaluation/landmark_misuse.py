"""Predicted landmarks of another order, image or pixel grid: mistakes that leave a number behind.

The predictions are measured again with what is often mixed up; where one of these makes the error far
smaller, the report says so in a sentence. No number of a report changes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag
from ..landmarks.schemes import FLIPS
from .faces import BenchmarkFaces

_POOR = 0.05  # a median error below this, a fraction of the face, leaves nothing to explain
_BETTER = 0.5  # the part of the error that may remain where a mistake is taken for one
_GOOD = 0.2  # and no error beyond this is taken for a right one
_MOST = 0.6  # the part of the rows that has to fit another image each for the order to be a wrong one
_ROWS, _LEAST = 50, 5

Floats = NDArray[np.float64]


def landmark_warnings(
    predicted: Floats, truth: Floats, normalizer: Floats, data: BenchmarkFaces, *, crop_pixels: bool = False
) -> list[str]:
    """Sentences on what seems to be mixed up; mostly none, and never more than one.

    predicted: (n, L, 2 or more) image pixels. truth: (n, L, 2), NaN where a point is not counted. normalizer:
    (n,) sizes of the faces in pixels. crop_pixels: the predictions were taken to be in pixels of the crops.
    """
    found = predicted[..., :2]
    usual = _median(found, truth, normalizer)
    if not usual > _POOR:
        return []
    tried = _remedies(found, truth, data, flag(crop_pixels, "crop_pixels"))
    # A face that is moved onto the truth gains by that alone, however it is turned.
    moved = _median(_moved(found, truth), truth, normalizer)
    errors = [_median(points, truth, normalizer) for points, _ in tried]
    tried += (turned := _turned(found, truth))
    errors += [
        error if (error := _median(points, truth, normalizer)) < _BETTER * moved else np.inf
        for points, _ in turned
    ]
    best = int(np.argmin(errors))
    if errors[best] < min(_BETTER * usual, _GOOD):
        percents = f"{100 * errors[best]:.3g} % instead of {100 * usual:.3g} %"
        return [f"The median NME would be {percents} {tried[best][1]}."]
    if _other_images(found, truth, normalizer):
        return [
            "The predictions seem to be in another order than the images: most fit another image's landmarks"
            " far better; give a row for each image, in the order of the data set's names."
        ]
    return []


def _remedies(
    found: Floats, truth: Floats, data: BenchmarkFaces, crop_pixels: bool
) -> list[tuple[Floats, str]]:
    """The points as they would be without a mistake, and what that mistake is."""
    # The crops' pixels become the image's by a scale and a shift.
    corners = np.tile([[0.0, 0.0], [1.0, 1.0]], (len(data), 1, 1))
    shift, step = np.moveaxis(data.crops_to_image(corners), 1, 0)[:, :, None]
    if crop_pixels:
        tried = [((found - shift) / (step - shift), "in image pixels; leave --crop-pixels out")]
    else:
        words = "in pixels of the crops; if that is what they are, give --crop-pixels"
        tried = [(found * (step - shift) + shift, words)]
        if np.nanmax(np.abs(found)) < 2:
            words = "in pixels of the crops; these lie within 0 to 1, parts of a crop"
            tried.append((found * 120 * (step - shift) + shift, words))
    if found.shape[1] in FLIPS:
        words = "with the points of the left and the right side exchanged; check the landmarks' order"
        tried.append((found[:, list(FLIPS[found.shape[1]])], words))
    tried.append((found[..., ::-1], "with x and y exchanged; give x, the column, first"))
    return tried


def _turned(found: Floats, truth: Floats) -> list[tuple[Floats, str]]:
    """As `_remedies`, of faces that are moved onto the truth, for the picture's size is not known here."""
    words = "upside down in their place; let y grow downward"
    tried = [(_moved(found * [1, -1], truth), words)]
    if found.shape[1] in FLIPS:
        mirrored = found[:, list(FLIPS[found.shape[1]])] * [-1, 1]
        words = "mirrored in their place; predict from the photos as they are"
        tried.append((_moved(mirrored, truth), words))
    return tried


def _moved(found: Floats, truth: Floats) -> Floats:
    """The points with the truth's centroid."""
    counted = np.where(np.isfinite(truth), found, np.nan)
    return found + np.nanmean(truth, axis=1, keepdims=True) - np.nanmean(counted, axis=1, keepdims=True)


def _median(points: Floats, truth: Floats, normalizer: Floats) -> float:
    return float(np.median(_errors(points, truth, normalizer)))


def _errors(points: Floats, truth: Floats, normalizer: Floats) -> Floats:
    distances = np.linalg.norm(points - truth, axis=2)
    counts = np.isfinite(distances).sum(axis=1)
    means = np.nansum(distances, axis=1) / np.maximum(counts, 1)
    return np.asarray(np.where(counts > 0, means / normalizer, np.inf), np.float64)


def _other_images(found: Floats, truth: Floats, normalizer: Floats) -> bool:
    """Whether most rows fit the landmarks of another image each, and far better than their own's."""
    count = len(found)
    if count < _LEAST:
        return False
    rows = np.linspace(0, count - 1, min(_ROWS, count)).round().astype(int)
    own = _errors(found[rows], truth[rows], normalizer[rows])
    matched, errors = [], []
    for row in rows:
        distances = _errors(found[row], truth, normalizer)
        matched.append(int(distances.argmin()))
        errors.append(float(distances.min()))
    others = {match for match, row in zip(matched, rows, strict=True) if match != row}
    return len(others) > _MOST * len(rows) and bool(np.median(errors) < _BETTER * np.median(own))
