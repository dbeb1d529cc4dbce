"""Turning heads of photos in depth: the picture follows the parameters."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.crops import SIZE, crop_from_landmarks
from twodasl.geometry.pose import decompose_pose, pose_matrix
from twodasl.geometry.projection import crop_vertices
from twodasl.morphable import load_model
from twodasl.pictures.render import render_layer, vertex_normals
from twodasl.synthetic import SyntheticFaces, SyntheticOptions
from twodasl.synthetic.turn import FaceTurner
from twodasl.synthetic.turn_angles import LEAST_YAW, MOST_TURN, MOST_YAW, draw_turn, even_weights, turn_range

BARE = SyntheticOptions(
    hair=0, headwear=0, torso=0, glasses=0, occluders=0, black_borders=0, degradation=0, photo_backgrounds=0
)


@cache
def turner() -> FaceTurner:
    return FaceTurner(load_model("procedural"))


def head(yaw: float, pitch: float = 0.0, roll: float = 0.0, seed: int = 0) -> np.ndarray:
    """Parameters (12+K,) of a random head in the middle of its crop; angles in degrees."""
    model = load_model("procedural")
    rng = np.random.default_rng(seed)
    coefficients = (0.5 * rng.standard_normal(len(model.coefficient_std)) * model.coefficient_std).astype(
        "f4"
    )
    angles = torch.tensor([pitch, yaw, roll], dtype=torch.float32).deg2rad()
    pose = pose_matrix(torch.tensor(0.6), angles, torch.tensor([60.0, 60.0, 0.0]))
    vector = np.concatenate([pose.numpy().ravel(), coefficients]).astype(np.float32)
    crop = crop_from_landmarks(vertices(vector)[model.landmarks])
    vector[:12] = crop.pose(vector[:12].reshape(3, 4), SIZE).ravel()
    return vector


def vertices(parameters: np.ndarray) -> np.ndarray:
    return crop_vertices(turner().basis, torch.from_numpy(parameters)[None])[0].numpy()


def paint() -> np.ndarray:
    """(N, 3) RGB, smooth over the head and different at every place of it."""
    mean = turner().model.mean
    waves = np.sin(mean @ np.array([[0.09, 0.02, 0.05], [0.03, 0.1, -0.04], [0.02, 0.03, 0.06]], np.float32))
    return (0.5 + 0.3 * waves).astype(np.float32)


def drawn(parameters: np.ndarray, colors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A head on gray, (SIZE, SIZE, 3) uint8, and how much of each pixel it covers."""
    layer, coverage = render_layer(vertices(parameters), turner().model.triangles, SIZE, "flat", colors, 3)
    image = layer + (1 - coverage[..., None]) * 0.2
    return np.rint(255 * np.clip(image, 0, 1) ** (1 / 2.2)).astype(np.uint8), coverage


