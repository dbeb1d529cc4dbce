"""Annotating a data set of photos in 3D: what `twodasl data annotate` does, without its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..arguments import whole_number
from ..datasets.photos.annotated import AnnotatedPhotos
from ..datasets.photos.fitted_store import FittedFaces
from ..datasets.report import DataReport
from ..geometry.projection import crop_landmarks
from ..progress import progress_bar
from ..training.augment import observed_eighteen
from ..training.streams import stack
from .annotator import Annotated, Annotator
from .self_occlusion import visible_landmarks


class Annotation(NamedTuple):
    """What annotating a data set gave.

    Attributes:
        rows: of the data set, those that were kept.
        faces: their parameters and all that `fitted_store` keeps beside the crops.
        report: how many were kept, and why others were not, those that the data set left out included.
    """

    rows: list[int]
    faces: FittedFaces
    report: DataReport


def annotate(
    photos: AnnotatedPhotos, annotator: Annotator, *, batch_size: int = 64, progress: bool = True
) -> Annotation:
    """Fit the face model to every photo of a data set.

    Args:
        photos: with landmarks.
        annotator: network, face model, and which fits are good.
        batch_size: photos at a time.
        progress: show a bar (on a terminal).

    Raises InputError where a photo cannot be read any more or the network's answers are not finite;
    MostlyBroken where more than half of the photos are left out.
    """
    batch_size = whole_number(batch_size, "batch_size", 1)
    kept: list[int] = []
    parts: list[tuple[Tensor, ...]] = []
    lost: dict[str, list[str]] = {}
    triangles = torch.from_numpy(annotator.model.triangles).to(annotator.basis.device)
    with progress_bar(
        total=len(photos), description="annotate", unit="photo", show=progress, announce_from=500
    ) as bar:
        for start in range(0, len(photos), batch_size):
            rows = range(start, min(start + batch_size, len(photos)))
            found = _annotated(photos, annotator, rows)
            good = [place for place, reason in enumerate(found.reasons) if not reason]
            for row, reason in zip(rows, found.reasons, strict=True):
                if reason:
                    lost.setdefault(reason, []).append(photos.name(row))
            if good:
                parameters = found.parameters[good]
                marks = crop_landmarks(annotator.basis, parameters)
                visible = visible_landmarks(annotator.basis, triangles, parameters)
                parts.append((parameters, found.deviations[good], marks, visible, found.residual[good]))
            kept += [rows[place] for place in good]
            bar.update(len(rows))
    report = photos.report
    for reason, names in lost.items():
        report = report.without(names, reason)
    report.refuse_if_broken(photos.root)
    columns = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]
    return Annotation(kept, FittedFaces(tuple(photos.name(row) for row in kept), *columns), report)


def crops(photos: AnnotatedPhotos, rows: list[int], progress: bool = True) -> Iterator[NDArray[np.uint8]]:
    """The crops (120, 120, 3) of some photos, read one at a time."""
    for row in progress_bar(rows, description="copy crops", unit="photo", show=progress, announce_from=5000):
        yield photos[row]["image"].numpy()


def _annotated(photos: AnnotatedPhotos, annotator: Annotator, rows: range) -> Annotated:
    """A batch, of which some faces may have more points to fit to than others."""
    batch = stack([photos[row] for row in rows])
    observed, visible = observed_eighteen(batch)
    observed = torch.where(visible[..., None], observed, torch.nan)
    points = [torch.from_numpy(photos.fit_points(row)) for row in rows]
    sizes = torch.tensor([len(marks) for marks in points])
    result: Annotated | None = None
    for size in sizes.unique().tolist():
        places = torch.nonzero(sizes == size)[:, 0]
        marks = torch.stack([points[place] for place in places.tolist()])
        found = annotator(batch["image"][places], observed[places], marks)
        if len(places) == len(rows):
            return found
        result = result or _empty(found, len(rows))
        for whole, part in zip(result[:3], found[:3], strict=True):
            whole[places] = part
        for place, reason in zip(places.tolist(), found.reasons, strict=True):
            result.reasons[place] = reason
    assert result is not None
    return result


def _empty(like: Annotated, count: int) -> Annotated:
    parameters, deviations, residual = (part.new_empty(count, *part.shape[1:]) for part in like[:3])
    return Annotated(parameters, deviations, residual, [""] * count)
