"""The parts of the fit to a scan that have answers of their own."""

import numpy as np
import torch
from twodasl.scans.robust import local_spread, spread, tukey
from twodasl.scans.scan import border_of
from twodasl.scans.search import rotations
from twodasl.scans.similarity import Similarity, matched, plane_rows
from twodasl.scans.surface import Surface


def test_the_turns_reach_every_orientation():
    turns = rotations()
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(turns), 1)
    np.testing.assert_array_equal(turns[0], np.eye(3))
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(2000, 3, 3)))
    q *= np.sign(np.linalg.det(q))[:, None, None]
    cosine = (np.einsum("aij,bij->ab", q, turns).max(axis=1) - 1) / 2
    assert np.degrees(np.arccos(cosine.min())) < 45


def test_the_border_of_an_open_square_and_of_loose_triangles():
    square = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    np.testing.assert_array_equal(
        border_of(np.vstack([square, square + 5, [[0, 1, 5]]])[:8], 10)[[4, 9]], False
    )
    # Here all vertices would be at a border, which says that the file shares no vertices.
    assert not border_of(np.arange(12).reshape(4, 3), 12).any()


def test_a_pairs_motion_is_found_exactly():
    rng = np.random.default_rng(1)
    points = torch.from_numpy(rng.normal(size=(2, 20, 3)))
    turn = torch.linalg.matrix_exp(torch.tensor([[0, -0.4, 0.2], [0.4, 0, -0.9], [-0.2, 0.9, 0]]).double())
    motion = Similarity(turn.expand(2, 3, 3), torch.ones(2, 3).double(), torch.tensor([2.0, 0.3]).double())
    found = matched(points, motion.apply(points), torch.ones(2, 20))
    for name in ("rotation", "translation", "scale"):
        torch.testing.assert_close(getattr(found, name), getattr(motion, name))
    torch.testing.assert_close(motion.back(motion.apply(points)), points)
    torch.testing.assert_close(motion.after(motion).apply(points), motion.apply(motion.apply(points)))


def test_plane_rows_are_the_derivatives_of_a_step():
    rng = np.random.default_rng(2)
    points, normals = torch.from_numpy(rng.normal(size=(2, 1, 9, 3)))
    eye = torch.eye(3).double()[None]
    motion = Similarity(eye, torch.tensor([[1.0, 2, 3]]).double(), torch.tensor([1.5]).double())
    moved = motion.apply(points)
    rows = plane_rows(moved - motion.translation[:, None], normals)
    for unknown in range(7):
        small = torch.zeros(1, 7).double()
        small[0, unknown] = 1e-6
        change = (motion.step(small).apply(points) - moved) * normals
        torch.testing.assert_close(change.sum(-1) / 1e-6, rows[..., unknown], rtol=0, atol=1e-4)


def test_noise_is_told_from_shape():
    rng = np.random.default_rng(3)
    place = torch.arange(2000).repeat_interleave(5)
    shape = torch.from_numpy(rng.normal(0, 2, 2000))[place]
    noise = torch.from_numpy(rng.normal(0, 0.3, 10000))
    assert abs(local_spread(shape + noise, place) - 0.3) < 0.02
    assert local_spread(noise[:50], place[:50] * 0 + torch.arange(50)) is None
    outliers = torch.cat((noise, torch.full((2000,), 50.0)))
    assert abs(spread(outliers) - 0.39) < 0.03
    assert tukey(torch.tensor([0.0, 1.0, 2.0]), 1.0).tolist() == [1, 0, 0]


def test_only_the_outside_is_left_of_a_head_with_something_in_it(ball_model):
    from dataclasses import replace

    count = len(ball_model.mean)
    inner = replace(
        ball_model,
        mean=np.concatenate([ball_model.mean, ball_model.mean / 2]),
        shape_modes=np.concatenate([ball_model.shape_modes] * 2, axis=1),
        expression_modes=np.concatenate([ball_model.expression_modes] * 2, axis=1),
        triangles=np.concatenate([ball_model.triangles, ball_model.triangles + count]),
    )
    surface = Surface(inner, torch.device("cpu"))
    assert len(surface.triangles) == len(ball_model.triangles)
    assert int(surface.triangles.max()) < count
