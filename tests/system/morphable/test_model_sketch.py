"""A checkpoint knows its face model again on a machine that rounds differently, and no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel
from twodasl.morphable.sketch import same_geometry, sketch
from twodasl.training.checkpoint import check_model


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    rng = np.random.default_rng(5)
    count = 17_000  # as many vertices as the embedded head: rounding adds up over them
    return MorphableModel(
        name="made up",
        mean=rng.normal(0, 60, (count, 3)),
        shape_modes=rng.normal(0, 1, (4, count, 3)),
        expression_modes=rng.normal(0, 1, (2, count, 3)),
        coefficient_std=np.ones(6),
        triangles=np.array([[0, 1, 2]]),
        landmarks=np.arange(68) * 10,
    )


def info(model: MorphableModel) -> dict:
    import torch

    return {
        "model_name": model.name,
        "model_identity": model.identity,
        "model_counts": list(model.counts),
        "model_sketch": torch.from_numpy(sketch(model)),
    }


def test_last_bits_do_not_make_another_model(model: MorphableModel) -> None:
    rng = np.random.default_rng(6)
    rounded = replace(
        model,
        # Single precision resolves 4e-6 mm at 60 mm; twice that is what two libraries may differ by.
        mean=model.mean + rng.uniform(-8e-6, 8e-6, model.mean.shape).astype(np.float32),
        shape_modes=model.shape_modes * (1 + rng.uniform(-2e-7, 2e-7, model.shape_modes.shape)),
    )
    assert rounded.identity != model.identity
    check_model("c.pt", info(model), rounded)


def moved_vertex(model: MorphableModel) -> MorphableModel:
    mean = model.mean.copy()
    mean[12_345, 1] += 0.05
    return replace(model, mean=mean)


def other_landmark(model: MorphableModel) -> MorphableModel:
    landmarks = model.landmarks.copy()
    landmarks[7] += 1
    return replace(model, landmarks=landmarks)


def swapped_modes(model: MorphableModel) -> MorphableModel:
    return replace(model, shape_modes=model.shape_modes[::-1])


def renumbered(model: MorphableModel) -> MorphableModel:
    order = np.roll(np.arange(len(model.mean)), 1)
    return replace(
        model,
        mean=model.mean[order],
        shape_modes=model.shape_modes[:, order],
        expression_modes=model.expression_modes[:, order],
    )


def fewer_modes(model: MorphableModel) -> MorphableModel:
    return replace(model, shape_modes=model.shape_modes[:3], coefficient_std=np.ones(5))


@pytest.mark.parametrize("change", [moved_vertex, other_landmark, swapped_modes, renumbered, fewer_modes])
def test_another_geometry_is_another_model(model: MorphableModel, change) -> None:
    other = change(model)
    assert not same_geometry(sketch(model), sketch(other))
    with pytest.raises(InputError, match=r"c\.pt: was trained for the face model 'made up'"):
        check_model("c.pt", info(model), other)
