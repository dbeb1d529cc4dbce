"""python -m benchmarks.experiments.confidence ROOT: whether the confidence of results is what comes true.

ROOT is AFLW2000-3D's development folder, with detected landmarks. Its faces are reconstructed from its
boxes, from the default detector's crops, from detected landmarks, and from boxes and landmarks that are in
the wrong place; and so are crops of its photos beside the face, and of scikit-image's pictures without
people, thirteen of which were among the backgrounds of drawn faces. Good is what has at most 5 % NME at the
68 points. Prints, for both ground truths, the expected calibration error of ten bins and the area under the
ROC curve, and the reliability table; --chart draws it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from twodasl.datasets.benchmarks.aflw2000 import Aflw2000, read_aflw2000
from twodasl.evaluation.nme import normalized_mean_error
from twodasl.io.images import write_image
from twodasl.pictures.charts import COLORS, INK, MUTED, figure_image, new_figure, style
from twodasl.reconstruction import DOUBTFUL
from twodasl.reconstruction.face_input import MIN_BOX, FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor, Reconstruction
from twodasl.training.confidence import GOOD

from .detectors import Image, empty_pictures
from .photo_alone import nearest_faces

Floats = NDArray[np.float64]
BINS = 10
CROPS = 8  # of each picture without people
TRUTHS = ("original", "reannotated")
PHOTOS = ("boxes", "detector", "landmarks")


class Judged(NamedTuple):
    """Of n faces (n,): confidence, the network's sigma, the fit's residual, the detector's score (NaN: none),
    and for each ground truth whether the alignment is good."""

    confidence: Floats
    sigma: Floats
    residual: Floats
    score: Floats
    good: dict[str, NDArray[np.bool_]]


def judged(
    reconstructor: FaceReconstructor, faces: list[FaceInput], truths: dict[str, Aflw2000], rows: list[int]
) -> Judged:
    """Reconstruct faces of these rows; of none, where there is no truth."""
    found = reconstructor.reconstruct(faces)
    unknown = [face for face in found if face.confidence is None or face.clues is None]
    if unknown:
        raise SystemExit("these weights do not say how sure they are: export them again")
    model = reconstructor.model
    good = {}
    for name, data in truths.items():
        basel = name == "original" and model.basel_landmarks is not None
        places = model.basel_landmarks if basel else model.landmarks
        good[name] = np.zeros(len(found), bool)
        if rows:
            points = np.stack([face.vertices[places][:, :2] for face in found]).astype(np.float64)
            good[name] = normalized_mean_error(points, data.truth[rows]) <= GOOD
    return Judged(
        np.array([face.confidence for face in found]),
        np.array([clue(face, 0) for face in found]),
        np.array([clue(face, 1) for face in found]),
        np.array([np.nan if face.score is None else face.score for face in faces]),
        good,
    )


def clue(face: Reconstruction, number: int) -> float:
    """One of `Clues`."""
    assert face.clues is not None
    return face.clues[number]


def wrong_box(box: Floats, rng: np.random.Generator) -> Floats:
    """A box up to half its side away, half to 2.4 times as large."""
    side = box[2] - box[0]
    middle = (box[:2] + box[2:]) / 2 + rng.uniform(-0.5, 0.5, 2) * side
    half = side / 2 * np.exp(rng.uniform(np.log(0.5), np.log(2.4)))
    return np.concatenate([middle - half, middle + half])


def wrong_landmarks(points: Floats, rng: np.random.Generator) -> Floats:
    """Landmarks a quarter to half a face's size away, 0.7 to 1.5 times as large, turned up to 60 degrees."""
    angle, scale = rng.uniform(-1, 1) * np.pi / 3, np.exp(rng.uniform(-0.4, 0.4))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle, direction = points.mean(axis=0), rng.uniform(0, 2 * np.pi)
    away = rng.uniform(0.25, 0.5) * np.ptp(points, axis=0).max()
    return (points - middle) @ turn.T + middle + away * np.array([np.cos(direction), np.sin(direction)])


def inside(image: Image, box: Floats) -> bool:
    """Whether a box is one that can be given."""
    height, width = image.shape[:2]
    overlaps = box[0] < width - 1 and box[1] < height - 1 and box[2] > 1 and box[3] > 1
    return bool(overlaps and box[2] - box[0] > MIN_BOX)


def beside(image: Image, points: Floats, rng: np.random.Generator) -> FaceInput | None:
    """A crop of the photo that the box of the face's landmarks does not reach, if one is found."""
    height, width = image.shape[:2]
    low, high = points.min(axis=0), points.max(axis=0)
    for _ in range(50):
        side = rng.uniform(60, 200)
        x, row = rng.uniform(0, max(width - side, 1)), rng.uniform(0, max(height - side, 1))
        if x + side < low[0] or x > high[0] or row + side < low[1] or row > high[1]:
            return FaceInput.given(image, box=(x, row, x + side, row + side))
    return None


