"""The Basel Face Models 2017 and 2019: Statismo's HDF5 in miniature."""

import subprocess
import sys

import numpy as np
import pytest
from twodasl.morphable import load_model


def test_without_h5py_the_extra_is_named(tmp_path):
    path = tmp_path / "model2017-1_bfm_nomouth.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    code = (
        "import sys; sys.modules['h5py'] = None\n"
        "from twodasl.cli import main\n"
        f"sys.exit(main(['models', 'convert', {str(path)!r}, {str(tmp_path / 'out.npz')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "reading HDF5 needs h5py; pip install '.[h5]' in the source folder" in done.stderr


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py", reason="h5py (the extra h5) is not installed")


@pytest.fixture
def path(h5py, face_parts, tmp_path):
    """Its arrays as the publishers lay them out, float32 but for the cells, with landmarks next to it."""
    path = tmp_path / "model2017-1_bfm_nomouth.h5"
    means = {
        "shape": face_parts.mean - 1,
        "expression": np.ones(face_parts.mean.shape),
        "color": face_parts.colors,
    }
    with h5py.File(path, "w") as file:
        for part, mean in means.items():
            file[f"{part}/model/mean"] = mean.ravel().astype(np.float32)
            file[f"{part}/model/pcaBasis"] = face_parts.bases[part].astype(np.float32)
            file[f"{part}/model/pcaVariance"] = (face_parts.sigma[part] ** 2).astype(np.float32)
            file[f"{part}/model/noiseVariance"] = np.zeros(1)
        file["shape/representer/cells"] = face_parts.triangles.T.astype(np.int32)
        file["shape/representer/points"] = face_parts.mean.T
        file["metadata/landmarks/json"] = b"[]"
    lines = "\n".join(map(str, face_parts.landmarks))
    (tmp_path / "Landmarks68_model2017-1_bfm_nomouth.anl").write_text(lines)
    return path


def test_the_file(path, face_parts):
    model = load_model(path)
    face_parts.check(model)
    np.testing.assert_allclose(model.albedo_mean, face_parts.colors, atol=1e-6)
    np.testing.assert_allclose(model.albedo_modes, face_parts.modes("color"), rtol=1e-5, atol=1e-7)
    assert model.name == "model2017-1_bfm_nomouth"
    assert load_model(path.parent).identity == model.identity


def test_the_model_of_2009_in_this_layout(h5py, path, face_parts):
    with h5py.File(path, "a") as file:
        del file["expression"]
        file["shape/model/mean"][()] = face_parts.mean.ravel()
        file["color/model/mean"][()] = 255 * face_parts.colors.ravel()
        file["color/model/pcaVariance"][()] = (255 * face_parts.sigma["color"]) ** 2
    model = load_model(path)
    face_parts.check(model, expression=None)
    np.testing.assert_allclose(model.albedo_mean, face_parts.colors, atol=1e-6)
    np.testing.assert_allclose(model.albedo_modes, face_parts.modes("color"), rtol=1e-5, atol=1e-7)


def test_landmarks_must_lie_beside_it(path, refuses, face_parts):
    file = path.with_name("Landmarks68_model2017-1_bfm_nomouth.anl")
    text = file.read_text()
    for content, message in (
        (text.replace("\n", "\n1\n", 1), "68 landmarks' vertex indices, got 69"),
        (text + "\nnose", "expected only numbers"),
        (text.rsplit("\n", 1)[0] + "\n1002", r"expected vertices 0\.\.1001, got 1002"),
        (text.rsplit("\n", 1)[0] + "\nnan", "finite"),
        ("", "landmarks: expected real numbers"),
    ):
        file.write_text(content)
        refuses(path, message, named=file.name)
    file.unlink()
    refuses(path, r"has no 68 landmarks; put a file model2017-1_bfm_nomouth\.landmarks68\.txt next to it")
    shuffled = np.roll(face_parts.landmarks, 20)
    np.savetxt(path.with_name("landmarks68.csv"), shuffled, fmt="%d", delimiter=",")
    refuses(path, "check the 68 landmarks|not show an upright face")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "shape/model/pcaBasis",
            np.ones((9, 5)),
            r"shape/model/pcaBasis: expected \(3006, >= 5\), got \(9, 5\)",
        ),
        ("shape/model/pcaBasis", np.ones(9), "shape/model/pcaBasis: expected"),
        ("shape/model/pcaVariance", np.zeros(5), "shape/model/pcaVariance: expected 5 positive"),
        ("expression/model/mean", np.ones(9), r"expected \(3006,\) interleaved"),
        ("shape/model/mean", np.full(3006, np.inf), "finite"),
        ("shape/model/mean", b"text", "expected numbers in shape/model/mean"),
        ("shape/representer/cells", np.full((3, 4), -1), r"expected vertices 0\.\.1001, got -1"),
        ("shape/representer/cells", None, "expected numbers in shape/representer/cells"),
    ],
)
def test_parts_that_do_not_fit(h5py, path, refuses, name, value, message):
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file[name] = value
    refuses(path, message)


def test_a_claimed_size_beyond_memory(h5py, path, refuses):
    with h5py.File(path, "a") as file:
        del file["shape/model/pcaBasis"]
        file.create_dataset("shape/model/pcaBasis", (10**9, 10**4), np.float32, chunks=(100, 100))
    refuses(path, "at most 2 GiB, got")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.99])
def test_a_cut_off_file(path, refuses, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refuses(path, "empty|damaged HDF5")
