"""Turning the head of a photo in depth, so that profiles come with parameters.

Photos of profiles with exact annotation are rare. After Zhu et al. (Face Alignment Across Large Poses: A 3D
Solution, CVPR 2016, arXiv 1511.07212, section 4, "face profiling"), a photo with a fitted head becomes one of
the same person seen more from the side: the head carries the photo's pixels as it turns, the surroundings
move with it, and what the photo does not show is completed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

import twodasl_ext

from ..errors import InputError
from ..geometry.crops import SIZE, crop_from_landmarks
from ..geometry.parameters import POSE_SIZE
from ..geometry.pose import matrix_from_angles
from ..geometry.projection import crop_vertices
from ..morphable import MorphableModel
from .filters import resized
from .turn_skin import FINE, Completion, SeenSurface, fine_grid
from .turn_surroundings import surroundings_map

Floats = NDArray[np.float32]

_VISIBLE_SLACK = 5.0  # millimeters by which a landmark may lie behind the surface drawn at its place
_AGREE = 2.0  # pixels within which head and surroundings show the same point of the photo
_FLATTEST = 1e-3  # pixels per millimeter
_EDGE = 4.0  # pixels of depth between neighbors beyond which one is the edge of something nearer
_SLIVER = np.ones((7, 7), np.uint8)


@dataclass(frozen=True)
class Turned:
    """A photo whose head was turned.

    Attributes:
        image: (120, 120, 3) uint8 BGR, cropped by the 68 landmarks of the turned head.
        parameters: (12+K,) float32 `[3x4 pose | coefficients]`, not whitened, of the head in that crop.
        visible: (68,) bool: landmarks inside the crop that the head itself does not hide.
    """

    image: NDArray[np.uint8]
    parameters: Floats
    visible: NDArray[np.bool_]


class FaceTurner:
    """Turns heads of one face model; what depends on the model alone is prepared once.

    Args:
        model: any MorphableModel whose triangles are counter-clockwise seen from outside.
    """

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        self.basis = model.basis()
        self._triangles = torch.from_numpy(model.triangles)
        self._completion = Completion(model)
        self._corners = self._completion.kept.numpy().astype(np.int32)

    def __call__(
        self, image: NDArray[np.uint8], parameters: ArrayLike, turn: float, lift: float = 0.0
    ) -> Turned:
        """Turn the head of one crop.

        Args:
            image: (120, 120, 3) uint8 BGR crop.
            parameters: (12+K,) of the head in it, not whitened.
            turn: radians about the vertical axis of the picture; positive toward the left of the image, like
                a yaw.
            lift: radians about its horizontal axis, after the turn; positive lifts the nose.

        Returns:
            The turned head. The same input gives the same bits.

        Raises:
            InputError: an argument of another shape or type, or numbers that are no head in the crop.
        """
        image, vector = _checked(image, parameters, self.basis.mode_count)
        if not (math.isfinite(turn) and math.isfinite(lift)):
            raise InputError(f"turn, lift: expected two finite angles in radians, got {turn} and {lift}")
        source = self._vertices(vector)
        moved = self._moved(vector, turn, lift)
        target = self._vertices(moved)
        scale = float(np.linalg.norm(moved[:3]) / np.linalg.norm(vector[:3]))
        front = self._completion.front > 0.5
        surroundings = surroundings_map(
            source[front], target[front], scale, self._level(source), self._level(target), turn
        )
        picture, depth = self._picture(image, source, target, surroundings)
        landmarks = target[self.model.landmarks]
        pixels = float(np.linalg.norm(moved[:3]))
        return Turned(picture, moved, _visible(landmarks, depth, _VISIBLE_SLACK * pixels))

    def _vertices(self, parameters: Floats) -> Floats:
        """(N, 3) x, row, z in crop pixels."""
        return np.asarray(
            crop_vertices(self.basis, torch.from_numpy(parameters)[None])[0].numpy(), np.float32
        )

    def _level(self, vertices: Floats) -> float:
        """The row of the middle of the ears, which the head turns about."""
        return float(vertices[self.model.landmarks[[0, 16]], 1].mean())

    def _moved(self, vector: Floats, turn: float, lift: float) -> Floats:
        """The parameters of the turned head in its own crop."""
        rotation = matrix_from_angles(float(lift), float(turn), 0.0)
        moved = vector.copy()
        pose = moved[:POSE_SIZE].reshape(3, 4)
        pose[:, :3] = rotation.numpy() @ pose[:, :3]
        crop = crop_from_landmarks(self._vertices(moved)[self.model.landmarks])
        pose[:] = crop.pose(pose, SIZE)
        return moved

    def _picture(
        self, image: NDArray[np.uint8], source: Floats, target: Floats, around: Floats
    ) -> tuple[NDArray[np.uint8], Floats]:
        """The turned picture, and its depth (FINE * SIZE squared)."""
        backdrop = _sampled(image, around)
        normals = self._completion.normals(source)
        seen = SeenSurface(source, self._triangles)
        colors = self._completion.colors(image, source, normals, seen)
        triangle, weights, depth = (
            tensor[0].numpy()
            for tensor in twodasl_ext.rasterize(
                torch.from_numpy(fine_grid(target))[None], self._completion.kept, FINE * SIZE
            )
        )
        hit = np.flatnonzero(triangle.ravel() >= 0)
        layer = np.zeros((*triangle.shape, 4), np.float32)
        if len(hit):
            corners = torch.from_numpy(self._corners[triangle.ravel()[hit]])
            shares = torch.from_numpy(weights.reshape(-1, 3)[hit])
            own = np.concatenate([source, normals], axis=1)
            both = np.concatenate(
                [own, own[self._completion.twins], colors, self._completion.front[:, None]], axis=1
            )
            surface = torch.nn.functional.embedding_bag(
                corners, torch.from_numpy(both), per_sample_weights=shares, mode="sum"
            ).numpy()
            y, x = np.divmod(hit, FINE * SIZE)
            place = ((x + 0.5) / FINE - 0.5).astype(np.float32), ((y + 0.5) / FINE - 0.5).astype(np.float32)
            nearby = np.column_stack([_at(around[..., axis], *place) for axis in (0, 1)])
            weight = np.zeros((2, *triangle.shape), np.float32)
            for side, columns in zip(weight, (surface[:, :6], surface[:, 6:12]), strict=True):
                side.ravel()[hit] = seen.weight(columns[:, :3], columns[:, 3:])
                # A sliver that something narrow hides is painted like what is around it.
                side[:] = cv2.GaussianBlur(cv2.morphologyEx(side, cv2.MORPH_CLOSE, _SLIVER), (0, 0), 1.0)
            first, second = (side.ravel()[hit, None] for side in weight)
            layer.reshape(-1, 4)[hit, :3] = self._painted(image, surface, first, second, nearby)
            layer[..., :3] = _trimmed(layer[..., :3], depth)
            layer.reshape(-1, 4)[hit, 3] = surface[:, 15]
            layer[..., :3] *= layer[..., 3:]
        small = resized(layer, SIZE, SIZE)
        mixed = small[..., :3] + (1 - small[..., 3:]) * backdrop
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8), depth

    def _painted(
        self, image: NDArray[np.uint8], surface: Floats, first: Floats, second: Floats, nearby: Floats
    ) -> Floats:
        """(P, 3) colors of surface points (P, 16): place, normal, the twin's, color, share of the head."""
        place, twin = surface[:, :2], surface[:, 6:8]
        # Where the surroundings show the same point of the photo, nothing needs to be made up.
        apart = np.hypot(*(place - nearby).T)[:, None]
        agree = np.exp(-((apart / _AGREE) ** 2))
        guess = surface[:, 12:15]
        guess = guess + second * self._completion.twin_trust * (_points(image, twin) - guess)
        guess = guess + agree * (_points(image, nearby) - guess)
        return guess + first * (_points(image, place) - guess)


