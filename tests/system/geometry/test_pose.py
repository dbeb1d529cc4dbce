"""Pose: angles to matrices and back, and the sign conventions of AFLW2000-3D."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from twodasl.morphable import (
    Whitening,
    decompose_pose,
    join_parameters,
    matrix_from_angles,
    pose_matrix,
    split_parameters,
)

DATA = Path(__file__).resolve().parents[4] / "shared/data"
quarter = st.floats(-1.5, 1.5)
turn = st.floats(-3.1, 3.1)


@settings(max_examples=50, deadline=None)
@given(turn, quarter, turn, st.floats(1e-3, 1e2), st.floats(-500, 500))
def test_round_trip(pitch, yaw, roll, scale, shift):
    angles = torch.tensor([pitch, yaw, roll], dtype=torch.float64)
    translation = torch.tensor([shift, -shift, 2.0], dtype=torch.float64)
    found = decompose_pose(pose_matrix(scale, angles, translation))
    torch.testing.assert_close(found[0], torch.tensor(scale, dtype=torch.float64))
    torch.testing.assert_close(found[1], angles, atol=1e-9, rtol=0)
    torch.testing.assert_close(found[2], translation)


@settings(max_examples=30, deadline=None)
@given(turn, turn, turn)
def test_matrices_are_rotations(pitch, yaw, roll):
    matrix = matrix_from_angles(*torch.tensor([pitch, yaw, roll], dtype=torch.float64))
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)
    assert torch.linalg.det(matrix) > 0


@pytest.mark.parametrize("sign", [1, -1])
@given(turn)
@settings(max_examples=20, deadline=None)
def test_at_a_full_profile_the_matrix_survives(sign, pitch):
    """Pitch and roll turn about one axis there: only the matrix comes back, with roll 0."""
    angles = torch.tensor([pitch, sign * math.pi / 2, 0.4], dtype=torch.float64)
    pose = pose_matrix(2.0, angles, torch.zeros(3, dtype=torch.float64))
    scale, found, translation = decompose_pose(pose)
    torch.testing.assert_close(pose_matrix(scale, found, translation), pose, atol=1e-6, rtol=0)


def test_signs_are_what_the_module_says():
    nose = torch.tensor([0.0, 0.0, 1.0])
    up = torch.tensor([0.0, 1.0, 0.0])
    assert (matrix_from_angles(0.0, 0.5, 0.0) @ nose)[0] < 0  # yaw > 0: nose to the image's left
    assert (matrix_from_angles(0.5, 0.0, 0.0) @ nose)[1] > 0  # pitch > 0: nose up
    assert (matrix_from_angles(0.0, 0.0, 0.5) @ up)[0] > 0  # roll > 0: crown to the image's right


def test_batches_and_gradients():
    angles = torch.randn(4, 5, 3, requires_grad=True)
    pose = pose_matrix(torch.rand(4, 5) + 1, angles, torch.zeros(3))
    assert pose.shape == (4, 5, 3, 4)
    decompose_pose(pose)[1].square().sum().backward()
    assert angles.grad is not None
    assert torch.isfinite(angles.grad).all()
    flat = decompose_pose(pose.reshape(4, 5, 12))
    torch.testing.assert_close(flat[1], decompose_pose(pose)[1])


def test_a_pose_that_is_no_rotation_is_repaired():
    pose = pose_matrix(3.0, torch.tensor([0.1, 0.6, -0.2]), torch.tensor([60.0, 50.0, 0.0]))
    noisy = pose + 0.05 * torch.randn(3, 4, generator=torch.Generator().manual_seed(1))
    scale, angles, _ = decompose_pose(noisy)
    assert abs(scale - 3) < 0.2
    assert (angles - torch.tensor([0.1, 0.6, -0.2])).abs().max() < 0.1


@pytest.mark.parametrize("shape", [(3, 3), (4, 4), (11,), ()])
def test_wrong_shapes_are_named(shape):
    with pytest.raises(ValueError, match="pose: expected"):
        decompose_pose(torch.zeros(shape))


def test_parameters_split_and_join():
    parameters = torch.randn(7, 62)
    pose, coefficients = split_parameters(parameters, 50)
    assert pose.shape == (7, 3, 4)
    torch.testing.assert_close(pose[2, 1], parameters[2, 4:8])
    torch.testing.assert_close(join_parameters(pose, coefficients), parameters)
    with pytest.raises(ValueError, match=r"12\+40.*got \(7, 62\)"):
        split_parameters(parameters, 40)


def test_whitening_inverts_and_travels_as_plain_tensors():
    samples = torch.randn(500, 20, generator=torch.Generator().manual_seed(0)) * 3 + 5
    samples[:, 11] = 7  # a constant entry must not divide by zero
    whitening = Whitening.from_samples(samples)
    white = whitening.whiten(samples)
    torch.testing.assert_close(white[:, :11].std(0), torch.ones(11))
    torch.testing.assert_close(whitening.unwhiten(white), samples)
    again = Whitening(torch.zeros(20), torch.ones(20))
    again.load_state_dict(whitening.state_dict())
    torch.testing.assert_close(again.whiten(samples), white)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (torch.zeros(62), torch.zeros(62)),
        (torch.zeros(62), torch.ones(61)),
        (torch.full((62,), math.nan), torch.ones(62)),
    ],
)
def test_whitening_refuses_what_cannot_whiten(mean, std):
    with pytest.raises(ValueError, match="mean, std"):
        Whitening(mean, std)


def test_angles_agree_with_aflw2000():
    """The authors' predicted matrices, decomposed, against the data set's own pitch, yaw, roll."""
    folder = DATA / "aflw2000_dev"
    if not folder.is_dir():
        pytest.skip("real data (../shared/data/aflw2000_dev) is not here")
    import pickle

    from scipy.io import loadmat

    with open(DATA / "bfm_landmarks/param_whitening.pkl", "rb") as stream:
        whitening = pickle.load(stream)
    predicted = (
        np.load(folder / "reference_params62_whitened.npy") * whitening["param_std"] + whitening["param_mean"]
    )
    names = (folder / "names.txt").read_text().split()
    truth = np.array(
        [
            loadmat(folder / "images" / Path(name).with_suffix(".mat"))["Pose_Para"][0, :3]
            for name in names[:100]
        ]
    )
    pose = torch.from_numpy(predicted[:100, :12].astype(np.float64)).reshape(-1, 3, 4)
    error = np.degrees(np.abs(decompose_pose(pose)[1].numpy() - truth))
    assert np.median(error, axis=0).max() < 5  # a wrong sign or order gives 15 degrees and more
