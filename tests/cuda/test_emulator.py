"""The emulator itself: it has the semantics of CUDA, and it finds the faults that it should find.

Both programs are plain C++ here (tests/cuda/emulator/*.cu) and need a compiler, but neither torch nor a GPU.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "emulator"
ORDERS = (0, 1, 2, 3, 7, 12)
FLAGS = ("-std=c++17", "-O1", "-g1", "-ffp-contract=off", "-DTWODASL_EMULATED", f"-I{FOLDER}")
SANITIZERS = ("-fsanitize=address,alignment", "-fno-sanitize-recover=all")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Compiles a program with the emulator, once."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    built: dict[str, Path] = {}

    def build(name: str) -> Path:
        if name not in built:
            output = tmp_path_factory.mktemp(name) / name
            sources = ("-x", "c++", *(FOLDER / f for f in (f"{name}.cu", "emulator.cpp", "fiber.cpp")))
            done = subprocess.run(
                [compiler, *FLAGS, *SANITIZERS, *sources, "-o", output], capture_output=True, text=True
            )
            if "cannot find" in done.stderr and "asan" in done.stderr:
                pytest.skip("the compiler has no AddressSanitizer")
            assert done.returncode == 0, done.stderr
            built[name] = output
        return built[name]

    return build


def run(program: Path, *words: str, order: int) -> subprocess.CompletedProcess:
    # Leaks are looked for by tracing the process, which some containers forbid; they are not what is tested.
    # An outer run in the emulator may have set LD_PRELOAD.
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    environment |= {"TWODASL_EMULATOR_ORDER": str(order), "ASAN_OPTIONS": "detect_leaks=0"}
    return subprocess.run([program, *words], capture_output=True, text=True, env=environment, timeout=60)


@pytest.mark.parametrize("order", ORDERS)
def test_the_language_means_what_cuda_means(program, order):
    done = run(program("semantics"), order=order)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    checks, wrong = (int(word) for word in done.stdout.split()[:3:2])
    assert checks > 50_000  # every lane of every shuffle
    assert wrong == 0


STOPS = {
    "global_index": "heap-buffer-overflow",
    "shared_index": "heap-buffer-overflow",
    "dynamic_index": "heap-buffer-overflow",
    "wide_load": "misaligned address",
}
"""Kernels whose fault a sanitizer reports, and its message."""

ERRORS = {
    "shuffle_outside": "a shuffle reads from a lane outside of its mask",
    "lane_left": "for lanes of its warp that do not come",
    "lane_not_named": "takes part in an operation of its warp whose mask leaves it out",
    "divergent_barrier": "wait at different barriers",
    "divergent_shuffle": "for lanes of its warp that do not come",
    "not_tf32": "a number for the tensor cores is not of tf32",
    "misaligned_copy": "a copy beside the program is misaligned",
    "much_shared": "more than 48 KB of shared arrays",
    "block_size": "a block has 1 to 1024 threads",
}
"""Kernels whose fault the launch reports, and its message."""

SPOILS = (
    "no_barrier",
    "only_the_warp",
    "tile_used_again",
    "copied_too_early",
    "no_syncwarp",
    "never_written",
)
"""Kernels whose fault shows in the numbers."""


@pytest.mark.parametrize("name", [*STOPS, *ERRORS, *SPOILS, "no_wait"])
def test_a_sound_kernel_passes(program, name):
    results = {(r.returncode, r.stdout, r.stderr) for r in sound(program, name)}
    assert len(results) == 1  # the same numbers in every order
    code, printed, said = results.pop()
    assert (code, said) == (0, "")
    assert "nan" not in printed
    assert "error" not in printed
    assert len(printed.split()) == 64


def sound(program, name):
    return [run(program("planted"), name, "sound", order=order) for order in ORDERS]


@pytest.mark.parametrize("name", STOPS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_sanitizer_stops_a_wrong_address(program, name, order):
    done = run(program("planted"), name, "fault", order=order)
    assert done.returncode != 0
    assert STOPS[name] in done.stderr
    assert "planted.cu" in done.stderr  # and tells where


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_launch_reports_what_is_against_the_rules(program, name, order):
    done = run(program("planted"), name, "fault", order=order)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("error: emulator: ")
    assert ERRORS[name] in done.stdout


@pytest.mark.parametrize("name", SPOILS)
def test_a_missing_barrier_shows_in_the_numbers(program, name):
    expected = sound(program, name)[0].stdout
    spoiled = {
        order: run(program("planted"), name, "fault", order=order).stdout != expected for order in ORDERS
    }
    # By number and from the last on, a warp runs ahead of the others: then every one of these shows. A
    # shuffled order may let both warps of such a small block wait for each other by luck.
    assert spoiled[0], spoiled
    assert spoiled[1], spoiled
    assert sum(spoiled.values()) >= len(ORDERS) - 1, spoiled


def test_a_copy_that_nobody_waits_for_shows_in_the_numbers(program):
    """By number it is done at the wait, from the last thread to the first at once."""
    expected = sound(program, "no_wait")[0].stdout
    assert run(program("planted"), "no_wait", "fault", order=0).stdout != expected
    assert run(program("planted"), "no_wait", "fault", order=1).stdout == expected
