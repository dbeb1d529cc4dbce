"""3DDFA-V3's `face_model.npy` in miniature."""

import numpy as np
import pytest
from twodasl.morphable import load_model


@pytest.fixture
def content(face_parts):
    rng = np.random.default_rng(5)
    size = face_parts.mean.size
    return {
        "u": (face_parts.mean / 100).reshape(-1, 1).astype(np.float32),
        "id": rng.normal(size=(size, 6)) / 100,
        "exp": rng.normal(size=(size, 4)) / 100,
        "u_alb": 255 * face_parts.colors.reshape(-1, 1),
        "alb": rng.normal(size=(size, 3)),
        "tri": face_parts.triangles,
        "ldm68": face_parts.landmarks,
        "point_buf": np.zeros((len(face_parts.mean), 8), np.int64),
        "annotation": [np.arange(3), np.arange(5)],
        "parallel": [[1, 2], [3]],
    }


@pytest.fixture
def write(tmp_path):
    def run(content):
        np.save(tmp_path / "face_model.npy", np.array(content, dtype=object), allow_pickle=True)
        return tmp_path / "face_model.npy"

    return run


def test_the_dict(content, write, face_parts):
    path = write(content)
    model = load_model(path)
    assert model.name == "3ddfa-v3"
    assert model.counts == (len(face_parts.mean), 6, 4)
    np.testing.assert_allclose(model.mean, face_parts.mean, atol=2e-5)
    modes = np.concatenate([content["id"], content["exp"]], axis=1).T.reshape(10, -1, 3)
    np.testing.assert_allclose(model.modes, 100 * modes, rtol=1e-6)
    np.testing.assert_allclose(model.albedo_mean, face_parts.colors, atol=1e-6)
    np.testing.assert_allclose(model.albedo_modes, content["alb"].T.reshape(3, -1, 3) / 255, rtol=1e-6)
    np.testing.assert_array_equal(model.triangles, face_parts.triangles[:, ::-1])
    np.testing.assert_array_equal(model.landmarks, face_parts.landmarks)
    assert load_model(path.parent).identity == model.identity


def test_a_model_without_colors(content, write):
    del content["alb"]
    assert load_model(write(content)).albedo_mean is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tri": None}, "got no tri"),
        ({"u": np.ones(7)}, "u: expected .* interleaved"),
        ({"id": np.ones((9, 6))}, r"id: expected \(3006, K\), got \(9, 6\)"),
        ({"ldm68": np.arange(67)}, "ldm68: expected 68 vertices, got 67"),
        ({"ldm68": np.full(68, 1002)}, r"ldm68: expected vertices 0\.\.1001, got 1002"),
    ],
)
def test_parts_that_do_not_fit(content, write, refuses, changes, message):
    refuses(write({**content, **changes}), message)


def test_other_files_of_that_kind(tmp_path, write, refuses):
    np.save(tmp_path / "points.npy", np.ones((68, 3)))
    refuses(tmp_path / "points.npy", "contains an ndarray, not a known face model; expected twodasl")
    refuses(write({"mean": np.ones(3)}), "contains mean, not a known face model")
    renamed = write({"mean": np.ones(3)}).rename(tmp_path / "face_model.dat")
    refuses(renamed, "is of kind npy by its content; rename it to end in .npy")


def test_a_pickle_that_would_run_code_does_not_run(content, write, refuses, tmp_path):
    mark = tmp_path / "touched"

    class Harmful:
        def __reduce__(self):
            return mark.touch.__func__, (mark,)

    content["tri"] = Harmful()
    refuses(write(content), "got the name ")
    assert not mark.exists()
