"""One mesh for everything drawn (head, hair or hat, torso, inside of the mouth), and its colors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

import twodasl_ext

from ..morphable import MorphableModel
from .lighting import Light, sample_light, shade
from .noise import noise_bank
from .options import SyntheticOptions
from .planar import cross, mean_under, mixed, normalized, planar, turned
from .sampling import Pose
from .shell import Shell, ShellMaker, grid_normals
from .skin import Complexions, sample_hair_color
from .torso import TorsoMaker
from .transfer import light_transfer, tangent_operators

Floats = NDArray[np.float32]

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_INNER_LIPS = np.arange(60, 68)

# Surfaces facing away from the viewer by more than this (z of the unit normal) are neither lit nor drawn; the
# margin is for normals averaged over a sharp edge.
_AWAY = -0.2


@dataclass(frozen=True)
class Look:
    """A sample's mesh before it is drawn."""

    vertices: Floats
    """(M, 3) crop space of the parameters: y up, pixels. The model's own vertices come first."""
    triangles: NDArray[np.int64]
    """(T, 3): the visible ones."""
    shell_range: tuple[int, int]
    """First triangle of hair or hat, and the one after the last."""
    colors: Floats
    """(M, 4): linear BGR, exposed, and 1."""
    skin: Floats
    """(3,) BGR display color of the lit face, for hands."""


@lru_cache(maxsize=2)
def prepared_scene(model: MorphableModel) -> Scene:
    """The scene of a model, shared between data sets: constant, and most of a second's work to create."""
    return Scene(model)


