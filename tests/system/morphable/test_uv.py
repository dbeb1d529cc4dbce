"""Texture layouts: every triangle has a place of its own."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from twodasl.errors import InputError
from twodasl.morphable import procedural_model, uv_layout
from twodasl.morphable.procedural.flatten import lower_energy, tutte
from twodasl.morphable.procedural.layout import border_loop, build_layout
from twodasl.morphable.unwrap import unwrapped
from twodasl.morphable.uv import SHIPPED_LAYOUT, UvLayout
from twodasl.pictures.face_part import face_share

import twodasl_ext


def drawn(layout: UvLayout, size: int, sign: int) -> np.ndarray:
    """The triangle at every texel, (size, size); where there are several, the first or the last one."""
    corners = layout.pixels(size)[layout.triangles].reshape(-1, 2)
    order = np.repeat(np.arange(len(layout.triangles)) * -sign, 3)
    places = torch.from_numpy(np.column_stack([corners, order]).astype(np.float32))[None]
    index = torch.arange(len(corners)).reshape(-1, 3)
    return twodasl_ext.rasterize(places, index, size)[0][0].numpy()


def doubled_areas(layout: UvLayout) -> np.ndarray:
    corners = layout.coordinates.astype(np.float64)[layout.triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def check(layout: UvLayout, triangles: np.ndarray, size: int = 1024) -> None:
    np.testing.assert_array_equal(layout.vertices[layout.triangles], triangles)
    assert layout.coordinates.dtype == np.float32
    assert layout.coordinates.min() > 0
    assert layout.coordinates.max() < 1
    assert (doubled_areas(layout) > 0).all()
    np.testing.assert_array_equal(drawn(layout, size, 1), drawn(layout, size, -1))


def islands(layout: UvLayout) -> np.ndarray:
    """(T,) the island of each triangle, from 1."""
    ends = np.concatenate([layout.triangles[:, :2], layout.triangles[:, 1:]])
    count = len(layout.coordinates)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1][layout.triangles[:, 0]] + 1


@pytest.fixture(scope="module")
def head():
    return procedural_model()


@pytest.fixture(scope="module")
def layout(head):
    return uv_layout(head)


def test_no_two_triangles_of_the_head_overlap(head, layout):
    check(layout, head.triangles)
    assert SHIPPED_LAYOUT.stat().st_size < 200_000


def test_the_check_finds_an_overlap(head, layout):
    moved = layout.coordinates.copy()
    corner = layout.triangles[np.flatnonzero(doubled_areas(layout) > 1e-4)[0], 0]
    moved[corner] = 0.5
    with pytest.raises(AssertionError):
        check(UvLayout(moved, layout.vertices, layout.triangles), head.triangles)


def test_islands_keep_apart(layout):
    owner = islands(layout)
    assert owner.max() == 5  # the skin, and two disks for each eyeball
    found = drawn(layout, 1024, 1)
    names = np.where(found >= 0, owner[found], 0).astype(np.float32)
    near = np.ones((7, 7), np.uint8)
    highest = cv2.dilate(names, near)
    lowest = cv2.erode(np.where(names > 0, names, 99).astype(np.float32), near)
    assert (lowest[names > 0] == highest[names > 0]).all()


def test_the_face_is_large_and_hardly_distorted(head, layout):
    face = face_share(head.mean, head.landmarks)[head.triangles].min(axis=1) > 0.5
    assert 1 / 3 < doubled_areas(layout)[face].sum() / 2 < 1 / 2
    corners = head.mean.astype(np.float64)[head.triangles[face]]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    along = np.linalg.norm(first, axis=1)
    x, y = (first * second).sum(1) / along, np.linalg.norm(np.cross(first, second), axis=1) / along
    rest = np.stack([np.stack([along, x], 1), np.stack([0 * x, y], 1)], 1)
    places = layout.coordinates.astype(np.float64)[layout.triangles[face]]
    mapped = np.stack([places[:, 1] - places[:, 0], places[:, 2] - places[:, 0]], 2)
    stretch = np.linalg.svd(mapped @ np.linalg.inv(rest), compute_uv=False)
    assert np.median(stretch[:, 0] / stretch[:, 1]) < 1.4
    assert np.percentile(stretch[:, 0] / stretch[:, 1], 90) < 2.6


def test_left_and_right_are_mirror_images(head, layout):
    u, v = layout.coordinates.T
    half = len(head.triangles) // 2
    left, right = layout.triangles[:half], layout.triangles[half:, ::-1]
    np.testing.assert_array_equal(v[left], v[right])
    np.testing.assert_allclose(u[left], 1 - u[right], atol=1e-6)
    assert u[layout.triangles[:half]].min() >= 0.5


def test_it_is_the_same_for_a_part_of_the_modes(head, layout):
    assert uv_layout(head.truncated(5, 2)) is layout


def test_a_descent_lowers_the_distortion_and_folds_nothing():
    """A bumpy sheet, whose border stays on a square."""
    side = np.arange(9)
    x, y = (each.ravel() for each in np.meshgrid(side, side))
    points = np.column_stack([x, y, 3 * np.sin(x) * np.cos(y)]).astype(np.float64)
    corner = (side[:-1, None] * 9 + side[None, :-1]).ravel()
    faces = np.concatenate(
        [
            np.column_stack([corner, corner + 1, corner + 10]),
            np.column_stack([corner, corner + 10, corner + 9]),
        ]
    )
    border = np.isin(np.arange(81), border_loop(faces))
    fixed = np.where(border[:, None], points[:, :2], np.nan)
    start = tutte(faces, 81, fixed)
    first, second = points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]
    along = np.linalg.norm(first, axis=1)
    rest = np.zeros((len(faces), 2, 2))
    rest[:, 0, 0], rest[:, 0, 1] = along, (first * second).sum(1) / along
    rest[:, 1, 1] = np.linalg.norm(np.cross(first, second), axis=1) / along
    held = np.repeat(border[:, None], 2, axis=1)

    def energy(places):
        mapped = np.stack(
            [places[faces[:, 1]] - places[faces[:, 0]], places[faces[:, 2]] - places[faces[:, 0]]], 2
        )
        jacobian = mapped @ np.linalg.inv(rest)
        assert (np.linalg.det(jacobian) > 0).all()
        size = np.linalg.svd(jacobian, compute_uv=False)
        return (np.linalg.det(rest) * (size**2 + size**-2.0).sum(1)).sum()

    end = lower_energy(start, faces, rest, held, 20)
    assert energy(end) < 0.95 * energy(start)
    np.testing.assert_array_equal(end[border], start[border])
    again = lower_energy(end, faces, rest, held, 3)
    assert np.abs(again - end).max() < 0.02


@pytest.mark.slow
def test_its_code_reproduces_it(layout):
    """Half a minute; rounding differs by machine, and thirty rounds of descent carry it on."""
    made = build_layout()
    np.testing.assert_array_equal(made.triangles, layout.triangles)
    np.testing.assert_allclose(made.coordinates, layout.coordinates, atol=2e-4)


def test_any_mesh_is_unrolled(ball_model):
    layout = uv_layout(ball_model)
    check(layout, ball_model.triangles)
    assert uv_layout(ball_model) is layout
    assert doubled_areas(layout).sum() / 2 > 0.6
    again = unwrapped(ball_model.mean, ball_model.triangles)
    np.testing.assert_array_equal(again.coordinates, layout.coordinates)


def test_what_is_inside_gets_islands_of_its_own(ball_model):
    count = len(ball_model.mean)
    mean = np.concatenate([ball_model.mean, 0.5 * ball_model.mean])
    triangles = np.concatenate([ball_model.triangles, ball_model.triangles + count])
    layout = unwrapped(mean, triangles)
    check(layout, triangles)
    owner = islands(layout)
    outer, inner = owner[: len(ball_model.triangles)], owner[len(ball_model.triangles) :]
    assert not np.intersect1d(outer, inner).size


def test_a_triangle_without_area_has_a_place(ball_model):
    triangles = np.concatenate([ball_model.triangles, [[0, 0, 1]]])
    check(unwrapped(ball_model.mean, triangles), triangles)


def test_points_alone_have_no_layout(ball_model):
    with pytest.raises(InputError, match="triangles: expected a face model with a surface"):
        uv_layout(replace(ball_model, triangles=np.zeros((0, 3), np.int64)))
