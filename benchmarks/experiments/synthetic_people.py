"""Synthetic people: photos of the same shape, with another pose, expression, light and skin in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from twodasl.evaluation.rigid import best_motion
from twodasl.geometry.crops import flip_y
from twodasl.morphable import MorphableModel
from twodasl.reconstruction.face_input import FaceInput
from twodasl.synthetic import SyntheticFaces, SyntheticOptions
from twodasl.synthetic.sampling import ParameterSampler

from twodasl_ext import CoefficientPrior, Contours, MorphableBasis, fit_landmarks

Floats = NDArray[np.float64]

_CROP = (0.0, 0.0, 120.0, 120.0)


class _OneShape(ParameterSampler):
    """Draws faces that have the shape of one person."""

    def __init__(self, model: MorphableModel, options: SyntheticOptions, shape: NDArray[np.float32]) -> None:
        super().__init__(model, options)
        self._shape = shape

    def _coefficients(self, rng: np.random.Generator) -> NDArray[np.float32]:
        return np.concatenate([self._shape, super()._coefficients(rng)[len(self._shape) :]])


@dataclass(frozen=True)
class Person:
    """Photos of somebody whose shape is known.

    Attributes:
        shape: (Ks,) coefficients.
        images: (n, 120, 120, 3) uint8 BGR crops.
        parameters: (n, 12+K).
        marks: (n, 68, 2) crop pixels: those of the jaw on the outline of the face in the image, where a
            detector puts them.
    """

    shape: NDArray[np.float32]
    images: NDArray[np.uint8]
    parameters: torch.Tensor
    marks: Floats

    def faces(self, noise: float | None, seed: int) -> list[FaceInput]:
        """What a reconstructor is given: landmarks with an error of so many pixels; None: none at all."""
        if noise is None:
            return [FaceInput.given(image, box=_CROP) for image in self.images]
        marks = self.marks + np.random.default_rng(seed).normal(0, noise, self.marks.shape)
        return [
            FaceInput.given(image, points, _CROP) for image, points in zip(self.images, marks, strict=True)
        ]


def people(
    model: MorphableModel, count: int, photos: int, seed: int, options: SyntheticOptions | None = None
) -> list[Person]:
    """So many people with so many photos each; the seed says which."""
    basis = model.basis()
    shapes = SyntheticFaces(model, count, seed, options)
    found = []
    for index in range(count):
        shape = shapes.parameters(index)[12 : 12 + len(model.shape_modes)].numpy()
        drawn = SyntheticFaces(model, photos, seed + 1 + index, options)
        drawn.sampler = _OneShape(model, drawn.options, shape)
        samples = drawn.batch(range(photos))
        parameters = torch.stack([sample["parameters"] for sample in samples])
        found.append(
            Person(
                shape,
                np.stack([sample["image"].numpy() for sample in samples]),
                parameters,
                marks_on_outline(basis, parameters),
            )
        )
    return found


def marks_on_outline(basis: MorphableBasis, parameters: torch.Tensor) -> Floats:
    """(n, 68, 2) crop pixels of the landmarks of faces (n, 12+K), see `Person.marks`."""
    contours = Contours.of_outline(basis, range(17))
    turned = parameters[:, :12].reshape(-1, 3, 4)
    known = CoefficientPrior.of_deviations(torch.ones_like(parameters[:, 12:]), parameters[:, 12:])
    nowhere = torch.zeros(len(parameters), 68, 2)
    # Without a step, a fit only chooses what lies outermost.
    chosen = fit_landmarks(
        basis, nowhere, 1.0, start=turned, prior=known, contours=contours, iterations=0
    ).residuals
    return np.stack([-chosen[..., 0], flip_y(-chosen[..., 1])], axis=-1).astype(np.float64)


class NeutralError:
    """How far a neutral face is from the true one: root mean square over its vertices, millimeters.

    The face is what lies in front of the ears, from the forehead to below the chin, see `face_region`. A
    photo does not tell a small head from a distant one, so the similarity between the two is taken off.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.model, self.region = model, face_region(model)

    def __call__(self, shape: NDArray[np.floating], true: NDArray[np.floating]) -> float:
        """Of two sets of shape coefficients (Ks,)."""
        found, target = self.placed(shape), self.placed(true)
        moved = best_motion(found, target, scale=True).apply(found)
        return float(np.sqrt(((moved - target) ** 2).sum(1).mean()))

    def placed(self, shape: NDArray[np.floating]) -> Floats:
        """(n, 3) millimeters: the region of a neutral face."""
        modes = self.model.shape_modes[:, self.region].astype(np.float64)
        return self.model.mean[self.region] + np.einsum("k,knc->nc", np.asarray(shape, np.float64), modes)


def face_region(model: MorphableModel) -> NDArray[np.int64]:
    """Vertices in front of the jaw's ends, no further from the nose's tip than 1.1 times the chin."""
    marks = model.mean[model.landmarks].astype(np.float64)
    reach = 1.1 * np.linalg.norm(marks[8] - marks[30])
    away = np.linalg.norm(model.mean - marks[30], axis=1)
    return np.flatnonzero((away < reach) & (model.mean[:, 2] > marks[[0, 16], 2].mean()))
