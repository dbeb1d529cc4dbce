"""`twodasl doctor` on machines with and without a GPU, which are made up here."""

from __future__ import annotations

import types

import pytest
import torch
from twodasl import cli
from twodasl.commands import doctor
from twodasl.commands.doctor import cuda as doctor_cuda

import twodasl_ext as te
from twodasl_ext import _load


@pytest.fixture
def machine(monkeypatch):
    """Pretends to be a machine, and gives what the report says and what is to repair."""

    def pretend(
        torch_cuda, devices=("cpu",), built=True, architectures="75;80;90", gpus=0, capability=(9, 0)
    ):
        info = {**te.build_info(), "cuda": built, "cuda_architectures": architectures if built else ""}
        monkeypatch.setattr(_load, "native", types.SimpleNamespace(build_info=lambda: info))
        monkeypatch.setattr(_load, "DEVICES", devices)
        monkeypatch.setattr(torch.version, "cuda", torch_cuda)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Some GPU")
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
        monkeypatch.setattr(doctor_cuda, "driver", lambda: "580.1")
        monkeypatch.setattr(doctor_cuda, "_wrong_result", lambda device: "")
        problems: list[str] = []
        return dict(doctor_cuda.report(problems)), problems

    return pretend


def test_a_torch_without_cuda_is_nothing_to_repair(machine):
    said, problems = machine(None)
    assert said["torch's CUDA"] == "none: torch is built for the CPU"
    assert said["CUDA operators"] == "built for 7.5, 8.0, 9.0 and newer, not loaded (torch has no CUDA)"
    assert problems == []


def test_a_machine_without_a_gpu_is_nothing_to_repair(machine):
    said, problems = machine("13.0", ("cpu", "cuda"))
    assert said["CUDA operators"] == "loaded, kernels for 7.5, 8.0, 9.0 and newer"
    assert said["GPUs"] == "none in sight of torch"
    assert problems == []
    said, problems = machine("13.0", built=False)
    assert said["CUDA operators"].startswith("not built")
    assert problems == []


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cuda_request": "OFF"}, "not built (TWODASL_CUDA=OFF when twodasl was installed)"),
        ({"cuda_request": "AUTO"}, "not built (no nvcc when twodasl was installed)"),
        ({}, "not built (no nvcc when twodasl was installed)"),
    ],
)
def test_why_nothing_is_built(machine, monkeypatch, asked, words):
    info = {key: value for key, value in te.build_info().items() if key != "cuda_request"}
    monkeypatch.setattr(te, "build_info", lambda: info | asked)
    said, problems = machine("13.0", built=False)
    assert said["CUDA operators"] == words
    assert problems == []


def test_several_opencvs_are_to_repair(monkeypatch, capsys):
    def found(name):
        if name in ("opencv-python", "opencv-contrib-python-headless"):
            return "4.11.0"
        raise doctor.PackageNotFoundError(name)

    monkeypatch.setattr(doctor, "version", found)
    problems: list[str] = []
    doctor._opencv(problems)
    names = "opencv-python opencv-contrib-python-headless"
    assert problems == [
        "2 packages of OpenCV are installed, which overwrite each other's files;"
        f" pip uninstall -y {names}, then pip install 'opencv-python>=4.8'"
    ]
    assert "opencv-contrib-python-headless 4.11.0" in capsys.readouterr().out


def test_all_fits(machine):
    said, problems = machine("13.0", ("cpu", "cuda"), gpus=2)
    assert said["GPU 1"] == "Some GPU, compute capability 9.0, driver 580.1"
    assert problems == []


def test_a_gpu_without_operators(machine):
    _, problems = machine("13.0", built=False, gpus=1)
    assert len(problems) == 1
    assert problems[0].startswith("torch sees 1 GPU(s), but twodasl has no operators for them")
    assert "nvcc" in problems[0]
    assert "pip install" in problems[0]


def test_a_gpu_older_than_the_kernels(machine):
    said, problems = machine("13.0", ("cpu", "cuda"), gpus=1, capability=(7, 0))
    assert "compute capability 7.0" in said["GPU 0"]
    assert len(problems) == 1
    assert "has compute capability 7.0, this build has kernels for 7.5, 8.0, 9.0" in problems[0]
    assert "TWODASL_CUDA_ARCHITECTURES=70" in problems[0]


def test_a_gpu_that_does_not_start(machine, monkeypatch):
    machine("13.0", ("cpu", "cuda"), gpus=1)

    def fails(index):
        raise RuntimeError("The NVIDIA driver\nis too old")

    monkeypatch.setattr(torch.cuda, "get_device_name", fails)
    problems: list[str] = []
    said = dict(doctor_cuda.report(problems))
    assert said["GPU 0"] == "does not start"
    assert problems == [
        "GPU 0 does not start (The NVIDIA driver is too old); install the driver that this torch asks for"
    ]


def test_a_wrong_result_is_a_problem(machine, monkeypatch):
    machine("13.0", ("cpu", "cuda"), gpus=1)
    monkeypatch.setattr(doctor_cuda, "_wrong_result", lambda device: "a vertex is elsewhere")
    problems: list[str] = []
    doctor_cuda.report(problems)
    assert problems == ["the CUDA operators do not work on GPU 0: a vertex is elsewhere"]


def test_a_device_that_works_gives_the_right_vertex():
    assert doctor_cuda._wrong_result(torch.device("cpu")) == ""


def test_the_exit_code_is_1_where_something_is_to_repair(monkeypatch, capsys):
    assert cli.main(["doctor"]) == 0
    assert "torch's CUDA" in capsys.readouterr().out

    def broken(problems):
        problems.append("the GPU is made of cheese; eat it")
        return []

    monkeypatch.setattr(doctor.doctor_cuda, "report", broken)
    assert cli.main(["doctor"]) == 1
    assert "problem: the GPU is made of cheese; eat it" in capsys.readouterr().out


def test_the_driver_is_unknown_without_its_tool(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert doctor_cuda.driver() == "unknown"
