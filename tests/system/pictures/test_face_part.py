"""What a picture shows of a head."""

from __future__ import annotations

import numpy as np
from twodasl.morphable import load_model
from twodasl.morphable.procedural.head import mean_head
from twodasl.pictures.face_part import face_share


def test_the_face_is_shown_and_skull_neck_and_ears_are_not() -> None:
    model, head = load_model("procedural"), mean_head()
    shares = face_share(model.mean, model.landmarks)
    assert shares.shape == (model.vertex_count,)
    assert shares.dtype == np.float32
    assert shares.min() == 0
    assert shares.max() == 1
    assert (shares[model.landmarks[17:]] == 1).all()
    assert shares[model.landmarks[:17]].min() > 0.5
    y, z = model.mean[:, 1], model.mean[:, 2]
    assert shares[y > 100].max() == 0  # the crown
    assert shares[y < -135].max() == 0  # the neck
    assert shares[z < -30].max() == 0  # the back
    ears = (head.regions["ears"] > 0.5) & (z < -5)
    assert shares[ears].max() < 0.5
    assert (shares[head.regions["eyeball_left"] > 0.5] == 1).mean() > 0.4


def test_it_is_the_same_on_both_sides_and_at_every_size() -> None:
    model, head = load_model("procedural"), mean_head()
    shares = face_share(model.mean, model.landmarks)
    assert np.abs(shares[head.mirror] - shares).max() < 0.15  # a pixel of the map of distances
    larger = face_share(model.mean * 1000 + [5, -3, 900], model.landmarks)
    assert np.abs(larger - shares).max() < 0.15


def test_a_model_without_extent_is_all_face() -> None:
    assert (face_share(np.zeros((100, 3)), np.zeros(68, np.int64)) == 1).all()
