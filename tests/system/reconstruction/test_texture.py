"""Colors of a mesh: the photo's where it shows the surface, a guess elsewhere."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from twodasl.reconstruction.texture import mirror_twins, sample_photo, vertex_colors, visibility

SIZE = 200


@pytest.fixture
def placed(ball_model):
    """The ball in the middle of a picture of SIZE pixels, image space."""
    return (ball_model.mean * [0.8, -0.8, 0.8] + [SIZE / 2, SIZE / 2, 0]).astype(np.float32)


@pytest.fixture
def facing(ball_model):
    """Cosine between the ball's normals and the viewing direction."""
    normals = ball_model.mean / np.array([75.0, 105.0, 90.0]) ** 2
    return normals[:, 2] / np.linalg.norm(normals, axis=1)


def test_visibility_of_a_convex_body(placed, facing, ball_model):
    seen = visibility(placed, ball_model.triangles)
    assert seen.shape == (len(placed),)
    assert (seen[facing > 0.7] > 0.9).all()
    assert (seen[facing < 0.1] == 0).all()


def test_what_is_behind_something_is_not_seen(placed, ball_model):
    count = len(placed)
    nearer = placed * [0.5, 0.5, 0.5] + [SIZE / 4, SIZE / 4, 200]
    vertices = np.concatenate([placed, nearer]).astype(np.float32)
    triangles = np.concatenate([ball_model.triangles, ball_model.triangles + count])
    seen = visibility(vertices, triangles)
    middle = np.linalg.norm(placed[:, :2] - SIZE / 2, axis=1) < 20
    assert (seen[:count][middle] == 0).all()
    assert (seen[count:][middle & (placed[:, 2] > 0)] > 0.9).all()


def test_sampling_is_bilinear_and_knows_the_border(ball_model):
    column, row = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    image = np.stack([column, row, 0 * row + 7], 2).astype(np.uint8)
    vertices = np.float32(
        [[10.25, 20.5, 0], [0, 0, 0], [199, 199, 0], [198.75, 0.5, 0], [-3, 5, 0], [5, 200, 0]]
    )
    colors, inside = sample_photo(image, vertices, np.array([[0, 1, 2]]) * 0)
    np.testing.assert_allclose(
        colors[:4] * 255, [[7, 20.5, 10.25], [7, 0, 0], [7, 199, 199], [7, 0.5, 198.75]], atol=1e-3
    )
    np.testing.assert_array_equal(inside, [True, True, True, True, False, False])


@pytest.mark.parametrize("factor", [1, 10, 150, 5000])
def test_the_blur_stays_narrow_however_large_the_face(ball_model, placed, factor, monkeypatch):
    """Its time is the photo's size times its width, and both grew with the face."""
    widths, blur = [], cv2.GaussianBlur
    monkeypatch.setattr(
        "twodasl.reconstruction.texture.cv2.GaussianBlur",
        lambda p, size, sigma: widths.append(sigma) or blur(p, size, sigma),
    )
    image = np.full((120, 300, 3), 77, np.uint8)
    colors, _ = sample_photo(image, (placed * factor).astype(np.float32), ball_model.triangles)
    np.testing.assert_allclose(colors * 255, 77, atol=1e-3)
    assert all(0.5 < sigma < 12 for sigma in widths)
    assert len(widths) == 1


@pytest.mark.parametrize("factor", [8, 14])
def test_reducing_first_changes_no_color(ball_model, placed, factor, monkeypatch):
    generator = np.random.default_rng(3)
    image = cv2.resize(generator.integers(0, 256, (25, 25, 3), np.uint8), (SIZE * factor,) * 2)
    vertices = (placed * factor).astype(np.float32)
    found, inside = sample_photo(image, vertices, ball_model.triangles)
    monkeypatch.setattr("twodasl.reconstruction.texture._FINEST_SPACING", 1e9)
    expected, same = sample_photo(image, vertices, ball_model.triangles)
    assert np.abs(found - expected).max() < 0.02
    np.testing.assert_array_equal(inside, same)


