"""From parameters to points in the crop, against the formula in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from twodasl.geometry.projection import crop_landmarks, crop_vertices

import twodasl_ext

COUNT, MODES, FACES = 40, 3, 2


@pytest.fixture
def face():
    """A basis in float64, parameters (FACES, 12+MODES), and what the formula gives, y up."""
    rng = np.random.default_rng(0)
    mean, modes = rng.normal(size=(COUNT, 3)) * 50, rng.normal(size=(MODES, COUNT, 3))
    parameters = rng.normal(size=(FACES, 12 + MODES))
    pose = parameters[:, :12].reshape(FACES, 3, 4)
    shape = mean + np.tensordot(parameters[:, 12:], modes, 1)
    expected = shape @ pose[:, :, :3].transpose(0, 2, 1) + pose[:, None, :, 3]
    marks = torch.tensor([3, 0, 39])
    basis = twodasl_ext.MorphableBasis(mean, modes, landmarks=marks, storage=torch.float64)
    return basis, torch.from_numpy(parameters).requires_grad_(), expected


def test_vertices_lie_in_rows_from_the_top(face):
    basis, parameters, expected = face
    expected[..., 1] = 121 - expected[..., 1]
    found = crop_vertices(basis, parameters)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=0, atol=1e-9)  # float64 of hundreds
    assert torch.equal(crop_landmarks(basis, parameters), found[:, [3, 0, 39]])
    assert torch.equal(crop_landmarks(basis, parameters, torch.tensor([7])), found[:, [7]])


def test_each_photo_has_its_own_height(face):
    basis, parameters, expected = face
    heights = torch.tensor([[450.0], [120.0]], dtype=torch.float64)
    found = crop_vertices(basis, parameters, heights).detach().numpy()
    expected[..., 1] = np.array([[451.0], [121.0]]) - expected[..., 1]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("project", [crop_vertices, crop_landmarks])
def test_gradients(face, project):
    basis, parameters, _ = face
    assert torch.autograd.gradcheck(lambda values: project(basis, values), (parameters,))


@pytest.mark.parametrize("project", [crop_vertices, crop_landmarks])
def test_parameters_of_another_basis_are_refused(face, project):
    basis, parameters, _ = face
    with pytest.raises(ValueError, match=r"expected \(\.\.\., 12\+3\), got \(2, 14\)"):
        project(basis, parameters[:, :-1])
