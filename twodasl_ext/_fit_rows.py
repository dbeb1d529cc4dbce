"""The few rows of a basis that a fit looks at: vertices, means of vertices, or candidates for a contour."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ._arguments import as_indices, as_tensor
from ._checks import as_compute, check_device, check_indices, check_tensor, shape_text
from ._dispatch import has_values
from ._kept import Memo
from .basis import MorphableBasis
from .contours import Contours

_SUM_TOLERANCE = 1e-3


class Rows(NamedTuple):
    """What the operator is given of a basis."""

    mean: Tensor
    """(R, 3)."""
    modes: Tensor
    """(K, R, 3)."""
    candidates: Tensor
    """(L, C) rows of each point."""
    outward: Tensor
    """(L, 2), or (0, 2) where C is 1."""
    center: Tensor
    """(3,), the mean of the points' first rows, about which the face turns."""
    vertices: Tensor
    """(R,) the vertex of each row, -1 for a mean of several."""


def rows_of(basis: MorphableBasis, vertices: Any, contours: Contours | None) -> Rows:
    """The rows of `vertices`, of `contours`, or of the basis's landmarks where both are None."""
    mean, modes = basis.plain()
    if contours is not None:
        if vertices is not None:
            raise ValueError("vertices: expected None with contours, whose first candidates are the vertices")
        if not isinstance(contours, Contours):
            raise TypeError(f"contours: expected Contours or None, got {type(contours).__name__}")
        contours.check(basis)
        return _made(_of_contours, contours.candidates, mean, modes, contours.outward)
    if vertices is None:
        if basis.landmarks is None:
            raise ValueError("vertices: expected some for a basis without landmarks, got None")
        return _made(_of_vertices, basis.landmarks, mean, modes)
    if (isinstance(vertices, Tensor) and vertices.is_floating_point()) or getattr(vertices, "ndim", 1) == 2:
        weights = check_tensor(as_tensor(vertices, "vertices"), "vertices")
        if weights.dim() != 2 or weights.shape[1] != len(mean):
            raise ValueError(
                f"vertices: expected vertex indices (L,), or weights (L, {len(mean)}) for a basis of as many "
                f"vertices, got {shape_text(weights)}"
            )
        check_device(weights, "vertices", mean.device)
        return _made(_of_weights, as_compute(weights, "vertices", mean.dtype), mean, modes)
    indices = check_indices(as_indices(vertices, "vertices", mean.device), len(mean), "vertices")
    return _made(_of_vertices, indices.to(mean.device), mean, modes)


def _gather(mean: Tensor, modes: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    return mean[indices], modes[:, indices].to(mean.dtype)


def _of_vertices(indices: Tensor, mean: Tensor, modes: Tensor) -> Rows:
    indices = indices.to(torch.int64)
    rows = _gather(mean, modes, indices)
    return Rows(*rows, *_each_its_own(rows[0]), _center(rows[0]), indices)


def _of_weights(weights: Tensor, mean: Tensor, modes: Tensor) -> Rows:
    weights = weights.detach()
    if has_values() and weights.device.type == "cpu" and weights.numel():
        apart = (weights.sum(dim=1) - 1).abs()
        if not bool((apart <= _SUM_TOLERANCE).all()):
            point = int((~(apart <= _SUM_TOLERANCE)).nonzero()[0])
            total = float(weights[point].sum())
            raise ValueError(f"vertices: expected weights that sum to 1, got {total:g} for point {point}")
    rows = weights @ mean, weights @ modes.to(mean.dtype)
    none = torch.full((len(weights),), -1, dtype=torch.int64, device=mean.device)
    return Rows(*rows, *_each_its_own(rows[0]), _center(rows[0]), none)


def _of_contours(vertices: Tensor, mean: Tensor, modes: Tensor, outward: Tensor) -> Rows:
    """A row for every entry; one that is not chosen costs a kernel its product with the coefficients."""
    count, width = vertices.shape
    rows = _gather(mean, modes, vertices.clamp(min=0).flatten())
    numbers = torch.arange(count * width, device=mean.device).reshape(count, width)
    candidates = torch.where(vertices >= 0, numbers, -1)
    outward = outward.to(mean.dtype)
    if width == 1:
        outward = outward[:0]
    first = rows[0].reshape(count, width, 3)[:, 0]
    return Rows(*rows, candidates, outward, _center(first), vertices.flatten())


def _each_its_own(mean: Tensor) -> tuple[Tensor, Tensor]:
    return torch.arange(len(mean), device=mean.device)[:, None], mean.new_zeros(0, 2)


def _center(places: Tensor) -> Tensor:
    places = places.detach()
    return places.mean(dim=0) if len(places) else places.new_zeros(3)


_kept = {make: Memo(make) for make in (_of_vertices, _of_weights, _of_contours)}


def _made(make: Any, *tensors: Tensor) -> Rows:
    return make(*tensors) if torch.compiler.is_compiling() else _kept[make](*tensors)
