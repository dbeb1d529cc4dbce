"""python -m benchmarks.experiments.same_person [--photos ROOT]: what several photos of a person tell.

- Synthetic people whose shape is known: how far the neutral face is from the true one, from 1 to 16 photos,
  for the joined fit, for the mean of the shapes of single fits, and for single fits; and how far the
  landmarks of each photo are from the true ones. With landmarks that have a pixel's noise; and without any,
  so that only the network's own points and coefficients are there.
- The same for other weights of the network's predictions than those of `PersonFit`.
- How often a photo is said to contradict others of its person, and how often that of another person is.
- With ROOT, three frames each of many people (see `benchmarks.experiments.identity`): whether the shape of
  two frames finds the third among others' better than that of one. Landmarks are a detector's, some wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor
from twodasl.geometry.projection import crop_landmarks
from twodasl.morphable import MorphableModel
from twodasl.progress import progress_bar
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.landmark_fit import Points
from twodasl.reconstruction.look import joined_looks
from twodasl.reconstruction.person_fit import CONTRADICTION, FittedPerson, PersonFit
from twodasl.reconstruction.reconstructor import FaceReconstructor

from .identity import photos
from .synthetic_people import NeutralError, Person, people

Floats = NDArray[np.float64]

COUNTS = (1, 2, 4, 8, 16)
_SEED = 3_000_000  # of people that nothing was trained on
_GALLERY, _DRAWS = 102, 20


# How far the errors of the network's points are common to a person's photos, and what its coefficients count.
_WEIGHTS: tuple[tuple[float, str, float | None], ...] = (
    (1.0, "by their scatter", None),
    (0.3, "by their scatter", None),
    (0.0, "by their scatter", None),
    (1.0, "as one photo's", 0.0),
    (1.0, "as independent", 1.0),
)
_KINDS: dict[str, float | None] = {"landmarks with a pixel's noise": 1.0, "no landmarks": None}
_BATCH = 32


@dataclass(frozen=True)
class Looked:
    """What there is to fit n faces to, see `joined_looks`: looked at once, fitted many times."""

    reconstructor: FaceReconstructor
    parameters: Tensor
    detected: Points | None
    own: Points | None

    @classmethod
    def at(cls, reconstructor: FaceReconstructor, faces: list[FaceInput]) -> Looked:
        looks = [
            reconstructor._look(faces[start : start + _BATCH], None) for start in range(0, len(faces), _BATCH)
        ]
        return cls(reconstructor, *joined_looks(looks))

    def of(self, rows: Sequence[int]) -> Looked:
        """Of some of them."""
        return Looked(self.reconstructor, self.parameters[rows], *self._sources(rows))

    def with_one_of(self, other: Looked, row: int) -> Looked:
        """All but the last, and in its place one of others."""
        joined = [
            None
            if mine is None or its is None
            else Points(*(torch.cat(v) for v in zip(mine, its, strict=True)))
            for mine, its in zip(self._sources(slice(-1)), other._sources([row]), strict=True)
        ]
        return Looked(
            self.reconstructor, torch.cat([self.parameters[:-1], other.parameters[row][None]]), *joined
        )

    def alone(self) -> Tensor:
        """Parameters of each face fitted for itself."""
        fit = self.reconstructor._fit
        assert fit is not None
        return fit(self.parameters, self.detected, self.own)

    def person(self, **weighing: float | None) -> FittedPerson:
        """All faces as those of one person; weighing: see `PersonFit`."""
        fit = self.reconstructor._fit
        assert fit is not None
        joint = PersonFit(fit, **weighing)
        return joint(self.parameters, self.detected, self.own)

    def _sources(self, rows: Sequence[int] | slice) -> list[Points | None]:
        sources = (self.detected, self.own)
        return [None if s is None else Points(*(values[rows] for values in s)) for s in sources]


def curve(crowd: list[Person], looks: list[Looked]) -> Floats:
    """(counts, 5): neutral error in mm of joined, mean and single fits; landmarks' of joined and single.

    A count takes as many sets of photos of each person as fit into all, at most 4.
    """
    model = looks[0].reconstructor.model
    error, shapes = NeutralError(model), _shapes_of(model)
    rows: list[list[list[float]]] = [[] for _ in COUNTS]
    for person, look in progress_bar(list(zip(crowd, looks, strict=True)), description="fits", unit="person"):
        single = look.alone()
        apart = np.array([error(shape, person.shape) for shape in single[:, shapes].numpy()])
        missed = _missed(look, single, person.marks)
        for row, count in zip(rows, COUNTS, strict=True):
            for part in _parts(len(single), count):
                found = look.of(part).person().parameters
                mean = single[part][:, shapes].mean(dim=0).numpy()
                joined = error(found[0, shapes].numpy(), person.shape)
                marks = _missed(look, found, person.marks[part])
                row.append(
                    [joined, error(mean, person.shape), apart[part].mean(), marks.mean(), missed[part].mean()]
                )
    return np.array([np.mean(row, axis=0) for row in rows])


def _shapes_of(model: MorphableModel) -> slice:
    return slice(12, 12 + len(model.shape_modes))


def _parts(total: int, count: int) -> list[list[int]]:
    starts = range(0, total - count + 1, count)
    return [list(range(start, start + count)) for start in list(starts)[:4]]


def _missed(look: Looked, parameters: Tensor, marks: Floats) -> Floats:
    """(n,) mean distance of the points inside the face from the true ones, in percent of the box of all."""
    found = crop_landmarks(look.reconstructor.basis, parameters)[:, 17:, :2].double().numpy()
    off = np.linalg.norm(found - marks[:, 17:], axis=2).mean(axis=1)
    return 100 * off / np.sqrt(np.ptp(marks, axis=1).prod(axis=1))


def contradictions(looks: list[Looked], count: int) -> tuple[float, float]:
    """How often one of `count` photos is said to contradict the others; how often a stranger's is."""
    wrong, caught = [], []
    for number, look in enumerate(looks):
        stranger = looks[(number + 1) % len(looks)]
        for part in _parts(len(look.parameters), count):
            some = look.of(part)
            wrong.append(some.person().contradicts.double().mean())
            caught.append(some.with_one_of(stranger, part[0]).person().contradicts[-1].double())
    return float(np.mean(wrong)), float(np.mean(caught))