def crops_of(picture: Image, rng: np.random.Generator) -> list[FaceInput]:
    """Random crops of a picture, a third of its shorter side or more."""
    height, width = picture.shape[:2]
    faces = []
    for _ in range(CROPS):
        side = rng.uniform(0.33, 1) * min(height, width)
        x, row = rng.uniform(0, width - side), rng.uniform(0, height - side)
        faces.append(FaceInput.given(picture, box=(x, row, x + side, row + side)))
    return faces


def all_sets(reconstructor: FaceReconstructor, truths: dict[str, Aflw2000]) -> dict[str, Judged]:
    """The faces and what is none, by how they were placed."""
    data = truths["original"]
    assert data.detected is not None
    images = [data.read_image(row) for row in range(len(data))]

    def each(make: Callable[[int, np.random.Generator], FaceInput | None]) -> Judged:
        made = [(row, make(row, np.random.default_rng((row, 1)))) for row in range(len(images))]
        kept = [(row, face) for row, face in made if face is not None]
        return judged(reconstructor, [face for _, face in kept], truths, [row for row, _ in kept])

    def misplaced(row: int, rng: np.random.Generator) -> FaceInput | None:
        box = wrong_box(data.boxes[row], rng)
        return FaceInput.given(images[row], box=box.tolist()) if inside(images[row], box) else None

    def mismarked(row: int, rng: np.random.Generator) -> FaceInput | None:
        points = wrong_landmarks(data.detected[row], rng)  # type: ignore[index]
        height, width = images[row].shape[:2]
        there = ((points > 0) & (points < [width - 1, height - 1])).all(axis=1).sum() >= 34
        return FaceInput.given(images[row], points) if there else None

    found, rows = nearest_faces(data)
    empty = [
        beside(image, data.truth[row], np.random.default_rng((row, 2))) for row, image in enumerate(images)
    ]
    pictures = [crops_of(p, np.random.default_rng((n, 3))) for n, (_, p) in enumerate(empty_pictures())]
    return {
        "boxes": each(lambda row, _: FaceInput.given(images[row], box=data.boxes[row].tolist())),
        "detector": judged(reconstructor, found, truths, rows.tolist()),
        "landmarks": each(lambda row, _: FaceInput.given(images[row], data.detected[row])),  # type: ignore[index]
        "wrong boxes": each(misplaced),
        "wrong landmarks": each(mismarked),
        "beside the face": judged(reconstructor, [f for f in empty if f is not None], truths, []),
        "no people": judged(reconstructor, [face for part in pictures for face in part], truths, []),
    }


def joined(sets: dict[str, Judged], names: tuple[str, ...], truth: str) -> tuple[Floats, NDArray[np.bool_]]:
    """Confidence and what came true."""
    parts = [sets[name] for name in names]
    return (
        np.concatenate([part.confidence for part in parts]),
        np.concatenate([part.good[truth] for part in parts]),
    )


