"""The crop's pixels and its coordinate maps agree, and follow the 3DDFA family's boxes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from twodasl.errors import InputError
from twodasl.geometry.crops import Crop, crop_from_landmarks, flip_y
from twodasl.networks.inputs import network_input

AFLW2000 = Path(__file__).resolve().parents[4] / "shared/data" / "aflw2000_dev"
needs_aflw2000 = pytest.mark.skipif(not AFLW2000.is_dir(), reason="needs aflw2000_dev, which is not shipped")


def test_flip_is_the_familys_and_its_own_inverse() -> None:
    y = torch.tensor([1.0, 60.0, 120.0])
    assert flip_y(y).tolist() == [120.0, 61.0, 1.0]
    assert torch.equal(flip_y(flip_y(y)), y)
    assert flip_y(np.array([10.0]), size=50)[0] == 41.0


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-500, 500),
    st.floats(-500, 500),
    st.floats(1, 5000),
    st.floats(1, 5000),
    st.sampled_from([2, 3]),
)
def test_maps_are_inverse(x: float, y: float, width: float, height: float, columns: int) -> None:
    crop = Crop(x, y, x + width, y + height)
    points = np.random.default_rng(0).uniform(-20, 140, (68, columns))
    # float64 loses at most the last few bits of a coordinate of some thousands.
    np.testing.assert_allclose(crop.to_crop(crop.to_image(points)), points, atol=1e-8)
    tensor = torch.from_numpy(points).requires_grad_()
    np.testing.assert_array_equal(crop.to_image(tensor).detach().numpy(), crop.to_image(points))


def test_maps_keep_kind_and_dtype() -> None:
    crop = Crop(10, 20, 250, 260)
    assert crop.to_image(np.zeros((4, 2), np.float32)).dtype == np.float32
    assert crop.to_image(torch.zeros(4, 3)).dtype == torch.float32
    assert crop.to_image(np.array([[1, 2]])).tolist() == [[12.0, 24.0]]
    with pytest.raises(ValueError, match="points"):
        crop.to_crop(np.zeros((4, 4)))


@pytest.mark.parametrize(
    "box",
    [
        (30.3, 41.7, 90.3, 101.7),  # magnified 2x
        (100.0, 80.0, 220.0, 200.0),  # as it is
        (31.4, 22.6, 361.4, 352.6),  # reduced 2.75x
        (-200.2, 55.1, 700.3, 955.6),  # reduced 7.5x, over the border on three sides
        (11.0, 12.5, 1211.0, 1292.5),  # reduced 10x and a little more in y
    ],
)
def test_pixels_lie_where_the_maps_say(box: tuple[float, float, float, float]) -> None:
    """The centroid of a blob drawn in the image is found in the crop where `to_crop` puts it."""
    crop = Crop(*box)
    step = max(crop.scale)
    row, column = np.mgrid[0:1400, 0:1300].astype(np.float64)
    for target in ((40.0, 70.0), (61.3, 58.8)):
        x, y = crop.to_image(np.array(target))
        sigma = 3.0 * max(step, 1.0)
        blob = 255 * np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * sigma**2))
        image = np.repeat(np.rint(blob).astype(np.uint8)[..., None], 3, axis=2)
        weights = crop.image(image)[..., 0].astype(np.float64)
        weights[weights < 8] = 0
        rows, columns = np.mgrid[0:120, 0:120]
        found = (weights * columns).sum() / weights.sum(), (weights * rows).sum() / weights.sum()
        # 8-bit rounding and warpAffine's 1/32-pixel interpolation table move the centroid this much.
        np.testing.assert_allclose(found, target, atol=0.06)


def test_identity_box_returns_the_image() -> None:
    image = np.random.default_rng(3).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Crop(0, 0, 120, 120).image(image), image)


def test_outside_is_black_and_reduction_averages() -> None:
    white = np.full((100, 100, 3), 255, np.uint8)
    crop = Crop(-60, 0, 60, 120).image(white)
    assert (crop[:99, 61:] == 255).all()
    assert (crop[:, :59] == 0).all()
    assert (crop[101:] == 0).all()
    checkers = np.kron(np.indices((512, 512)).sum(axis=0) % 2, np.ones((1, 1))).astype(np.uint8) * 255
    reduced = Crop(0, 0, 512, 512).image(np.repeat(checkers[..., None], 3, axis=2))[5:-5, 5:-5]
    assert abs(float(reduced.mean()) - 127.5) < 2
    assert reduced.std() < 3  # plain bilinear sampling gives more than 40 here


def test_bad_boxes_and_images() -> None:
    image = np.zeros((50, 60, 3), np.uint8)
    for box in ((60, 0, 90, 30), (0, 50, 30, 80), (-40, 0, 0, 40), (1000, 1000, 1200, 1200)):
        with pytest.raises(InputError, match="overlaps the 60x50 image"):
            Crop(*box).image(image)
    with pytest.raises(InputError, match="x0 < x1"):
        Crop(10, 10, 10, 20)
    with pytest.raises(InputError, match="finite"):
        Crop(0, 0, float("nan"), 20)
    with pytest.raises(InputError, match="uint8"):
        Crop(0, 0, 20, 20).image(image.astype(np.float32))  # type: ignore[arg-type]


def test_crop_from_landmarks() -> None:
    points = np.array([[10.0, 20.0], [110.0, 60.0], [50.0, 30.0]])
    crop = crop_from_landmarks(points)
    side = 100 * np.sqrt(2)
    np.testing.assert_allclose(crop.box, (60 - side / 2, 40 - side / 2, 60 + side / 2, 40 + side / 2))
    for bad in (np.full((68, 2), np.nan), np.zeros((68, 2)), np.zeros(68), np.zeros((0, 2))):
        with pytest.raises(InputError, match="landmarks"):
            crop_from_landmarks(bad)


def test_network_input() -> None:
    images = torch.randint(0, 256, (2, 120, 120, 3), dtype=torch.uint8)
    points = torch.rand(2, 18, 2) * 119
    value = network_input(images, points)
    assert value.shape == (2, 4, 120, 120)
    assert value.dtype == torch.float32
    np.testing.assert_array_equal(value[1, 2], (images[1, :, :, 2].float() - 127.5) / 128)
    assert set(value[:, 3].unique().tolist()) == {-1.0, 1.0}
    x, y = points[1, 7].floor().long().tolist()
    assert value[1, 3, y, x] == 1
    for bad_images, bad_points, name in (
        (images.float(), points, "images"),
        (images[0], points, "images"),
        (images, points[:1], "points18"),
    ):
        with pytest.raises(ValueError, match=name):
            network_input(bad_images, bad_points)


@needs_aflw2000
def test_boxes_of_aflw2000() -> None:
    """The data set's boxes are this rule applied to its own landmarks, up to rounding to whole pixels."""
    boxes = np.load(AFLW2000 / "roi_box.npy")
    truth = np.load(AFLW2000 / "pts68.npy")
    ours = np.array([crop_from_landmarks(points.T[:, :2]).box for points in truth])
    difference = np.abs(ours - boxes).max(axis=1)
    # A few of the set's boxes were cut or moved; all others agree to rounding.
    assert np.median(difference) < 0.75
    assert np.mean(difference < 1.5) > 0.95