def seen_face(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE) bool: the front that faced the viewer within 60 degrees, without mouth and eyes."""
    model = turner().model
    source = vertices(before)
    facing = vertex_normals(source * np.array([1, -1, 1], np.float32), model.triangles)[:, 2]
    mouth = np.linalg.norm(model.mean - model.mean[model.landmarks[48:68]].mean(axis=0), axis=1) < 40
    eyes = [model.mean[model.landmarks[part]].mean(axis=0) for part in (slice(36, 42), slice(42, 48))]
    eye = np.min([np.linalg.norm(model.mean - center, axis=1) for center in eyes], axis=0) < 24
    good = ((facing > 0.5) & ~mouth & ~eye & (model.mean[:, 2] > 20)).astype(np.float32)
    shown, _ = render_layer(vertices(after), model.triangles, SIZE, "flat", np.repeat(good[:, None], 3, 1), 3)
    return cv2.erode(shown[..., 0], np.ones((5, 5))) > 0.9


def yaw_of(parameters: np.ndarray) -> float:
    _, angles, _ = decompose_pose(torch.from_numpy(parameters[:12].reshape(3, 4)))
    return float(np.degrees(angles[1].item()))


@pytest.mark.parametrize("index", range(3))
def test_without_a_turn_the_photo_comes_back(index: int) -> None:
    sample = SyntheticFaces(load_model("procedural"), 8, seed=3)[index]
    image = sample["image"].numpy()
    result = turner()(image, sample["parameters"].numpy(), 0.0)
    # The crop of a sample lies off its landmarks' box; what comes back is the photo, cropped anew.
    crop = crop_from_landmarks(sample["landmarks"].numpy())
    columns = np.float32(crop.x0 + np.arange(SIZE) * crop.scale[0])
    rows = np.float32(crop.y0 + np.arange(SIZE) * crop.scale[1])
    expected = cv2.remap(
        image, *np.meshgrid(columns, rows), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    # Both are smoothed: drawing the head with two samples a pixel smooths a little.
    smooth = [cv2.GaussianBlur(picture.astype("f4"), (0, 0), 0.8) for picture in (expected, result.image)]
    difference = np.abs(smooth[0] - smooth[1])
    _, coverage = drawn(result.parameters, paint())
    head_alone = difference[cv2.erode(coverage, np.ones((5, 5))) > 0.99]
    assert head_alone.mean() < 1
    assert np.percentile(head_alone, 99) < 6
    assert difference.mean() < 1.5


@pytest.mark.parametrize(("start", "turn"), [(5, 30), (-10, -40), (20, 40), (0, 20)])
def test_a_head_turned_looks_like_the_head_drawn_there(start: float, turn: float) -> None:
    before = head(start, pitch=4, roll=-6, seed=turn % 7)
    image, _ = drawn(before, paint())
    result = turner()(image, before, np.radians(turn))
    expected, coverage = drawn(result.parameters, paint())
    face = seen_face(before, result.parameters) & (cv2.erode(coverage, np.ones((5, 5))) > 0.99)
    assert face.sum() > 1500
    difference = np.abs(result.image.astype(np.float32) - expected)[face]
    assert difference.mean() < 2.5
    assert np.percentile(difference, 99) < 14
    # A miss by two pixels would show.
    missed = np.abs(np.roll(result.image, 2, axis=1).astype(np.float32) - expected)[face]
    assert missed.mean() > 2 * difference.mean()


@pytest.mark.parametrize("turn", [25, -35])
def test_marks_on_the_face_move_to_their_landmarks(turn: float) -> None:
    model = turner().model
    before = head(0, seed=2)
    places = [21, 22, 30, 39 if turn < 0 else 42, 36 if turn < 0 else 45, 48 if turn < 0 else 54]
    colors = np.full((model.vertex_count, 3), 0.3, np.float32)
    for mark in places:
        near = np.linalg.norm(model.mean - model.mean[model.landmarks[mark]], axis=1) < 6
        colors[near] = 0.9
    image, _ = drawn(before, colors)
    result = turner()(image, before, np.radians(turn))
    points = vertices(result.parameters)[model.landmarks]
    checked = 0
    for mark in places:
        x, row = np.rint(points[mark, :2]).astype(int)
        if not result.visible[mark] or not (8 < x < SIZE - 8 and 8 < row < SIZE - 8):
            continue
        part = result.image[row - 7 : row + 8, x - 7 : x + 8, 0].astype(np.float32)
        weight = np.clip(part - 190, 0, None)
        assert weight.sum() > 0, mark
        offset = [(weight * grid).sum() / weight.sum() for grid in np.mgrid[-7:8, -7:8]]
        assert np.hypot(*offset) < 3, mark
        checked += 1
    assert checked >= 4


def test_the_head_is_where_a_crop_by_landmarks_puts_it() -> None:
    before = head(10, seed=5)
    result = turner()(drawn(before, paint())[0], before, np.radians(50))
    crop = crop_from_landmarks(vertices(result.parameters)[turner().model.landmarks])
    np.testing.assert_allclose(crop.box, (0, 0, SIZE, SIZE), atol=0.01)
    assert abs(yaw_of(result.parameters) - 60) < 0.1
    np.testing.assert_array_equal(result.parameters[12:], before[12:])
    # Turned to the left, the left half of the face is hidden and the right one seen.
    assert not result.visible[[1, 2, 3, 4]].any()
    assert result.visible[[13, 30, 42, 45]].all()


def test_the_same_input_gives_the_same_bits_and_is_left_alone() -> None:
    before = head(0, seed=1)
    image, _ = drawn(before, paint())
    copies = image.copy(), before.copy()
    first, second = (turner()(image, before, 0.6, 0.05) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.parameters, second.parameters)
    parameters, landmarks, visible = turner().place(before, 0.6, 0.05)
    np.testing.assert_array_equal(parameters, first.parameters)
    np.testing.assert_array_equal(landmarks, first.landmarks)
    np.testing.assert_array_equal(visible, first.visible)
    np.testing.assert_array_equal(image, copies[0])
    np.testing.assert_array_equal(before, copies[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": np.zeros((100, 120, 3), np.uint8)}, "image: expected"),
        ({"image": np.zeros((120, 120, 3), np.float32)}, "image: expected"),
        ({"parameters": np.zeros(13, np.float32)}, "parameters: expected"),
        ({"parameters": np.full(67, np.nan, np.float32)}, "parameters: expected finite"),
        ({"parameters": np.zeros(67, np.float32)}, "parameters: expected a camera"),
        ({"turn": float("nan")}, "turn, lift"),
    ],
)
def test_bad_arguments(change: dict, message: str) -> None:
    arguments = {"image": np.zeros((120, 120, 3), np.uint8), "parameters": head(0), "turn": 0.3, **change}
    with pytest.raises(InputError, match=message):
        turner()(**arguments)


def test_drawn_angles_spread_evenly_over_profiles() -> None:
    rng = np.random.default_rng(7)
    # As photos are: most of them nearly frontal.
    poses = [_pose(float(yaw)) for yaw in np.random.default_rng(8).normal(0, 25, 3000).clip(-70, 70)]
    weights = even_weights(poses)
    found = []
    for pose in poses:
        angles = draw_turn(rng, pose, weights)
        assert angles is not None
        turn, lift = angles
        before, after = _after(pose, 0), _after(pose, turn)
        assert abs(turn) <= MOST_TURN + 1e-6
        assert abs(lift) < np.radians(9)
        assert LEAST_YAW - 1e-6 <= abs(after) <= MOST_YAW + 1e-6
        if abs(before) > np.radians(10):
            assert np.sign(after) == np.sign(before)
        found.append(np.degrees(after))
    share = np.histogram(np.abs(found), np.arange(30, 91, 10))[0] / len(found)
    assert 0.13 < share.min() <= share.max() < 0.2
    assert 0.4 < (np.array(found) > 0).mean() < 0.6


def test_a_profile_is_not_turned() -> None:
    rng = np.random.default_rng(0)
    assert draw_turn(rng, _pose(89)) is None
    low, high = turn_range(_pose(40))
    assert abs(np.degrees(low) - 50) < 0.1
    assert abs(np.degrees(high) - 90) < 0.1
    with pytest.raises(InputError, match="pose: expected"):
        draw_turn(rng, np.zeros(5))
    with pytest.raises(InputError, match="third column"):
        draw_turn(rng, np.zeros(12))


def _pose(yaw: float) -> np.ndarray:
    angles = torch.tensor([0.0, yaw, 0.0], dtype=torch.float64).deg2rad()
    return pose_matrix(torch.tensor(0.6), angles, torch.zeros(3)).numpy()


def _after(pose: np.ndarray, turn: float) -> float:
    linear = np.asarray(pose, np.float64).reshape(3, 4)
    cosine, sine = np.cos(turn), np.sin(turn)
    turned = np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]]) @ linear
    return float(decompose_pose(torch.from_numpy(turned))[1][1])
