"""The errors for tensors on a device without operators. Fakes take the place of a GPU."""

from __future__ import annotations

import types
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import twodasl_ext as te
from twodasl_ext import _devices, _load

from .cases import CASES, make


@pytest.fixture
def build(monkeypatch):
    """Pretends that the libraries were built and loaded differently."""

    def pretend(devices, cuda=True, architectures="75;80;86;90", capability=(9, 0), versions=(13000, 13000)):
        info = {**te.build_info(), "cuda": cuda, "cuda_architectures": architectures}
        monkeypatch.setattr(_load, "native", types.SimpleNamespace(build_info=lambda: info))
        monkeypatch.setattr(_load, "DEVICES", devices)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Some GPU")
        monkeypatch.setattr(_devices, "_versions", lambda: versions)
        forget()

    def forget():
        _devices._problem_of_gpu.cache_clear()
        _devices._driver_too_old.cache_clear()

    yield pretend
    forget()


def test_the_cpu_and_shapes_alone_are_always_served():
    assert _devices.problem(torch.device("cpu")) is None
    assert _devices.problem(torch.device("meta")) is None


def test_another_kind_of_device(build):
    build(("cpu", "cuda"))
    said = _devices.problem(torch.device("xpu", 0))
    assert said == "no operators for device xpu:0; this build has kernels for cpu, cuda"


def test_a_build_without_nvcc_says_how_to_get_the_operators(build):
    build(("cpu",), cuda=False, architectures="")
    said = _devices.problem(torch.device("cuda", 0))
    assert said.startswith("no operators for device cuda:0; this build has operators for the CPU alone")
    assert "nvcc" in said
    assert "pip install" in said


def test_a_torch_without_cuda_is_told(build):
    build(("cpu",), cuda=True)
    said = _devices.problem(torch.device("cuda", 0))
    assert f"torch {torch.__version__} is without CUDA; install a CUDA build of torch" in said


def test_a_gpu_that_the_build_has_kernels_for(build):
    build(("cpu", "cuda"))
    assert _devices.problem(torch.device("cuda", 1)) is None


def test_a_gpu_older_than_every_kernel(build):
    build(("cpu", "cuda"), capability=(6, 1))
    said = _devices.problem(torch.device("cuda", 1))
    assert said.startswith(
        "no operators for device cuda:1; Some GPU has compute capability 6.1, this build has kernels for "
        "7.5, 8.0, 8.6, 9.0; "
    )
    assert "TWODASL_CUDA_ARCHITECTURES=61" in said


@pytest.mark.parametrize(
    ("versions", "fits"),
    [
        ((13000, 13000), True),
        ((13020, 13000), True),  # within a major version a driver runs them all
        ((12090, 13010), True),
        ((13000, 12080), False),
        ((14000, 13020), False),
        ((13000, 0), True),  # unknown
    ],
)
def test_a_driver_older_than_the_operators_cuda_is_told_once(build, versions, fits):
    build(("cpu", "cuda"), versions=versions)
    said = _devices.problem(torch.device("cuda", 1))
    assert (said is None) is fits


def test_what_to_do_about_an_old_driver(build):
    build(("cpu", "cuda"), versions=(13000, 12080))
    said = _devices.problem(torch.device("cuda", 1))
    assert said.startswith(
        "no operators for device cuda:1; the operators are built with CUDA 13.0, and this machine's driver "
        "knows CUDA 12.8 at most; install driver 580 or a newer one, or build with the nvcc of CUDA 12: "
    )


