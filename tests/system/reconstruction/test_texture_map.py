"""Baking a texture: what a photo shows comes back, what it does not is completed."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.morphable import procedural_model, uv_layout
from twodasl.pictures.render import camera_view
from twodasl.reconstruction.background import over_person
from twodasl.reconstruction.front_surface import FrontSurface, buried, pieces
from twodasl.reconstruction.texels import Texels
from twodasl.reconstruction.texture import vertex_colors, visibility
from twodasl.reconstruction.texture_map import bake_texture

import twodasl_ext

SIZE, PHOTO = 512, 640
BACKDROP = (200, 120, 40)


@pytest.fixture(scope="module")
def head():
    return procedural_model()


@pytest.fixture(scope="module")
def layout(head):
    return uv_layout(head)


@pytest.fixture(scope="module")
def texels(head, layout):
    return Texels(layout, SIZE, len(head.mean))


@pytest.fixture(scope="module")
def painted(head, texels):
    """A known texture (SIZE, SIZE, 3) BGR: the head's colors with freckles, which are not symmetric."""
    rng = np.random.default_rng(3)
    freckles = cv2.GaussianBlur(rng.normal(size=(SIZE, SIZE)).astype(np.float32), (0, 0), 2.0)
    freckles *= 0.09 / freckles.std()
    plain = texels.picture(texels.of(head.albedo())[:, ::-1] * 255).astype(np.float32)
    return np.clip(plain * (1 + freckles[..., None]), 0, 255).astype(np.uint8)


