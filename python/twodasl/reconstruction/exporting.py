"""A trained network as a file of other runtimes: ONNX, and torch.export's package, checked first."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, install_extra
from ..geometry.crops import SIZE
from ..io.files import atomic_path
from .face_network import FaceNetwork
from .plain_network import INPUTS, PlainNetwork

TOLERANCE = 1e-4
"""By which a runtime's output may differ from torch's, relative to its largest number or to 1."""

METADATA_FILE = "twodasl.json"
"""The entry of a .pt2 package with the metadata."""

_BATCHES = (1, 3)  # sizes that are tried


def require_onnx() -> None:
    """Raise InputError where ONNX files cannot be made."""
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise InputError(f"export onnx: needs {' and '.join(missing)}; {install_extra('onnx')}")


def export_onnx(
    network: FaceNetwork, path: str | os.PathLike[str], *, vertices: bool = False
) -> dict[str, str]:
    """Write an ONNX file, and return its metadata. Inputs, outputs and `vertices` as of `PlainNetwork`.

    The batch may have any size. The file is written once onnxruntime gives what torch gives, on crops of
    noise with and without landmarks.

    Raises:
        InputError: the extra `onnx` is missing, or the file cannot be written. RuntimeError: onnxruntime
            gives something else.
    """
    require_onnx()
    import onnx
    import onnxruntime

    plain = PlainNetwork(network, vertices)
    facts = metadata(network, plain)
    with _hushed(), torch.no_grad():
        # Exported first: given the module, the exporter falls back to a batch of fixed size where this fails.
        program = torch.onnx.export(
            torch.export.export(plain, _example(2), dynamic_shapes=_any_batch()),
            dynamo=True,
            input_names=list(INPUTS),
            output_names=list(plain.outputs),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    proto.producer_name = "twodasl"
    onnx.helper.set_model_props(proto, facts)
    onnx.checker.check_model(proto)
    content = proto.SerializeToString()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(inputs: Sequence[Tensor]) -> list[Tensor]:
        given = {name: values.numpy() for name, values in zip(INPUTS, inputs, strict=True)}
        return [torch.from_numpy(np.asarray(values)) for values in session.run(list(plain.outputs), given)]

    facts["largest_difference"] = _compared(plain, run, "onnxruntime")
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    return facts


def export_torch(
    network: FaceNetwork, path: str | os.PathLike[str], *, vertices: bool = False
) -> dict[str, str]:
    """Write a package of torch.export (.pt2), and return its metadata, which is its entry `METADATA_FILE`.

    `torch.export.load(path).module()` is called with the two inputs of `PlainNetwork`; it needs torch alone.
    The file is loaded again and compared before it lands.

    Raises:
        InputError: the file cannot be written. RuntimeError: the package gives something else.
    """
    plain = PlainNetwork(network, vertices)
    facts = metadata(network, plain)
    with _hushed(), torch.no_grad():
        program = torch.export.export(plain, _example(2), dynamic_shapes=_any_batch())
        buffer = io.BytesIO()
        torch.export.save(program, buffer, extra_files={METADATA_FILE: json.dumps(facts)})
        buffer.seek(0)
        again = torch.export.load(buffer).module()
        facts["largest_difference"] = _compared(plain, lambda inputs: again(*inputs), "the package")
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return facts


def metadata(network: FaceNetwork, plain: PlainNetwork) -> dict[str, str]:
    """What somebody who has the file alone needs to know, as words."""
    from .. import __version__

    model = network.model
    shapes, expressions = len(model.shape_modes), len(model.coefficient_std) - len(model.shape_modes)
    return {
        "format": "twodasl-network",
        "twodasl": str(__version__),
        "checkpoint": Path(network.checkpoint).name,
        "step": str(network.info.get("step")),
        "face_model": model.name,
        "face_model_identity": model.identity,
        "image": f"(B, 3, {SIZE}, {SIZE}) float32, BGR, 0 to 255; (x - 127.5) / 128 is part of the network",
        "landmark_map": f"(B, 1, {SIZE}, {SIZE}) float32, 1 at the pixels of the 18 landmarks, -1 elsewhere;"
        + (" -1 everywhere without landmarks" if network.knows_blank else " it was never trained without")
        + ("" if network.sees_landmarks else "; this network must not be shown any"),
        "outputs": " ".join(plain.outputs),
        "parameters": f"12 of the camera (3x4, row-major, crop pixels, y up: row = {SIZE + 1} - y),"
        f" {shapes} of shape, {expressions} of expression; not whitened",
    }


def _any_batch() -> tuple[dict[int, Any], ...]:
    batch = torch.export.Dim("batch", min=1)
    return tuple({0: batch} for _ in INPUTS)


def _example(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Crops of smooth noise; the first without landmarks, the others with 18."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=random)
    image = torch.nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear") * 255
    marks = torch.full((count, 1, SIZE, SIZE), -1.0)
    for row in marks[1:]:
        row.view(-1)[torch.randint(SIZE * SIZE, (18,), generator=random)] = 1.0
    return image.contiguous(), marks


def _compared(plain: PlainNetwork, run: Callable[[Sequence[Tensor]], Sequence[Tensor]], what: str) -> str:
    """The largest difference found, for people. Raises RuntimeError where it is too large."""
    largest = 0.0
    for count in _BATCHES:
        inputs = _example(count, seed=count)
        with torch.no_grad():
            expected = plain(*inputs)
            found = run(inputs)
        for name, here, there in zip(plain.outputs, expected, found, strict=True):
            if here.shape != there.shape:
                raise RuntimeError(f"{what} gives {name} {tuple(there.shape)}, torch {tuple(here.shape)}")
            difference = float((here - there).abs().max() / here.abs().max().clamp_min(1.0))
            if not difference <= TOLERANCE:
                raise RuntimeError(
                    f"{what} gives {name} that differ from torch's by {difference:.1e} of them"
                )
            largest = max(largest, difference)
    return f"{largest:.1e}"


@contextmanager
def _hushed() -> Iterator[None]:
    """Without the exporter's own remarks, which concern whoever wrote the network."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
