"""One mesh for everything that is drawn: head, hair or hat, torso, inside of the mouth; and its colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import twodasl_ext

from ...morphable import MorphableModel
from .lighting import Light, sample_light, shade
from .noise import NoiseBank
from .options import SyntheticOptions
from .planar import cross, mean_under, mixed, normalised, planar, turned
from .sampling import Pose
from .shell import AZIMUTHS, ELEVATIONS, ShellMaker, grid_normals
from .skin import Complexions, sample_hair_colour
from .torso import COLUMNS, ROWS, TorsoMaker
from .transfer import light_transfer, tangent_operators

Floats = NDArray[np.float32]

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_INNER_LIPS = np.arange(60, 68)


@dataclass(frozen=True)
class Look:
    """What a sample's mesh looks like, before it is drawn."""

    vertices: Floats
    """(M, 3) crop space of the parameters: y up, pixels."""
    colours: Floats
    """(M, 4): linear BGR, exposed, and 1."""
    skin: Floats
    """(3,) BGR display colour of the lit face, for hands."""


class Scene:
    """Prepares a model once, then dresses and lights samples of it. The triangles are the same for all."""

    def __init__(self, model: MorphableModel, options: SyntheticOptions, bank: NoiseBank) -> None:
        self.options = options
        self.count = len(model.mean)
        self.landmarks = np.asarray(model.landmarks)
        self.complexions = Complexions(model)
        self.transfer = light_transfer(model)
        self.shells = ShellMaker(model, bank)
        self.torsos = TorsoMaker(model, bank)
        # Vertices and both tangent fields leave one call of the operator.
        operators = tangent_operators(model)
        mean = np.concatenate([model.mean, *(operator @ model.mean for operator in operators)])
        modes = [np.concatenate([mode, *(operator @ mode for operator in operators)]) for mode in model.modes]
        self.basis = twodasl_ext.MorphableBasis(
            torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(np.stack(modes).astype(np.float32))
        )
        shell, torso = self.count, self.count + ELEVATIONS * AZIMUTHS
        mouth = torso + ROWS * COLUMNS
        triangles = [
            model.triangles,
            self.shells.triangles + shell,
            self.torsos.triangles + torso,
            _mouth_triangles() + mouth,
        ]
        self.triangles = torch.from_numpy(np.concatenate(triangles))
        start = len(model.triangles)
        self.shell_range = start, start + len(self.shells.triangles)
        self.vertex_count = mouth + 17
        self.corners = self.triangles.numpy().astype(np.int32)

    def geometry(self, coefficients: Floats, poses: Floats) -> Floats:
        """(B, K), (B, 3, 4) to (B, 3N, 3): vertices, then both tangent fields (still shifted by t)."""
        posed = twodasl_ext.vertices(self.basis, torch.from_numpy(coefficients), torch.from_numpy(poses))
        return posed.numpy()

    def dress(self, rng: np.random.Generator, posed: Floats, pose: Pose) -> Look:
        """Everything about one sample's appearance in space. posed: (3N, 3) of `geometry`."""
        options = self.options
        head = posed[: self.count]
        shift = pose.matrix[:, 3]
        first, second = (
            planar(posed[start : start + self.count] - shift) for start in (self.count, 2 * self.count)
        )
        normals = normalised(cross(first, second))
        rotation = pose.rotation.astype(np.float32)
        light = sample_light(rng)
        hair_colour = sample_hair_colour(rng)
        worn = rng.random()
        bald = worn > options.hair + options.headwear and rng.random() < 0.7
        albedo = self.complexions.sample(rng, hair_colour, bald)
        regions = self.complexions.regions
        oil = rng.uniform(0.0, 0.16) * rng.random()
        gloss = (oil * (0.4 + 0.6 * regions.front) + 0.5 * regions.eyes).astype(np.float32)
        shininess = int(rng.integers(2, 6))
        # Only what faces the viewer can be seen; the margin is for normals averaged over a sharp edge.
        near = np.flatnonzero(normals[2] > -0.3)
        lamps = [(np.einsum("kc,k->c", rotation, lamp.direction), lamp.sharpness) for lamp in light.lamps]
        face, seen = regions.front[near] * np.maximum(normals[2, near], 0), albedo.take(near, axis=1)
        shaded = shade(
            seen,
            normals.take(near, axis=1),
            light,
            self.transfer.openness[near],
            [self.transfer.shadow(*lamp)[near] for lamp in lamps],
            gloss[near],
            shininess,
        )
        # Accessories live in the head's own axes: undo the pose of the landmarks (a scaled rotation).
        own = np.einsum(
            "nk,kc->nc", head[self.landmarks].astype(np.float64) - shift, pose.rotation / pose.scale
        )
        if worn < options.headwear:
            shell = self.shells.headwear(rng, own)
        elif worn < options.headwear + options.hair:
            shell = self.shells.hair(rng, hair_colour, own)
        else:
            shell = self.shells.hidden()
        torso = self.torsos.hidden()
        if rng.random() < options.torso:
            angles = (pose.pitch, pose.yaw, pose.roll)
            torso = self.torsos.torso(rng, own, angles, pose.rotation, mean_under(face, seen))
        gain = self._exposure(rng, shaded, seen, face)
        colours = np.zeros((self.vertex_count, 4), np.float32)
        colours[:, 3] = 1
        colours[near, :3] = (shaded[::-1] * gain).T
        start = self.count
        for piece, rows, columns in ((shell, ELEVATIONS, AZIMUTHS), (torso, ROWS, COLUMNS)):
            facing = turned(rotation, grid_normals(piece.vertices, rows, columns))
            # The inside of a hood or of hair is seen too: light it from the viewer's side.
            facing *= np.where(facing[2] < 0, np.float32(-1), np.float32(1))
            lit = shade(planar(piece.albedo), facing, light, None, None, piece.gloss, 4)
            colours[start : start + rows * columns, :3] = (lit[::-1] * gain).T
            start += rows * columns
        colours[start:, :3] = (self._mouth_colours(rng, light)[::-1] * gain).T
        attached = np.concatenate([shell.vertices, torso.vertices, _mouth_vertices(own)]).astype(np.float32)
        placed = np.einsum("nk,ck->nc", attached, pose.matrix[:, :3]) + shift
        skin = np.sqrt(np.clip(mean_under(face, shaded) * gain, 0, 1))[::-1]
        return Look(np.concatenate([head, placed]), colours, skin.astype(np.float32))

    def _mouth_colours(self, rng: np.random.Generator, light: Light) -> Floats:
        """Teeth above, dark red below; less light inside."""
        inside = np.tile(
            np.array([0.10, 0.025, 0.02], np.float32) * np.float32(rng.uniform(0.3, 1.2)), (17, 1)
        )
        if rng.random() < 0.75:
            inside[1:4] = inside[9:12] = np.array([0.62, 0.58, 0.5], np.float32) * np.float32(
                rng.uniform(0.5, 1.1)
            )
        normals = np.repeat(np.array([[0], [0], [1]], np.float32), 17, axis=1)
        return shade(planar(inside), normals, light) * np.float32(0.6)

    @staticmethod
    def _exposure(rng: np.random.Generator, shaded: Floats, albedo: Floats, face: Floats) -> np.float32:
        """The camera's gain: it meters the light on the face, and allows a little for dark and light skin."""
        reflected = float(mean_under(face, mixed(_LUMINANCE, shaded)))
        reflectance = float(mean_under(face, mixed(_LUMINANCE, albedo)))
        irradiance = reflected / max(reflectance, 1e-4)
        allowance = (0.3 / max(reflectance, 0.01)) ** 0.25
        return np.float32(np.exp(rng.normal(-0.25, 0.38)) * allowance / max(irradiance, 1e-4))


def _mouth_triangles() -> NDArray[np.int64]:
    """Two rings of eight and a middle point."""
    ring = np.arange(8)
    after = (ring + 1) % 8
    outer = np.stack([ring, after, ring + 8], axis=1), np.stack([after, after + 8, ring + 8], axis=1)
    inner = np.stack([ring + 8, after + 8, np.full(8, 16)], axis=1)
    return np.concatenate([*outer, inner]).astype(np.int64)


def _mouth_vertices(own: NDArray[np.float64]) -> NDArray[np.float64]:
    """A shallow bowl behind the inner lips (17, 3), in the head's axes: models differ in what they have there."""
    ring = own[_INNER_LIPS]
    middle = ring.mean(axis=0)
    # Wider than the opening and a little behind it: its edge stays out of sight.
    outer = middle + 1.06 * (ring - middle) - [0, 0, 7.0]
    inner = middle + 0.55 * (ring - middle) - [0, 0, 10.0]
    return np.concatenate([outer, inner, (middle - [0, 0, 14.0])[None]])
