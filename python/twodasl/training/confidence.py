"""How sure a face is: from clues of the network and the fit to the probability that the alignment is good.

The numbers belong to one network and are kept with its weights; `reconstruction.confidence_measure` finds
them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InputError

GOOD = 0.05
"""An alignment is good where the mean distance of the 68 points from the truth is at most this, over the root
of width times height of the truth's box, see `evaluation.nme`."""

LEAST_CLUE, MOST_CLUE = 1e-4, 1e4
_MOST = 1e4  # of a weight
# Ridge of the weights, against scenes that a line can separate; a few scenes' worth.
_RIDGE = 1.0
_STEPS = 100
_USUAL = 0.01  # residual


class Clues(NamedTuple):
    """What speaks against a face, as shares of its size, the root of width times height of its points' box.

    Attributes:
        sigma: the root mean square of the standard deviations that the network gives its own points.
        residual: the mean distance from those to the result's landmarks.
        contradiction: the mean distance from those to the landmarks that came with the face, but for the jaw;
            None where none came.
    """

    sigma: float
    residual: float
    contradiction: float | None = None

    @property
    def numbers(self) -> tuple[float, ...]:
        """Those that there are."""
        return tuple(number for number in self if number is not None)


@dataclass(frozen=True)
class Calibration:
    """The probability of a good alignment is 1 / (1 + exp(-line)), with a line in the clues' logarithms.

    Attributes:
        alone: its weights, of sigma and residual, and its constant, for faces without landmarks.
        landmarks: those of all three of `Clues`, where landmarks came with the face.
        photos: times what a face that was drawn errs, what a photographed one of the same clues errs.
    """

    alone: tuple[float, ...]
    landmarks: tuple[float, ...]
    photos: float

    def __call__(self, clues: Clues) -> float:
        """The probability for one face."""
        line = self.alone if clues.contradiction is None else self.landmarks
        numbers = torch.tensor([clues.numbers], dtype=torch.float64)
        return float(probabilities(numbers, torch.tensor(line, dtype=torch.float64)))

    def describe(self) -> str:
        """The numbers for people: where the probability is one half and nine tenths, for a usual residual."""
        slope, other, constant = self.alone
        places = []
        for odds in (1.0, 9.0):
            rest = math.log(odds) - constant - other * math.log(_USUAL)
            places.append(f"{100 * math.exp(rest / slope):.1f} %" if slope else "no matter how much")
        return (
            f"0.5 where the network's own sigma is {places[0]} of the face, 0.9 where it is {places[1]};"
            f" photos err {self.photos:.2f} times as much as drawn faces"
        )

    def to_dict(self) -> dict[str, Any]:
        """Numbers and lists of them."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Any, where: str) -> Calibration:
        """Raises InputError, beginning with `where`, when these are not its numbers."""
        names = {field.name for field in fields(cls)}
        if not isinstance(values, Mapping) or values.keys() != names:
            raise InputError(f"{where}: confidence: expected {', '.join(sorted(names))}")
        for name, count in (("alone", 3), ("landmarks", 4)):
            row = values[name]
            if not (isinstance(row, list) and len(row) == count and all(map(_is_number, row))):
                raise InputError(
                    f"{where}: confidence.{name}: expected {count} numbers from {-_MOST:g} to {_MOST:g}"
                )
        if not _is_number(values["photos"]) or values["photos"] <= 0:
            raise InputError(f"{where}: confidence.photos: expected a number above 0")
        rows = {name: tuple(map(float, values[name])) for name in ("alone", "landmarks")}
        return cls(**rows, photos=float(values["photos"]))


def probabilities(clues: Tensor, line: Tensor) -> Tensor:
    """(n,) of clues (n, C), for a line (C + 1,), both float64."""
    return torch.sigmoid(_columns(clues) @ line)


def fitted_line(clues: Tensor, good: Tensor) -> tuple[float, ...]:
    """The weights and the constant of a logistic regression.

    A clue speaks against a face or not at all: no weight is positive. The two outcomes are drawn in a little,
    as by Platt (Probabilistic outputs for support vector machines, 1999), so that none is certain.

    Args:
        clues: (n, C) float64, positive.
        good: (n,) bool.
    """
    columns, count = _columns(clues), clues.shape[1]
    center, scale = columns[:, :count].mean(0), columns[:, :count].std(0, correction=0).clamp_min(1e-6)
    columns = torch.cat([(columns[:, :count] - center) / scale, columns[:, count:]], dim=1)
    positive = int(good.sum())
    high, low = (positive + 1) / (positive + 2), 1 / (len(good) - positive + 2)
    target = torch.where(good, high, low).double()
    used = list(range(count))
    line = _regression(columns, target, used)
    while used and float(line[used].max()) > 0:
        used.remove(max(used, key=lambda column: float(line[column])))
        line = _regression(columns, target, used)
    weights = line[:count] / scale
    constant = line[count] - (weights * center).sum()
    return (*weights.tolist(), float(constant))


def log_loss(probability: Tensor, good: Tensor) -> float:
    """The mean of minus the logarithm of what was said of what happened."""
    said = torch.where(good, probability, 1 - probability)
    return -float(said.clamp_min(1e-6).log().mean())


def _columns(clues: Tensor) -> Tensor:
    """Logarithms (n, C), and a one."""
    logs = clues.clamp(LEAST_CLUE, MOST_CLUE).log()
    return torch.cat([logs, torch.ones_like(logs[:, :1])], dim=1)


def _regression(columns: Tensor, target: Tensor, used: list[int]) -> Tensor:
    """Newton's method on some of the columns and the last, a one; the others get zero."""
    chosen = [*used, columns.shape[1] - 1]
    part = columns[:, chosen]
    ridge = torch.full((len(chosen),), _RIDGE, dtype=torch.float64)
    ridge[-1] = 1e-3
    line = part.new_zeros(len(chosen))
    for _ in range(_STEPS):
        said = torch.sigmoid(part @ line)
        slope = part.T @ (said - target) + ridge * line
        curvature = (part.T * (said * (1 - said))) @ part + torch.diag(ridge)
        step = torch.linalg.solve(curvature, slope)
        # Far from the optimum the parabola reaches too far.
        line = line - step / max(1.0, float(step.norm()) / 2)
        if float(step.norm()) < 1e-9:
            break
    whole = columns.new_zeros(columns.shape[1])
    whole[chosen] = line
    return whole


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= _MOST
