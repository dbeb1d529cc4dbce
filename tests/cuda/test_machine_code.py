"""The machine code of `vertices` for compute capability 9.0: wide accesses, and no spilled registers.

Needs nvcc and cuobjdump, and no GPU. `CUOBJDUMP` names a cuobjdump that is not on the PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ("-std=c++17", "-O3", "--expt-relaxed-constexpr", "-arch=sm_90", "-cubin", "-Xptxas", "-v")
KERNELS = 21 + 18
"""Of csrc/cuda/vertices.cu: tiles and numbers of faces, for every storage; on tensor cores six each."""

SPILLED = 96
"""Bytes that a thread of the widest kernels on tensor cores may store or load again, of 168 registers, or of
255 where the backward pass widens modes."""

GRADIENT_TILES = (3, 6, 10, 11)
"""Of columns, of csrc/cuda/vertices_backward.cu on tensor cores, for each of three storages."""


def tool(name: str, variable: str) -> str:
    """A tool of the CUDA toolkit, or a skip."""
    places = os.environ.get("PATH", ""), "/usr/local/cuda/bin"
    found = os.environ.get(variable) or shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        pytest.skip(f"the CUDA toolkit's {name} is not here")
    return found


Compiled = tuple[dict[str, Counter[str]], str]


def compile_kernels(source: str, folder: Path) -> Compiled:
    """Of every kernel of a source how often it has each instruction, and what ptxas said of them."""
    cuobjdump, nvcc = tool("cuobjdump", "CUOBJDUMP"), tool("nvcc", "NVCC")
    output = folder / "vertices.cubin"
    command = [nvcc, *FLAGS, "-o", output, ROOT / "csrc" / "cuda" / source]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    beside = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(cuobjdump).parent), os.environ.get("PATH", "")]),
    }
    dump = subprocess.run([cuobjdump, "-sass", output], capture_output=True, text=True, env=beside)
    assert dump.returncode == 0, dump.stderr
    kernels: dict[str, Counter[str]] = {}
    for line in dump.stdout.splitlines():
        if (start := re.search(r"Function : (\S+)", line)) is not None:
            kernels[start[1]] = Counter()
        elif (
            code := re.match(r"\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)", line)
        ) is not None:
            kernels[list(kernels)[-1]][code[1]] += 1
    return kernels, built.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> Compiled:
    """The forward kernels."""
    return compile_kernels("vertices.cu", tmp_path_factory.mktemp("forward"))


@pytest.fixture(scope="module")
def compiled_backward(tmp_path_factory) -> Compiled:
    """The backward kernels."""
    return compile_kernels("vertices_backward.cu", tmp_path_factory.mktemp("backward"))


def stores(code: Counter[str]) -> tuple[int, int]:
    """Stores to global memory of 16 bytes, and of less."""
    found = {name: count for name, count in code.items() if name.split(".")[0] == "STG"}
    wide = sum(count for name, count in found.items() if name.endswith(".128"))
    return wide, sum(found.values()) - wide


def faces_of(name: str) -> tuple[str, int]:
    """("stream", faces of a thread), ("tile", warps of faces), or ("tensor", tiles of eight faces)."""
    kind, number = re.search(r"vertices_(stream|tile|tensor)_kernelILi(\d+)", name).groups()
    return kind, int(number)


@pytest.mark.slow
def test_results_are_stored_sixteen_bytes_at_a_time(compiled):
    kernels, _ = compiled
    assert len(kernels) == KERNELS
    for name, code in kernels.items():
        kind, faces = faces_of(name)
        if "EddEE" in name:  # doubles are stored one by one
            continue
        # A row of a face is one of four cases, by where in 16 bytes it begins: so many instructions a pass
        # of the threads over it. Narrow are those before the first whole 16 bytes and after the last.
        passes = {"tile": 8, "tensor": 2 * faces, "stream": max(1, faces // 2)}[kind]
        quads = 3 if kind != "stream" or faces > 1 else 2
        assert stores(code) == (4 * quads * passes, 2 * passes), name


def spilled(said: str) -> dict[str, tuple[int, int]]:
    """Of every kernel the bytes of spilled registers that a thread stores, and loads."""
    pattern = r"Compiling entry function '(\S+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    return {name: (int(a), int(b)) for name, a, b in re.findall(pattern, said, re.DOTALL)}


def local(code: Counter[str]) -> int:
    """Accesses to spilled registers."""
    return sum(count for word, count in code.items() if word.startswith(("STL", "LDL")))


@pytest.mark.slow
def test_no_register_is_spilled(compiled):
    kernels, said = compiled
    spills = spilled(said)
    assert set(spills) == set(kernels)
    for name, code in kernels.items():
        assert code["FFMA"] + code["DFMA"] > 50, name  # the instructions are read as they should be
        if faces_of(name) == ("tensor", 4):
            assert max(spills[name]) <= SPILLED, name
            continue
        assert spills[name] == (0, 0), name
        assert local(code) == 0, name


@pytest.mark.slow
def test_the_products_are_on_tensor_cores(compiled):
    """Three products of 16 x 8 x 8 for each of six rows of vertices, and two where the modes are exact."""
    kernels, _ = compiled
    for name, code in kernels.items():
        kind, tiles = faces_of(name)
        products = (18 if "EfEEvNS" in name else 12) * tiles if kind == "tensor" else 0
        assert code["HMMA.1688.F32.TF32"] == products, name
        assert (code["LDGSTS.E.BYPASS.128"] > 0) == (kind == "tensor"), name


@pytest.mark.slow
def test_the_backward_pass_on_tensor_cores(compiled_backward):
    """Products, asynchronous copies, 16 bytes at a time from shared memory, and registers."""
    kernels, said = compiled_backward
    spills = spilled(said)
    seen = []
    for name, code in kernels.items():
        kind = re.search(r"vertices_tensor_gradient_kernelILi(\d+)E(f|NS_)", name)
        if kind is None:
            assert not any(word.startswith("HMMA") for word in code), name
            continue
        tiles, float32 = int(kind[1]), kind[2] == "f"
        seen.append(tiles)
        # Three rows of gradients by two times eight vertices, three products each: two where the modes are
        # exact, but not of the mean, which has a place in the first tile.
        assert code["HMMA.1688.F32.TF32"] == (18 * tiles if float32 else 12 * tiles + 6), name
        assert code["LDGSTS.E.BYPASS.128"] > 0, name
        assert code["LDGSTS.E"] == 2 * 16, name  # a number of each of 16 faces: first, and in the loop
        # In a stretch six for the gradients, one for a tile's columns, or half of one.
        assert code["LDS.128"] == (6 + tiles if float32 else 7), name
        assert float32 or code["LDS.64"] >= tiles, name
        if float32 or tiles < 10:
            assert spills[name] == (0, 0), name
            assert local(code) == 0, name
        else:
            assert max(spills[name]) <= SPILLED, name
    assert sorted(seen) == sorted(3 * GRADIENT_TILES)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vertices.cu", "vertices_backward.cu"])
def test_gpus_without_tensor_cores_for_tf32_have_code(tmp_path, name):
    nvcc = tool("nvcc", "NVCC")
    output = tmp_path / "vertices.cubin"
    flags = ["-arch=sm_75" if flag == "-arch=sm_90" else flag for flag in FLAGS]
    source = ROOT / "csrc" / "cuda" / name
    built = subprocess.run([nvcc, *flags, "-o", output, source], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