def reliability(confidence: Floats, good: NDArray[np.bool_]) -> list[tuple[int, float, float]]:
    """Of each bin: how many, their mean confidence, how many of them were good; NaN where there is none."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = []
    for number in range(BINS):
        chosen = place == number
        means = (confidence[chosen].mean(), good[chosen].mean()) if chosen.any() else (np.nan, np.nan)
        rows.append((int(chosen.sum()), float(means[0]), float(means[1])))
    return rows


def calibration_error(confidence: Floats, good: NDArray[np.bool_]) -> float:
    """How far off the bins are, weighted by their faces."""
    parts = [count * abs(said - true) for count, said, true in reliability(confidence, good) if count]
    return float(sum(parts) / len(confidence))


def wilson(share: Floats, count: NDArray[np.integer]) -> tuple[Floats, Floats]:
    """The ends of the 95 % interval of a share of so many (Wilson, 1927)."""
    z = 1.96**2 / count
    middle, half = share + z / 2, np.sqrt(z * share * (1 - share) + z**2 / 4)
    return (middle - half) / (1 + z), (middle + half) / (1 + z)


def area(sureness: Floats, good: NDArray[np.bool_]) -> float:
    """Under the ROC curve: how often a good one has the higher of two; NaN where all are alike."""
    high, low = sureness[good], sureness[~good]
    if not len(high) or not len(low):
        return float("nan")
    return float(((high[:, None] > low).mean() + (high[:, None] >= low).mean()) / 2)


def chart(sets: dict[str, Judged], truth: str) -> Image:
    """The reliability curves, and how many pictures of all are in each bin."""
    everything = tuple(sets)
    curves = {
        "faces in their place, without landmarks": ("boxes", "detector"),
        "all: also landmarks, wrong places, no faces": everything,
    }
    with style():
        figure = new_figure(6.4, 4.9)
        top, bottom = figure.subplots(2, 1, height_ratios=(3.2, 1), sharex=True)
        top.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for (label, names), color in zip(curves.items(), COLORS, strict=False):
            rows = [row for row in reliability(*joined(sets, names, truth)) if row[0] >= 5]
            said, true = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
            low, high = wilson(true, np.array([row[0] for row in rows]))
            bars = np.stack([true - low, high - true]).clip(0)
            top.errorbar(said, true, bars, fmt="o-", color=color, label=label, markersize=5, elinewidth=1)
        top.set_ylabel(f"share with at most {100 * GOOD:.0f} % NME")
        top.set_title("Confidence, and how often it came true (95 % intervals)", fontsize=11)
        top.legend(loc="upper left", fontsize=9)
        top.set_ylim(-0.03, 1.03)
        counts = [row[0] for row in reliability(*joined(sets, everything, truth))]
        middles = (np.arange(BINS) + 0.5) / BINS
        bottom.bar(middles, counts, width=0.9 / BINS, color=COLORS[1])
        for x, count in zip(middles, counts, strict=True):
            bottom.text(x, count, f"{count}", ha="center", va="bottom", fontsize=8, color=INK)
        bottom.set_ylabel("pictures")
        bottom.set_ylim(0, 1.25 * max(counts))
        bottom.set_xlabel("confidence")
        for axes in (top, bottom):
            axes.set_xlim(0, 1)
            axes.grid(axis="y")
        return figure_image(figure)


def report(sets: dict[str, Judged], truth: str) -> list[str]:
    """Lines of text."""
    lines = [f"{truth} ground truth", f"  {'':<36}{'count':>6}{'good':>8}{'said':>8}{'ECE':>8}{'AUC':>8}"]
    groups = {**{name: (name,) for name in sets}, "photographed faces": PHOTOS, "all": tuple(sets)}
    for label, names in groups.items():
        said, good = joined(sets, names, truth)
        error, ordered = calibration_error(said, good), area(said, good)
        lines.append(
            f"  {label:<36}{len(said):>6}{good.mean():>8.1%}{said.mean():>8.1%}{error:>8.3f}{ordered:>8.3f}"
        )
    found = sets["detector"]
    clues = {"confidence": found.confidence, "score": found.score, "sigma": -found.sigma}
    clues["residual"] = -found.residual
    areas = ", ".join(f"{name} {area(values, found.good[truth]):.3f}" for name, values in clues.items())
    lines.append(f"  AUC of what speaks for a face that the detector found: {areas}")
    lines.append(
        f"  reliability: {'confidence':>14}{'no landmarks: true (count)':>30}{'landmarks':>18}{'all':>18}"
    )
    columns = (("boxes", "detector"), ("landmarks",), tuple(sets))
    tables = [reliability(*joined(sets, names, truth)) for names in columns]
    for number, rows in enumerate(zip(*tables, strict=True)):
        cells = [f"{true:.2f} ({count})" if count else "- (0)" for count, _, true in rows]
        edges = f"{number / BINS:.1f} to {(number + 1) / BINS:.1f}"
        lines.append(f"{edges:>28}{cells[0]:>30}{cells[1]:>18}{cells[2]:>18}")
    said, good = joined(sets, tuple(sets), truth)
    below = said < DOUBTFUL
    lines.append(
        f"  below {DOUBTFUL:g}: {below.sum()}, of which good {good[below].sum()}; from {DOUBTFUL:g}:"
        f" {(~below).sum()}, of which bad {(~good[~below]).sum()}; from 0.9: {(said >= 0.9).sum()}, of which"
        f" bad {(~good[said >= 0.9]).sum()}"
    )
    return lines


def main() -> None:
    """Prints a paragraph for each ground truth."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.confidence", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path, help="AFLW2000-3D's development folder, with detected landmarks")
    parser.add_argument("-c", "--checkpoint", default="base", help="weights (default: base)")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw the reliability curve, a PNG file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    truths = {name: read_aflw2000(arguments.root, name) for name in TRUTHS}
    if truths["original"].detected is None:
        parser.error(f"{arguments.root}: has no detected landmarks (detected68_crop120.npy)")
    reconstructor = FaceReconstructor(arguments.checkpoint)
    sets = all_sets(reconstructor, truths)
    calibration = reconstructor.info["confidence"]
    print(f"checkpoint {arguments.checkpoint}; {calibration.describe()}")
    for truth in TRUTHS:
        print("\n".join(report(sets, truth)))
    if arguments.chart is not None:
        write_image(arguments.chart, chart(sets, "reannotated"))


if __name__ == "__main__":
    main()
