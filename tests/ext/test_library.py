"""The built libraries: what they need, what they report, and the errors of a wrong installation."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import twodasl_ext as te
from twodasl_ext import _load

FOLDER = Path(_load.native.__file__).parent
LIBRARY = FOLDER / "_operators_cpu.so"
SOURCES = Path(_load.__file__).parent


def tool(name, *arguments):
    if shutil.which(name) is None:
        pytest.skip(f"{name} (binutils) is not installed")
    return subprocess.run([name, *arguments], capture_output=True, text=True, check=True).stdout


def cuda_library():
    """The CUDA operators, which are there where nvcc was when the package was built."""
    if not te.build_info()["cuda"]:
        pytest.skip("built without nvcc: there is no CUDA library")
    return FOLDER / "_operators_cuda.so"


@pytest.fixture(params=["cpu", "cuda"])
def library(request):
    return LIBRARY if request.param == "cpu" else cuda_library()


def undefined(library):
    """The symbols that the library needs from others, without their versions."""
    lines = tool("nm", "-D", "--undefined-only", str(library)).splitlines()
    return {line.split()[-1].split("@")[0] for line in lines}


def test_only_the_stable_interface_of_torch_is_used(library):
    symbols = undefined(library)
    unstable = [s for s in symbols if s.startswith(("_ZN2at", "_ZNK2at", "_ZN3c10", "_ZNK3c10", "_ZN5torch"))]
    assert unstable == []
    assert any(s.startswith("aoti_torch_") for s in symbols)


def test_only_torch_and_the_system_are_expected(library):
    found = tool("nm", "-D", "--undefined-only", str(library)).splitlines()
    # The system's libraries give their symbols a version; what has none is torch's, or weak (for compilers).
    plain = {line.split()[-1] for line in found if "@" not in line and " w " not in line}
    assert {s for s in plain if not s.startswith(("aoti_torch_", "torch_"))} == set()
    versions = {line.split("@")[-1].split("_")[0] for line in found if "@" in line}
    assert versions <= {"GLIBC", "GLIBCXX", "CXXABI", "GCC"}


def test_the_cuda_library_needs_no_gpu_to_load():
    # CUDA's runtime is inside, and looks for the driver when it is first used: loading needs no GPU.
    header = tool("objdump", "-p", str(cuda_library())).splitlines()
    needed = {line.split()[-1] for line in header if "NEEDED" in line}
    assert {"libtorch_cpu.so", "libtorch_cuda.so"} <= needed
    assert not any(name.startswith(("libcuda.", "libcudart", "libtwodasl")) for name in needed)


def test_torch_is_found_by_name_and_by_no_path(library):
    header = tool("objdump", "-p", str(library))
    assert "libtorch_cpu.so" in header
    assert "RPATH" not in header
    assert "RUNPATH" not in header


def test_the_libraries_export_nothing_but_what_python_asks_for(library):
    exported = tool("nm", "-D", "--defined-only", str(library)).splitlines()
    of_cuda = ["twodasl_cuda_versions", "twodasl_multiprocessors", "twodasl_tensor_cores"]
    own = ["twodasl_set_interruption_hook"] if library == LIBRARY else of_cuda
    assert sorted(line.split()[-1] for line in exported if "twodasl" in line) == own


def test_the_native_module_does_not_need_torch():
    native = Path(_load.native.__file__)
    assert "torch" not in tool("objdump", "-p", str(native))


def test_build_info():
    info = te.build_info()
    assert info["interface"] == _load.INTERFACE
    assert info["isa_levels"][0] in ("baseline", "neon")
    assert info["built_with_torch"]
    capability = te.cpu_capability()
    levels = info["isa_levels"]
    assert levels.index(capability["active"]) <= levels.index(capability["best"])


def run_copy(folder, site=None):
    """Imports the copy of the sources in `folder` as from a checkout, with `site` as what is installed, or
    with nothing. Returns what was printed and the last line of the error."""
    program = f"import sys; sys.path[:0] = {[str(folder), *([str(site)] if site else [])]!r}\n"
    if site is None:
        program += (
            "import importlib.metadata as m\n"
            "def nothing(name): raise m.PackageNotFoundError(name)\n"
            "m.distribution = nothing\n"
        )
    program += "import twodasl_ext\nprint('imported')"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True)
    return done.stdout.strip(), (done.stderr.strip().splitlines() or [""])[-1]


@pytest.fixture
def checkout(tmp_path):
    """The Python sources without any library."""
    ignore = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(SOURCES, tmp_path / "twodasl_ext", ignore=ignore)
    return tmp_path


def test_a_checkout_without_libraries_says_what_to_do(checkout):
    printed, error = run_copy(checkout)
    assert printed == ""
    assert error.startswith("ImportError: twodasl_ext: the compiled operators (_operators_cpu.so) are not in")
    assert "pip install ." in error


@pytest.fixture
def installed(tmp_path):
    """A site folder with an installed twodasl that holds the libraries."""
    site = tmp_path / "site"
    (site / "twodasl_ext").mkdir(parents=True)
    libraries = [LIBRARY, Path(_load.native.__file__)]
    libraries += [cuda_library()] if te.build_info()["cuda"] else []
    for path in libraries:
        shutil.copy(path, site / "twodasl_ext")
    record = site / "twodasl-0.1.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: twodasl\nVersion: 0.1.0\n")
    (record / "RECORD").write_text("".join(f"twodasl_ext/{path.name},,\n" for path in libraries))
    return site


def test_a_checkout_uses_the_installed_libraries(checkout, installed):
    printed, error = run_copy(checkout, installed)
    assert (printed, error) == ("imported", "")


def test_installed_libraries_of_another_interface_are_refused(checkout, installed):
    source = checkout / "twodasl_ext" / "_load.py"
    source.write_text(source.read_text().replace(f"INTERFACE = {_load.INTERFACE}\n", "INTERFACE = 9999\n"))
    printed, error = run_copy(checkout, installed)
    assert printed == ""
    assert f"have interface {_load.INTERFACE}" in error
    assert "need 9999" in error


def test_a_library_that_does_not_load_is_an_error(checkout, installed):
    for path in (installed / "twodasl_ext").iterdir():
        shutil.copy(path, checkout / "twodasl_ext")
    (checkout / "twodasl_ext" / "_operators_cpu.so").write_bytes(b"not a library")
    printed, error = run_copy(checkout)
    assert printed == ""
    assert "does not load under torch" in error
    assert "built with the headers of torch" in error


def test_a_native_module_of_another_python_is_an_error(checkout, installed):
    shutil.copy(installed / "twodasl_ext" / "_operators_cpu.so", checkout / "twodasl_ext")
    printed, error = run_copy(checkout)
    assert printed == ""
    assert "built for another Python" in error


def test_importing_does_not_load_the_compiler():
    program = (
        "import sys, twodasl_ext; print('torch._dynamo' in sys.modules, 'torch._inductor' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]
