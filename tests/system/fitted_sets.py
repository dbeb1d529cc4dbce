"""A small folder of fitted photos: dots at the landmarks of faces whose parameters are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from twodasl.datasets.photos.fitted_store import FittedFaces, write_store
from twodasl.datasets.report import DataReport

from .tiny_runs import Dots


def write_fitted(folder: Path, model, count: int = 8) -> Dots:
    """Write `count` faces of `model`, of eight photos two left out; returns the faces."""
    dots = Dots(model, count)
    samples = [dots[index] for index in range(count)]
    columns = {
        key: np.stack([sample[key].numpy() for sample in samples])
        for key in ("parameters", "landmarks", "visible")
    }
    deviations = np.full((count, columns["parameters"].shape[1] - 5), 0.1, np.float32)
    residual = np.linspace(1, 2, count, dtype=np.float32)
    names = tuple(f"images/{index}.png" for index in range(count))
    faces = FittedFaces(names, deviations=deviations, residual=residual, **columns)
    note = {
        "source": {"kind": "aflw", "folder": "/data/aflw"},
        "face_model": {"name": model.name, "identity": model.identity, "counts": list(model.counts)},
        "checkpoint": {"name": "checkpoint.pt", "sha256": "0" * 64, "step": 7},
        "fit": {"sigma": 1.0},
    }
    report = DataReport(count + 2, ()).without(["a.png", "b.png"], "the fit misses its points")
    folder.mkdir(parents=True, exist_ok=True)
    write_store(folder, faces, (sample["image"].numpy() for sample in samples), note, report)
    return dots
