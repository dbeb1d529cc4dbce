"""What `twodasl doctor` says of CUDA: the builds of torch and the operators, the GPUs, whether they fit."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def report(problems: list[str]) -> list[tuple[str, str]]:
    """Lines of the report as (name, what was found); what does not fit is added to `problems`.

    A machine without a GPU, or a torch without CUDA, is nothing to repair: the CPU's operators serve it. A
    GPU that torch could use and the operators cannot is.
    """
    import torch

    from twodasl_ext import _load

    built, loaded = _load.native.build_info(), "cuda" in _load.DEVICES
    lines = [("torch's CUDA", torch.version.cuda or "none: torch is built for the CPU")]
    if not built["cuda"]:
        # A build that does not record what was asked for had no nvcc, or was not to look for one.
        reasons = {"OFF": "TWODASL_CUDA=OFF when twodasl was installed"}
        reasons["AUTO"] = "no nvcc when twodasl was installed"
        state = f"not built ({reasons.get(built.get('cuda_request', 'AUTO'), reasons['AUTO'])})"
    elif loaded:
        state = f"loaded, kernels for {_dotted(built['cuda_architectures'])}"
    else:
        state = f"built for {_dotted(built['cuda_architectures'])}, not loaded (torch has no CUDA)"
    lines.append(("CUDA operators", state))
    count = torch.cuda.device_count() if torch.version.cuda else 0
    if not count:
        lines.append(("GPUs", "none in sight of torch" if torch.version.cuda else "not looked for"))
        return lines
    if not loaded:
        from twodasl_ext._devices import without_cuda

        problems.append(f"torch sees {count} GPU(s), but twodasl has no operators for them: {without_cuda()}")
    for index in range(count):
        lines.append((f"GPU {index}", _gpu(index, loaded, problems)))
    return lines


def _gpu(index: int, loaded: bool, problems: list[str]) -> str:
    import torch

    from twodasl_ext import _devices, _load

    try:
        name, capability = torch.cuda.get_device_name(index), torch.cuda.get_device_capability(index)
    except RuntimeError as error:  # a driver that is older than torch's CUDA, most often
        words = " ".join(str(error).split())
        problems.append(f"GPU {index} does not start ({words}); install the driver that this torch asks for")
        return "does not start"
    compiled = _devices.compiled_for(_load.native.build_info()["cuda_architectures"])
    found = f"{name}, compute capability {capability[0]}.{capability[1]}, driver {driver()}"
    if not loaded:
        return found
    if not _devices.runs_on(capability, compiled):
        problems.append(_devices.no_kernels(f"cuda:{index}", name, capability))
        return found
    wrong = _wrong_result(torch.device("cuda", index))
    if wrong:
        problems.append(f"the CUDA operators do not work on GPU {index}: {wrong}")
    return found


def _wrong_result(device: torch.device) -> str:
    """Runs one operator there; what was wrong with it, or nothing."""
    import torch

    import twodasl_ext

    mean, modes = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[[1.0, 0.0, 0.0]]])
    try:
        basis = twodasl_ext.MorphableBasis(mean, modes).to(device)
        coefficients = torch.full((1, 1), 4.0, device=device)
        pose = torch.eye(3, 4, device=device)[None]
        found = twodasl_ext.vertices(basis, coefficients, pose).flatten().tolist()
    except (RuntimeError, ValueError) as error:
        return " ".join(str(error).split())
    return "" if found == [5.0, 2.0, 3.0] else f"a vertex at (5, 2, 3) came out at {tuple(found)}"


def driver() -> str:
    """The driver's version as nvidia-smi has it; torch does not tell."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return (done.stdout.split() or ["unknown"])[0]


def _dotted(architectures: Any) -> str:
    words = [word for word in str(architectures).split(";") if word]
    return ", ".join(f"{int(word) // 10}.{int(word) % 10}" for word in words) + " and newer"
