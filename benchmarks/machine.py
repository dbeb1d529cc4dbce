"""Where and with what a run was measured, and how busy the machine was beside it."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import torch

import twodasl_ext as te

RESULTS = Path(__file__).resolve().parent / "results"


def load() -> float:
    """Runnable threads, averaged over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _huge_pages() -> str:
    setting = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    text = setting.read_text() if setting.is_file() else ""
    return text[text.find("[") + 1 : text.find("]")] if "[" in text else "unknown"


def machine() -> dict[str, Any]:
    """Processor, threads, versions, date, and the load before the run; `finish` adds the load after it."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "huge_pages": _huge_pages(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "twodasl_ext": te.build_info()["version"],
        "compiler": te.build_info()["compiler"],
        "isa": te.cpu_capability()["active"],
        "load_before": load(),
    }


def busy(about: dict[str, Any]) -> bool:
    """Whether other work ran beside the measurement: more runnable threads than cores, ours not counted."""
    return max(about["load_before"], about["load_after"] - about["threads"]) > 0.5 * about["cores"]


def heading(about: dict[str, Any]) -> list[str]:
    """Two sentences that every results page begins with."""
    verdict = ": **other work ran beside it, quote nothing of this.**" if busy(about) else "."
    return [
        f"{about['date']}, {about['processor']}, {about['cores']} cores, threads: {about['threads']}, "
        f"{about['isa']} kernels, torch {about['torch']}, Python {about['python']}, {about['compiler']}, "
        f"transparent huge pages: {about['huge_pages']}.",
        f"Load average before {about['load_before']}, after {about['load_after']}{verdict}",
    ]
