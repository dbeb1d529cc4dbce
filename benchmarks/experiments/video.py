"""python -m benchmarks.experiments.video: jitter, lag, error and speed of faces followed through a video.

Rendered people whose pose, expression and landmarks are known (`twodasl.synthetic.moving`), with noise in
every frame: what `twodasl evaluate video` measures, followed by `FaceTracker` and every frame alone, as a
photo (`FaceReconstructor.find`). One clip does not move: jitter is how far the errors of landmarks and yaw
scatter about their mean, from the 15th frame on, and from one frame to the next. In the other the head swings
at most 30 degrees a second, nods and talks: lag is the shift in time at which the yaw found is most like the
true one. Speed is that of `twodasl video` on the moving person's clip, with reading, detection, drawing and
writing.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import tempfile
import time
from dataclasses import astuple
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from twodasl import FaceReconstructor
from twodasl.cli import main as twodasl
from twodasl.evaluation.video import following, jitter
from twodasl.evaluation.video_scene import NOISE, RATE, path_through, rendered_person, ways
from twodasl.synthetic.moving import HEIGHT, WIDTH

Frames = list[NDArray[np.uint8]]


def main() -> None:
    """Prints a row for each person and way, and the speed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.video", description=__doc__.splitlines()[0]
    )
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    parser.add_argument("--people", type=int, default=2, help="how many (default: 2)")
    parser.add_argument("--frames", type=int, default=120, help="of the one who moves (default: 120)")
    arguments = parser.parse_args()
    reconstructor = FaceReconstructor(arguments.checkpoint)
    print(
        f"checkpoint {arguments.checkpoint}, {WIDTH}x{HEIGHT}, {RATE:g} frames a second, noise {NOISE:g} gray"
    )
    _print_head()
    rows: dict[str, list[list[float]]] = {"followed": [], "alone": []}
    speed = ""
    for seed in range(1, arguments.people + 1):
        person = rendered_person(reconstructor, seed, arguments.frames)
        for name, make in ways(reconstructor).items():
            calm = jitter(path_through(make(), person.resting), person.rest)
            found = following(path_through(make(), person.moving), person.truth)
            lag = np.nan if found.lag is None else found.lag
            rows[name].append([*astuple(calm), found.nme, found.yaw, lag, found.missed])
            _print_row(f"person {seed}, {name}", np.array(rows[name][-1]))
        speed = speed or _speed(person.moving, arguments.checkpoint)
    followed, alone = (np.array(rows[name])[:, :4].mean(axis=0) for name in ("followed", "alone"))
    _print_row("followed / alone", followed / alone)
    print(speed)


def _speed(frames: Frames, checkpoint: str) -> str:
    """Of `twodasl video` on a clip of these frames, twice as long as they are."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        encoder = cv2.VideoWriter(os.fspath(clip), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
        for frame in [*frames, *frames[::-1]]:
            encoder.write(frame)
        encoder.release()
        said = io.StringIO()
        before = time.process_time()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            code = twodasl(["video", str(clip), "-o", f"{folder}/out", "-c", checkpoint, "-v"])
        used = time.process_time() - before
    match = re.search(r"(\d+) frames took ([\d.]+) s, ([\d.]+) a second", said.getvalue())
    if code or match is None:
        raise RuntimeError(said.getvalue())
    each = 1000 * used / int(match[1])
    where = (
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads of torch, load {os.getloadavg()[0]:.1f}"
    )
    return f"twodasl video: {match[3]} frames a second; {each:.0f} ms of processor a frame ({where})"


def _print_head() -> None:
    names = ("jitter", "a frame", "yaw's", "a frame", "NME", "yaw off", "lag", "missed")
    units = ("px", "px", "deg", "deg", "%", "deg", "frames", "frames")
    for words in (names, units):
        print(f"{'':20}" + "".join(f"{word:>9}" for word in words), flush=True)


def _print_row(name: str, row: NDArray[np.float64]) -> None:
    print(f"{name:20}" + "".join(f"{value:9.3f}" for value in row), flush=True)


if __name__ == "__main__":
    main()
