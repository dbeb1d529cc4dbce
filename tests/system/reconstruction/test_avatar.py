"""From a reconstruction to the head in a GLB file: its place, its size, its turn, and what moves it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from twodasl.geometry.pose import matrix_from_angles
from twodasl.meshes.glb import glb_bytes
from twodasl.morphable.uv import uv_layout
from twodasl.reconstruction.avatar import Expressions, Texture, avatar, distinct, expressions_of, quaternions
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.reconstruction.results import write_results

from ..glb_files import Glb

SHAPE = np.array([1.0, -0.5], np.float32)


@pytest.fixture(scope="module")
def lively_model(ball_model):
    """The ellipsoid with two expressions, of names and deviations of their own."""
    wink = np.where(ball_model.mean[:, :1] > 30, [0.0, 4.0, 0.0], 0.0).astype(np.float32)
    modes = np.concatenate([ball_model.expression_modes, wink[None]])
    std = np.array([1, 1, 0.5, 2], np.float32)
    names = ("width", "height", "puff", "wink")
    return replace(ball_model, expression_modes=modes, coefficient_std=std, mode_names=names)


def test_the_neutral_face_in_meters(lively_model):
    glb = Glb(glb_bytes(avatar(lively_model, SHAPE)))
    neutral = lively_model.shape([*SHAPE, 0, 0])
    np.testing.assert_allclose(glb.attribute("POSITION"), neutral / 1000, atol=1e-7)
    np.testing.assert_array_equal(glb.triangles, lively_model.triangles)
    np.testing.assert_allclose(glb.node("head")["rotation"], [0, 0, 0, 1], atol=1e-7)
    assert glb.weights == {"puff": 0, "wink": 0}


def test_targets_and_weights_give_the_fitted_face(lively_model):
    """A coefficient divided by its deviation is a weight, and a move is one deviation."""
    coefficients = np.array([0.75, -1.0], np.float32)
    glb = Glb(glb_bytes(avatar(lively_model, SHAPE, expression=coefficients)))
    assert glb.weights == {"puff": 1.5, "wink": -0.5}
    moved = glb.attribute("POSITION") + sum(weight * glb.target(name) for name, weight in glb.weights.items())
    np.testing.assert_allclose(moved * 1000, lively_model.shape([*SHAPE, *coefficients]), atol=1e-3)


def test_a_models_other_movements(lively_model):
    """As ARKit's are: more of them than expressions, with weights that a function of its own finds."""
    moves = np.random.default_rng(0).normal(size=(3, *lively_model.mean.shape)).astype(np.float32)
    other = Expressions(
        ("a", "b", "c"), moves, (0, 1), lambda face: np.stack([face[0], face[1], 0 * face[0]])
    )
    head = avatar(lively_model, SHAPE, expressions=other, expression=np.float32([0.25, 0.5]))
    glb = Glb(glb_bytes(head))
    assert glb.weights == {"a": 0.25, "b": 0.5, "c": 0}
    np.testing.assert_allclose(glb.target("b"), moves[1] / 1000, atol=1e-7)


def test_a_seam_does_not_show(lively_model):
    """Vertices that are there twice have the whole surface's normals, and move as one."""
    first = lively_model.triangles[: len(lively_model.triangles) // 2]
    count = len(lively_model.mean)
    second = lively_model.triangles[len(first) :] + count  # every vertex twice: more than any layout does
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[0] = (10, 20, 30)
    uv = np.random.default_rng(0).random((2 * count, 2), np.float32)
    corners = np.tile(np.arange(count), 2)
    texture = Texture(uv, corners, np.concatenate([first, second]), picture)
    colors = np.zeros((count, 3))
    glb = Glb(glb_bytes(avatar(lively_model, SHAPE, texture=texture, colors=colors)))
    plain = Glb(glb_bytes(avatar(lively_model, SHAPE)))
    np.testing.assert_allclose(glb.attribute("NORMAL"), plain.attribute("NORMAL")[corners], atol=1e-6)
    for attribute in ("POSITION", "NORMAL"):
        expected = plain.target("wink", attribute)[corners]
        np.testing.assert_allclose(glb.target("wink", attribute), expected, atol=1e-6)
    image = np.frombuffer(glb.view(glb.document["images"][0]["bufferView"]), np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(image, cv2.IMREAD_COLOR), picture)
    np.testing.assert_allclose(glb.attribute("TEXCOORD_0")[:, 1], 1 - uv[:, 1], atol=1e-6)
    assert "COLOR_0" not in glb.primitive["attributes"]


def test_quaternions_turn_points_as_the_pose_does():
    angles = np.random.default_rng(1).uniform(-80, 80, (20, 3))
    matrices = matrix_from_angles(*torch.from_numpy(np.radians(angles)).unbind(-1)).numpy()
    np.testing.assert_allclose(Rotation.from_quat(quaternions(angles)).as_matrix(), matrices, atol=1e-9)
    assert quaternions(angles[0]).shape == (4,)


def test_a_positive_yaw_turns_the_nose_to_the_pictures_left():
    nose = Rotation.from_quat(quaternions(np.array([0.0, 30.0, 0.0]))).apply([0, 0, 1])
    np.testing.assert_allclose(nose, [-0.5, 0, np.sqrt(0.75)], atol=1e-9)


def test_names_are_distinct():
    assert distinct(["a", "b", "a", "a 2", "a"]) == ("a", "b", "a 2", "a 2 2", "a 3")


def test_expressions_without_names(ball_model):
    assert expressions_of(ball_model).names == ("expression 1",)
    assert expressions_of(ball_model) is expressions_of(ball_model)


def test_a_model_without_expressions(ball_model):
    still = replace(
        ball_model, expression_modes=ball_model.expression_modes[:0], coefficient_std=SHAPE * 0 + 1
    )
    glb = Glb(glb_bytes(avatar(still, SHAPE, expression=np.zeros(0, np.float32))))
    assert "targets" not in glb.primitive


def test_the_file_of_a_photo_places_the_mesh_as_the_photo_does(
    ball_checkpoint, photo_path, photo68, tmp_path
):
    """Turned, scaled to pixels and moved, the head of the GLB file is the mesh on the photo."""
    image = cv2.imread(str(photo_path))
    reconstructor = FaceReconstructor(ball_checkpoint)
    turn = np.array([[0.94, -0.34], [0.34, 0.94]])  # 20 degrees
    face = reconstructor(image, (photo68 - photo68.mean(0)) @ turn.T + photo68.mean(0))
    assert abs(face.angles[2]) > 15
    (path,) = write_results(tmp_path, "face", image, reconstructor, face, formats=["glb"])
    glb = Glb(path.read_bytes())
    points = glb.attribute("POSITION") + sum(
        weight * glb.target(name) for name, weight in glb.weights.items()
    )
    turned = Rotation.from_quat(glb.node("head")["rotation"]).apply(points * 1000)
    x, row = face.translation
    placed = np.stack([turned[:, 0] * face.scale + x, row - turned[:, 1] * face.scale], -1)
    corners = uv_layout(reconstructor.model).vertices  # a vertex on a cut of the texture is there twice
    np.testing.assert_allclose(placed, face.vertices[corners, :2], atol=0.05)
    assert "TEXCOORD_0" in glb.primitive["attributes"]
