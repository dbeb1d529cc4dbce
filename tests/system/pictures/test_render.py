"""Pictures: shading, compositing, landmarks and sheets, judged by their pixels."""

import numpy as np
import pytest
from twodasl.pictures.render import (
    camera_view,
    caption,
    contact_sheet,
    draw_landmarks,
    overlay,
    render_mesh,
    stack_sheets,
    vertex_normals,
)


@pytest.fixture(scope="module")
def ball():
    """A sphere of radius 1: vertices (N, 3) and triangles, counter-clockwise from outside."""
    rows, columns = 24, 48
    theta = np.pi * (np.arange(rows + 1) / rows)
    phi = 2 * np.pi * np.arange(columns) / columns
    grid = np.stack(
        [
            np.outer(np.sin(theta), np.cos(phi)),
            np.outer(np.cos(theta), np.ones(columns)),
            np.outer(np.sin(theta), np.sin(phi)),
        ],
        -1,
    )
    index = np.arange((rows + 1) * columns).reshape(rows + 1, columns)
    a, b = index[:-1], index[1:]
    c, d = np.roll(b, -1, 1), np.roll(a, -1, 1)
    faces = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([a, d, c], -1).reshape(-1, 3)])
    return grid.reshape(-1, 3), faces


needs_operators = pytest.mark.skipif(
    not hasattr(pytest.importorskip("twodasl_ext"), "rasterize"), reason="the operators are not built"
)


def test_normals_of_a_sphere_are_its_points(ball):
    points, faces = ball
    normals = vertex_normals(points, faces)
    inner = np.abs(points[:, 1]) < 0.99
    assert (normals * points).sum(1)[inner].min() > 0.99


def test_a_vertex_of_no_triangle_has_no_normal():
    assert not vertex_normals(np.ones((4, 3)), np.array([[0, 1, 2]])).any()


@needs_operators
def test_a_ball_under_a_headlight(ball):
    points, faces = ball
    view = camera_view(points, 64, 2.5, np.zeros(3))
    image = render_mesh(view, faces, 64).astype(int)
    assert (image[0, 0] == 255).all()
    center, edge = image[32, 32].sum(), image[32, 32 + 23].sum()
    assert center > 500 > edge
    np.testing.assert_allclose(image, image[:, ::-1], atol=12)  # the light comes from the viewer
    # Coverage, and anti-aliased borders between ball and background.
    covered = (image.sum(2) < 700).sum()
    assert abs(covered - np.pi * (64 / 2.5) ** 2) < 0.04 * covered


@needs_operators
def test_studio_light_comes_from_above_left(ball):
    points, faces = ball
    image = render_mesh(camera_view(points, 64, 2.5, np.zeros(3)), faces, 64, "studio").astype(int)
    assert image[22, 22].sum() > image[42, 42].sum() + 100


@needs_operators
def test_colors_are_rgb_and_reach_the_picture_as_bgr(ball):
    points, faces = ball
    view = camera_view(points, 32, 2.5, np.zeros(3))
    image = render_mesh(view, faces, 32, colors=np.tile([1.0, 0.1, 0.1], (len(points), 1)))
    blue, _, red = image[16, 16].astype(int)
    assert red > 200 > 120 > blue


@needs_operators
def test_compositing_over_a_photo(ball):
    points, faces = ball
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    view = camera_view(points, 40, 3, np.zeros(3))
    through = overlay(photo, view, faces, opacity=0)
    np.testing.assert_allclose(through.astype(int), photo, atol=1)
    solid = overlay(photo, view, faces, opacity=1)
    np.testing.assert_allclose(solid[:, 45:].astype(int), photo[:, 45:], atol=1)
    assert np.ptp(solid[18:22, 18:22].astype(int)) < 60  # the noise is hidden
    assert solid.shape == photo.shape
    assert photo.flags.c_contiguous
    with pytest.raises(ValueError, match="background"):
        render_mesh(view, faces, 40, background=photo)
    with pytest.raises(ValueError, match="light"):
        render_mesh(view, faces, 40, "moon")


