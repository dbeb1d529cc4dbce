"""Weights of ARKit's 52 blend shapes from a face's expression, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...arguments import on_host, shown
from ...errors import InputError
from ..checks import check_model
from ..model import FARTHEST, MorphableModel
from .names import ARKIT_NAMES
from .projection import Projection
from .shapes import arkit_shapes

Floats = NDArray[np.float32]


class HasExpression(Protocol):
    """A face with expression coefficients (Ke,), such as a `Reconstruction`."""

    @property
    def expression(self) -> Floats:
        """(Ke,) coefficients."""


# Coefficients, displacements, or a face with coefficients.
Expression = NDArray[Any] | Sequence[Any] | HasExpression

_projections: WeakKeyDictionary[MorphableModel, Projection] = WeakKeyDictionary()


def to_arkit(
    model: MorphableModel, expression: Expression, *, shapes: Floats | None = None
) -> dict[str, float]:
    """The weights of ARKit's 52 blend shapes that come nearest to one face's expression.

    Least squares over the vertices with weights between 0 and 1: the displacement of a vertex counts by the
    area around it, and on eyes, brows and mouth more. A small ridge keeps similar shapes from canceling each
    other; it is larger for coefficients, of which many mixtures of shapes are alike (see `projection`), so
    that displacements give other weights than the coefficients that made them. Opposites, such as `jawLeft`
    and `jawRight`, are nearly one shape and its negative: of both at once only the difference is seen.

    Args:
        model: the face model.
        expression: one of: expression coefficients (Ke,); displacements of the vertices from the neutral face
            of the same person, (N, 3) in millimeters, without pose; an object with coefficients as
            `expression`, such as a `Reconstruction`.
        shapes: (52, N, 3) millimeters, other blend shapes than the model's own `arkit_shapes`. They are
            prepared at every call, which takes longer than the call.

    Returns:
        name -> weight in [0, 1], in the order of `ARKIT_NAMES`. A shape that moves nothing has weight 0.

    Raises:
        InputError: the model has no ARKit shapes, or an argument has the wrong shape, is not finite, or
            larger than any face moves.
    """
    check_model(model)
    values = _finite("expression", _own(expression), _expected(model))
    if not (values.ndim == 1 or values.shape == model.mean.shape):
        raise InputError(
            f"expression: expected {_expected(model)}, got {shown(values)}; arkit_weights takes several"
        )
    weights = arkit_weights(model, values, shapes=shapes)
    return dict(zip(ARKIT_NAMES, (float(weight) for weight in weights), strict=True))


def arkit_weights(model: MorphableModel, expression: Expression, *, shapes: Floats | None = None) -> Floats:
    """`to_arkit` for any number of faces.

    Args:
        model, shapes: as in `to_arkit`.
        expression: (..., Ke) coefficients or (..., N, 3) displacements in millimeters. An array whose last
            two dimensions are (N, 3) is taken for displacements.

    Returns:
        (..., 52) float32 in [0, 1], in the order of `ARKIT_NAMES`.

    Raises:
        InputError: as `to_arkit`.
    """
    check_model(model)
    projection = _projection(model, shapes)
    values = _finite("expression", _own(expression), _expected(model))
    if values.shape[-2:] == model.mean.shape:
        return projection.from_displacements(values)
    if values.ndim and values.shape[-1] == len(model.expression_modes):
        return projection.from_coefficients(values)
    raise InputError(f"expression: expected {_expected(model)}, got shape {values.shape}")


def from_arkit(
    model: MorphableModel, weights: Mapping[str, float] | ArrayLike, *, shapes: Floats | None = None
) -> Floats:
    """The displacement of the vertices by weights of ARKit's blend shapes: the inverse of `to_arkit`.

    Args:
        model, shapes: as in `to_arkit`.
        weights: name -> weight, where names that are missing count as 0; or (52,) in the order of
            `ARKIT_NAMES`. Usually in [0, 1]; others extrapolate.

    Returns:
        (N, 3) float32 millimeters, to be added to a neutral face.

    Raises:
        InputError: an unknown name, a weight that is not finite, or a model without ARKit shapes.
    """
    check_model(model)
    blend = arkit_shapes(model) if shapes is None else _checked(model, shapes)
    if isinstance(weights, Mapping):
        unknown = sorted(str(name) for name in weights if name not in ARKIT_NAMES)
        if unknown:
            raise InputError(f"weights: expected names of ARKIT_NAMES, got {unknown[0]!r}")
        weights = [weights.get(name, 0.0) for name in ARKIT_NAMES]
    expected = f"({len(ARKIT_NAMES)},) finite weights, or weights by name"
    values = _finite("weights", weights, expected)
    if values.shape != (len(ARKIT_NAMES),):
        raise InputError(f"weights: expected {expected}, got shape {values.shape}")
    return np.tensordot(values.astype(np.float32), blend, 1)


def _projection(model: MorphableModel, shapes: Floats | None) -> Projection:
    if shapes is not None:
        return Projection(model, _checked(model, shapes))
    if model not in _projections:
        _projections[model] = Projection(model, arkit_shapes(model))
    return _projections[model]


def _own(expression: Expression) -> Any:
    return getattr(expression, "expression", expression)


def _expected(model: MorphableModel) -> str:
    count, shape = len(model.expression_modes), model.mean.shape
    return f"{count} finite expression coefficients or displacements {shape} of the face model {model.name!r}"


def _checked(model: MorphableModel, shapes: ArrayLike) -> Floats:
    expected = (len(ARKIT_NAMES), *model.mean.shape)
    values = _finite("shapes", shapes, f"{expected} millimeters")
    if values.shape != expected:
        raise InputError(f"shapes: expected {expected} millimeters, got shape {values.shape}")
    return values.astype(np.float32)


def _finite(key: str, values: ArrayLike, expected: str) -> NDArray[np.float64]:
    try:
        array = np.asarray(on_host(values))
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, tensors without values
        raise InputError(f"{key}: expected {expected}, got {shown(values)}") from error
    if array.dtype.kind not in "fiu":
        raise InputError(f"{key}: expected {expected}, got {shown(values)}")
    if not np.isfinite(array).all():
        raise InputError(f"{key}: expected {expected}, got NaN or infinity")
    if array.size and (largest := np.abs(array.astype(np.float64)).max()) > FARTHEST:
        raise InputError(f"{key}: expected {expected}, got {largest:.3g}, more than {FARTHEST:g}")
    return array.astype(np.float64)
