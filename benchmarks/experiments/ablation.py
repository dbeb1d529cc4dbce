"""python -m benchmarks.experiments.ablation DATA OUT: base, cyc, sc and cyc+sc, equal budgets, several seeds.

Trains the small network for 1,500 steps in each of the four ways of the paper's ablation, evaluates each on
AFLW2000-3D's development images with detected landmarks as input and with an empty landmark map, and prints
the errors' mean over the seeds and their spread. DATA holds aflw_wild and aflw2000_dev. A run that is there
already is not made again; one that was cut off goes on. See docs/experiments.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from twodasl.evaluation.comparison import read_report
from twodasl.evaluation.nme import BIN_NAMES

# The precision is not left to what a trial on this machine finds fastest.
BUDGET = (
    *("--preset", "demo"),
    *("--set", "time_limit=0"),
    *("--set", "data.workers=0"),
    *("--set", "network.precision=float32"),
)
PHOTOS = ("--set", "photo_batch=16")
SELF_SUPERVISION = (*PHOTOS, "--set", "loss.landmarks_2d=0.5")
METHODS: dict[str, tuple[str, ...]] = {
    "base": (),
    "cyc": SELF_SUPERVISION,
    "sc": PHOTOS,
    "cyc+sc": SELF_SUPERVISION,
}
INPUTS = {"base": ("none",), "sc": ("none",), "cyc": ("detected", "none"), "cyc+sc": ("detected", "none")}
"""A network that was trained on the image alone is never shown a landmark map."""


def training(data: Path, folder: Path, method: str, seed: int) -> list[str]:
    """The arguments of `twodasl` that train a network into a folder."""
    photos = f"data.photo_source=aflw:{data / 'aflw_wild'}"
    changes = ["--ablation", method, *METHODS[method], "--set", photos, "--set", f"seed={seed}"]
    return ["train", *BUDGET, *changes, "-o", str(folder)]


def run_one(data: Path, out: Path, method: str, seed: int) -> None:
    """Trains and evaluates, as far as it has not been done; a log beside the run says what was printed."""
    name = f"{method}-{seed}"
    if not (out / f"{name}.none.json").exists():
        _command([*training(data, out / name, method, seed), "--resume"], out / f"{name}.log")
    for landmarks in INPUTS[method]:
        report = out / f"{name}.{landmarks}.json"
        if not report.exists():
            evaluation = ["evaluate", "aflw2000", "--root", str(data / "aflw2000_dev")]
            evaluation += ["--checkpoint", str(out / name / "checkpoint.pt"), "--landmarks", landmarks]
            _command([*evaluation, "--json", str(report)], out / f"{name}.{landmarks}.txt")


def _command(arguments: list[str], log: Path) -> None:
    # One thread each: two runs side by side take less time than one after the other with two threads.
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("w") as file:
        command = [sys.executable, "-m", "twodasl", *arguments]
        code = subprocess.run(command, stdout=file, stderr=file, env=environment, check=False).returncode
    if code:
        raise SystemExit(f"{log}: the command stopped with exit code {code}; its last lines say why")


def table(out: Path, seeds: list[int]) -> str:
    """Mean over the seeds, and in brackets the least and the greatest, of every column; a row each."""
    columns = [*BIN_NAMES, "bin mean", "image mean"]
    lines = [f"{'':<24}" + "".join(f"{column:>24}" for column in columns)]
    for landmarks in ("detected", "none"):
        for method in METHODS:
            if landmarks in INPUTS[method]:
                found = [_row(out / f"{method}-{seed}.{landmarks}.json") for seed in seeds]
                cells = [
                    f"{np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"
                    for values in zip(*found, strict=True)
                ]
                lines.append(f"{method + ', ' + landmarks:<24}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


def _row(report: Path) -> list[float]:
    summary = next(iter(read_report(report).summaries().values()))
    return [np.nan if value is None else value for value in (*summary.bins, summary.bin_mean)] + [
        summary.image_mean
    ]


def main() -> None:
    """Makes the runs that are missing and prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.ablation", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path, help="the folder of aflw_wild and aflw2000_dev")
    parser.add_argument("out", type=Path, help="a folder for runs, logs and reports")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side, each of one thread")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        runs = [
            pool.submit(run_one, options.data, options.out, method, seed)
            for seed in options.seeds
            for method in METHODS
        ]
        for run in runs:
            run.result()
    print(table(options.out, options.seeds))
    print(json.dumps({"seeds": options.seeds, "budget": BUDGET, "methods": METHODS}))


if __name__ == "__main__":
    main()