def test_twins_of_a_symmetric_model(ball_model):
    twins = mirror_twins(ball_model.mean)
    np.testing.assert_allclose(ball_model.mean[twins], ball_model.mean * [-1, 1, 1], atol=1e-3)
    lopsided = ball_model.mean.copy()
    lopsided[lopsided[:, 0] > 0] *= 2
    assert (mirror_twins(lopsided) == -1).any()


def test_seen_vertices_take_the_photo_and_the_back_a_guess(placed, facing, ball_model):
    """A red picture: all of the ball is red, its back because nothing says otherwise."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    image[:, :] = 20, 40, 200
    colors = vertex_colors(image, placed, ball_model.triangles, ball_model.mean)
    np.testing.assert_allclose(colors, np.broadcast_to([200, 40, 20], colors.shape) / 255, atol=0.01)


def test_the_albedo_shows_through_where_the_photo_does_not(placed, facing, ball_model):
    """Half the light everywhere: what the photo cannot show is the albedo in that light."""
    albedo = np.full(ball_model.mean.shape, 0.8, np.float32)
    spot = (facing < -0.9) | (facing > 0.9)
    albedo[spot] = [0.8, 0.2, 0.2]
    column, row = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    image = np.full((SIZE, SIZE, 3), 102, np.uint8)  # 0.4
    front = np.hypot((column - SIZE / 2) / 0.8 / 75, (row - SIZE / 2) / 0.8 / 105) < 0.4
    image[front] = 26, 26, 102  # 0.1, 0.1, 0.4
    colors = vertex_colors(image, placed, ball_model.triangles, ball_model.mean, albedo)
    back = facing < -0.95
    np.testing.assert_allclose(colors[back], np.broadcast_to([0.4, 0.1, 0.1], colors[back].shape), atol=0.05)


@pytest.mark.parametrize(("ink", "color"), [((102, 102, 102), False), ((90, 100, 120), True)])
def test_a_photo_without_colors_gets_none(placed, facing, ball_model, ink, color):
    """The inside of a mouth is red, but not in an old portrait."""
    albedo = np.broadcast_to(np.float32([0.8, 0.4, 0.4]), ball_model.mean.shape)
    image = np.full((SIZE, SIZE, 3), ink, np.uint8)
    colors = vertex_colors(image, placed, ball_model.triangles, ball_model.mean, albedo)
    assert (np.ptp(colors[facing < -0.9], axis=1) > 0.05).all() == color
    assert (np.ptp(colors[facing < -0.9], axis=1) < 0.01).all() != color


def test_a_hidden_cheek_borrows_from_the_other(ball_model, facing):
    """Seen from the side, with a dark patch on the visible cheek: the hidden cheek has it too."""
    turned = ball_model.mean @ np.array([[0.5, 0, 0.866], [0, 1, 0], [-0.866, 0, 0.5]]).T  # by 60 degrees
    placed = (turned * [0.8, -0.8, 0.8] + [SIZE / 2, SIZE / 2, 0]).astype(np.float32)
    seen = visibility(placed, ball_model.triangles)
    twins = mirror_twins(ball_model.mean)
    hidden = np.flatnonzero((seen == 0) & (seen[twins] > 0.99))
    patch = hidden[np.argmin(np.abs(ball_model.mean[hidden, 1]))]
    image = np.full((SIZE, SIZE, 3), 200, np.uint8)
    center = placed[twins[patch]]
    column, row = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    image[np.hypot(column - center[0], row - center[1]) < 18] = 20
    colors = vertex_colors(image, placed, ball_model.triangles, ball_model.mean)
    assert colors[twins[patch]].max() < 0.15
    assert colors[patch].max() < 0.65
    far = hidden[np.abs(ball_model.mean[hidden, 1] - ball_model.mean[patch, 1]) > 60]
    assert colors[far].min() > 0.7


def test_a_photo_that_shows_nothing_leaves_the_albedo(ball_model, placed):
    albedo = np.full(ball_model.mean.shape, 0.5, np.float32)
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    colors = vertex_colors(
        image, placed + np.float32([1000, 0, 0]), ball_model.triangles, ball_model.mean, albedo
    )
    np.testing.assert_allclose(colors, albedo, atol=1e-3)
