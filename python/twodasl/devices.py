"""The devices that the operators compute on."""

from __future__ import annotations

import torch

from .errors import InputError


def usable_device(device: torch.device | str, name: str = "device") -> torch.device:
    """The device: the CPU, or a GPU that torch finds.

    Raises InputError, naming the argument, for every other kind of device and for GPUs that are not there.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = {0: "none here", 1: "cuda:0 here"}.get(count, f"cuda:0 to cuda:{count - 1} here")
    expected = f"{name}: expected cpu, or cuda where torch {torch.__version__} finds a GPU ({found})"
    try:
        chosen: torch.device | None = torch.device(device)
    except (RuntimeError, TypeError):
        chosen = None
    if chosen is not None and chosen.type == "cpu":
        return torch.device("cpu")
    if chosen is None or chosen.type != "cuda" or (chosen.index or 0) >= count:
        raise InputError(f"{expected}, got {str(device)[:80]!r}")
    try:
        torch.zeros(1, device=chosen)
    except RuntimeError as error:  # one that others use alone, or that has no memory left
        raise InputError(f"{name}: {chosen} cannot be used ({str(error).splitlines()[0]})") from error
    return chosen
