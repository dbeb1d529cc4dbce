"""Mirrored faces: pixels, landmarks of every scheme, visibility, yaw and parameters stay together."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from twodasl.datasets.photos.sources import open_photos
from twodasl.geometry.crops import SIZE
from twodasl.geometry.pose import decompose_pose
from twodasl.geometry.projection import crop_landmarks
from twodasl.landmarks import FLIPS
from twodasl.morphable import load_model
from twodasl.pictures.photo_sheet import photo_tile
from twodasl.pictures.render import contact_sheet
from twodasl.synthetic import SyntheticFaces
from twodasl.training.augment import augment
from twodasl.training.config import AugmentConfig, TrainingConfig
from twodasl.training.mirror import mirror_batch, mirror_map, mirror_parameters
from twodasl.training.streams import stack

import twodasl_ext

from ..photo_sets import link_wild

WILD = Path(__file__).resolve().parents[4] / "shared" / "data" / "aflw_wild"
STILL = AugmentConfig(rotation=0, scale=0, shift=0, gain=0, flip=1.0)


@pytest.fixture(scope="module")
def model():
    return load_model("procedural")


@pytest.fixture(scope="module")
def mirror(model):
    return mirror_map(model)


@pytest.fixture(scope="module")
def faces(model):
    return stack(SyntheticFaces(model, 4, seed=5).batch(range(4)))


def every(batch):
    return np.ones(len(batch["image"]), bool)


def test_every_vertex_lands_on_the_mirror_image_of_its_opposite(model, mirror, faces):
    generator = torch.Generator().manual_seed(0)
    parameters = faces["parameters"].clone()
    # All modes at once, asymmetric ones among them.
    spread = torch.from_numpy(model.coefficient_std)
    parameters[:, 12:] = spread * torch.randn(4, len(spread), generator=generator)
    changed = mirror_parameters(parameters, mirror)
    basis = twodasl_ext.MorphableBasis(torch.from_numpy(model.mean), torch.from_numpy(model.modes))
    before, after = (
        twodasl_ext.vertices(basis, p[:, 12:].contiguous(), p[:, :12].reshape(-1, 3, 4).contiguous())
        for p in (parameters, changed)
    )
    _, opposite = cKDTree(model.mean).query(model.mean * [-1, 1, 1])
    expected = before[:, opposite]
    expected[..., 0] = SIZE - 1 - expected[..., 0]
    torch.testing.assert_close(after, expected, atol=2e-3, rtol=1e-5)
    assert (after - before).abs().max() > 5
    torch.testing.assert_close(mirror_parameters(changed, mirror), parameters, atol=1e-4, rtol=1e-5)
    angles, again = (decompose_pose(p[:, :12])[1] for p in (parameters, changed))
    torch.testing.assert_close(again, angles * torch.tensor([1.0, -1, -1]), atol=1e-4, rtol=1e-4)


def test_a_mirrored_batch(model, mirror, faces):
    changed = mirror_batch(faces, every(faces), mirror)
    assert torch.equal(changed["image"], faces["image"].flip(2))
    torch.testing.assert_close(changed["yaw"], -faces["yaw"])
    points = crop_landmarks(model.basis(), changed["parameters"])
    torch.testing.assert_close(points, changed["landmarks"], atol=2e-3, rtol=1e-4)
    order = list(FLIPS[68])
    assert torch.equal(changed["visible"], faces["visible"][:, order])
    torch.testing.assert_close(changed["landmarks"][..., 0], SIZE - 1 - faces["landmarks"][:, order, 0])
    torch.testing.assert_close(changed["landmarks"][..., 1:], faces["landmarks"][:, order, 1:])
    rows = np.array([True, False, True, False])
    part = mirror_batch(faces, rows, mirror)
    for key in faces:
        assert torch.equal(part[key][~rows], faces[key][~rows])
        assert torch.equal(part[key][rows], changed[key][rows])


@pytest.mark.parametrize("count", [68, 21, 18])
def test_dots_and_their_names_move_together(count):
    """Each landmark is a dot of a gray of its own; in the mirrored crop its opposite's dot is there."""
    rng = np.random.default_rng(count)
    places = rng.permutation(12 * 12)[:count]
    points = np.stack([8 + 9 * (places % 12), 8 + 9 * (places // 12)], axis=1).astype(np.float32)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    for index, (x, row) in enumerate(points.astype(int)):
        image[row, x] = 60 + 2 * index
    visible = rng.random(count) < 0.7
    points[~visible] = np.nan
    batch = stack([{"image": image, "landmarks": points, "visible": visible}])
    changed = augment(batch, STILL, np.random.default_rng(0))
    for index, opposite in enumerate(FLIPS[count]):
        assert changed["visible"][0, index] == visible[opposite]
        if visible[opposite]:
            x, row = changed["landmarks"][0, index].int().tolist()
            assert changed["image"][0, row, x, 0] == 60 + 2 * opposite
        else:
            assert torch.isnan(changed["landmarks"][0, index]).all()


def test_a_model_that_is_not_symmetric_has_no_mirror(model, ball_model, faces):
    assert mirror_map(ball_model) is None
    modes = model.shape_modes.copy()
    modes[3, :, 1] += 0.2 * np.sign(model.mean[:, 0]).astype(np.float32)
    assert mirror_map(replace(model, shape_modes=modes)) is None
    assert mirror_batch(faces, every(faces), None) is faces
    alone = {key: value for key, value in faces.items() if key != "parameters"}
    assert torch.equal(mirror_batch(alone, every(alone), None)["image"], faces["image"].flip(2))


def test_mirroring_goes_with_the_other_changes(model, mirror, faces):
    config = AugmentConfig(rotation=20, scale=0.1, shift=4, gain=0.2, flip=0.5)
    many = {key: torch.cat([value] * 10) for key, value in faces.items()}
    changed = augment(many, config, np.random.default_rng(7), mirror)
    points = crop_landmarks(model.basis(), changed["parameters"])
    torch.testing.assert_close(points, changed["landmarks"], atol=4e-3, rtol=1e-4)
    turned = (torch.sign(changed["yaw"]) != torch.sign(many["yaw"])).float().mean()
    assert 0.25 < turned < 0.75
    again = augment(many, config, np.random.default_rng(7), mirror)
    assert all(torch.equal(again[key], changed[key]) for key in changed)


def test_without_mirroring_the_bits_are_those_of_before(faces):
    plain, none = AugmentConfig(), AugmentConfig(flip=0.0)
    first, second = np.random.default_rng(3), np.random.default_rng(3)
    one, two = augment(faces, plain, first), augment(faces, none, second)
    assert torch.equal(one["image"], two["image"])
    assert first.random() == second.random()
    # Four draws before the images: angle, scale, shift and gain, and nothing after them.
    third = np.random.default_rng(3)
    for shape in (4, 4, (4, 2), (4, 4)):
        third.standard_normal(shape)
    third.random()
    assert third.random() == first.random()


def test_light_changes_pixels_alone(faces, mirror):
    changed = augment(faces, AugmentConfig(0, 0, 0, 0.3), np.random.default_rng(1), mirror)
    assert not torch.equal(changed["image"], faces["image"])
    for key in ("landmarks", "parameters", "yaw"):
        torch.testing.assert_close(changed[key], faces[key])


def test_configurations_from_before_mirroring_still_load():
    values = TrainingConfig().to_dict()
    del values["augment"]["flip"]
    for key in ("photo_source", "face_source", "basis", "cache"):
        del values["data"][key]
    assert TrainingConfig.from_dict(values) == TrainingConfig()


@pytest.mark.skipif(not WILD.is_dir(), reason="needs ../shared/data/aflw_wild")
def test_photos_before_and_after(tmp_path):
    """Draws real faces and their mirror images; the landmarks' pixels go along."""
    link_wild(WILD, tmp_path / "some", range(40, 10_000, 1250))
    batch = stack(list(open_photos("aflw", tmp_path / "some", cache=tmp_path / "cache", progress=False)))
    changed = augment(batch, STILL, np.random.default_rng(0))
    tiles = [
        photo_tile({key: values[row] for key, values in part.items()})
        for part in (batch, changed)
        for row in range(len(batch["image"]))
    ]
    assert cv2.imwrite(str(tmp_path / "mirrored.png"), contact_sheet(tiles, len(tiles) // 2))
    order = list(FLIPS[21])
    for row in range(len(batch["image"])):
        for index in np.flatnonzero(changed["visible"][row].numpy()):
            x, y = changed["landmarks"][row, index].round().int().tolist()
            old_x, old_y = batch["landmarks"][row, order[index]].tolist()
            assert abs((SIZE - 1 - x) - old_x) <= 0.5
            assert abs(y - old_y) <= 0.5
            assert torch.equal(changed["image"][row, y, x], batch["image"][row, y, SIZE - 1 - x])