@pytest.mark.parametrize(
    ("capability", "architectures", "runs"),
    [
        ((7, 5), "75;80;86;89;90;100;120", True),
        ((7, 0), "75;80;86;89;90;100;120", False),
        ((8, 7), "75;80;86;90", True),  # machine code of 8.6, or 8.0
        ((8, 0), "75;86;90", False),  # neither that of 7.5 nor that of 8.6
        ((8, 6), "75;90", False),  # PTX is of 9.0
        ((9, 0), "90", True),
        ((8, 9), "90", False),
        ((10, 3), "90", True),  # PTX of 9.0
        ((12, 0), "75;80;86;89;90;100", True),
        ((11, 0), "75;80;86;90;100;120", True),  # PTX of 10.0
        ((11, 0), "75;80;86;90;120", False),  # PTX of 12.0
        ((11, 0), "80;90", True),  # PTX of 8.0
        ((7, 6), "75", True),
        ((9, 0), "", False),
    ],
)
def test_which_gpus_run_which_kernels(capability, architectures, runs):
    assert _devices.runs_on(capability, _devices.compiled_for(architectures)) is runs


@pytest.fixture
def face():
    inputs = make(CASES[6]).to(torch.float32)
    return inputs.basis(), inputs


def on(device, *tensors):
    """Tensors of the same shapes and dtypes, without numbers, on any device."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        return [torch.empty(t.shape, dtype=t.dtype, device=device) for t in tensors]


def test_a_basis_on_the_cpu_with_coefficients_on_a_gpu(face, build):
    build(("cpu", "cuda"))
    basis, inputs = face
    coefficients, pose = on("cuda:0", inputs.coefficients, inputs.pose)
    with pytest.raises(
        ValueError, match=r"^coefficients: expected device cpu like the basis, got cuda:0"
    ) as error:
        te.vertices(basis, coefficients, pose)
    assert "coefficients.to('cpu') moves it there, basis.to('cuda:0') the basis here" in str(error.value)
    with pytest.raises(ValueError, match=r"^pose: expected device cpu like the basis, got cuda:0"):
        te.landmarks(basis, inputs.coefficients, pose)
    predicted, target = on("cuda:0", inputs.predicted, inputs.target)
    for operator in (te.importance_weights, te.vertex_distance_cost):
        with pytest.raises(ValueError, match=r"^predicted: expected device cpu like the basis, got cuda:0"):
            operator(basis, predicted, target)


def test_the_operators_without_a_basis_name_device_and_remedy(build):
    build(("cpu",), cuda=False, architectures="")
    (cloud,) = on("cuda:0", torch.zeros(2, 5, 3))
    (triangles,) = on("cuda:0", torch.zeros(1, 3, dtype=torch.int64))
    expected = "no operators for device cuda:0; this build has operators for the CPU alone"
    with pytest.raises(ValueError, match=f"^query: {expected}"):
        te.nearest_neighbors(cloud, cloud)
    with pytest.raises(ValueError, match=f"^source: {expected}"):
        te.iterative_closest_point(cloud, cloud)
    with pytest.raises(ValueError, match=f"^vertices: {expected}"):
        te.rasterize(cloud, triangles, 4)


def test_clouds_on_two_gpus(build):
    build(("cpu", "cuda"))
    (query,), (points,) = on("cuda:0", torch.zeros(5, 3)), on("cuda:1", torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"^points: expected device cuda:0 like query, got cuda:1$"):
        te.nearest_neighbors(query, points)


def test_a_basis_says_at_the_move_that_nothing_will_run_there(face, build):
    build(("cpu",), cuda=False, architectures="")
    basis, inputs = face

    def move(tensor):
        return on("cuda:0", tensor)[0]

    with pytest.raises(ValueError, match=r"^basis: no operators for device cuda:0; this build has operators"):
        basis._apply(move)
    assert basis.device == torch.device("cpu")  # and stays where it was
    te.vertices(basis, inputs.coefficients, inputs.pose)
    mean, modes = on("cuda:0", inputs.mean, inputs.modes)
    with pytest.raises(ValueError, match=r"^basis: no operators for device cuda:0"):
        te.MorphableBasis(mean, modes)


def test_importing_does_not_start_cuda():
    # Asking whether a GPU is available would start CUDA, and the answer may change later.
    source = "".join(path.read_text() for path in _package_files())
    assert "is_available" not in source


def _package_files():
    return Path(_devices.__file__).parent.rglob("*.py")
