"""The contact sheet of a face model: its mean, its modes, and random faces."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag, whole_number
from ..morphable import MorphableModel
from ..progress import progress_bar
from .render import Image, camera_view, caption, contact_sheet, render_mesh, stack_sheets

SIGMAS = 3.0
YAWS = (-90, -45, 0, 45, 90)
# Random faces: full shape variation, but only part of the expressions' spread, as in everyday faces.
EXPRESSION_SHARE = 0.4
TILE, LARGE = 190, 384
COLUMNS = 10
RANDOM_FACES = 20


def model_sheet(model: MorphableModel, seed: int = 0, progress: bool = True) -> Image:
    """Draw a model: mean from five yaws, each mode at -3 and +3 standard deviations, random faces.

    Args:
        model: any face model; one without colors is drawn in clay.
        seed: of the random faces.
        progress: whether to show a progress bar on a terminal.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    seed, progress = whole_number(seed, "seed", 0), flag(progress, "progress")
    studio = Studio(model)
    steps = len(model.coefficient_std) + _tone_count(model) + RANDOM_FACES
    with progress_bar(total=steps, description="drawing", unit="tile", show=progress) as bar:
        mean = [caption(studio.shot(model.mean, yaw=yaw, size=LARGE), f"mean, yaw {yaw}") for yaw in YAWS]
        modes = []
        for index in range(len(model.coefficient_std)):
            modes += studio.mode(index)
            bar.update()
        tones = []
        for index in range(_tone_count(model)):
            tones += studio.tone(index)
            bar.update()
        faces = []
        for face in studio.random_faces(seed):
            faces.append(face)
            bar.update()
    sheets = [contact_sheet(mean, 5), contact_sheet(modes, COLUMNS)]
    if tones:
        sheets.append(contact_sheet(tones, COLUMNS))
    return stack_sheets([*sheets, contact_sheet(faces, 5)])


def _tone_count(model: MorphableModel) -> int:
    return 0 if model.albedo_std is None else len(model.albedo_std)


class Studio:
    """A model in front of the camera, framed by its landmarks so that all models fill the tiles alike."""

    def __init__(self, model: MorphableModel) -> None:
        self.model = model
        marks = model.mean[model.landmarks]
        self.face_height = float(np.ptp(marks[:, 1]))
        self.face_center = (marks.min(0) + marks.max(0)) / 2
        used = model.mean[np.unique(model.triangles)]
        # The head from slightly above the crown to below the chin.
        top, bottom = float(used[:, 1].max()), float(marks[:, 1].min())
        self.head_span = (top - bottom) * 1.3
        self.head_center = np.array([marks[:, 0].mean(), (top + bottom) / 2 - 0.06 * self.head_span, 0.0])
        self.head_center[2] = (used[:, 2].min() + used[:, 2].max()) / 2
        self.colors = None if model.albedo_mean is None else model.albedo()

    def shot(
        self,
        vertices: NDArray[np.float32],
        yaw: float = 0.0,
        size: int = TILE,
        colors: NDArray[np.float32] | None = None,
        center: NDArray[np.float64] | None = None,
        span: float | None = None,
    ) -> Image:
        view = camera_view(
            vertices, size, span or self.head_span, self.head_center if center is None else center, yaw
        )
        colors = self.colors if colors is None else colors
        return render_mesh(view, self.model.triangles, size, "studio", colors)

    def mode(self, index: int) -> list[Image]:
        """The two tiles of a mode, framed on what it moves, and seen from where that shows best."""
        model = self.model
        step = SIGMAS * model.coefficient_std[index] * model.modes[index]
        weight = (step.astype(np.float64) ** 2).sum(1)
        share = weight / max(weight.sum(), 1e-12)
        yaw = 55.0 if (step[:, 2] ** 2).sum() > 0.5 * weight.sum() else 0.0
        moved = share @ model.mean
        spread = float(np.sqrt(share @ ((model.mean - moved) ** 2))[:2].max())
        # What moves is within about two spreads of its center: use the smallest of three frames that contains
        # it, but never so close to the edge of the face that orientation is lost.
        aside = np.array([0.18, 0.3, 1.0]) * self.face_height
        center = np.clip(moved, self.face_center - aside, self.face_center + aside)
        for span in (0.8 * self.face_height, 1.2 * self.face_height):
            if 1.9 * spread < span / 2 and moved[2] > self.head_center[2]:
                break
        else:
            center, span = self.head_center, self.head_span
        name = f"{index + 1}" if model.mode_names is None else model.mode_names[index]
        return [
            caption(
                self.shot(model.mean + sign * step, yaw, center=center, span=span),
                f"{name} {sign * SIGMAS:+g} sd",
            )
            for sign in (-1, 1)
        ]

    def tone(self, index: int) -> list[Image]:
        """The two tiles of an albedo mode."""
        model = self.model
        assert model.albedo_std is not None
        name = f"color {index + 1}" if model.albedo_names is None else model.albedo_names[index]
        tiles = []
        for sign in (-1, 1):
            coefficients = np.zeros(len(model.albedo_std), np.float32)
            coefficients[index] = sign * SIGMAS * model.albedo_std[index]
            picture = self.shot(model.mean, colors=model.albedo(coefficients))
            tiles.append(caption(picture, f"{name} {sign * SIGMAS:+g} sd"))
        return tiles

    def random_faces(self, seed: int) -> Iterator[Image]:
        """Yield captioned random people, from the front and from the sides."""
        model = self.model
        rng = np.random.default_rng(seed)
        spread = model.coefficient_std.copy()
        spread[len(model.shape_modes) :] *= EXPRESSION_SHARE
        for number in range(RANDOM_FACES):
            coefficients = rng.normal(size=len(spread)).astype(np.float32) * spread
            colors = None
            if model.albedo_std is not None:
                colors = model.albedo(rng.normal(size=len(model.albedo_std)) * model.albedo_std)
            yaw = (0, -30, 20, 60, -75)[number % 5]
            picture = self.shot(model.shape(coefficients), yaw, LARGE, colors)
            yield caption(picture, f"random face {number + 1}, yaw {yaw}")
