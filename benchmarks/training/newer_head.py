"""python -m benchmarks.training.newer_head WEIGHTS -o FILE: weights of an earlier head for the present one.

The embedded head once had ten expression modes; the five that came later changed nothing of the others. And
its landmarks were once other vertices of the same mesh. FILE.safetensors is the same network with
coefficients of the new modes, which it says are zero, and as uncertain as the model's own spread; where it
says landmarks are, they still are the former ones. `twodasl train --set network.start=FILE.safetensors` goes
on from there.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel, load_model
from twodasl.morphable.sketch import same_geometry, sketch
from twodasl.training.weights import read_weights, save_weights

_POSE = 12
_LAST_LAYERS = ("output.weight", "output.bias", "fc.weight", "fc.bias")


def for_newer_head(contents: dict[str, Any], model: MorphableModel) -> dict[str, Any]:
    """What `read_weights` gave, for a model whose mean and first modes are those of the weights.

    Raises InputError where they are not.
    """
    vertices, shapes, expressions = contents["model_counts"]
    drawing = sketch(model)
    before = _POSE + shapes + expressions
    added = model.counts[2] - expressions
    known = drawing[: 1 + shapes + expressions]
    if (
        model.counts[:2] != (vertices, shapes)
        or added < 0
        # The last sum is of the landmarks.
        or not same_geometry(known[:, :-1], contents["model_sketch"].numpy()[:, :-1])
    ):
        raise InputError(
            f"weights: expected those of an earlier {model.name!r}, of the same mean and first modes"
        )

    def grown(values: Tensor, fill: float) -> Tensor:
        more = values.new_full((added, *values.shape[1:]), fill)
        return torch.cat([values[:before], more, values[before:]])

    spread = float(contents["whitening"]["std"][_POSE + shapes :].mean())
    whitening = {
        "mean": grown(contents["whitening"]["mean"], 0.0),
        "std": grown(contents["whitening"]["std"], spread),
    }
    priors = contents["priors"]
    if priors.coefficients:
        priors = replace(priors, coefficients=(*priors.coefficients, *(1.0,) * added))
    state = {
        name: grown(value, 0.0) if name in _LAST_LAYERS else value
        for name, value in contents["regressor"].items()
    }
    about = {
        "model_identity": model.identity,
        "model_counts": list(model.counts),
        "model_sketch": torch.from_numpy(drawing),
    }
    return {**contents, **about, "regressor": state, "whitening": whitening, "priors": priors}


def main() -> None:
    """Writes the two files."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training.newer_head", description=__doc__.splitlines()[0]
    )
    parser.add_argument("weights", type=Path, help="NAME.safetensors")
    parser.add_argument("-o", "--output", type=Path, required=True, help="NAME.safetensors to write")
    parser.add_argument("-m", "--model", default="procedural", help="default: %(default)s")
    arguments = parser.parse_args()
    contents = for_newer_head(read_weights(arguments.weights), load_model(arguments.model))
    written = save_weights(
        arguments.output, contents, contents["priors"], contents["about"], contents["confidence"]
    )
    print("wrote", *written)


if __name__ == "__main__":
    main()
