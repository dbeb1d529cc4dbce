"""The photos of `twodasl reconstruct`, several at a time: read, in the network and written side by side."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..io.terminal import visible
from ..progress import progress_bar
from .in_order import GROUP, in_order
from .messages import detail, quiet, say
from .sure_faces import doubt, too_unsure, unsure

if TYPE_CHECKING:
    from ..reconstruction.face_input import FaceInput
    from ..reconstruction.reconstructor import FaceReconstructor, Reconstruction

Located = tuple[Any, list[tuple[str, "FaceInput", dict[str, Any]]]]


@dataclass
class _Photo:
    """One photo on its way.

    Attributes:
        path: the file.
        image, faces: the pixels, and its faces as `locate` gives them; None until it was read.
        results: a reconstruction a face.
        error: what is wrong with it.
        told: lines to print, and whether they are warnings.
        seconds: from its reading to its files, others in between.
    """

    path: Path
    began: float = field(default_factory=time.monotonic)
    image: Any = None
    faces: list[tuple[str, FaceInput, dict[str, Any]]] = field(default_factory=list)
    results: list[Reconstruction] = field(default_factory=list)
    error: InputError | None = None
    told: list[tuple[str, bool]] = field(default_factory=list)
    seconds: float = 0.0


class PhotoFlow:
    """Reconstructs photos and reports them in their order.

    Args:
        args: of the command.
        reconstructor: gives the faces.
        locate: (photo, reconstructor) -> the pixels, and its faces, each with its results' name and what to
            note of it.
        write: (photo, target, image, reconstructor, face, source, warn, colors) writes the files of a face;
            what to tell the user.
        one_at_a_time: whether `locate` must not run twice at once.
    """

    def __init__(
        self,
        args: argparse.Namespace,
        reconstructor: FaceReconstructor,
        locate: Callable[[Path, FaceReconstructor], Located],
        write: Callable[..., str],
        *,
        one_at_a_time: bool,
    ) -> None:
        self._args, self._reconstructor, self._locate, self._write = args, reconstructor, locate, write
        self._many = False
        self._turn: AbstractContextManager[Any] = Lock() if one_at_a_time else nullcontext()

    def __call__(self, photos: list[Path]) -> int:
        """How many failed. Raises the InputError of a single photo."""
        self._many = len(photos) > 1
        if len(photos) == 1:
            (photo,) = self._written(self._fitted([self._read(photos[0])]), lambda: False)
            _report(photo)
            if photo.error is not None:
                raise photo.error
            return 0
        failures = 0
        with _threads() as threads:
            flow = in_order(
                photos,
                self._read,
                lambda _, read: self._fitted(read),
                lambda _, fitted, ended: self._written(fitted, ended),
                threads=threads,
                size=lambda photo: 0 if photo.image is None else int(photo.image.nbytes),
            )
            bar = progress_bar(flow, total=len(photos), description="reconstruct", unit="photo", leave=False)
            for _, photo in bar:
                _report(photo)
                if photo.error is not None:
                    failures += 1
                    say(f"twodasl: error: {' '.join(str(photo.error).split())}", sys.stderr)
        return failures

    def _read(self, path: Path) -> _Photo:
        photo = _Photo(path)
        try:
            with self._turn:
                photo.image, photo.faces = self._locate(path, self._reconstructor)
        except InputError as error:
            photo.error = error
        return photo

    def _fitted(self, photos: list[_Photo]) -> list[_Photo]:
        """The photos with their results; one that the network has no answer for does not stop the others."""
        good = [photo for photo in photos if photo.error is None]
        try:
            results = iter(self._results([face for photo in good for _, face, _ in photo.faces]))
        except InputError as error:  # of the network, which cannot know whose face it is
            for photo in good:
                if len(good) == 1:
                    photo.error = InputError(f"{photo.path}: {error}")
                else:
                    self._fitted([photo])
            return photos
        for photo in good:
            photo.results = [next(results) for _ in photo.faces]
        return photos

    def _results(self, faces: list[FaceInput]) -> list[Reconstruction]:
        """Of several photos, in batches of one size: numbers then do not depend on who shares a batch."""
        filled = faces + faces[-1:] * (-len(faces) % GROUP if self._many else 0)
        size = {"batch_size": GROUP} if self._many else {}
        found = self._reconstructor.reconstruct(filled, refinements=self._args.refinements, **size)
        return found[: len(faces)]

    def _written(self, photos: list[_Photo], ended: Callable[[], bool]) -> list[_Photo]:
        """The photos with their files written, and what is to be told of them."""
        from ..reconstruction.texture import many_face_colors

        least, model = self._args.min_confidence, self._reconstructor.model
        sure = [
            (photo.image, face.vertices)
            for photo in photos
            for face in photo.results
            if not unsure(face, least)
        ]
        colors = iter(many_face_colors(sure, model.triangles, model)) if sure else iter(())
        for photo in photos:
            if ended():
                break
            try:
                if photo.error is None:
                    self._write_one(photo, colors)
            except InputError as error:
                photo.error = error
            photo.image, photo.faces, photo.results = None, [], []
            photo.seconds = time.monotonic() - photo.began
        return photos

    def _write_one(self, photo: _Photo, colors: Iterator[Any]) -> None:
        path, least = photo.path, self._args.min_confidence
        if least is not None and all(unsure(face, least) for face in photo.results):
            raise too_unsure(path, photo.results, least)

        def warn(words: str) -> None:
            photo.told.append((visible(f"twodasl: warning: {path}: {words}", keep=""), True))

        # All of the photo's, also where the first of them cannot be written.
        own = [None if unsure(face, least) else next(colors) for face in photo.results]
        for (name, _, source), face, shades in zip(photo.faces, photo.results, own, strict=True):
            if words := doubt(face, "the face" if name == path.stem else name, least):
                warn(words)
            if shades is not None:
                target = self._args.output / name
                line = self._write(
                    path, target, photo.image, self._reconstructor, face, source, warn=warn, colors=shades
                )
                photo.told.append((line, False))


def _report(photo: _Photo) -> None:
    for line, warning in photo.told:
        if warning:
            say(line, sys.stderr)
        elif not quiet():
            say(line)
    if photo.error is None:
        detail(f"{photo.path} took {photo.seconds:.2f} s")


@contextmanager
def _threads() -> Iterator[int]:
    """As many threads as torch would use, up to a group's, and torch uses one in each of them meanwhile."""
    import torch

    count = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield min(count, GROUP)
    finally:
        torch.set_num_threads(count)