class Scene:
    """Prepares a model once; then adds hair and clothes to its samples and lights them."""

    def __init__(self, model: MorphableModel) -> None:
        bank = noise_bank()
        self.count = len(model.mean)
        self.landmarks = np.asarray(model.landmarks)
        self.complexions = Complexions(model)
        self.transfer = light_transfer(model)
        self.shells = ShellMaker(model, bank)
        self.torsos = TorsoMaker(model, bank)
        self.triangles = model.triangles
        self.corner_columns = np.ascontiguousarray(model.triangles.T)
        # One call of the operator returns vertices and both tangent fields.
        operators = tangent_operators(model)
        mean = np.concatenate([model.mean, *(operator @ model.mean for operator in operators)])
        modes = [np.concatenate([mode, *(operator @ mode for operator in operators)]) for mode in model.modes]
        self.basis = twodasl_ext.MorphableBasis(
            torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(np.stack(modes).astype(np.float32))
        )

    def geometry(self, coefficients: Floats, poses: Floats) -> Floats:
        """(B, K), (B, 3, 4) to (B, 3N, 3): vertices, then both tangent fields (still shifted by t)."""
        posed = twodasl_ext.vertices(self.basis, torch.from_numpy(coefficients), torch.from_numpy(poses))
        return posed.numpy()

    def dress(
        self,
        rng: np.random.Generator,
        posed: Floats,
        bare: Floats,
        pose: Pose,
        options: SyntheticOptions,
    ) -> Look:
        """A sample's geometry and appearance in space.

        posed: (3N, 3) from `geometry`; bare: (3, N) from `complexions.bare`, modified in place.
        """
        count = self.count
        head, shift = posed[:count], pose.matrix[:, 3]
        first, second = (planar(posed[k * count : (k + 1) * count] - shift) for k in (1, 2))
        normals = normalized(cross(first, second))
        # Accessories are in the head's own axes: undo the pose (a scaled rotation) of the landmarks.
        away = head[self.landmarks].astype(np.float64) - shift
        own = np.einsum("nk,kc->nc", away, pose.rotation / pose.scale)
        light = sample_light(rng)
        hair_color = sample_hair_color(rng)
        worn = rng.random()
        bald = worn > options.hair + options.headwear and rng.random() < 0.7
        facing = normals[2] > _AWAY
        near = np.flatnonzero(facing)
        albedo = self.complexions.sample(rng, bare, hair_color, bald).take(near, axis=1)
        shaded = self._lit_head(rng, albedo, normals.take(near, axis=1), near, light, pose)
        face = self.complexions.regions.front[near] * np.maximum(normals[2, near], 0)
        gain = self._exposure(rng, shaded, albedo, face)

        shell = self._hair_or_headwear(rng, worn, own, hair_color, options)
        torso = None
        if rng.random() < options.torso:
            angles = (pose.pitch, pose.yaw, pose.roll)
            torso = self.torsos.torso(rng, own, angles, pose.rotation, mean_under(face, albedo))
        pieces = [piece for piece in (shell, torso) if piece is not None]

        color = np.zeros((3, count), np.float32)
        for channel, values in zip(color, shaded, strict=True):
            channel[near] = values
        drawn = self._facing_triangles(facing)
        triangles, attached = _with_pieces(drawn, count, pieces, own)
        shell_range = (0, 0) if shell is None else (len(drawn), len(drawn) + len(shell.triangles))
        placed = np.einsum("nk,ck->nc", attached, pose.matrix[:, :3]) + shift
        around = _lit_pieces(rng, pieces, light, pose.rotation)
        blue_first = np.concatenate([color, around], axis=1)[::-1] * gain
        table = np.ones((blue_first.shape[1], 4), np.float32)
        table[:, :3] = blue_first.T
        return Look(
            vertices=np.concatenate([head, placed]),
            triangles=triangles,
            shell_range=shell_range,
            colors=table,
            skin=np.sqrt(np.clip(mean_under(face, shaded) * gain, 0, 1))[::-1].astype(np.float32),
        )

    def _hair_or_headwear(
        self,
        rng: np.random.Generator,
        worn: float,
        own: NDArray[np.float64],
        hair_color: Floats,
        options: SyntheticOptions,
    ) -> Shell | None:
        """What `worn`, uniform in [0, 1), stands for: headwear, hair, or nothing."""
        if worn < options.headwear:
            return self.shells.headwear(rng, own)
        if worn < options.headwear + options.hair:
            return self.shells.hair(rng, hair_color, own)
        return None

    def _facing_triangles(self, facing: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Those with a corner that faces the camera."""
        a, b, c = self.corner_columns
        return self.triangles.take(np.flatnonzero(facing.take(a) | facing.take(b) | facing.take(c)), axis=0)

    def _lit_head(
        self,
        rng: np.random.Generator,
        albedo: Floats,
        normals: Floats,
        near: NDArray[np.int64],
        light: Light,
        pose: Pose,
    ) -> Floats:
        """(3, n) light from the vertices `near`; their normals in camera axes."""
        regions = self.complexions.regions
        oil = rng.uniform(0.0, 0.16) * rng.random()
        gloss = (oil * (0.4 + 0.6 * regions.front[near]) + 0.5 * regions.eyes[near]).astype(np.float32)
        shadows = []
        for lamp in light.lamps:
            direction = np.einsum("kc,k->c", pose.rotation, lamp.direction)
            shadows.append(self.transfer.shadow(direction, lamp.sharpness)[near])
        openness = self.transfer.openness[near]
        return shade(albedo, normals, light, openness, shadows, gloss, int(rng.integers(2, 6)))

    @staticmethod
    def _exposure(rng: np.random.Generator, shaded: Floats, albedo: Floats, face: Floats) -> np.float32:
        """The camera's gain: it meters the light on the face, with some allowance for dark and light skin."""
        reflected = float(mean_under(face, mixed(_LUMINANCE, shaded)))
        reflectance = float(mean_under(face, mixed(_LUMINANCE, albedo)))
        irradiance = reflected / max(reflectance, 1e-4)
        allowance = (0.3 / max(reflectance, 0.01)) ** 0.25
        return np.float32(np.exp(rng.normal(-0.25, 0.38)) * allowance / max(irradiance, 1e-4))


def _with_pieces(
    drawn: NDArray[np.int64], count: int, pieces: list[Shell], own: NDArray[np.float64]
) -> tuple[NDArray[np.int64], Floats]:
    """The triangles of head, pieces and mouth, and the vertices of the latter two in the head's axes."""
    triangles = [drawn]
    vertices: list[NDArray[np.floating]] = []
    offset = count
    for piece in pieces:
        triangles.append(piece.triangles + offset)
        vertices.append(piece.vertices)
        offset += len(piece.vertices)
    triangles.append(_MOUTH_TRIANGLES + offset)
    vertices.append(_mouth_vertices(own))
    return np.concatenate(triangles), np.concatenate(vertices).astype(np.float32)


def _lit_pieces(
    rng: np.random.Generator, pieces: list[Shell], light: Light, rotation: NDArray[np.floating]
) -> Floats:
    """(3, n) light from hair, clothes and, last, the inside of the mouth."""
    normals = [grid_normals(piece.vertices, *piece.grid) for piece in pieces]
    facing = turned(rotation, np.concatenate([*normals, np.zeros((3, 17), np.float32)], axis=1))
    facing[2, -17:] = 1
    # The inside of a hood or of hair is visible too: light it from the viewer's side.
    facing *= np.where(facing[2] < 0, np.float32(-1), np.float32(1))
    albedo = np.concatenate([*(planar(piece.albedo) for piece in pieces), _mouth_colors(rng)], axis=1)
    gloss = np.zeros(albedo.shape[1], np.float32)
    start = 0
    for piece in pieces:
        gloss[start : start + len(piece.vertices)] = piece.gloss
        start += len(piece.vertices)
    return shade(albedo, facing, light, None, None, gloss, 4)


def _mouth_colors(rng: np.random.Generator) -> Floats:
    """(3, 17): teeth above, dark red below; less light inside."""
    inside = np.array([[0.06], [0.015], [0.012]], np.float32) * np.ones((3, 17), np.float32)
    inside *= np.float32(rng.uniform(0.3, 1.2))
    if rng.random() < 0.75:
        teeth = np.array([[0.37], [0.35], [0.3]], np.float32) * np.float32(rng.uniform(0.5, 1.1))
        inside[:, 1:4] = inside[:, 9:12] = teeth
    return inside


def _mouth_triangles() -> NDArray[np.int64]:
    """Two rings of eight points and a center point."""
    ring = np.arange(8)
    after = (ring + 1) % 8
    outer = np.stack([ring, after, ring + 8], axis=1), np.stack([after, after + 8, ring + 8], axis=1)
    inner = np.stack([ring + 8, after + 8, np.full(8, 16)], axis=1)
    return np.concatenate([*outer, inner]).astype(np.int64)


_MOUTH_TRIANGLES = _mouth_triangles()


def _mouth_vertices(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """A shallow bowl behind the inner lips (17, 3), in the head's axes: not every model has one."""
    ring = own[_INNER_LIPS]
    middle = ring.mean(axis=0)
    # Wider than the opening and slightly behind it, so that its edge stays hidden.
    outer = middle + 1.06 * (ring - middle) - [0, 0, 7.0]
    inner = middle + 0.55 * (ring - middle) - [0, 0, 10.0]
    return np.concatenate([outer, inner, (middle - [0, 0, 14.0])[None]])
