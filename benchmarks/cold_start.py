"""python -m benchmarks.cold_start: from the command to the written files of one photo, in a fresh process.

Every round starts each command once, so that whatever else the machine does meets all of them; what a
reconstruction takes beside torch's own import is the difference within a round. See docs/performance.md.
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

import skimage
import torch
from twodasl.morphable import procedural_model
from twodasl.morphable.sketch import sketch
from twodasl.networks import build_regressor
from twodasl.training.checkpoint import save_checkpoint
from twodasl.training.config import NetworkConfig, TrainingConfig

from .machine import RESULTS, heading, load, machine

PHOTO = Path(skimage.__file__).parent / "data/astronaut.png"
TORCH, RECONSTRUCT = "import torch", "twodasl reconstruct"


def save_untrained(path: Path) -> None:
    """A checkpoint of the small network and the embedded head that answers about a face."""
    model, config = procedural_model(), TrainingConfig(network=NetworkConfig(regressor="small"))
    outputs = 12 + len(model.coefficient_std)
    mean = torch.zeros(outputs)
    mean[[0, 5, 10]], mean[[3, 7]] = 0.45, 60.0  # pixels a millimeter, and the middle of the crop
    contents = {
        "config": config.to_dict(),
        "model_name": model.name,
        "model_identity": model.identity,
        "model_counts": list(model.counts),
        "model_sketch": torch.from_numpy(sketch(model)),
        "whitening": {"mean": mean, "std": torch.full((outputs,), 0.01)},
        "regressor": build_regressor("small", outputs).state_dict(),
        "step": 0,
    }
    save_checkpoint(path, contents)


def commands(folder: Path, checkpoint: Path) -> dict[str, list[str]]:
    """What is timed, by name: words after the interpreter's."""
    landmarks = Path(sys.modules["twodasl"].__file__ or "").parent / "resources/astronaut68.csv"
    words = ["reconstruct", PHOTO, "-c", checkpoint, "-l", landmarks, "-o", folder / "out"]
    return {
        "twodasl --help": ["-m", "twodasl", "--help"],
        TORCH: ["-c", "import torch"],
        "import twodasl_ext": ["-c", "import twodasl_ext"],
        RECONSTRUCT: ["-m", "twodasl", *map(str, words)],
    }


def timed(words: list[str]) -> tuple[float, float]:
    """Seconds by the clock, and of processor time (user and system), of a fresh Python."""
    start = time.perf_counter()
    child = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {child.returncode}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime


def page(about: dict, found: dict[str, list[tuple[float, float]]]) -> str:
    """A Markdown table of medians and minima."""
    rows = dict(found)
    pairs = zip(found[RECONSTRUCT], found[TORCH], strict=True)
    rows[f"{RECONSTRUCT}, beside torch's import"] = [(a - c, b - d) for (a, b), (c, d) in pairs]
    rounds = len(found[TORCH])
    lines = [
        "# One photo, cold: from the command to the written files",
        "",
        *heading(about),
        f"`python -m benchmarks.cold_start --rounds {rounds}`: each command {rounds} times, in turn, each in"
        " a fresh process whose files are in the page cache; small network, embedded head, landmarks given.",
        "",
        "| command | clock, median s | least | processor, median s | least |",
        "|---|---|---|---|---|",
    ]
    for name, times in rows.items():
        columns = [
            f"{statistic(values):.2f}"
            for values in zip(*times, strict=True)
            for statistic in (statistics.median, min)
        ]
        lines.append(f"| {name} | {' | '.join(columns)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Times the commands in turn; writes and prints the page."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.cold_start", description=__doc__.splitlines()[0]
    )
    parser.add_argument("-c", "--checkpoint", type=Path, help="default: an untrained small network")
    parser.add_argument("--rounds", type=int, default=10, help="default: %(default)s")
    parser.add_argument("-o", "--output", type=Path, help="default: results/cold-start-DATE.md")
    options = parser.parse_args()
    about = machine()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = options.checkpoint or folder / "untrained.pt"
        if options.checkpoint is None:
            save_untrained(checkpoint)
        asked = commands(folder, checkpoint)
        found: dict[str, list[tuple[float, float]]] = {key: [] for key in asked}
        for words in asked.values():
            timed(words)  # fills the page cache
        for _ in range(options.rounds):
            for key, words in asked.items():
                found[key].append(timed(words))
    about["load_after"] = load()
    text = page(about, found)
    (options.output or RESULTS / f"cold-start-{about['date']}.md").write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
