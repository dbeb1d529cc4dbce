"""Torch's default type is a stranger's choice: everything computes in float32 all the same."""

import numpy as np
import pytest
import torch
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.synthetic import SyntheticFaces
from twodasl.training import FacePool

from ..tiny_runs import assert_same_state, tiny_config, tiny_run


@pytest.fixture
def in_both():
    """Run something under the usual default and under float64; both results."""

    def run(make):
        usual = make()
        torch.set_default_dtype(torch.float64)
        try:
            return usual, make()
        finally:
            torch.set_default_dtype(torch.float32)

    return run


def test_reconstruction(in_both, lively_checkpoint, photo_path, photo68):
    import cv2

    image = cv2.imread(str(photo_path))
    usual, other = in_both(lambda: FaceReconstructor(lively_checkpoint)(image, photo68))
    blind, other_blind = in_both(lambda: FaceReconstructor(lively_checkpoint)(image, box=(150, 0, 350, 200)))
    for a, b in ((usual, other), (blind, other_blind)):
        np.testing.assert_array_equal(a.vertices, b.vertices)
        assert a.vertices.dtype == b.vertices.dtype


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_reconstruction_with_the_weights_of_the_package(dtype, photo_path, photo68):
    import cv2

    image = cv2.imread(str(photo_path))
    usual = FaceReconstructor()(image, photo68)
    torch.set_default_dtype(dtype)
    try:
        other = FaceReconstructor()(image, photo68)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_array_equal(usual.vertices, other.vertices)
    assert usual.confidence == other.confidence


def test_training(in_both, ball_model, tmp_path):
    config = tiny_config(augment={"flip": 0.0}, optimizer={"ema": 0.9})
    _, other = in_both(lambda: tiny_run(ball_model, config, output=tmp_path / str(torch.get_default_dtype())))
    assert all(value.dtype in (torch.float32, torch.int64) for value in other.regressor.state_dict().values())
    assert all(np.isfinite(entry["total"]) for entry in other.history)


def test_synthetic_faces(in_both, ball_model):
    usual, other = in_both(lambda: FacePool(SyntheticFaces(ball_model, 4), progress=False).columns)
    assert_same_state(usual, other)
    assert usual["yaw"].dtype == torch.float32
    assert {key: value.dtype for key, value in usual.items()} == {
        key: value.dtype for key, value in other.items()
    }
