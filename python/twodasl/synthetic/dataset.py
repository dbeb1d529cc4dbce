"""Synthetic faces as a map-style dataset: sample i depends only on the seed and i."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

import twodasl_ext

from ..errors import InputError
from ..geometry.crops import SIZE, flip_y
from ..morphable import MorphableModel
from .backgrounds import Backgrounds
from .degrade import develop
from .filters import antialiased, resized
from .noise import noise_bank
from .occluders import Canvas, glasses, occluder
from .options import SyntheticOptions
from .sampling import ParameterSampler, Pose
from .scene import Look, prepared_scene

Floats = NDArray[np.float32]
Sample = dict[str, Any]

# Faces synthesized and rasterized in one batch; results do not depend on it.
_GROUP = 8

# Random streams of a sample: appearance options must not change the geometry.
_GEOMETRY, _APPEARANCE = 0, 1


class SyntheticFaces(Dataset[Sample]):
    """Random 120x120 pictures of a morphable model, with exact parameters and landmarks.

    Args:
        model: any MorphableModel; one without colors is painted from its landmarks.
        length: number of samples.
        seed: non-negative; another seed gives other faces.
        options: what varies and how much.

    `faces[i]` and each entry of `faces.batch(indices)` is a dict of
        image: (120, 120, 3) uint8 tensor, BGR;
        parameters: (12+K,) float32, `[3x4 pose row-major | coefficients]`, not whitened;
        landmarks: (68, 3) float32, crop pixels (x = column, row, z), the model's landmark vertices posed by
            `parameters`; row is `flip_y` of the model's y;
        visible: (68,) bool: inside the crop and not hidden by head, hair, clothes, or an opaque occluder;
        yaw: float, radians, AFLW2000's convention.

    A sample is a function of (seed, index, model, options): order, batches, workers, and threads do not
    matter. Bits are reproducible on one machine with one set of library versions.

    Raises:
        InputError: a negative seed or length. IndexError: an index outside the dataset.
    """

    def __init__(
        self, model: MorphableModel, length: int, seed: int = 0, options: SyntheticOptions | None = None
    ) -> None:
        if operator.index(length) < 0:
            raise InputError(f"length: expected a number of samples of at least 0, got {length}")
        if operator.index(seed) < 0:
            raise InputError(f"seed: expected a whole number of at least 0, got {seed}")
        self.model, self.length, self.seed = model, int(length), int(seed)
        self.options = options or SyntheticOptions()
        self.noise = noise_bank()
        self.sampler = ParameterSampler(model, self.options)
        self.scene = prepared_scene(model)
        # Size of the supersampled picture, and the index of the sample in the middle of each final pixel.
        self._fine = round(SIZE * self.options.supersampling)
        middle = np.floor((np.arange(SIZE) + 0.5) * self.options.supersampling).astype(np.int64)
        self._middle = np.ix_(middle, middle)
        self._bags = torch.arange(0, 3 * self._fine**2, 3, dtype=torch.int32)
        self.backgrounds = Backgrounds(self.noise, self.options.photo_backgrounds)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Sample:
        return self.batch([index])[0]

    def __iter__(self) -> Iterator[Sample]:
        for start in range(0, self.length, _GROUP):
            yield from self.batch(range(start, min(start + _GROUP, self.length)))

    def batch(self, indices: Sequence[int]) -> list[Sample]:
        """The samples of several indices, bit for bit those of `[i]`, in less time per sample."""
        wanted = [self._index(index) for index in indices]
        samples: list[Sample] = []
        for start in range(0, len(wanted), _GROUP):
            samples += self._group(wanted[start : start + _GROUP])
        return samples

    def parameters(self, index: int) -> torch.Tensor:
        """Only the parameter vector (12+K,) of a sample; no picture is drawn."""
        coefficients, pose = self.sampler.sample(self._stream(self._index(index), _GEOMETRY))
        return torch.from_numpy(_joined(coefficients, pose))

    def _index(self, index: int) -> int:
        position = operator.index(index)
        if not -self.length <= position < self.length:
            raise IndexError(f"index {index} is outside a dataset of {self.length} samples")
        return position % self.length

    def _stream(self, index: int, stream: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, index, stream))

    def _group(self, indices: list[int]) -> list[Sample]:
        drawn = [self.sampler.sample(self._stream(index, _GEOMETRY)) for index in indices]
        coefficients = np.stack([coefficients for coefficients, _ in drawn])
        posed = self.scene.geometry(coefficients, np.stack([pose.matrix for _, pose in drawn]))
        streams = [self._stream(index, _APPEARANCE) for index in indices]
        bare = self.scene.complexions.bare(streams)
        looks = [
            self.scene.dress(streams[k], posed[k], bare[k], pose, self.options)
            for k, (_, pose) in enumerate(drawn)
        ]
        return [
            self._drawn(rng, look, pose, one)
            for rng, look, (one, pose) in zip(streams, looks, drawn, strict=True)
        ]

    def _drawn(self, rng: np.random.Generator, look: Look, pose: Pose, coefficients: Floats) -> Sample:
        """Rasterizes a look, adds background and foreground, and takes the picture."""
        factor = self.options.supersampling
        placed = look.vertices
        placed[:, 1] = flip_y(placed[:, 1])
        landmarks = placed[self.scene.landmarks]
        # Sub-pixel s of pixel u is sampled at u + (s + 0.5) / factor - 0.5.
        placed[:, :2] = (placed[:, :2] + np.float32(0.5)) * np.float32(factor) - np.float32(0.5)
        drawing = twodasl_ext.rasterize(
            torch.from_numpy(placed)[None], torch.from_numpy(look.triangles), self._fine
        )
        triangle, weights, depth = (tensor[0].numpy() for tensor in drawing)
        canvas = Canvas(self._composed(rng, look, triangle, weights))
        if rng.random() < self.options.glasses:
            glasses(rng, canvas, landmarks, pose.rotation, pose.scale, depth[self._middle])
        if rng.random() < self.options.occluders:
            occluder(rng, canvas, landmarks, look.skin, self.backgrounds)
        visible = _visible(landmarks, depth, factor, canvas.covered, 5.0 * pose.scale)
        picture = develop(rng, canvas.image, self.options)
        return {
            "image": torch.from_numpy(picture),
            "parameters": torch.from_numpy(_joined(coefficients, pose)),
            "landmarks": torch.from_numpy(landmarks),
            "visible": torch.from_numpy(visible),
            "yaw": pose.yaw,
        }

    def _composed(
        self, rng: np.random.Generator, look: Look, triangle: NDArray[np.int64], weights: Floats
    ) -> Floats:
        """Composite the head over the background: (SIZE, SIZE, 3) BGR display values."""
        # Gathers the three corners' colors and sums them, weighted by barycentrics, in one pass. Outside
        # triangles the index is -1, replaced by 0, and the weights are zero; so is the coverage.
        corners = look.triangles.astype(np.int32).take(triangle.ravel(), axis=0, mode="clip")
        blended = torch.nn.functional.embedding_bag(
            torch.from_numpy(corners).view(-1),
            torch.from_numpy(look.colors),
            self._bags,
            per_sample_weights=torch.from_numpy(weights).view(-1),
            mode="sum",
        )
        fine = blended.numpy().reshape(*triangle.shape, 4)
        layer = resized(fine, SIZE, SIZE) if self._fine > SIZE else antialiased(fine)
        coverage = layer[..., 3:]
        reflected = layer[..., :3] / np.maximum(coverage, 1e-6)
        # Like film, compress highlights instead of clipping them; then apply the display's curve.
        curved = np.maximum(reflected * (1.35 + 0.22 * reflected) / (1 + reflected), 0)
        light: Floats = np.sqrt(curved, dtype=np.float32)
        self._comb_hair(rng, light, triangle, look.shell_range)
        image = self.backgrounds.sample(rng)
        image += coverage * (light - image)
        return image

    def _comb_hair(
        self,
        rng: np.random.Generator,
        light: Floats,
        triangle: NDArray[np.int64],
        shell_range: tuple[int, int],
    ) -> None:
        """Strands finer than the mesh, where hair or cloth is on top."""
        first, last = shell_range
        top = triangle[self._middle]
        shell = (top >= first) & (top < last)
        if not shell.any():
            return
        strands = self.noise.patch(rng, SIZE, SIZE, "streaks" if rng.random() < 0.8 else "clouds", turn=0.5)
        pattern = np.exp(np.float32(rng.uniform(0.2, 1.8)) * (strands - np.float32(0.5)))
        light *= np.where(shell, pattern, np.float32(1))[..., None]


def _joined(coefficients: Floats, pose: Pose) -> Floats:
    return np.concatenate([pose.matrix.ravel(), coefficients])


def _visible(
    landmarks: Floats, depth: Floats, factor: float, covered: Floats, slack: float
) -> NDArray[np.bool_]:
    """Landmarks in front of, or at most `slack` pixels behind, a surface drawn within a pixel of them."""
    x, row = landmarks[:, 0], landmarks[:, 1]
    inside = (x > -0.5) & (x < SIZE - 0.5) & (row > -0.5) & (row < SIZE - 0.5)
    # The farthest surface within a pixel: the neighbor pixels of a contour may belong to something in front.
    side = 2 * int(np.ceil(factor)) + 1
    farthest = cv2.erode(depth, np.ones((side, side), np.uint8), borderValue=np.inf)
    fine_x = np.clip(np.rint((x + 0.5) * factor - 0.5), 0, len(depth) - 1).astype(int)
    fine_row = np.clip(np.rint((row + 0.5) * factor - 0.5), 0, len(depth) - 1).astype(int)
    open_space = farthest[fine_row, fine_x] <= landmarks[:, 2] + slack
    column = np.clip(np.rint(x), 0, SIZE - 1).astype(int)
    line = np.clip(np.rint(row), 0, SIZE - 1).astype(int)
    return inside & open_space & (covered[line, column] < 0.5)