def frames(reconstructor: FaceReconstructor, root: Path) -> None:
    """Prints how well shapes of one and of two frames find a third."""
    faces, names = photos(root)
    rows = [np.flatnonzero(names == name)[:3] for name in np.unique(names)]
    trios = np.array([row for row in rows if len(row) == 3])
    look, model = Looked.at(reconstructor, faces), reconstructor.model
    spread, shapes = model.coefficient_std[: len(model.shape_modes)], _shapes_of(model)
    single = look.alone()[:, shapes].numpy() / spread
    single = single - single.mean(axis=0)
    mean = single.mean(axis=0)
    joined, wrong, caught = [], {2: [], 3: []}, {2: [], 3: []}
    for number, row in enumerate(progress_bar(trios, description="pairs", unit="person")):
        joined.append(look.of(row[:2]).person().parameters[0, shapes].numpy() / spread)
        stranger = trios[(number + 1) % len(trios)][2]
        for count in wrong:
            wrong[count].append(look.of(row[:count]).person().contradicts.double().mean())
            some = [*row[: count - 1], stranger]
            caught[count].append(look.of(some).person().contradicts[-1].double())
    pairs = np.array(joined) - np.mean(joined, axis=0)
    first, second, third = (single[trios[:, k]] for k in range(3))
    print(f"{len(trios)} people, whose third frame is to be found by")
    for words, query in (
        ("the first", first),
        ("the second", second),
        ("the mean of single fits to both", (first + second) / 2 - mean),
        ("the joined fit to both", pairs),
    ):
        print(f"  {words}: " + _told(query, third))
    for count in wrong:
        print(
            f"  of {count} frames {100 * np.mean(wrong[count]):.1f} % contradict the others;"
            f" another person's, in the place of the last, {100 * np.mean(caught[count]):.0f} %"
        )