@needs_aflw2000
def test_detected_landmarks_of_aflw2000_lie_on_the_face() -> None:
    """Detected crop pixels mapped to the image: FACTS' 3.33 / 5.12 / 8.16 by yaw, 4.41 over all images."""
    boxes = np.load(AFLW2000 / "roi_box.npy")
    truth = np.load(AFLW2000 / "pts68.npy")[:, :2].transpose(0, 2, 1)
    detected = np.load(AFLW2000 / "detected68_crop120.npy")
    mapped = np.stack([Crop(*box).to_image(points) for box, points in zip(boxes, detected, strict=True)])
    extent = np.ptp(truth, axis=1)
    error = np.linalg.norm(mapped - truth, axis=2).mean(axis=1) / np.sqrt(extent.prod(axis=1))
    assert 100 * error.mean() == pytest.approx(4.4134, abs=0.001)


@needs_aflw2000
def test_crop_looks_like_a_resized_box() -> None:
    """Against OpenCV's own area reduction of a whole box, which sits less than half a pixel beside ours."""
    image = cv2.imread(str(AFLW2000 / "images" / "image00035.jpg"))
    x0, y0, x1, y1 = (int(v) for v in np.load(AFLW2000 / "roi_box.npy")[1])
    expected = cv2.resize(image[y0:y1, x0:x1], (120, 120), interpolation=cv2.INTER_AREA)
    difference = np.abs(Crop(x0, y0, x1, y1).image(image).astype(int) - expected)
    assert difference.mean() < 6
