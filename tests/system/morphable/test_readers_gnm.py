"""GNM Head's `gnm_head.npz` in miniature, with its landmarks in triangles."""

import numpy as np
import pytest
import torch
from twodasl.morphable import PosedHead, load_model

from .test_readers_flame import rodrigues


@pytest.fixture
def arrays(face_parts):
    rng = np.random.default_rng(21)
    count = len(face_parts.mean)
    weights = rng.uniform(0, 1, (4, count))
    return {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": (face_parts.mean / 1000).astype(np.float32),
        "vertex_identity_basis": rng.normal(size=(6, count, 3)).astype(np.float32) / 1000,
        "expression_basis": rng.normal(size=(3, count, 3)).astype(np.float32) / 1000,
        "triangles": face_parts.triangles.astype(np.int32),
        "identity_names": np.array([f"head_{i}" for i in range(6)]),
        "expression_names": np.array(["smile", "blink", "frown"]),
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "joint_parent_indices": np.array([-1, 0, 1, 1]),
        "skinning_weights": (weights / weights.sum(0)).astype(np.float32),
        "template_joint_positions": rng.normal(size=(4, 3)) / 50,
        "joint_identity_basis": rng.normal(size=(6, 4, 3)) / 1000,
        "pose_correctives_regressor": rng.normal(size=(36, 3 * count)) / 1000,
        "quads": np.zeros((2, 4), np.int32),
    }


def embedding(landmarks, order):
    """Lines of three vertices and weights; the landmarks have the largest."""
    rows = []
    for i, vertex in enumerate(landmarks[order]):
        corners = [[vertex, 0.5], [(vertex + 7) % 1002, 0.3], [(vertex + 9) % 1002, 0.2]]
        rows.append(" ".join(f"{v} {w}" for v, w in np.roll(corners, i, axis=0).tolist()))
    return "\n".join(rows)


@pytest.fixture
def write(tmp_path, face_parts):
    def run(arrays, order=slice(None)):
        np.savez(tmp_path / "gnm_head.npz", **arrays)
        (tmp_path / "head_sparse_68.txt").write_text(embedding(face_parts.landmarks, order))
        return tmp_path / "gnm_head.npz"

    return run


def test_the_archive(arrays, write, face_parts):
    path = write(arrays)
    model = load_model(path)
    assert model.name == "gnm-head"
    assert model.counts == (1002, 6, 3)
    np.testing.assert_allclose(model.mean, face_parts.mean, atol=2e-5)
    both = np.concatenate([arrays["vertex_identity_basis"], arrays["expression_basis"]])
    np.testing.assert_allclose(model.modes, 1000 * both, rtol=1e-6)
    np.testing.assert_array_equal(model.triangles, face_parts.triangles[:, ::-1])
    np.testing.assert_array_equal(model.landmarks, face_parts.landmarks)
    assert model.mode_names == (*(f"head_{i}" for i in range(6)), "smile", "blink", "frown")
    assert load_model(path.parent).identity == model.identity


def test_the_jaw_line_is_put_into_order(arrays, write, face_parts):
    order = np.r_[[0, 1, 6, 5, 4, 3, 2], 7:68]
    np.testing.assert_array_equal(load_model(write(arrays, order)).landmarks, face_parts.landmarks)


def test_joints_turn_it(arrays, write):
    rng = np.random.default_rng(22)
    head = PosedHead(load_model(write(arrays)))
    assert head.names == ("neck", "head", "left_eye", "right_eye")
    c, turns = rng.normal(size=9), rng.normal(size=(4, 3)) / 2
    vertices, places = head(torch.from_numpy(c).float()[None], torch.from_numpy(turns).float()[None])
    # The definition, in double precision: every joint has correctives, and only the identity moves joints.
    rotations = [rodrigues(turn) for turn in turns]
    shape = arrays["template_vertex_positions"] + np.tensordot(c[:6], arrays["vertex_identity_basis"], 1)
    shape = shape + np.tensordot(c[6:], arrays["expression_basis"], 1)
    feature = np.concatenate([(r - np.eye(3)).ravel() for r in rotations])
    shape = shape + (feature @ arrays["pose_correctives_regressor"]).reshape(-1, 3)
    joints = arrays["template_joint_positions"] + np.tensordot(c[:6], arrays["joint_identity_basis"], 1)
    turned, moved = [rotations[0]], [joints[0]]
    for joint, parent in ((1, 0), (2, 1), (3, 1)):
        moved.append(moved[parent] + turned[parent] @ (joints[joint] - joints[parent]))
        turned.append(turned[parent] @ rotations[joint])
    each = np.array([(shape - j) @ r.T + m for r, j, m in zip(turned, joints, moved, strict=True)])
    expected = (arrays["skinning_weights"][..., None] * each).sum(0)
    np.testing.assert_allclose(vertices[0], 1000 * expected, rtol=0, atol=1e-3)
    np.testing.assert_allclose(places[0], 1000 * np.array(moved), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": np.array("2.0")}, r"expected variant 'head' of version '3\.0', got 'head', '2\.0'"),
        (
            {"expression_basis": np.ones((3, 9, 3))},
            r"expression_basis: expected \(K, 1002, 3\), got \(3, 9, 3\)",
        ),
        ({"identity_names": np.array(["one"])}, "identity_names: expected 6 names"),
        ({"skinning_weights": np.ones((4, 1002))}, "weights: expected rows that sum to 1"),
        ({"joint_parent_indices": np.array([-1, 3, 0, 0])}, "parents: expected -1, then for 4 joints"),
        ({"joint_identity_basis": np.ones((5, 4, 3))}, r"joint_identity_basis: expected \(6, 4, 3\)"),
        ({"triangles": None}, "expected real numbers|cannot|Object|object"),
    ],
)
def test_parts_that_do_not_fit(arrays, write, refuses, changes, message):
    refuses(write({**arrays, **changes}), message)


def test_landmarks_that_are_missing_or_do_not_fit(arrays, write, refuses):
    path = write(arrays)
    file = path.with_name("head_sparse_68.txt")
    file.write_text("1 2 3")
    refuses(path, "expected 68 lines of three vertices and weights, got 3 numbers", named=file.name)
    file.unlink()
    refuses(path, r"has no landmarks and no head_sparse_68\.txt .* put a file gnm_head\.landmarks68\.txt")
    del arrays["triangles"]
    refuses(write(arrays), "expected a GNM head, got no triangles")
