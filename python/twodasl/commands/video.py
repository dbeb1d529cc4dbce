"""`twodasl video`: the faces of a video, followed from frame to frame."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..io.terminal import visible
from ..progress import progress_bar
from ..weights import SHIPPED
from .arguments import add_checkpoint, add_device, add_model, add_output_folder, positive_int
from .messages import detail, note
from .photo_faces import add_detector, check_detector, open_detector
from .startup import lasting_imports

if TYPE_CHECKING:
    from ..video.drawing import FaceDrawing
    from ..video.reader import Video
    from ..video.tracker import FaceTracker
    from ..video.writer import VideoResults

LOOK_EVERY = 30
DRAWINGS = ("mesh", "landmarks", "both")

DESCRIPTION = """\
Follow the largest face of VIDEO, or more with --faces, from frame to frame. Writes into DIR, where NAME is
the video's file name without its suffix: NAME.mp4 (the video with the faces drawn over it), NAME.jsonl (a
line for each frame and face), NAME.json (the video and its faces), NAME-1.ply, NAME-2.ply and so on (each
face without expression) and NAME-1.glb and so on (each head, moving as in the video).
"""
EPILOG = """\
VIDEO is a file that OpenCV reads, a folder of images, or a pattern of numbered ones such as frame%04d.png.
`twodasl reconstruct VIDEO` does the same for files and patterns. Exit code: 0, or 2 when nothing was written,
also where no frame has a face.
"""


def register(subparsers: Any) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "video",
        help="follow the faces of a video",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("video", nargs="?", metavar="VIDEO", type=Path, help="a file, a folder or a pattern")
    parser.add_argument(
        "--camera",
        metavar="N",
        type=_camera,
        help="a camera instead, by its number from 0; shows a window, which the key q closes",
    )
    add_checkpoint(parser, default=Path(SHIPPED[0]))
    add_output_folder(parser, "the results", required=True)
    add_model(parser, "default: the checkpoint's")
    add_detector(parser)
    parser.add_argument(
        "--look-every",
        metavar="N",
        type=positive_int,
        default=LOOK_EVERY,
        help=f"let the detector look for new faces after N frames (default: {LOOK_EVERY})",
    )
    parser.add_argument(
        "--rate",
        metavar="FPS",
        type=_rate,
        help="frames a second (default: the video's; of images: 25)",
    )
    parser.add_argument(
        "--draw", choices=DRAWINGS, default="both", help="what to draw of a face (default: both)"
    )
    parser.add_argument(
        "--overlay",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="write the video with the faces drawn over it (default: yes)",
    )
    add_device(parser)
    parser.set_defaults(run=run, landmarks=None, box=None)


def run(args: argparse.Namespace) -> int:
    """Follow the faces of one video."""
    check_detector(args)
    if (args.video is None) == (args.camera is None):
        raise InputError("VIDEO: expected a video or --camera N, one of them")
    if args.camera is not None:
        _check_display()
    return follow(args, args.video if args.camera is None else args.camera)


def hand_over(args: argparse.Namespace) -> int:
    """`twodasl reconstruct VIDEO`: the same with the options that the two commands share."""
    if len(args.photos) > 1:
        raise InputError(
            f"{args.photos[0]}: expected one video alone, or photos, got {len(args.photos)} files"
        )
    unused = [f"--{name}" for name in ("landmarks", "box", "refinements") if getattr(args, name) is not None]
    unused += ["--format"] if args.format is not None else []
    unused += [] if args.fit else ["--no-fit"]
    unused += [] if args.texture is None else ["--texture"]
    if unused:
        raise InputError(f"{unused[0]}: is for photos, but {args.photos[0]} is a video; leave it out")
    check_detector(args)
    args.rate, args.look_every, args.draw, args.overlay = None, LOOK_EVERY, "both", True
    return follow(args, args.photos[0])


def follow(args: argparse.Namespace, source: Path | int) -> int:
    """Read, follow, draw and write."""
    from ..io.files import check_targets
    from ..video.reader import open_video
    from ..video.writer import targets, writing_video

    video = open_video(source, args.rate)
    folder: Path = args.output
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; --output names a folder")
    inputs = [*video.images, args.checkpoint, *([source] if isinstance(source, Path) else [])]
    check_targets(targets(folder, video.name, args.overlay), inputs=inputs)
    with lasting_imports():
        from ..devices import usable_device
        from ..reconstruction.reconstructor import FaceReconstructor
        from ..video.drawing import FaceDrawing
        from ..video.tracker import FaceTracker

    reconstructor = FaceReconstructor(args.checkpoint, args.model, usable_device(args.device, "--device"))
    tracker = FaceTracker(
        reconstructor,
        faces=args.faces,
        rate=video.rate,
        detector=open_detector(args),
        look_every=args.look_every,
    )
    drawing = FaceDrawing(reconstructor.model, args.draw, numbers=args.faces != "largest")
    began = time.monotonic()
    about = {"video": str(source) if isinstance(source, int) else source.name}
    with writing_video(
        folder, video.name, video.rate, tracker, drawing, overlay=args.overlay, source=about
    ) as results:
        _frames(video, tracker, drawing, results)
    seconds = time.monotonic() - began
    detail(f"{results.frames} frames took {seconds:.1f} s, {results.frames / seconds:.1f} a second")
    _report(video, results, folder, args.overlay)
    return 0


def _frames(video: Video, tracker: FaceTracker, drawing: FaceDrawing, results: VideoResults) -> None:
    live = isinstance(video.source, int)
    with progress_bar(total=video.count, description=video.name, unit="frame", leave=False) as bar:
        for seconds, frame in video.frames():
            faces = tracker(frame, seconds)
            results.add(frame, seconds, faces)
            bar.update()
            if live and _shown(drawing(frame, faces)):
                break


def _report(video: Video, results: VideoResults, folder: Path, overlay: bool) -> None:
    expected = video.count
    if expected is not None and results.frames < 0.9 * expected:
        words = f"{results.frames} of {expected} frames could be read; is the video complete?"
        print(visible(f"twodasl: warning: {video.source}: {words}", keep=""), file=sys.stderr)
    faces = len(results.seen)
    count = max(count for _, _, count in results.seen.values())
    files = ([".mp4"] if overlay else []) + [".jsonl", ".json"]
    first = f"{video.name}-1"
    meshes = f"{first}.ply .glb" if faces == 1 else f"{first}.ply .glb to -{max(results.seen)}.ply .glb"
    found = "1 face" if faces == 1 else f"{faces} faces"
    text = f"{video.source}: {found}, the longest seen in {count} of {results.frames} frames"
    note(visible(f"{text} -> {folder / video.name}{' '.join(files)} {meshes}", keep=""))


def _check_display() -> None:
    """Raise InputError where there is no screen to show a camera on."""
    import cv2

    linux = sys.platform.startswith("linux")
    if linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise InputError("--camera: shows a window, and there is no display here; give a video file")
    if "GUI:                           NONE" in cv2.getBuildInformation():
        raise InputError(
            "--camera: shows a window, and this OpenCV has none; install opencv-python, not -headless"
        )


def _shown(picture: Any) -> bool:
    """Show a frame; whether it was the last: somebody pressed q or Escape."""
    import cv2

    cv2.imshow("twodasl", picture)
    return cv2.waitKey(1) & 0xFF in (ord("q"), 27)


def _camera(word: str) -> int:
    if not (word.isascii() and word.isdigit() and len(word) <= 3):
        raise argparse.ArgumentTypeError(f"expected a camera's number from 0, got {word[:40]!r}")
    return int(word)


def _rate(word: str) -> float:
    try:
        rate = float(word)
    except ValueError:
        rate = math.nan
    if not 0 < rate <= 1000:
        raise argparse.ArgumentTypeError(f"expected frames a second, above 0 to 1000, got {word[:40]!r}")
    return rate
