"""Following faces through the frames of a video."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from ..arguments import shown, whole_number
from ..errors import InputError
from ..geometry.projection import crop_vertices
from ..io.images import check_image
from ..reconstruction.detect import chosen_faces, find_faces
from ..reconstruction.detectors.detection import Detector
from ..reconstruction.face_input import FaceInput
from ..reconstruction.reconstruction import Reconstruction, place_faces
from ..reconstruction.reconstructor import FaceReconstructor
from ..reconstruction.turns import in_photo, turned_crop, turned_image, upright_input
from .beginning import Found, begin
from .frame_fit import Fitted, FrameFit
from .matching import alike, overlap, overlaps_frame, resumable
from .person import Person
from .sight import Eye, Sight
from .track import Track, next_step, plausible_fit, plausible_step, wider_step

_EAGER = 4
"""Frames in a row in which the detector looks for a face that was lost; afterwards in every such frame."""

_UNCONFIRMED = 3
"""So many looks of the detector without a face where a track sees one end the track."""


@dataclass(frozen=True)
class TrackedFace(Reconstruction):
    """One face in one frame.

    Attributes:
        track: which face it is, from 1 in the order in which they appeared.
        seconds: the frame's time.
        frames: in how many frames it was seen so far, this one included.
    """

    track: int = 0
    seconds: float = 0.0
    frames: int = 1


class FaceTracker:
    """Reconstructs the faces of a video frame by frame; each keeps its identity.

    The last frame's pose and its velocity say where to look in the next one, and are the prior of its fit,
    as are the coefficients: those of the shape are averaged over all frames. A detector looks where a face
    was lost, and every so often for new ones. Only frames that came before are used.

    Args:
        reconstructor: network and face model.
        faces: "largest" (one), "all", or how many of the largest.
        rate: frames a second, for frames that come without a time.
        detector: see `find_faces`.
        look_every: after how many frames the detector looks for new faces.

    Raises InputError, naming the argument.
    """

    def __init__(
        self,
        reconstructor: FaceReconstructor,
        *,
        faces: str | int = "largest",
        rate: float = 25.0,
        detector: str | Detector = "auto",
        look_every: int = 30,
    ) -> None:
        if not isinstance(reconstructor, FaceReconstructor):
            raise InputError(f"reconstructor: expected a FaceReconstructor, got {shown(reconstructor)}")
        chosen_faces([], faces)  # raises what does not fit
        if not (isinstance(rate, (int, float)) and 0 < rate < 1e6):
            raise InputError(f"rate: expected frames a second above 0, got {shown(rate)}")
        self.reconstructor, self.rate, self.detector, self.faces = reconstructor, float(rate), detector, faces
        self.look_every = whole_number(look_every, "look_every", 1)
        self._most = {"all": 10_000, "largest": 1}[faces] if isinstance(faces, str) else int(faces)
        self._eye = Eye(reconstructor)
        self._fit = FrameFit(reconstructor.model, reconstructor.basis)
        self._tracks: list[Track] = []
        self._people: dict[int, Person] = {}
        self._count = 0
        self._seconds: float | None = None
        self._since_look = self._without = 0

    def __call__(self, frame: NDArray[np.uint8], seconds: float | None = None) -> list[TrackedFace]:
        """The faces of the next frame, in the order of their tracks.

        Args:
            frame: (H, W, 3) uint8 BGR; of one size throughout.
            seconds: its time, later than the last one's. Default: 1 / rate later.

        Raises InputError: not an image, or a time that is not later.
        """
        check_image(frame)
        seconds = self._time(seconds)
        views = _Views(frame)
        self._follow(views, seconds)
        if self._due():
            self._search(views, seconds)
        self._part_doubles(views)
        self._tracks = [track for track in self._tracks if resumable(track, seconds)]
        return self._results(views, seconds)

    def shape(self, track: int) -> NDArray[np.float32]:
        """The shape coefficients (Ks,) of a track, the best that all its frames so far say.

        Raises InputError for a track that there is not.
        """
        if track not in self._people:
            raise InputError(f"track: expected one of 1 to {self._count}, got {shown(track)}")
        person = self._people[track]
        return person.mean[: person.shapes].astype(np.float32)

    @property
    def tracks(self) -> list[int]:
        """The numbers of all faces seen so far."""
        return list(self._people)

    def _time(self, seconds: float | None) -> float:
        last = self._seconds
        if seconds is None:
            seconds = 0.0 if last is None else last + 1 / self.rate
        if not np.isfinite(seconds) or (last is not None and seconds <= last):
            raise InputError(f"seconds: expected a time after the last frame's, {last}, got {seconds}")
        self._seconds = float(seconds)
        return self._seconds

    def _follow(self, views: _Views, seconds: float) -> None:
        """Look for every track where its motion leads, and fit it."""
        going = []
        for track in self._tracks:
            if track.missing:
                track.missing += 1
                continue
            view = views[track.quarters]
            crop, marks = track.ahead(self._fit, seconds, view.shape[0])
            if overlaps_frame(crop, view):
                shows = None if self._eye.network.has_points else marks
                going.append((track, FaceInput(view, crop, shows)))
            else:
                track.missing = 1
        sights = self._eye([face for _, face in going])
        seen = []
        for (track, _), sight in zip(going, sights, strict=True):
            if sight.sure:
                seen.append((track, sight, next_step(track, sight, seconds, self._fit)))
            else:
                track.missing = 1
        found = self._fit([step.expected for *_, step in seen], [sight.seen for _, sight, _ in seen])
        again = {}
        for row, ((track, sight, step), fitted) in enumerate(zip(seen, found, strict=True)):
            wider = wider_step(track, sight, seconds, step, fitted, self._fit)
            if wider is not None:
                again[row] = wider
        better = self._fit([step.expected for step in again.values()], [seen[row][1].seen for row in again])
        for row, fitted in zip(again, better, strict=True):
            found[row] = fitted
        for row, ((track, sight, step), fitted) in enumerate(zip(seen, found, strict=True)):
            step = again.get(row, step)
            if not plausible_step(step, fitted, sight.crop, self._fit):
                track.missing = 1
                continue
            track.motion = step.motion.corrected(fitted.pose, self._fit.middle, fitted.deviations)
            track.person = step.person.corrected(fitted.coefficients, fitted.information)
            self._note(track, sight, fitted, seconds)

    def _due(self) -> bool:
        """Whether it is time for the detector to look."""
        self._since_look += 1
        live = [track for track in self._tracks if not track.missing]
        lost = any(track.missing for track in self._tracks) or not live
        self._without = self._without + 1 if lost else 0
        if lost and (self._without <= _EAGER or self._without % _EAGER == 0):
            return True
        return self._since_look >= self.look_every

    def _search(self, views: _Views, seconds: float) -> None:
        """Let the detector look: confirm tracks, resume lost ones, and begin new ones."""
        self._since_look = 0
        frame = views[0]
        found = find_faces(frame, self.detector)
        free = []
        live = [track for track in self._tracks if not track.missing]
        confirmed = set()
        for face in found:
            upon = [
                track
                for track in live
                if overlap(turned_crop(track.crop, -track.quarters, views.size(track.quarters)), face.crop)
                > 0.3
            ]
            confirmed |= {track.number for track in upon}
            if not upon:
                free.append(face)
        for track in live:
            track.unconfirmed = 0 if track.number in confirmed else track.unconfirmed + 1
            if track.unconfirmed >= _UNCONFIRMED:
                track.missing = 1
        self._resume(free, views, seconds)

    def _resume(self, free: list[FaceInput], views: _Views, seconds: float) -> None:
        """Faces that belong to no track that is seen: lost ones found again, or new ones."""
        starts: list[tuple[Track | None, FaceInput]] = []
        lost = [track for track in self._tracks if track.missing]
        places = self._most - sum(not track.missing for track in self._tracks)
        for face in free:  # the largest first
            if len(starts) >= places:
                break
            near = [track for track in lost if alike(track, upright_input(face).crop, face.quarters, seconds)]
            owner = min(near, key=lambda track: track.missing, default=None)
            if owner is not None:
                lost.remove(owner)
            starts.append((owner, face))
        found = [
            Found(face, None if owner is None else owner.person.after(seconds - owner.seconds, lively=True))
            for owner, face in starts
        ]
        for begun in begin(found, self._eye, self._fit):
            if not plausible_fit(begun.fitted, begun.sight.crop):
                continue
            owner, face = starts[begun.row]
            if owner is None:
                self._count += 1
                coefficients, crop = begun.fitted.coefficients, begun.sight.crop
                known = (face.quarters, begun.motion, begun.person, coefficients, seconds, crop)
                owner = Track(self._count, *known)
                self._tracks.append(owner)
            owner.quarters, owner.motion, owner.person = face.quarters, begun.motion, begun.person
            owner.unconfirmed = 0
            self._note(owner, begun.sight, begun.fitted, seconds)

    def _note(self, track: Track, sight: Sight, fitted: Fitted, seconds: float) -> None:
        track.coefficients, track.crop, track.seconds = fitted.coefficients, sight.crop, seconds
        track.residual, track.missing = fitted.residual / sight.crop.scale[0], 0
        track.velocities.append(track.motion.velocity[4:6])
        self._people[track.number] = track.person

    def _part_doubles(self, views: _Views) -> None:
        """Of two tracks that ended up on one face, the one that fits it worse is lost."""
        live = [track for track in self._tracks if not track.missing]
        places = {
            track.number: turned_crop(track.crop, -track.quarters, views.size(track.quarters))
            for track in live
        }
        for index, one in enumerate(live):
            for other in live[index + 1 :]:
                if one.missing or other.missing or overlap(places[one.number], places[other.number]) < 0.6:
                    continue
                (one if one.residual > other.residual else other).missing = 1

    @torch.inference_mode()
    def _results(self, views: _Views, seconds: float) -> list[TrackedFace]:
        live = [track for track in self._tracks if not track.missing]
        if not live:
            return []
        rows, inputs = [], []
        for track in live:
            view = views[track.quarters]
            pose = track.crop.pose(track.pose(self._fit), view.shape[0])
            rows.append(np.concatenate([pose.ravel(), track.coefficients]))
            inputs.append(FaceInput(view, track.crop))
        parameters = torch.from_numpy(np.stack(rows)).to(self.reconstructor.device, torch.float32)
        vertices = crop_vertices(self.reconstructor.basis, parameters)
        placed = place_faces(self.reconstructor.model, inputs, parameters, vertices)
        results = []
        for track, face in zip(live, placed, strict=True):
            own = in_photo(face, FaceInput(views[0], track.crop, quarters=track.quarters))
            values = {field.name: getattr(own, field.name) for field in fields(Reconstruction)}
            results.append(
                TrackedFace(**values, track=track.number, seconds=seconds, frames=track.person.frames)
            )
        return results


class _Views:
    """A frame, and the same turned by quarters where a head does not stand upright."""

    def __init__(self, frame: NDArray[np.uint8]) -> None:
        self._views = {0: frame}

    def __getitem__(self, quarters: int) -> NDArray[np.uint8]:
        if quarters not in self._views:
            self._views[quarters] = turned_image(self._views[0], quarters)
        return self._views[quarters]

    def size(self, quarters: int) -> tuple[int, int]:
        """Width and height of the turned frame."""
        height, width = self[quarters].shape[:2]
        return width, height