def _checked(image: NDArray[np.uint8], parameters: ArrayLike, modes: int) -> tuple[NDArray[np.uint8], Floats]:
    picture = np.asarray(image)
    if picture.shape != (SIZE, SIZE, 3) or picture.dtype != np.uint8:
        raise InputError(
            f"image: expected ({SIZE}, {SIZE}, 3) uint8 BGR, got {picture.shape} {picture.dtype}"
        )
    vector = np.array(parameters, dtype=np.float32)
    if vector.shape != (POSE_SIZE + modes,):
        raise InputError(f"parameters: expected ({POSE_SIZE}+{modes},), got {vector.shape}")
    if not np.isfinite(vector).all():
        raise InputError("parameters: expected finite numbers, got NaN or infinity")
    if min(float(np.linalg.norm(vector[start : start + 3])) for start in (0, 4, 8)) < _FLATTEST:
        raise InputError(
            "parameters: expected a camera that turns and scales the head, got one that flattens it"
        )
    return np.ascontiguousarray(picture), vector


def _sampled(image: NDArray[np.uint8], places: Floats) -> Floats:
    """The photo at places (SIZE, SIZE, 2), bilinear, its border repeated."""
    # Twice as fine as asked for: places may jump from one pixel to the next.
    side = FINE * SIZE
    found = cv2.remap(
        image.astype(np.float32),
        cv2.resize(places, (side, side), interpolation=cv2.INTER_LINEAR),
        None,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return resized(found, SIZE, SIZE)


def _points(image: NDArray[np.uint8], places: Floats) -> Floats:
    return _columns(image.astype(np.float32), places)


def _columns(image: Floats, places: Floats) -> Floats:
    """Values (P, channels) of an image at places (P, 2): in rows, as cv2.remap takes 32,767 at most."""
    width = 256
    padded = np.zeros((-(-len(places) // width) * width, 2), np.float32)
    padded[: len(places)] = places
    found = cv2.remap(
        image, padded.reshape(-1, width, 2), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(found, np.float32).reshape(len(padded), -1)[: len(places)]


def _at(field: Floats, x: Floats, y: Floats) -> Floats:
    return _columns(np.ascontiguousarray(field), np.column_stack([x, y]))[:, 0]


def _trimmed(colors: Floats, depth: Floats) -> Floats:
    """Colors (h, w, 3) whose pixels at the edge of something nearer are those of its inside.

    At its outline the fitted head may miss the one in the photo, and carry something else.
    """
    farthest = cv2.erode(depth, np.ones((3, 3), np.uint8), borderValue=float("inf"))
    with np.errstate(invalid="ignore"):  # outside the head -inf is subtracted from itself
        inside = (depth - farthest < _EDGE).astype(np.float32)
    total = cv2.blur(inside, (5, 5))[..., None]
    spread = cv2.blur(colors * inside[..., None], (5, 5)) / np.maximum(total, 1e-6)
    return np.where((inside[..., None] > 0) | (total <= 0), colors, spread).astype(np.float32)


def _visible(landmarks: Floats, depth: Floats, slack: float) -> NDArray[np.bool_]:
    """Which landmarks (68, 3) are inside the crop and not behind a surface drawn within a pixel of them."""
    x, row = landmarks[:, 0], landmarks[:, 1]
    inside = (x > -0.5) & (x < SIZE - 0.5) & (row > -0.5) & (row < SIZE - 0.5)
    side = 2 * FINE + 1
    farthest = cv2.erode(depth, np.ones((side, side), np.uint8), borderValue=float("inf"))
    fine = np.clip(np.rint(fine_grid(landmarks)[:, :2]), 0, FINE * SIZE - 1).astype(int)
    return inside & (farthest[fine[:, 1], fine[:, 0]] <= landmarks[:, 2] + slack)
