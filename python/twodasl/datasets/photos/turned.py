"""More profiles for a folder of fitted photos: the same heads, turned; see `synthetic/turn.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...arguments import whole_number
from ...geometry.pose import matrix_from_angles
from ...progress import progress_bar
from ...synthetic.turn import FaceTurner
from ...synthetic.turn_angles import draw_turn, even_weights
from ..report import DataReport
from .fitted_store import FittedFaces, Store

Floats = NDArray[np.float32]

PROFILE = "the head cannot be turned further: it is a profile, or looks away"


class TurnPlan(NamedTuple):
    """Which heads to turn, and what that gives, without the pictures.

    Attributes:
        rows: the row in the source folder of each turned head.
        angles: its `turn` and `lift`, radians.
        faces: what a folder of fitted photos keeps of the turned heads beside the crops.
        report: how many there are, and which photos gave none.
    """

    rows: list[int]
    angles: list[tuple[float, float]]
    faces: FittedFaces
    report: DataReport


def plan_turns(
    store: Store, turner: FaceTurner, *, count: int = 1, seed: int = 0, progress: bool = True
) -> TurnPlan:
    """Turn the heads of a folder, so that they are spread evenly over |yaw| from 30 to 90 degrees.

    What a head becomes depends on the seed, its row and on the poses of all. The deviations follow the turn;
    the residual stays.

    Args:
        store: the photos. turner: of their face model.
        count: turned heads a photo, 1 or more.
        seed: 0 or more.
        progress: show a bar (on a terminal).

    Raises InputError for another count or seed, or parameters that are no head.
    """
    count, seed = whole_number(count, "count", 1), whole_number(seed, "seed", 0)
    faces, rows, angles = store.faces, list[int](), list[tuple[float, float]]()
    lost: list[tuple[str, str]] = []
    weights = even_weights(faces.parameters[:, :12])
    for row, name in enumerate(faces.names):
        drawn = [
            draw_turn(np.random.default_rng((seed, row, copy)), faces.parameters[row, :12], weights)
            for copy in range(count)
        ]
        kept = [pair for pair in drawn if pair is not None]
        if not kept:
            lost.append((name, PROFILE))
        rows += [row] * len(kept)
        angles += kept
    pairs = list(zip(rows, angles, strict=True))
    placed = [
        turner.place(faces.parameters[row], *pair)
        for row, pair in progress_bar(
            pairs, description="turn heads", unit="head", show=progress, announce_from=5000
        )
    ]
    modes = turner.basis.mode_count
    columns = [np.stack(column) for column in zip(*placed, strict=True)] or [
        np.zeros((0, 12 + modes), np.float32),
        np.zeros((0, 68, 3), np.float32),
        np.zeros((0, 68), bool),
    ]
    deviations = [
        _turned_deviations(faces.deviations[row], faces.parameters[row], columns[0][place], pair)
        for place, (row, pair) in enumerate(pairs)
    ]
    found = FittedFaces(
        names=tuple(
            f"{faces.names[row]} turned to {_side(columns[0][place])}" for place, row in enumerate(rows)
        ),
        parameters=columns[0],
        deviations=np.array(deviations, np.float32).reshape(len(rows), faces.deviations.shape[1]),
        landmarks=columns[1],
        visible=columns[2],
        residual=faces.residual[rows],
    )
    return TurnPlan(rows, angles, found, DataReport.of(len(rows), lost))


def turned_crops(
    store: Store, turner: FaceTurner, plan: TurnPlan, progress: bool = True
) -> Iterator[NDArray[np.uint8]]:
    """The pictures (120, 120, 3) of a plan's heads, made one at a time."""
    jobs = list(zip(plan.rows, plan.angles, strict=True))
    for row, pair in progress_bar(
        jobs, description="make pictures", unit="picture", show=progress, announce_from=1000
    ):
        yield turner(np.array(store.images[row]), store.faces.parameters[row], *pair).image


def _turned_deviations(
    deviations: Floats, before: Floats, after: Floats, angles: tuple[float, float]
) -> Floats:
    """Deviations (7+K,) of the turned head: those of the pose mix as its axes do.

    Shifts, in pixels of the crop, grow with it.
    """
    turn, lift = angles
    mixing = np.square(matrix_from_angles(lift, turn, 0.0).numpy())
    found = deviations.copy()
    found[:3] = np.sqrt(mixing @ np.square(deviations[:3]))
    found[4:7] *= np.linalg.norm(after[:3]) / np.linalg.norm(before[:3])
    return found


def _side(parameters: Floats) -> str:
    """Where a turned head looks, for its name."""
    x, z = -parameters[2], parameters[10]
    return f"{np.degrees(np.arctan2(x, z)):+.0f} degrees"
