"""Training runs that take a second: faces of dots, a tiny configuration, and comparing what is left."""

from __future__ import annotations

import numpy as np
import torch
from twodasl.geometry.crops import SIZE, flip_y
from twodasl.morphable import split_parameters
from twodasl.training import LossConfig, StageConfig, TrainingConfig, train
from twodasl.training.streams import LandmarksOnly

import twodasl_ext


class Stop(Exception):
    """Raised by callbacks to end a run in the middle."""


class Dots:
    """Faces of which the pictures show nothing but a bright dot at each landmark: cheap, and learnable."""

    def __init__(self, model, length, seed=0):
        self.model, self.length, self.seed = model, length, seed
        self.basis = model.basis()

    def __len__(self):
        return self.length

    def parameters(self, index):
        rng = np.random.default_rng((self.seed, index))
        pose = np.zeros((3, 4))
        pose[:, :3] = rng.uniform(0.3, 0.5) * np.eye(3) + rng.normal(size=(3, 3)) * 0.03
        pose[:, 3] = [60 + 6 * rng.normal(), 61 + 6 * rng.normal(), rng.normal()]
        coefficients = rng.normal(size=len(self.model.coefficient_std)) * self.model.coefficient_std
        return torch.from_numpy(np.concatenate([pose.ravel(), coefficients])).float()

    def __getitem__(self, index):
        parameters = self.parameters(index)
        pose, coefficients = split_parameters(parameters[None])
        points = twodasl_ext.landmarks(self.basis, coefficients, pose)[0]
        points[:, 1] = flip_y(points[:, 1])
        image = torch.full((SIZE, SIZE, 3), 60, dtype=torch.uint8)
        cells = points[:, :2].round().long().clamp(0, SIZE - 1)
        image[cells[:, 1], cells[:, 0]] = 250
        return {
            "image": image,
            "parameters": parameters,
            "landmarks": points,
            "visible": torch.ones(68, dtype=torch.bool),
            "yaw": 0.0,
        }


def tiny_config(**settings):
    config = TrainingConfig(
        batch=6,
        photo_batch=4,
        checkpoint_every=2,
        loss=LossConfig(cycle=0.005, second_pass_every=2, adversarial="non-saturating", compile="off"),
        stage1=StageConfig(steps=4, learning_rate=1e-3, warmup=1),
        stage2=StageConfig(steps=3, learning_rate=3e-4, parameters=0.0, vertices=0.1),
    )
    small = {"network": {"encoder_widths": [2, 2, 2, 2, 2, 4]}, "data": {"pool": False}}
    return config.updated(small).updated(settings)


def tiny_run(model, config, **arguments):
    faces, photos = Dots(model, 40), LandmarksOnly(Dots(model, 20, seed=1))
    return train(config, model=model, faces=faces, photos=photos, progress=False, **arguments)


def assert_same_state(a, b, where=""):
    # A network's own state is an ordered dict, one that was read a plain one.
    assert (isinstance(a, dict) and isinstance(b, dict)) or type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same_state(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same_state(x, y, f"{where}[{i}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        assert a == b, where
