"""The face model: a mean shape, linear modes, triangles, landmarks, and optionally an albedo."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..arguments import shown, whole_number
from ..errors import InputError
from . import npz
from .skinning import Skinning

if TYPE_CHECKING:
    import twodasl_ext

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


FARTHEST = 1e6
"""Larger coordinates, beyond a kilometer, mean a damaged file; their products would overflow float32."""


@dataclass(frozen=True, eq=False)
class MorphableModel:
    """A linear face model, `S = mean + sum_k c_k modes_k`, in millimeters.

    Axes of the model: +x to the right of the image of a frontal face (the subject's left), +y up, +z toward
    the viewer. All arrays are numpy and C-contiguous; treat them as constants.

    Attributes:
        name: shown in checkpoints and reports.
        mean: (N, 3) float32.
        shape_modes: (Ks, N, 3) float32, identity.
        expression_modes: (Ke, N, 3) float32.
        coefficient_std: (Ks+Ke,) float32, positive: the standard deviation of each coefficient.
        triangles: (T, 3) int64, counter-clockwise seen from outside.
        landmarks: (68,) int64 vertex indices, iBUG order.
        named_landmarks: AFLW's points outside the 68: `ear_left`, `ear_right`, `chin` -> vertex index. Left
            is AFLW's left, the left of the image of a frontal face (x < 0).
        albedo_mean: (N, 3) float32 sRGB in [0, 1], or None if the model has no colors.
        albedo_modes: (Ka, N, 3) float32, or None.
        albedo_std: (Ka,) float32, positive, or None.
        mode_names: Ks+Ke display names, shape modes first, or None.
        albedo_names: Ka display names, or None.
        basel_landmarks: (68,) int64: the vertices where 300W-LP and AFLW2000-3D place the 68 points. Theirs
            are vertices of the Basel model, up to 7 mm from the iBUG points of the same name. None if the
            model does not know them, or if they equal `landmarks`.
        skinning: the joints that turn a neck, jaw and eyes, or None: `PosedHead` poses such a model.
        units: always "mm".

    Raises:
        ValueError: an array has the wrong shape, an index outside the vertices, or a number that is not
            finite; the message begins with the field's name.
    """

    name: str
    mean: Floats
    shape_modes: Floats
    expression_modes: Floats
    coefficient_std: Floats
    triangles: Indices
    landmarks: Indices
    named_landmarks: dict[str, int] = field(default_factory=dict)
    albedo_mean: Floats | None = None
    albedo_modes: Floats | None = None
    albedo_std: Floats | None = None
    mode_names: tuple[str, ...] | None = None
    albedo_names: tuple[str, ...] | None = None
    basel_landmarks: Indices | None = None
    skinning: Skinning | None = None
    units: str = "mm"

    def __post_init__(self) -> None:
        for key in ("mean", "shape_modes", "expression_modes", "coefficient_std", *npz.ALBEDO):
            if getattr(self, key) is not None:
                object.__setattr__(self, key, _contiguous(key, getattr(self, key), np.float32))
        for key in ("triangles", "landmarks", "basel_landmarks"):
            if getattr(self, key) is None:
                continue
            object.__setattr__(self, key, _contiguous(key, getattr(self, key), np.int64))
        self._check_geometry()
        self._check_albedo()
        if self.skinning is not None:
            self.skinning.check(len(self.mean), len(self.coefficient_std))
        _check_names("mode_names", self.mode_names, len(self.coefficient_std))
        tones = 0 if self.albedo_std is None else len(self.albedo_std)
        _check_names("albedo_names", self.albedo_names, tones)

    def _check_geometry(self) -> None:
        if self.units != "mm":
            raise ValueError(f"units: expected 'mm', got {self.units!r}")
        count = len(self.mean) if self.mean.ndim else 0
        if count == 0:
            raise ValueError(f"mean: expected (N, 3) vertices, got {self.mean.shape}")
        _check_shape("mean", self.mean, ("N", 3))
        _check_shape("shape_modes", self.shape_modes, ("Ks", count, 3))
        _check_shape("expression_modes", self.expression_modes, ("Ke", count, 3))
        modes = len(self.shape_modes) + len(self.expression_modes)
        _check_shape("coefficient_std", self.coefficient_std, (modes,))
        _check_positive("coefficient_std", self.coefficient_std)
        _check_shape("triangles", self.triangles, ("T", 3))
        _check_shape("landmarks", self.landmarks, (68,))
        _check_indices("triangles", self.triangles, count)
        _check_indices("landmarks", self.landmarks, count)
        if self.basel_landmarks is not None:
            _check_shape("basel_landmarks", self.basel_landmarks, (68,))
            _check_indices("basel_landmarks", self.basel_landmarks, count)
        named = np.array(list(self.named_landmarks.values()), dtype=np.int64)
        _check_indices("named_landmarks", named, count)

    def _check_albedo(self) -> None:
        if self.albedo_mean is None:
            if self.albedo_modes is not None or self.albedo_std is not None:
                raise ValueError("albedo_mean: expected with albedo_modes and albedo_std, got none")
            return
        _check_shape("albedo_mean", self.albedo_mean, (len(self.mean), 3))
        if self.albedo_mean.min() < 0 or self.albedo_mean.max() > 1:
            raise ValueError("albedo_mean: expected colors in [0, 1], got values outside")
        if (self.albedo_modes is None) != (self.albedo_std is None):
            raise ValueError("albedo_std: expected together with albedo_modes, got one without the other")
        if self.albedo_modes is not None and self.albedo_std is not None:
            _check_shape("albedo_modes", self.albedo_modes, ("Ka", len(self.mean), 3))
            _check_shape("albedo_std", self.albedo_std, (len(self.albedo_modes),))
            _check_positive("albedo_std", self.albedo_std)

    @property
    def vertex_count(self) -> int:
        """N."""
        return len(self.mean)

    @property
    def counts(self) -> tuple[int, int, int]:
        """N, Ks, Ke: recorded in checkpoints together with the identity."""
        return len(self.mean), len(self.shape_modes), len(self.expression_modes)

    @cached_property
    def modes(self) -> Floats:
        """(Ks+Ke, N, 3) float32, shape modes first."""
        return np.concatenate([self.shape_modes, self.expression_modes])

    @cached_property
    def identity(self) -> str:
        """SHA-256 (hex) of the geometry: mean, modes, triangles, landmarks.

        Two models with the same identity give the same vertices for the same parameters. Names, standard
        deviations, colors, and joints are not included.
        """
        digest = hashlib.sha256()
        for array in (self.mean, self.shape_modes, self.expression_modes, self.triangles, self.landmarks):
            little = array.astype(array.dtype.newbyteorder("<"), copy=False)
            digest.update(f"{little.dtype.str}{little.shape}".encode())
            digest.update(np.ascontiguousarray(little).tobytes())
        return digest.hexdigest()

    def basis(
        self, device: torch.device | str = "cpu", storage: torch.dtype = torch.float32
    ) -> twodasl_ext.MorphableBasis:
        """The operators' basis for this model; its landmarks are the 68.

        Args:
            device: device of the basis.
            storage: storage dtype of the modes; float32, or bfloat16/float16 for half the memory traffic.
        """
        import twodasl_ext  # imported here: reading or converting a model needs no compiled operator

        arrays = (torch.from_numpy(array) for array in (self.mean, self.modes, self.landmarks))
        return twodasl_ext.MorphableBasis(*arrays, storage=storage).to(device)

    def shape(self, coefficients: ArrayLike) -> Floats:
        """Vertices (N, 3) in millimeters of coefficients (K,), for a picture or two.

        For batches and gradients, use `twodasl_ext.vertices`.
        """
        given = _coefficients(coefficients, len(self.coefficient_std))
        return self.mean + np.tensordot(given, self.modes, 1)

    def albedo(self, coefficients: ArrayLike | None = None) -> Floats:
        """Colors (N, 3) sRGB in [0, 1], clipped, of albedo coefficients (Ka,) or of the mean.

        Raises ValueError if the model has no albedo.
        """
        if self.albedo_mean is None:
            raise ValueError(f"albedo: the face model {self.name!r} has no colors")
        if coefficients is None:
            return self.albedo_mean.copy()
        given = _coefficients(coefficients, 0 if self.albedo_std is None else len(self.albedo_std))
        if self.albedo_modes is None:
            return self.albedo_mean.copy()
        moved = self.albedo_mean + np.tensordot(given, self.albedo_modes, 1)
        return np.clip(moved, 0, 1)

    def truncated(self, shape_modes: int, expression_modes: int) -> MorphableModel:
        """The model with its first so many modes of either kind; components come with the largest first.

        Raises InputError for what is no whole number, or more than there are.
        """
        _, shapes, expressions = self.counts
        shape_modes = whole_number(shape_modes, "shape_modes", 0, shapes)
        expression_modes = whole_number(expression_modes, "expression_modes", 0, expressions)
        kept = np.r_[:shape_modes, shapes : shapes + expression_modes]
        names = self.mode_names
        return replace(
            self,
            shape_modes=self.shape_modes[:shape_modes],
            expression_modes=self.expression_modes[:expression_modes],
            coefficient_std=self.coefficient_std[kept],
            mode_names=None if names is None else tuple(names[index] for index in kept),
            skinning=None if self.skinning is None else self.skinning.chosen(kept),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one compressed `.npz`, atomically. Raises InputError if it cannot be written."""
        npz.write_fields(path, {each.name: getattr(self, each.name) for each in fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MorphableModel:
        """Read a file written by `save`; nothing is unpickled.

        Raises:
            InputError: another kind of file, or a missing or invalid field; both are named.
        """
        read = npz.read_fields(path)
        try:
            return cls(**read)
        except (ValueError, OverflowError) as error:
            raise InputError(f"{path}: {error}") from error


def _coefficients(values: ArrayLike, count: int) -> Floats:
    """(count,) float32. InputError for another shape, what is no real number, or not finite."""
    expected = f"coefficients: expected ({count},) finite numbers"
    try:
        array = np.asarray(values)
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # ragged lists, tensors with gradients
        raise InputError(f"{expected}, got {shown(values)}") from error
    if array.dtype.kind not in "fiu":
        raise InputError(f"{expected}, got {shown(values)}")
    if array.shape != (count,):
        raise InputError(f"{expected}, got shape {array.shape}")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise InputError(f"{expected}, got NaN, infinity or one beyond float32")
    return array


def _contiguous(key: str, array: NDArray, dtype: type) -> NDArray:
    array = np.asarray(array)
    kinds = "fiu" if dtype is np.float32 else "iu"
    if array.dtype.kind not in kinds:
        raise ValueError(f"{key}: expected {np.dtype(dtype).name} numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype)
    if dtype is np.float32 and not np.isfinite(array).all():
        raise ValueError(f"{key}: expected finite numbers, got NaN or infinity")
    if dtype is np.float32 and array.size and max(array.max(), -array.min()) > FARTHEST:
        raise ValueError(
            f"{key}: expected numbers within {FARTHEST:g}, got {max(array.max(), -array.min()):g}"
        )
    return array


def _check_shape(key: str, array: NDArray, expected: tuple[int | str, ...]) -> None:
    fits = array.ndim == len(expected) and all(
        isinstance(want, str) or got == want for got, want in zip(array.shape, expected, strict=True)
    )
    if not fits:
        wanted = "(" + ", ".join(map(str, expected)) + ("," if len(expected) == 1 else "") + ")"
        raise ValueError(f"{key}: expected {wanted}, got {array.shape}")


def _check_indices(key: str, indices: Indices, count: int) -> None:
    if indices.size and (indices.min() < 0 or indices.max() >= count):
        wrong = int(indices.max()) if indices.max() >= count else int(indices.min())
        raise ValueError(f"{key}: expected vertex indices 0..{count - 1}, got {wrong}")


def _check_positive(key: str, values: Floats) -> None:
    if values.size and values.min() <= 0:
        raise ValueError(f"{key}: expected positive standard deviations, got {values.min()}")


def _check_names(key: str, names: tuple[str, ...] | None, count: int) -> None:
    if names is not None and len(names) != count:
        raise ValueError(f"{key}: expected {count} names, got {len(names)}")
