"""Quarter turns: points, crops, faces and results turn with the pixels, and come back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from twodasl.geometry.crops import Crop
from twodasl.geometry.projection import crop_vertices
from twodasl.io.images import read_image
from twodasl.reconstruction import detect
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.overview import picture
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.reconstruction.results import facts
from twodasl.reconstruction.turns import (
    turned_crop,
    turned_image,
    turned_points,
    turned_result,
    upright_input,
)

SIZE = (60, 40)


@pytest.fixture(scope="module")
def photo(photo_path):
    return read_image(photo_path)[:400]  # not square


@pytest.fixture(scope="module")
def reconstruct(lively_checkpoint):
    return FaceReconstructor(lively_checkpoint)


@pytest.mark.parametrize("quarters", range(-1, 5))
def test_points_stay_on_their_pixels(quarters):
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    turned = turned_image(image, quarters)
    np.testing.assert_array_equal(turned, np.rot90(image, quarters))
    points = np.array([[0, 0, 5], [59, 0, 6], [13, 27, 7]])
    for (x, y, z), (a, b, c) in zip(points, turned_points(points, quarters, SIZE), strict=True):
        assert (turned[b, a] == image[y, x]).all()
        assert z == c
    back = turned_points(turned_points(points, quarters, SIZE), -quarters, turned.shape[1::-1])
    np.testing.assert_array_equal(back, points)


def test_crops_show_the_same():
    crop = Crop(3, 5, 23, 25)
    turned = turned_crop(crop, 1, SIZE)
    assert turned.box == (5, 59 - 23, 25, 59 - 3)
    assert turned_crop(turned, 3, (40, 60)) == crop


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_photo_gives_the_turned_face(photo, photo68, reconstruct, quarters):
    """Everything comes back in the pixels of the photo as it is, and the parameters make its mesh."""
    size = (photo.shape[1], photo.shape[0])
    crop = Crop(150.3, 40.6, 310.3, 200.6)
    upright = FaceInput(photo, crop, photo68)
    turned = FaceInput(
        turned_image(photo, -quarters),
        turned_crop(crop, -quarters, size),
        turned_points(photo68, -quarters, size),
        quarters=quarters,
    )
    np.testing.assert_allclose(upright_input(turned).landmarks, photo68)
    expected, face = reconstruct.reconstruct([upright, turned])
    assert face.quarters == quarters
    for name in ("vertices", "landmarks"):
        there = turned_points(getattr(expected, name), -quarters, size)
        np.testing.assert_allclose(getattr(face, name), there, atol=2e-3)
    again = crop_vertices(reconstruct.basis, torch.from_numpy(face.parameters)[None])[0]
    np.testing.assert_allclose(face.crop.to_image(again.double().numpy()), face.vertices, atol=2e-3)
    assert face.scale == pytest.approx(expected.scale, rel=1e-5)
    straight = turned_result(face, quarters, turned.image.shape[1::-1])
    np.testing.assert_allclose(straight.parameters, expected.parameters, atol=2e-3)
    np.testing.assert_allclose(straight.angles, expected.angles, atol=0.01)
    np.testing.assert_allclose(straight.translation, expected.translation, atol=2e-3)


def test_a_turned_face_is_drawn_upright(photo, photo68, reconstruct):
    colors = np.full((len(reconstruct.model.mean), 3), 0.5, np.float32)
    expected = reconstruct(photo, photo68)
    straight = picture(photo, expected, colors, "face")
    on_its_side = turned_result(expected, 1, (photo.shape[1], photo.shape[0]))
    drawn = picture(turned_image(photo, 1), replace(on_its_side, quarters=3), colors, "face")
    assert drawn.shape == straight.shape
    below = slice(60, None)  # the title says that the photo was turned
    assert np.abs(drawn[below].astype(int) - straight[below]).mean() < 1


def test_find(photo, reconstruct):
    row = np.concatenate([photo, photo[:, ::-1]], axis=1)
    faces = reconstruct.find(row)
    assert len(faces) == 2
    assert faces[0].crop.x0 < faces[1].crop.x0
    assert len(reconstruct.find(row, "largest")) == len(reconstruct.find(row, 1)) == 1
    assert reconstruct.find(np.zeros_like(photo)) == []
    cascade = reconstruct.find(photo, "largest", detector="cascade")
    (given,) = detect.find_faces(photo, "cascade")[:1]
    np.testing.assert_array_equal(cascade[0].vertices, reconstruct.reconstruct([given])[0].vertices)
    (turned,) = reconstruct.find(turned_image(photo, 1))
    (upright,) = reconstruct.find(photo)
    assert turned.quarters == 3
    there = turned_points(upright.vertices, 1, (photo.shape[1], photo.shape[0]))
    np.testing.assert_allclose(turned.vertices, there, atol=0.05)
    numbers = facts(turned_image(photo, 1), reconstruct, turned)
    assert numbers["crop"] == [round(corner, 4) for corner in turned.crop.box]