def _told(query: Floats, gallery: Floats) -> str:
    """AUC of the angle between shapes, and how often the nearest of `_GALLERY` people is the right one."""
    distance = 1 - _unit(query) @ _unit(gallery).T
    same, other = np.diag(distance), distance[~np.eye(len(distance), dtype=bool)]
    ranks = rankdata(np.concatenate([same, other]))[: len(same)]
    auc = 1 - (ranks.sum() - len(same) * (len(same) + 1) / 2) / (len(same) * len(other))
    rng, hits = np.random.default_rng(0), []
    for _ in range(_DRAWS):
        chosen = rng.choice(len(distance), min(_GALLERY, len(distance)), replace=False)
        hits.append((distance[np.ix_(chosen, chosen)].argmin(axis=1) == np.arange(len(chosen))).mean())
    return f"AUC {auc:.3f}, first of {_GALLERY} {np.mean(hits):.3f}"


def _unit(rows: Floats) -> Floats:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _print_curve(words: str, rows: Floats) -> None:
    columns = "photos; mm of joined, mean of single, single fits; landmarks' % of joined, single fits"
    print(f"{words}: {columns}")
    for count, row in zip(COUNTS, rows, strict=True):
        print(f"  {count:2d}  " + "  ".join(f"{value:.2f}" for value in row), flush=True)


def _print_weights(words: str, crowd: list[Person], looks: list[Looked]) -> None:
    """Prints the neutral error of some weights of the network's points and coefficients."""
    model = looks[0].reconstructor.model
    error, shapes = NeutralError(model), _shapes_of(model)
    for points, what, scatter in _WEIGHTS:
        line = []
        for count in COUNTS[1:]:
            found = [look.of(range(count)).person(alike=points, scatter=scatter) for look in looks]
            rows = zip(found, crowd, strict=True)
            off = [error(one.parameters[0, shapes].numpy(), person.shape) for one, person in rows]
            line.append(f"{np.mean(off):.2f}")
        print(
            f"  {words}, points' errors common by {points}, coefficients {what}: {'  '.join(line)}",
            flush=True,
        )


def synthetic(reconstructor: FaceReconstructor, count: int) -> None:
    """Prints what so many synthetic people show."""
    crowd = people(reconstructor.model, count, COUNTS[-1], _SEED)
    error = NeutralError(reconstructor.model)
    average = np.mean([error(np.zeros_like(person.shape), person.shape) for person in crowd])
    print(
        f"{len(crowd)} synthetic people; the mean face is {average:.2f} mm from theirs (root mean square over"
        f" {len(error.region)} vertices of the face, similarity taken off)"
    )
    for words, noise in _KINDS.items():
        numbered = progress_bar(list(enumerate(crowd)), description="photos", unit="person")
        looks = [Looked.at(reconstructor, person.faces(noise, number)) for number, person in numbered]
        _print_curve(words, curve(crowd, looks))
        print("weights of the network's predictions for the shape, mm from 2, 4, 8 and 16 photos:")
        _print_weights(words, crowd, looks)
        for photos_of_each in (2, 3, 5, 16):
            wrong, caught = contradictions(looks, photos_of_each)
            limit = CONTRADICTION * (1 + 1 / (photos_of_each - 1))
            print(
                f"{words}: of {photos_of_each} photos of a person {100 * wrong:.1f} % contradict the others"
                f" (limit {limit:.3f}); a stranger's among them {100 * caught:.0f} %",
                flush=True,
            )


def main(words: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.same_person", description=__doc__.splitlines()[0]
    )
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    parser.add_argument(
        "--people", type=int, default=24, help="synthetic people (default: 24); 0: only --photos"
    )
    parser.add_argument("--photos", type=Path, help="frames of real people")
    arguments = parser.parse_args(words)
    reconstructor = FaceReconstructor(arguments.checkpoint)
    if arguments.people:
        synthetic(reconstructor, arguments.people)
    if arguments.photos:
        frames(reconstructor, arguments.photos)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
