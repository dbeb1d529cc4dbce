"""Several looks at a face: what is said of each means the same place in the crop, whatever the look."""

import numpy as np
import pytest
import torch
from twodasl.geometry.crop_motion import moved_parameters, moved_points
from twodasl.geometry.crops import SIZE
from twodasl.geometry.projection import crop_landmarks
from twodasl.landmarks import flip_landmarks
from twodasl.morphable import load_model
from twodasl.reconstruction.face_network import FaceNetwork
from twodasl.reconstruction.several_looks import SIZES, mean_of_looks, several_looks
from twodasl.synthetic import SyntheticFaces
from twodasl.training.mirror import mirror_map, mirror_parameters
from twodasl.training.streams import stack


@pytest.fixture(scope="module")
def model():
    return load_model("procedural")


@pytest.fixture(scope="module")
def mirror(model):
    return mirror_map(model)


@pytest.fixture(scope="module")
def faces(model):
    return stack(SyntheticFaces(model, 3, seed=5).batch(range(3)))


def answers(faces, mirror):
    """What a network without error says of every look: parameters, points and sigma."""
    still, count = np.zeros((3, 2)), np.zeros(3)
    looks = []
    for size in SIZES:
        zoom = (count, np.full(3, size), still)
        points = moved_points(faces["landmarks"][..., :2], *zoom)
        looks.append((moved_parameters(faces["parameters"], *zoom), points, torch.full((3, 68), 2.0 * size)))
    if mirror is not None:
        looks += [(mirror_parameters(p, mirror), flip_landmarks(m, SIZE), s) for p, m, s in looks]
    return [torch.cat(values) for values in zip(*looks, strict=True)]


@pytest.mark.parametrize("mirrored", [True, False])
def test_a_network_without_error_is_right(model, mirror, faces, mirrored):
    mirror = mirror if mirrored else None
    said, points, sigma = mean_of_looks(*answers(faces, mirror), mirror)
    torch.testing.assert_close(said, faces["parameters"], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(points, faces["landmarks"][..., :2], rtol=0, atol=1e-4)
    torch.testing.assert_close(sigma, torch.full((3, 68), 2.0))
    marks = crop_landmarks(model.basis(), said)
    torch.testing.assert_close(marks[..., :2], faces["landmarks"][..., :2], rtol=0, atol=1e-3)


def test_points_that_a_network_does_not_have(mirror, faces):
    parameters, points, sigma = answers(faces, mirror)
    said = mean_of_looks(parameters, points[:, :0], sigma[:, :0], mirror)
    assert [tuple(values.shape) for values in said[1:]] == [(3, 0, 2), (3, 0)]
    torch.testing.assert_close(said[0], faces["parameters"], rtol=1e-5, atol=1e-4)


def test_sigma_is_that_of_the_looks_together(mirror, faces):
    parameters, points, sigma = answers(faces, mirror)
    sigma[: len(sigma) // 2] *= 3
    found = mean_of_looks(parameters, points, sigma, mirror)[2]
    torch.testing.assert_close(found, torch.full((3, 68), 2 * 5**0.5))


@pytest.mark.parametrize("mirrored", [True, False])
def test_the_pixels_and_the_landmarks_go_along(mirrored):
    places = torch.tensor([[[40.0, 70.0], [80.0, 30.0]], [[60.0, 60.0], [25.0, 90.0]]])
    images = torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8)
    for row in range(2):
        for index, (x, y) in enumerate(places[row].int().tolist()):
            images[row, y - 2 : y + 3, x - 2 : x + 3, index] = 200
    marks = places.new_full((2, 18, 2), torch.nan)
    # The first of the 18 points and its opposite in the mirror.
    opposite = int((flip_landmarks(torch.arange(36.0).reshape(1, 18, 2), SIZE)[0, :, 1] == 1.0).nonzero())
    assert opposite
    marks[:, 0], marks[:, opposite] = places[:, 0], places[:, 1]
    crops, points = several_looks(images, marks, mirrored)
    looks = len(SIZES) * (2 if mirrored else 1)
    assert crops.shape == (looks * 2, SIZE, SIZE, 3)
    assert crops.dtype == torch.uint8
    assert points.shape == (looks * 2, 18, 2)
    assert points.isfinite().all(-1).sum() == looks * 2 * 2
    for look in range(looks * 2):
        mirrored_look = look >= len(SIZES) * 2
        for index, point in enumerate((0, opposite)):
            channel = index if not mirrored_look else 1 - index
            bright = crops[look, ..., channel].float()
            rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
            seen = [(bright * columns).sum() / bright.sum(), (bright * rows).sum() / bright.sum()]
            np.testing.assert_allclose(points[look, point], seen, atol=0.05)


@torch.inference_mode()
def test_a_mirrored_photo_gives_the_mirrored_face(model, mirror, faces):
    network = FaceNetwork("base", None, torch.device("cpu"))
    marks = torch.full((3, 18, 2), torch.nan)
    here = network.crops(faces["image"], marks)
    there = network.crops(faces["image"].flip(2), marks)
    torch.testing.assert_close(
        mirror_parameters(there.parameters, mirror), here.parameters, rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(flip_landmarks(there.points, SIZE), here.points, rtol=0, atol=1e-2)
    once = FaceNetwork("base", None, torch.device("cpu"), once=True).crops(faces["image"], marks)
    assert (once.points - here.points).abs().max() > 0.1


def test_a_model_that_is_not_symmetric_is_seen_at_two_sizes(ball_checkpoint, ball_model):
    class Counting(torch.nn.Module):
        def forward(self, inputs):
            self.count = len(inputs)
            return inputs.new_zeros(len(inputs), 12 + len(ball_model.coefficient_std))

    network = FaceNetwork(ball_checkpoint, ball_model, torch.device("cpu"))
    network.regressor = Counting()
    images = torch.zeros(2, SIZE, SIZE, 3, dtype=torch.uint8)
    network.crops(images, torch.full((2, 18, 2), torch.nan))
    assert network.regressor.count == 2 * len(SIZES)
