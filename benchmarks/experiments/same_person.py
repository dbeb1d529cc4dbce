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
from twodasl.progress import progress_bar
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.landmark_fit import Points
from twodasl.reconstruction.look import joined_looks
from twodasl.reconstruction.person_fit import CONTRADICTION, PersonFit
from twodasl.reconstruction.reconstructor import FaceReconstructor, Reconstruction

from .identity import photos
from .synthetic_people import NeutralError, Person, people

Floats = NDArray[np.float64]

COUNTS = (1, 2, 4, 8, 16)
_SEED = 3_000_000  # of people that nothing was trained on
_GALLERY, _DRAWS = 102, 20


@dataclass(frozen=True)
class _Kind:
    words: str
    noise: float | None


# How far the errors of the network's points are common to a person's photos, and what its coefficients count.
_WEIGHTS: tuple[tuple[float, str, float | None], ...] = (
    (1.0, "by their scatter", None),
    (0.3, "by their scatter", None),
    (0.0, "by their scatter", None),
    (1.0, "as one photo's", 0.0),
    (1.0, "as independent", 1.0),
)
_KINDS = (_Kind("landmarks with a pixel's noise", 1.0), _Kind("no landmarks", None))


def curve(reconstructor: FaceReconstructor, crowd: list[Person], noise: float | None) -> Floats:
    """(counts, 5): neutral error in mm of joined, mean and single fits; landmarks' of joined and single.

    A count takes as many sets of photos of each person as fit into all, at most 4.
    """
    error = NeutralError(reconstructor.model)
    rows: list[list[Floats]] = [[] for _ in COUNTS]
    for number, person in enumerate(progress_bar(crowd, description="people", unit="person")):
        faces = person.faces(noise, number)
        single = reconstructor.reconstruct(faces)
        apart = np.array([error(face.shape, person.shape) for face in single])
        missed = np.array([_missed(face, marks) for face, marks in zip(single, person.marks, strict=True)])
        for row, count in zip(rows, COUNTS, strict=True):
            for part in _parts(len(faces), count):
                found = reconstructor.same_person([faces[i] for i in part])
                mean = np.mean([single[i].shape for i in part], axis=0)
                joined = [_missed(f, person.marks[i]) for f, i in zip(found.faces, part, strict=True)]
                row.append(
                    np.array(
                        [
                            error(found.shape, person.shape),
                            error(mean, person.shape),
                            apart[part].mean(),
                            np.mean(joined),
                            missed[part].mean(),
                        ]
                    )
                )
    return np.array([np.mean(row, axis=0) for row in rows])


def _parts(total: int, count: int) -> list[list[int]]:
    starts = range(0, total - count + 1, count)
    return [list(range(start, start + count)) for start in list(starts)[:4]]


def _missed(face: Reconstruction, marks: Floats) -> float:
    """Mean distance of the points inside the face from the true ones, in percent of the box of all."""
    off = np.linalg.norm(face.landmarks[17:, :2] - marks[17:], axis=1).mean()
    return float(100 * off / np.sqrt(np.ptp(marks, axis=0).prod()))


def contradictions(
    reconstructor: FaceReconstructor, crowd: list[Person], noise: float | None, count: int
) -> tuple[float, float]:
    """How often one of `count` photos is said to contradict the others; how often a stranger's is."""
    wrong, caught = [], []
    for number, person in enumerate(crowd):
        faces = person.faces(noise, number)[:count]
        stranger = crowd[(number + 1) % len(crowd)].faces(noise, number + 1)[0]
        wrong.append(np.mean(reconstructor.same_person(faces).contradicts))
        caught.append(reconstructor.same_person([*faces[:-1], stranger]).contradicts[-1])
    return float(np.mean(wrong)), float(np.mean(caught))


def frames(reconstructor: FaceReconstructor, root: Path) -> None:
    """Prints how well shapes of one and of two frames find a third."""
    faces, names = photos(root)
    rows = [np.flatnonzero(names == name)[:3] for name in np.unique(names)]
    trios = np.array([row for row in rows if len(row) == 3])
    found = reconstructor.reconstruct(faces)
    model = reconstructor.model
    spread = model.coefficient_std[: len(model.shape_modes)]
    single = np.stack([face.shape for face in found]) / spread
    single = single - single.mean(axis=0)
    mean = single.mean(axis=0)
    joined, wrong, caught = [], [], []
    for number, row in enumerate(progress_bar(trios, description="pairs", unit="person")):
        both: list[FaceInput] = [faces[i] for i in row[:2]]
        joined.append(reconstructor.same_person(both).shape / spread)
        wrong.append(reconstructor.same_person([*both, faces[row[2]]]).contradicts)
        other = faces[trios[(number + 1) % len(trios)][2]]
        caught.append(reconstructor.same_person([*both, other]).contradicts[2])
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
    print(
        f"  of three frames {100 * np.mean(wrong):.1f} % contradict the others; another person's,"
        f" in the place of the third, {100 * np.mean(caught):.0f} %"
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


def _print_weights(kind: _Kind, reconstructor: FaceReconstructor, crowd: list[Person]) -> None:
    """Prints the neutral error of some weights of the network's points and coefficients."""
    error, fit = NeutralError(reconstructor.model), reconstructor._fit
    assert fit is not None
    looks = [
        joined_looks([reconstructor._look(person.faces(kind.noise, number), None)])
        for number, person in enumerate(crowd)
    ]
    shapes = len(reconstructor.model.shape_modes)
    for points, words, scatter in _WEIGHTS:
        weighed = PersonFit(fit, shapes, alike=points, scatter=scatter)
        line = []
        for count in COUNTS[1:]:
            off = []
            for person, (parameters, detected, own) in zip(crowd, looks, strict=True):
                chosen = [
                    None if source is None else Points(*(values[:count] for values in source))
                    for source in (detected, own)
                ]
                found = weighed(parameters[:count], *chosen).parameters[0, 12 : 12 + shapes]
                off.append(error(found.numpy(), person.shape))
            line.append(f"{np.mean(off):.2f}")
        what = f"points' errors common by {points}, coefficients {words}"
        print(f"  {kind.words}, {what}: {'  '.join(line)}", flush=True)


def main(words: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.same_person", description=__doc__.splitlines()[0]
    )
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    parser.add_argument("--people", type=int, default=40, help="synthetic people (default: 40)")
    parser.add_argument("--photos", type=Path, help="frames of real people")
    arguments = parser.parse_args(words)
    reconstructor = FaceReconstructor(arguments.checkpoint)
    crowd = people(reconstructor.model, arguments.people, COUNTS[-1], _SEED)
    error = NeutralError(reconstructor.model)
    average = np.mean([error(np.zeros_like(person.shape), person.shape) for person in crowd])
    print(
        f"{len(crowd)} synthetic people; the mean face is {average:.2f} mm from theirs (root mean square over"
        f" {len(error.region)} vertices of the face, similarity taken off)"
    )
    for kind in _KINDS:
        _print_curve(kind.words, curve(reconstructor, crowd, kind.noise))
    print("weights of the network's predictions for the shape, mm from 2, 4, 8 and 16 photos:")
    for kind in _KINDS:
        _print_weights(kind, reconstructor, crowd)
    for kind in _KINDS:
        for count in (2, 3, 5):
            wrong, caught = contradictions(reconstructor, crowd, kind.noise, count)
            print(
                f"{kind.words}: of {count} photos of a person {100 * wrong:.1f} % contradict the others"
                f" (limit {CONTRADICTION}); a stranger's among them {100 * caught:.0f} %"
            )
    if arguments.photos:
        frames(reconstructor, arguments.photos)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