def photograph(head, layout, texture, yaw):
    """A photo of the head under this texture, and its reconstruction as far as baking asks for it."""
    vertices = camera_view(head.mean, PHOTO, 320, (0, -25, 0), yaw)
    fine = vertices[layout.vertices] * [2, 2, 1] + [0.5, 0.5, 0]
    index, share, _ = twodasl_ext.rasterize(
        torch.from_numpy(fine.astype(np.float32))[None], torch.from_numpy(layout.triangles), 2 * PHOTO
    )
    index, share = index[0].numpy(), share[0].numpy()
    corners = layout.pixels(len(texture))[layout.triangles[np.maximum(index, 0)]]
    at = np.einsum("hwk,hwkc->hwc", share, corners).astype(np.float32)
    photo = cv2.remap(texture, at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    photo[index < 0] = BACKDROP
    photo = cv2.resize(photo, (PHOTO, PHOTO), interpolation=cv2.INTER_AREA)
    return photo, SimpleNamespace(vertices=vertices, triangles=head.triangles)


@pytest.fixture(scope="module")
def photos(head, layout, painted):
    return {yaw: photograph(head, layout, painted, yaw) for yaw in (0, 50, -50)}


def bake(head, layout, photos, *yaws):
    images, faces = zip(*(photos[yaw] for yaw in yaws), strict=True)
    return bake_texture(head, layout, faces, images, SIZE)


def well_seen(head, texels, face):
    """(SIZE, SIZE) which texels a photo shows squarely."""
    seen = visibility(face.vertices, head.triangles)
    return texels.grid(texels.of(seen[:, None])[:, 0], 0) > 0.95


def psnr(first, second, where):
    difference = first[where].astype(np.float64) - second[where]
    return 10 * np.log10(255**2 / (difference**2).mean())


def test_what_a_photo_shows_comes_back(head, layout, painted, photos, texels):
    photo, face = photos[0]
    baked = bake(head, layout, photos, 0)
    assert baked.shape == (SIZE, SIZE, 3)
    assert baked.dtype == np.uint8
    where = well_seen(head, texels, face)
    assert where.mean() > 0.2
    colors = vertex_colors(photo, face.vertices, head.triangles, head.mean, head.albedo())
    coarse = texels.picture(texels.of(colors)[:, ::-1] * 255)
    sharp, blurred = psnr(baked, painted, where), psnr(coarse, painted, where)
    assert sharp > 30
    assert sharp > blurred + 4


def test_two_photos_cover_both_sides(head, layout, painted, photos, texels):
    both, one = bake(head, layout, photos, 50, -50), bake(head, layout, photos, 50)
    for yaw in (50, -50):
        assert psnr(both, painted, well_seen(head, texels, photos[yaw][1])) > 28
    hidden = well_seen(head, texels, photos[-50][1]) & ~well_seen(head, texels, photos[50][1])
    assert psnr(both, painted, hidden) > psnr(one, painted, hidden) + 4


def test_the_other_side_is_as_sharp_as_its_mirror_image(head, layout, painted, photos, texels):
    """The layout is symmetric: what is hidden shows the freckles of its twin, not a blur."""
    baked = bake(head, layout, photos, 50)
    seen, hidden = (well_seen(head, texels, photos[yaw][1]) for yaw in (50, -50))
    where = hidden & seen[:, ::-1] & ~cv2.dilate(seen.astype(np.uint8), np.ones((31, 31))).astype(bool)
    assert where.sum() > 2000
    detail = [
        each.astype(np.float32) - cv2.GaussianBlur(each, (0, 0), 4) for each in (baked, painted[:, ::-1])
    ]
    assert np.corrcoef(detail[0][where].ravel(), detail[1][where].ravel())[0, 1] > 0.8


def test_no_background_reaches_the_texture(head, layout, photos):
    """It is blue, which nothing of a head is."""
    for yaws in ((0,), (50,)):
        blue, green, red = bake(head, layout, photos, *yaws).astype(int).transpose(2, 0, 1)
        assert (blue - np.maximum(green, red)).max() < 25


def test_an_eyeball_behind_its_lids_is_white(head, layout, photos, texels):
    baked = bake(head, layout, photos, 0)
    ball = pieces(head.triangles, len(head.mean)) > 0
    inner = buried(head)
    assert inner[ball].mean() > 0.5
    front = (head.mean[:, 2] > 110) & (np.abs(head.mean[:, 0]) < 10) & ~ball  # the tip of the nose
    assert not inner[front].any()
    behind = texels.grid(texels.of((ball & inner).astype(np.float32)[:, None])[:, 0], 0) > 0.99
    assert behind.sum() > 1000
    assert np.percentile(baked[behind], 5) > 120


def test_texels_beside_islands_have_their_colors(layout, head):
    texels = Texels(layout, 128, len(head.mean))
    texture = texels.picture(np.full((len(texels.index), 3), 77, np.float32))
    assert (texture == 77).all()


def test_a_large_photo_is_averaged(head, layout, painted, photos):
    """Texels that are coarser than pixels do not pick single ones."""
    photo, face = photos[0]
    large = cv2.resize(photo, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    noise = np.random.default_rng(0).normal(0, 40, large.shape)
    noisy = np.clip(large + noise, 0, 255).astype(np.uint8)
    placed = SimpleNamespace(vertices=((face.vertices * 3) + [1, 1, 0]).astype(np.float32))
    small = bake_texture(head, layout, [face], [photo], 256).astype(np.float32)
    averaged = bake_texture(head, layout, [placed], [noisy], 256).astype(np.float32)
    middle = np.s_[90:150, 100:156]  # of the face
    assert np.abs(averaged[middle] - small[middle]).mean() < 8


def test_the_same_bits_again(head, layout, photos):
    np.testing.assert_array_equal(bake(head, layout, photos, 50), bake(head, layout, photos, 50))


def test_a_model_without_colors(ball_model):
    vertices = camera_view(ball_model.mean, 200, 300, (0, 0, 0))
    photo = np.full((200, 200, 3), (60, 90, 150), np.uint8)
    baked = bake_texture(ball_model, uv_layout(ball_model), [SimpleNamespace(vertices=vertices)], [photo], 64)
    np.testing.assert_allclose(baked.reshape(-1, 3), np.tile([60, 90, 150], (64 * 64, 1)), atol=2)


def test_a_photo_that_shows_nothing_gives_the_models_colors(head, layout, texels):
    away = SimpleNamespace(vertices=camera_view(head.mean, 200, 300, (0, 0, 0)) + np.float32([5000, 0, 0]))
    baked = bake_texture(head, layout, [away], [np.zeros((200, 200, 3), np.uint8)], SIZE)
    plain = texels.picture(texels.of(head.albedo())[:, ::-1] * 255)
    assert np.abs(baked.astype(int) - plain).mean() < 3


def test_an_eyeball_is_not_where_its_lids_are(head, photos):
    _, face = photos[0]
    piece = pieces(head.triangles, len(head.mean))
    shown = FrontSurface.of(face.vertices, head.triangles, piece).shows(face.vertices, piece)
    ball = piece > 0
    pupil = ball & (np.abs(np.abs(head.mean[:, 0]) - 31.8) < 2) & (head.mean[:, 2] > 79)
    pupil &= np.abs(head.mean[:, 1]) < 2
    assert pupil.any()
    assert (shown[pupil] == 1).all()
    assert shown[ball & (head.mean[:, 1] > 6)].max() == 0  # under the upper lid


def test_background_within_the_outline_is_found(head, photos):
    photo, face = photos[0]
    share = np.ones(len(head.mean), np.float32)
    assert (over_person(photo, face.vertices, head.triangles, share) == 1).all()
    from twodasl.pictures.face_part import face_share

    face_part = face_share(head.mean, head.landmarks)
    cut = photo.copy()
    cut[:, 430:] = BACKDROP  # an ear is not there
    person = over_person(cut, face.vertices, head.triangles, face_part)
    gone = (face.vertices[:, 0] > 436) & (face_part == 0)
    assert gone.sum() > 300
    assert person[gone].mean() < 0.25
    assert (person[face_part >= 0.5] == 1).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 63}, "size: expected a whole number from 64 to 8192, got 63"),
        ({"size": 1.5}, "size: expected a whole number"),
        ({"images": []}, "images: expected a photo for each of 1 faces, got 0"),
        ({"faces": [], "images": []}, "images: expected a photo for each of 0 faces"),
        ({"images": [np.zeros((9, 9), np.uint8)]}, r"images: expected arrays \(H, W, 3\) uint8"),
        ({"images": [np.zeros((0, 9, 3), np.uint8)]}, r"images: .*got .* of shape \(0, 9, 3\)"),
        ({"images": [[[[0, 0, 0]]]]}, "images: .*got a value of type list"),
        ({"images": 5}, "images: expected a list of photos, got 5"),
        ({"layout": None}, "layout: expected a UvLayout, as from uv_layout, got None"),
        ({"model": "procedural"}, "model: expected a MorphableModel, as from load_model, got 'procedural'"),
        ({"faces": [SimpleNamespace(vertices=np.full((16782, 3), np.nan))]}, "faces: .*finite and within"),
        ({"faces": [SimpleNamespace(vertices=np.full((16782, 3), 1e9))]}, "faces: .*finite and within"),
        ({"faces": [SimpleNamespace(vertices=np.zeros((5, 3)))]}, "faces: expected reconstructions with"),
    ],
)
def test_mistakes(head, layout, photos, change, words):
    photo, face = photos[0]
    given = {"model": head, "layout": layout, "faces": [face], "images": [photo], "size": 64} | change
    with pytest.raises(InputError, match=words):
        bake_texture(**given)


def test_another_models_layout(head, ball_model, photos):
    photo, face = photos[0]
    with pytest.raises(InputError, match="layout: expected that of the face model 'procedural'"):
        bake_texture(head, uv_layout(ball_model), [face], [photo])
