"""`twodasl reconstruct`: photos to meshes, numbers and pictures."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..io.terminal import visible
from ..reconstruction import MOST_REFINEMENTS
from ..video.names import looks_like_video
from ..weights import SHIPPED
from .arguments import add_checkpoint, add_device, add_model, add_output_folder
from .formats import add_formats, chosen_formats
from .messages import say
from .person import add_same_person, check_same_person, reconstruct_person
from .photo_faces import add_detector, check_detector, detected, numbered, open_detector, side_by_side
from .photo_flow import PhotoFlow
from .startup import lasting_imports
from .sure_faces import add_min_confidence, check_confidence_known, check_min_confidence
from .texture import add_texture, added, check_texture, endings

if TYPE_CHECKING:
    from ..reconstruction.detectors.detection import Detector
    from ..reconstruction.face_input import FaceInput
    from ..reconstruction.reconstructor import FaceReconstructor, Reconstruction

LANDMARK_SUFFIXES = (".pts", ".npy", ".csv", ".txt")

DESCRIPTION = """\
Reconstruct the largest face in each PHOTO, or more with --faces. Writes NAME.obj and NAME.ply (the mesh, with
colors from the photo), NAME.glb (a head that moves, for Blender, game engines and browsers), NAME.json (pose
in degrees, coefficients, 68 landmarks in 2D and 3D) and NAME.png (one picture of it all) into DIR, where NAME
is the photo's file name without its suffix. --format chooses among them, and has a page for the browser too.
"""
EPILOG = """\
The face is found by --landmarks (best), by --box, or, where neither is given, by a detector. A landmark file
beside a photo is used only when --landmarks names it or its folder. Exit code: 0, or 2 when any photo failed;
the others are still written. Under torchrun each process takes its part of the photos.
One video, or a pattern of its frames such as frame%04d.png, is followed as by `twodasl video`.
"""


def register(subparsers: Any) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "reconstruct",
        help="turn photos into 3D faces",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO", type=Path, help="image files; or one video")
    add_checkpoint(parser, default=Path(SHIPPED[0]))
    add_output_folder(parser, "the results", required=True)
    parser.add_argument(
        "-l",
        "--landmarks",
        metavar="FILE",
        type=Path,
        help="68 points of the face in the photo's pixels (.pts, .npy, .csv, .txt); or a folder with one such"
        " file per photo, named like the photo",
    )
    parser.add_argument(
        "-b",
        "--box",
        nargs=4,
        type=float,
        metavar=("X0", "Y0", "X1", "Y1"),
        help="crop around the face in the photo's pixels, for a single photo; made square",
    )
    add_model(parser, "default: the checkpoint's")
    parser.add_argument(
        "--refinements",
        type=int,
        metavar="N",
        help="feed the network's own landmarks back N times (default: 0 with landmarks, or for a network with"
        " points of its own; else 1)",
    )
    add_detector(parser)
    add_min_confidence(parser)
    parser.add_argument(
        "--fit",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="afterwards fit the face model to the landmarks, given or detected, and to the network's own"
        " points where it has some (default: yes)",
    )
    parser.add_argument(
        "--head",
        choices=("face", "whole"),
        default="face",
        help="what the picture shows of the mesh: the face, or skull and neck too (default: face); mesh files"
        " are always whole",
    )
    add_formats(parser)
    add_texture(parser)
    add_same_person(parser)
    add_device(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Reconstruct every photo; 2 when any of them failed."""
    if any(looks_like_video(photo) for photo in args.photos):
        from .video import hand_over

        return hand_over(args)
    _check_arguments(args)
    with lasting_imports():  # after the arguments are known to fit: torch takes seconds to import
        from ..devices import usable_device
        from ..distributed import Ranks, device_here
        from ..reconstruction.reconstructor import FaceReconstructor

    ranks = Ranks.of_environment()
    photos = args.photos[ranks.rank :: ranks.count]
    reconstructor = FaceReconstructor(
        args.checkpoint, args.model, usable_device(device_here(args.device), "--device"), fit=args.fit
    )
    check_confidence_known(args, reconstructor)
    detector = open_detector(args)
    if args.same_person:
        return reconstruct_person(
            args, reconstructor, partial(_located, detector, args), partial(_written, args)
        )
    flow = PhotoFlow(
        args,
        reconstructor,
        partial(_located, detector, args),
        partial(_written, args),
        one_at_a_time=not side_by_side(detector),
    )
    failures = 0
    try:
        failures = flow(photos)
    except InputError as error:
        if len(args.photos) == 1:
            raise
        failures = 1
        say(f"twodasl: error: {' '.join(str(error).split())}", sys.stderr)
    if failures:
        rest = f"; the others are in {args.output}" if failures < len(photos) else ""
        print(
            f"twodasl: error: {failures} of {len(photos)} photos could not be reconstructed{rest}",
            file=sys.stderr,
        )
    return 2 if failures else 0


def _check_arguments(args: argparse.Namespace) -> None:
    """What can be known to be wrong before anything is loaded."""
    photos: list[Path] = args.photos
    check_detector(args)
    check_min_confidence(args)
    if args.refinements is not None and not 0 <= args.refinements <= MOST_REFINEMENTS:
        raise InputError(f"--refinements: expected 0 to {MOST_REFINEMENTS}, got {args.refinements}")
    if args.box is not None and len(photos) > 1:
        raise InputError(f"--box: describes one photo, but {len(photos)} are given; use --landmarks FOLDER")
    marks: Path | None = args.landmarks
    if marks is not None:
        if not marks.exists():
            raise InputError(f"{marks}: no such landmark file or folder (--landmarks)")
        if len(photos) > 1 and not marks.is_dir():
            raise InputError(
                f"{marks}: holds the landmarks of one photo, but {len(photos)} are given;"
                " give --landmarks a folder with a file for each"
            )
    model = Path(args.model) if args.model is not None else None
    beside = args.checkpoint.parent / f"{args.checkpoint.stem}.json"  # of weights
    given = (args.checkpoint, beside, marks, model, args.detector_model)
    others = [file for file in given if file is not None]
    check_same_person(args, others)
    check_texture(args)
    suffixes = [*(f".{each}" for each in chosen_formats(args)), *added(args)]
    _check_outputs(photos, args.output, others, suffixes, several=args.faces != "largest")


