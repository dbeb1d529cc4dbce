"""Weights of an earlier embedded head, with fewer modes or other landmarks, for the present one."""

from dataclasses import replace

import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.projection import crop_landmarks
from twodasl.morphable import Whitening, load_model
from twodasl.morphable.sketch import sketch
from twodasl.networks import build_regressor, split_output
from twodasl.training.priors import FitPriors

from benchmarks.training.newer_head import for_newer_head


def contents_of(model, points=68):
    """What `read_weights` gives, of an untrained network."""
    torch.manual_seed(0)
    count = 12 + sum(model.counts[1:])
    return {
        "model_name": model.name,
        "model_identity": model.identity,
        "model_counts": list(model.counts),
        "model_sketch": torch.from_numpy(sketch(model)),
        "whitening": {"mean": torch.randn(count), "std": torch.rand(count) + 0.5},
        "regressor": build_regressor("small", count, points).state_dict(),
        "priors": FitPriors(coefficients=tuple(0.5 for _ in range(count - 12))),
    }


def said(contents, images):
    """Parameters, points and sigma."""
    count = 12 + sum(contents["model_counts"][1:])
    network = build_regressor("small", count, 68)
    network.load_state_dict(contents["regressor"])
    with torch.no_grad():
        whitened, points, sigma = split_output(network.eval()(images), count)
    return Whitening(**contents["whitening"]).unwhiten(whitened), points, sigma


def test_the_network_says_the_same_face():
    head = load_model("procedural")
    earlier = head.truncated(40, 10)
    before = contents_of(earlier)
    after = for_newer_head(before, head)
    images = torch.randn(3, 4, 120, 120)
    (old, *points), (new, *same) = said(before, images), said(after, images)
    torch.testing.assert_close(new[:, :62], old, rtol=0, atol=0)
    assert not new[:, 62:].any()
    torch.testing.assert_close(same, points, rtol=0, atol=0)
    torch.testing.assert_close(crop_landmarks(head.basis(), new), crop_landmarks(earlier.basis(), old))
    assert after["model_identity"] == head.identity
    assert after["priors"].coefficients == (0.5,) * 50 + (1.0,) * 5


def test_other_landmarks_of_the_same_mesh_are_no_other_face():
    head = load_model("procedural")
    marks = head.landmarks.copy()
    marks[:17] = marks[16::-1]
    before = contents_of(replace(head, landmarks=marks))
    after = for_newer_head(before, head)
    assert after["model_identity"] == head.identity != before["model_identity"]
    torch.testing.assert_close(after["model_sketch"].numpy(), sketch(head))
    for key in ("regressor", "whitening"):
        torch.testing.assert_close(after[key], before[key], rtol=0, atol=0)


def test_other_heads_are_refused():
    head = load_model("procedural")
    before = contents_of(head.truncated(40, 10))
    other = {**before, "model_sketch": before["model_sketch"] + 1}
    for contents, model in (
        (before, head.truncated(40, 9)),
        (before, head.truncated(39, 15)),
        (other, head),
    ):
        with pytest.raises(InputError, match=r"^weights: expected those of .* same mean and first modes$"):
            for_newer_head(contents, model)
