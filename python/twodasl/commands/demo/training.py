"""`twodasl demo --train`: train on synthetic faces, measure on held-out ones, reconstruct a photo."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...arguments import path_of
from ...evaluation import Report, format_report, normalized_mean_error, write_json
from ...geometry.crops import SIZE
from ...geometry.projection import crop_landmarks
from ...io.locks import own_folder
from ...landmarks import read_landmarks
from ...morphable import MorphableModel, Whitening
from ...networks import build_regressor, split_output
from ...networks.inputs import network_input
from ...reconstruction.reconstructor import FaceReconstructor
from ...reconstruction.results import write_results
from ...synthetic import SyntheticFaces
from ...training import TrainingConfig, preset, train
from ...training.augment import detect
from ...training.random_streams import SyntheticSeed
from ...training.streams import Batch, stack
from .photograph import SOURCE, photograph

_SHOWN = 4  # held-out faces that are reconstructed to files
_BATCH = 64


def demo(
    output: str | os.PathLike[str],
    *,
    config: TrainingConfig | None = None,
    held_out: int = 400,
    say: Callable[[str], None] = print,
    progress: bool = True,
) -> Report:
    """Train, measure and reconstruct; everything goes into the folder `output`.

    Args:
        output: receives checkpoint.pt, nme.json, and held-out-* and astronaut as .obj, .ply, .json and .png.
        config: of the training; None is the preset "demo".
        held_out: synthetic faces, never trained on, over which NME is averaged.
        say: called with each line of text for the user.
        progress: whether the training shows how far it is.

    Returns:
        the NME of the untrained and of the trained network on the held-out faces.

    Raises:
        InputError: the folder cannot be written, or another process writes there.
    """
    folder = path_of(output, "a folder", "output")
    with own_folder(folder):
        config = preset("demo") if config is None else config
        return _demo(folder, config, held_out, say, progress)


def _demo(
    folder: Path, config: TrainingConfig, held_out: int, say: Callable[[str], None], progress: bool
) -> Report:
    checkpoint = folder / "checkpoint.pt"
    say(f"Training the network {config.network.regressor!r} on {config.data.faces:,} synthetic faces.")
    started = time.monotonic()
    _retire(checkpoint)
    result = train(config, output=folder, progress=progress)
    say(f"Trained {result.config.steps:,} steps in {time.monotonic() - started:.0f} s; wrote {checkpoint}.")

    faces = SyntheticFaces(result.model, held_out, SyntheticSeed.HELD_OUT)
    batch = stack(faces.batch(range(held_out)))
    torch.manual_seed(config.seed)
    points = config.network.points
    untrained = build_regressor(config.network.regressor, len(result.whitening.mean), points).eval()
    report = _report(config, batch, result.model, result.whitening, untrained, result.regressor)
    write_json(folder / "nme.json", report)
    say("")
    say(format_report(report))
    say("")

    reconstructor = FaceReconstructor(checkpoint, result.model)
    written = _held_out_faces(folder, reconstructor, batch)
    written.append(_photograph(folder, reconstructor))
    for path in written:
        say(f"wrote {path} and .obj, .ply, .json beside it")
    return report


def _retire(checkpoint: Path) -> None:
    """Put an earlier demo's checkpoint aside; `train` refuses to write over one."""
    if checkpoint.exists():
        os.replace(checkpoint, checkpoint.with_name("checkpoint-previous.pt"))


def _report(
    config: TrainingConfig,
    batch: Batch,
    model: MorphableModel,
    whitening: Whitening,
    untrained: nn.Module,
    trained: nn.Module,
) -> Report:
    """NME of both networks on the same faces with the same simulated detector."""
    detector = replace(config.landmarks, map_dropout=0.0)  # the table has a row of its own for blank maps
    points, shown = detect(batch, detector, np.random.default_rng(SyntheticSeed.HELD_OUT))
    given = network_input(batch["image"], points, shown)
    blank = network_input(batch["image"], points, torch.zeros_like(shown))
    truth = batch["landmarks"][..., :2].numpy()

    def error(network: nn.Module, inputs: torch.Tensor) -> NDArray[np.float64]:
        return normalized_mean_error(_landmarks(network, whitening, model, inputs), truth)

    return Report(
        title=f"NME on {len(truth)} held-out synthetic faces (no identity, pose or picture was trained on)",
        settings={
            "ground truth": "68 landmarks of the face model, all of them, also those that are hidden",
            "yaw source": "the pose with which each face was rendered",
            "landmark input": "18 points with a simulated detector's errors, as in training; or none",
        },
        names=[f"synthetic {SyntheticSeed.HELD_OUT:d}/{index}" for index in range(len(truth))],
        yaw_degrees=np.degrees(batch["yaw"].numpy().astype(np.float64)),
        errors={
            "untrained network": error(untrained, given),
            "trained network": error(trained, given),
            "trained network, no landmark input": error(trained, blank),
        },
    )


@torch.inference_mode()
def _landmarks(
    network: nn.Module, whitening: Whitening, model: MorphableModel, inputs: torch.Tensor
) -> NDArray[np.float32]:
    """(n, 68, 2) landmarks in crop pixels of what a network regresses from inputs (n, 4, 120, 120)."""
    basis = model.basis()
    outputs = [split_output(network(chunk), len(whitening.mean)) for chunk in inputs.split(_BATCH)]
    found = [crop_landmarks(basis, whitening.unwhiten(output.whitened)) for output in outputs]
    return torch.cat(found)[..., :2].numpy()


def _held_out_faces(folder: Path, reconstructor: FaceReconstructor, batch: Batch) -> list[Path]:
    """Reconstruct held-out faces spread over yaw, from the picture and slightly wrong landmarks."""
    order = batch["yaw"].argsort()
    chosen = order[torch.linspace(0.08, 0.92, _SHOWN).mul(len(order)).long()].tolist()
    rng = np.random.default_rng(SyntheticSeed.HELD_OUT)
    written = []
    for number, index in enumerate(chosen, 1):
        image = batch["image"][index].numpy()
        truth = batch["landmarks"][index, :, :2].numpy()
        points = np.clip(truth + rng.normal(0, 1, truth.shape), 0, SIZE - 1)
        face = reconstructor(image, points, (0, 0, SIZE, SIZE))
        source = {"name": f"synthetic face {index} of seed {SyntheticSeed.HELD_OUT:d}"}
        written.append(write_results(folder, f"held-out-{number}", image, reconstructor, face, source)[-1])
    return written


def _photograph(folder: Path, reconstructor: FaceReconstructor) -> Path:
    """Reconstruct the photograph from its landmarks."""
    image = photograph()
    with resources.as_file(resources.files("twodasl") / "resources" / "astronaut68.csv") as file:
        points = read_landmarks(file)
    face = reconstructor(image, points)
    return write_results(folder, "astronaut", image, reconstructor, face, SOURCE)[-1]
