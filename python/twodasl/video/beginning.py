"""Faces that a detector found: the first frame of a track, or the first one after it was lost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..reconstruction.face_input import FaceInput
from ..reconstruction.turns import upright_input
from .frame_fit import Expected, Fitted, FrameFit
from .matching import overlaps_frame
from .motion import Motion
from .person import Person
from .sight import Eye, Sight


@dataclass(frozen=True)
class Found:
    """A face that a detector found. person: who it is and what is expected of it, where that is known."""

    face: FaceInput
    person: Person | None = None


@dataclass(frozen=True)
class Begun:
    """What its first frame says of a face. row: of `Found` in the list that was given."""

    row: int
    sight: Sight
    fitted: Fitted
    motion: Motion
    person: Person


def begin(found: list[Found], eye: Eye, fit: FrameFit) -> list[Begun]:
    """Look at faces and fit them; some may turn out not to be followed, by `Sight.sure` and their crop.

    The crop of the first look is the detector's; the second one's follows the network's own landmarks, as in
    a photo.
    """
    faces = [upright_input(one.face) for one in found]
    first = eye([replace(face, landmarks=None) for face in faces])
    moved = []
    for face, sight in zip(faces, first, strict=True):
        again = replace(face, recrop=True).refined(sight.landmarks)
        moved.append(replace(again, landmarks=None) if eye.network.has_points else again)
    rows = [row for row, face in enumerate(moved) if overlaps_frame(face.crop, face.image)]
    seen = zip(rows, eye([moved[row] for row in rows]), strict=True)
    sure = [(row, sight) for row, sight in seen if sight.sure]
    expected = [_expected(found[row].person, sight) for row, sight in sure]
    fits = fit(expected, [sight.seen for _, sight in sure])
    begun = []
    for (row, sight), expectation, fitted in zip(sure, expected, fits, strict=True):
        motion = Motion.found(fitted.pose, fit.middle, fitted.deviations)
        person = _known(found[row].person, expectation, fitted, eye)
        begun.append(Begun(row, sight, fitted, motion, person))
    return begun


def _expected(person: Person | None, sight: Sight) -> Expected:
    """The pose that the network says, and the coefficients of the person or those that it says."""
    if person is None:
        return sight.alone
    return replace(sight.alone, mean=person.mean, precision=person.precision)


def _known(person: Person | None, expected: Expected, fitted: Fitted, eye: Eye) -> Person:
    if person is not None:
        return person.corrected(fitted.coefficients, fitted.information)
    return Person(fitted.coefficients, expected.precision + fitted.information, eye.shapes, eye.spread)