def face_points(size=200):
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    return np.stack([size / 2 + size / 3 * np.cos(angle), size / 2 + size / 3 * np.sin(angle)], 1)


def test_landmarks_are_drawn_where_they_are():
    image = np.zeros((200, 200, 3), np.uint8)
    points = face_points()
    drawn = draw_landmarks(image, points)
    assert not image.any()
    for x, y in points.round().astype(int):
        assert drawn[y, x].any()
    assert not drawn[100, 100].any()
    np.testing.assert_array_equal(drawn, draw_landmarks(image, np.c_[points, np.zeros(68)]))


def test_hidden_landmarks_are_faint():
    image = np.zeros((200, 200, 3), np.uint8)
    points, hidden = face_points(), np.zeros(68, bool)
    hidden[:9] = True
    drawn, all_seen = draw_landmarks(image, points, hidden), draw_landmarks(image, points)
    for x, y in points[:8].round().astype(int):
        assert 0 < drawn[y, x].max() < 0.5 * all_seen[y, x].max()
    for x, y in points[10:].round().astype(int):
        np.testing.assert_array_equal(drawn[y, x], all_seen[y, x])
    np.testing.assert_array_equal(draw_landmarks(image, points, np.zeros(68, bool)), all_seen)


def test_a_share_of_a_vertex_is_drawn(ball):
    points, faces = ball
    view = camera_view(points, 40, 3, np.zeros(3))
    whole = render_mesh(view, faces, 40, background=(0, 0, 255))
    gone = render_mesh(view, faces, 40, background=(0, 0, 255), shares=np.zeros(len(points)))
    assert (gone == (0, 0, 255)).all()
    np.testing.assert_array_equal(
        whole, render_mesh(view, faces, 40, background=(0, 0, 255), shares=np.ones(len(points)))
    )
    upper = (points[:, 1] > 0).astype(np.float32)
    half = render_mesh(view, faces, 40, background=(0, 0, 255), shares=upper)
    np.testing.assert_array_equal(half[:10], whole[:10])
    assert (half[30:] == (0, 0, 255)).all()
    with pytest.raises(ValueError, match="shares"):
        render_mesh(view, faces, 40, shares=np.ones(3))


def test_landmarks_outside_the_picture_do_no_harm():
    drawn = draw_landmarks(np.zeros((50, 50, 3), np.uint8), face_points(200) + 1e6)
    assert drawn.shape == (50, 50, 3)


@pytest.mark.parametrize("points", [np.zeros((67, 2)), np.full((68, 2), np.nan), np.zeros((68, 1))])
def test_wrong_landmarks_are_refused(points):
    with pytest.raises(ValueError, match="points"):
        draw_landmarks(np.zeros((50, 50, 3), np.uint8), points)


def test_the_camera_turns_as_the_pose_says():
    nose = np.array([[0.0, 0.0, 100.0]])
    center = camera_view(nose, 101, 202, np.zeros(3))
    np.testing.assert_allclose(center[0, :2], [50, 50], atol=1e-4)
    assert camera_view(nose, 101, 202, np.zeros(3), yaw=30)[0, 0] < 50
    assert camera_view(nose, 101, 202, np.zeros(3), pitch=30)[0, 1] < 50


def test_sheets():
    tiles = [caption(np.full((30, 40, 3), shade, np.uint8), f"shade {shade}") for shade in (0, 90, 180)]
    assert tiles[0].shape == (52, 40, 3)
    assert tiles[0][30:].min() < 200  # text
    sheet = contact_sheet(tiles, 2, margin=4)
    assert sheet.shape == (2 * 56 + 4, 2 * 44 + 4, 3)
    assert (sheet[4:34, 4:44] == 0).all()
    assert (sheet[4:34, 48:88] == 90).all()
    both = stack_sheets([sheet, sheet[:, :50]])
    assert both.shape == (2 * sheet.shape[0], sheet.shape[1], 3)
    with pytest.raises(ValueError, match="tiles"):
        contact_sheet([tiles[0], tiles[1][:9]], 2)