def _check_outputs(
    photos: list[Path], folder: Path, others: list[Path], suffixes: list[str], *, several: bool
) -> None:
    """No two photos may want the same output files, and no output may overwrite a photo or another input.

    suffixes: of a result's files. several: whether the faces of a photo are numbered.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; --output names a folder")
    owner: dict[str, Path] = {}
    inputs = {os.path.realpath(file): file for file in (*photos, *others)}
    for photo in photos:
        first = owner.setdefault(photo.stem, photo)
        if first is not photo and first == photo:
            raise InputError(f"{photo}: is given twice; give it once")
        if first is not photo:
            raise InputError(
                f"{photo}: its results would overwrite those of {first}; give them different --output folders"
            )
        if several:
            here = os.path.realpath(folder)
            victims = [
                victim
                for path, victim in inputs.items()
                if os.path.dirname(path) == here and numbered(Path(path), photo, suffixes)
            ]
        else:
            targets = [os.path.realpath(folder / f"{photo.stem}{suffix}") for suffix in suffixes]
            victims = [inputs[target] for target in targets if target in inputs]
        if victims:
            raise InputError(
                f"{victims[0]}: would be overwritten by the results; choose another --output folder"
            )


def _located(
    detector: str | Detector, args: argparse.Namespace, photo: Path, reconstructor: FaceReconstructor
) -> tuple[Any, list[tuple[str, FaceInput, dict[str, Any]]]]:
    """A photo, and its faces, each with its results' name and what to note of it."""
    from ..io.files import check_targets
    from ..io.images import read_image

    # Before the work: a photo's name may be too long for its results' names.
    first = photo.stem if args.faces == "largest" else f"{photo.stem}-1"
    suffixes = [*(f".{each}" for each in chosen_formats(args)), *added(args)]
    check_targets([args.output / f"{first}{suffix}" for suffix in suffixes])
    image = read_image(photo)
    if args.landmarks is None and args.box is None:
        faces = detected(photo, image, detector, args.faces)
    else:
        faces = [(photo.stem, *_given(photo, image, args))]
    for _, given, source in faces:
        if args.fit and given.landmarks is not None:
            source["fitted_to_landmarks"] = True
        if args.fit and reconstructor.network.has_points:
            source["fitted_to_own_points"] = True
    return image, faces


def _written(
    args: argparse.Namespace,
    photo: Path,
    target: Path,
    image: Any,
    reconstructor: FaceReconstructor,
    face: Reconstruction,
    source: dict[str, Any],
    warn: Callable[[str], None] | None = None,
    colors: Any = None,
) -> str:
    """Write the files of one face, `target` without their suffixes; what to tell the user.

    warn: takes a warning about the photo; None: it is printed. colors: see `write_results`.
    """
    from ..reconstruction.overview import describe_confidence, describe_pose
    from ..reconstruction.results import write_results

    if face.doubted:
        source["fitted_to_landmarks"] = False
        words = "its landmarks contradict the photo, and the fit gave them little weight"
        if warn is None:
            say(visible(f"twodasl: warning: {photo}: {words}", keep=""), sys.stderr)
        else:
            warn(words)
    facts = {"photo": photo.name, **source}
    folder, name, formats = target.parent, target.name, chosen_formats(args)
    shown = None if args.no_pictures else args.head
    paths = write_results(
        folder,
        name,
        image,
        reconstructor,
        face,
        facts,
        shown=shown,
        formats=formats,
        texture=args.texture,
        colors=colors,
    )
    found = f" (face found by {_finding(source)})" if "detector" in source else ""
    pose = describe_pose(face) + describe_confidence(face)
    return visible(f"{photo}: {pose}{found} -> {target}{endings(paths, target)}", keep="")


def _finding(source: dict[str, Any]) -> str:
    """The detector for people, and what was special."""
    turned = f", photo turned by {source['turned_degrees']} degrees" if "turned_degrees" in source else ""
    return f"{source['detector']}{turned}"


def _given(photo: Path, image: Any, args: argparse.Namespace) -> tuple[FaceInput, dict[str, Any]]:
    """The face that --landmarks and --box show, and what to note of them."""
    from ..landmarks import read_landmarks
    from ..reconstruction.face_input import FaceInput

    source: dict[str, Any] = {}
    points, name = None, "--landmarks"
    if args.landmarks is not None:
        file = _landmark_file(photo, args.landmarks)
        points, name = read_landmarks(file), str(file)
        source["landmarks"] = file.name
    if args.box is not None:
        source["box"] = list(args.box)
    return FaceInput.given(image, points, args.box, landmarks_name=name, box_name="--box"), source


def _landmark_file(photo: Path, given: Path) -> Path:
    """The landmark file of a photo: the one given, or the one of its name in the folder given."""
    if not given.is_dir():
        return given
    found = [path for suffix in LANDMARK_SUFFIXES if (path := given / f"{photo.stem}{suffix}").is_file()]
    if not found:
        raise InputError(
            f"{photo}: no landmarks for it in {given}; expected {photo.stem}.pts, .npy, .csv or .txt"
        )
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise InputError(f"{photo}: {given} holds both {names}; keep one of them")
    return found[0]
