"""python -m benchmarks.folder_speed: photos a second of `twodasl reconstruct FOLDER/*.jpg --no-pictures`.

The photos are views of the astronaut of scikit-image, each moved, turned and scaled at random. A photo takes
the difference between a run on all of them and one on the first few, divided by the difference in number: the
start counts once for a folder, however long it is. With --against every round runs another checkout as well,
so that whatever else the machine does meets both.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import skimage

from .machine import RESULTS, heading, load, machine

PHOTO = Path(skimage.__file__).parent / "data/astronaut.png"
FEW = 8
HERE = Path(__file__).resolve().parents[1]


def make_photos(folder: Path, count: int, side: int) -> list[Path]:
    """Photos of side x side pixels with one face each, the same at every run."""
    rng, astronaut = np.random.default_rng(0), cv2.imread(str(PHOTO))
    assert astronaut is not None
    paths = []
    for index in range(count):
        zoom, roll = side / 512 * rng.uniform(0.9, 1.3), rng.uniform(-15, 15)
        move = cv2.getRotationMatrix2D((225, 125), roll, zoom)
        move[:, 2] += side / 2 - np.array([225, 125]) + rng.uniform(-0.05, 0.05, 2) * side
        photo = cv2.warpAffine(astronaut, move, (side, side), borderMode=cv2.BORDER_REFLECT)
        photo = np.clip(photo * rng.uniform(0.7, 1.2), 0, 255).astype(np.uint8)
        paths.append(folder / f"{index:04d}.jpg")
        cv2.imwrite(str(paths[-1]), photo)
    return paths


def timed(source: Path, photos: list[Path], output: Path) -> tuple[float, float]:
    """Seconds by the clock, and of processor time, of a run by the checkout `source`."""
    there = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (source, source / "python")))}
    words = [sys.executable, "-m", "twodasl", "reconstruct", *map(str, photos), "--no-pictures"]
    start = time.perf_counter()
    child = subprocess.Popen([*words, "-o", str(output)], stdout=subprocess.DEVNULL, env=there, cwd=output)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{source}: exit code {child.returncode}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime


def page(about: dict, options: argparse.Namespace, found: dict[str, list[tuple[float, float]]]) -> str:
    """A Markdown table of medians over the rounds, of the time a photo takes."""
    cores = len(os.sched_getaffinity(0))
    lines = [
        "# A folder of photos, without pictures",
        "",
        *heading(about),
        f"`python -m benchmarks.folder_speed --photos {options.photos} --side {options.side} --rounds"
        f" {options.rounds}` on {cores} core{'s' * (cores > 1)}: photos of {options.side} x {options.side}"
        " pixels, weights `base`, the start not counted.",
        "",
        "| | clock, ms a photo | processor, ms a photo | photos a second of processor time |",
        "|---|---|---|---|",
    ]
    for name, times in found.items():
        clock, used = (statistics.median(values) for values in zip(*times, strict=True))
        lines.append(f"| {name} | {1e3 * clock:.0f} | {1e3 * used:.0f} | {1 / used:.1f} |")
    if len(found) > 1:
        new, old = found.values()
        ratio = statistics.median(b / a for (_, a), (_, b) in zip(new, old, strict=True))
        lines += ["", f"Processor time, median of the rounds' quotients: {ratio:.2f} times less than before."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Times the runs in turn; writes and prints the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.folder_speed", description=__doc__)
    parser.add_argument("--photos", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--side", type=int, default=640, help="pixels (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--against", type=Path, help="another checkout, with its built libraries")
    parser.add_argument("-o", "--output", type=Path, help="default: results/folder-speed-DATE.md")
    options = parser.parse_args()
    if options.photos <= FEW:
        parser.error(f"--photos: expected more than {FEW}, got {options.photos}")
    about = machine()
    sources = {"now": HERE} | ({"before": options.against.resolve()} if options.against else {})
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in sources}
    with tempfile.TemporaryDirectory() as name:
        photos = make_photos(Path(name), options.photos, options.side)
        output = Path(name) / "out"
        output.mkdir()
        for source in sources.values():
            timed(source, photos[:FEW], output)  # fills the page cache
        for _ in range(options.rounds):
            for key, source in sources.items():
                few, all_ = timed(source, photos[:FEW], output), timed(source, photos, output)
                found[key].append(
                    tuple((b - a) / (len(photos) - FEW) for a, b in zip(few, all_, strict=True))
                )
    about["load_after"] = load()
    text = page(about, options, found)
    (options.output or RESULTS / f"folder-speed-{about['date']}.md").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
