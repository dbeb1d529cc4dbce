"""`twodasl reconstruct --same-person`: one person from several photos."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..io.terminal import visible
from ..progress import progress_bar
from ..reconstruction import PERSON_FORMATS
from .formats import chosen_formats
from .messages import quiet, say
from .sure_faces import doubt, too_unsure, unsure
from .texture import added, check_texture, endings

if TYPE_CHECKING:
    from ..reconstruction.face_input import FaceInput
    from ..reconstruction.person import Person
    from ..reconstruction.reconstructor import FaceReconstructor

NAME = "person"


def add_same_person(parser: argparse.ArgumentParser) -> None:
    """The option."""
    parser.add_argument(
        "--same-person",
        action="store_true",
        help="all photos show one person: fit one face shape to them, pose and expression in each, and write"
        f" the neutral face too, as {NAME}.obj, .ply, .glb and .json",
    )


def check_same_person(args: argparse.Namespace, others: list[Path]) -> None:
    """Raise InputError where the option contradicts others, or `person` is the name of something else.

    others: files beside the photos that must not be overwritten.
    """
    if not args.same_person:
        return
    if args.faces != "largest":
        raise InputError("--same-person: takes one face of each photo; it does not go with --faces")
    if not args.fit:
        raise InputError("--same-person: fits one shape to all photos; it does not go with --no-fit")
    inputs = {os.path.realpath(file): file for file in (*args.photos, *others)}
    for photo in args.photos:
        # Where the file system has no capitals, Person.obj is person.obj.
        if photo.stem.casefold() == NAME:
            raise InputError(
                f"{photo}: its results would have the names of the person's, {NAME}.obj and so on; rename it"
            )
    check_texture(args, (NAME,))
    for target in _targets(args):
        if os.path.realpath(target) in inputs:
            raise InputError(
                f"{inputs[os.path.realpath(target)]}: would be overwritten by the results; choose another"
                " --output folder"
            )


def reconstruct_person(
    args: argparse.Namespace,
    reconstructor: FaceReconstructor,
    locate: Callable[[Path, FaceReconstructor], tuple[Any, list[tuple[str, FaceInput, dict[str, Any]]]]],
    write: Callable[..., str],
) -> int:
    """Reconstruct the person, and write the files of each photo and the person's own; the exit code.

    locate, write: what finds the face of a photo, and what writes its files and says so.

    Raises InputError, before anything is written, where a photo cannot be read or shows no face.
    """
    from ..distributed import Ranks
    from ..io.files import check_targets
    from ..reconstruction.person_results import write_person

    photos: list[Path] = args.photos
    if Ranks.of_environment().count > 1:
        raise InputError("--same-person: all photos go into one fit; run it in one process, without torchrun")
    check_targets(_targets(args))
    images, faces, sources = _found(photos, reconstructor, locate)
    try:
        person = reconstructor.same_person(faces, refinements=args.refinements)
    except InputError as error:  # of the network, which cannot know whose face it is
        raise InputError(f"--same-person: {error}") from error
    least = args.min_confidence
    for photo, face in zip(photos, person.faces, strict=True):
        if unsure(face, least):
            raise too_unsure(photo, [face], least)
        if words := doubt(face, "the face", least):
            say(visible(f"twodasl: warning: {photo}: {words}", keep=""), sys.stderr)
    _warn(photos, person)
    names = [photo.name for photo in photos]
    bar = progress_bar(
        total=len(photos), description="write", unit="photo", show=len(photos) > 1, leave=False
    )
    with bar:
        for index, photo in enumerate(photos):
            source = {**sources[index], "same_person": names}
            if person.contradicts[index]:
                source["contradicts_the_others"] = True
            face = person.faces[index]
            line = write(photo, args.output / photo.stem, images[index], reconstructor, face, source)
            if not quiet():
                say(line)
            bar.update()
    paths = write_person(
        args.output,
        NAME,
        names,
        images,
        reconstructor,
        person,
        formats=chosen_formats(args),
        texture=args.texture,
    )
    if not quiet() and paths:
        used = len(photos) - sum(person.left_out)
        target = args.output / NAME
        line = f"the person, from {used} of {len(photos)} photos -> {target}{endings(paths, target)}"
        say(visible(line, keep=""))
    return 0


def _targets(args: argparse.Namespace) -> list[Path]:
    formats = [each for each in PERSON_FORMATS if each in chosen_formats(args)]
    return [args.output / f"{NAME}{suffix}" for suffix in (*(f".{each}" for each in formats), *added(args))]


def _found(
    photos: list[Path], reconstructor: FaceReconstructor, locate: Callable[..., Any]
) -> tuple[list[Any], list[FaceInput], list[dict[str, Any]]]:
    """The photos, the face in each, and what to note of it."""
    images, faces, sources, errors = [], [], [], []
    bar = progress_bar(photos, description="find faces", unit="photo", show=len(photos) > 1, leave=False)
    for photo in bar:
        try:
            image, [(_, face, source)] = locate(photo, reconstructor)
        except InputError as error:
            errors.append(" ".join(str(error).split()))
            continue
        images.append(image)
        faces.append(face)
        sources.append(source)
    if errors:
        for message in errors[:-1]:
            say(f"twodasl: error: {message}", sys.stderr)
        raise InputError(f"{errors[-1]}; --same-person takes a face in every photo, and nothing was written")
    return images, faces, sources


def _warn(photos: list[Path], person: Person) -> None:
    """Name the photos that contradict the others."""
    for photo, contradicts, left_out in zip(photos, person.contradicts, person.left_out, strict=True):
        if contradicts:
            what = "it had no say in the shape" if left_out else "it had a say in the shape all the same"
            words = f"its face is not that of the other photos; {what}"
            say(visible(f"twodasl: warning: {photo}: {words}", keep=""), sys.stderr)
