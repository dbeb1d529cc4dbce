"""3DDFA's folder and 3DDFA_V2's pickle: miniatures in their layouts, and the real files that are at hand."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from twodasl.cli import main
from twodasl.datasets.sparse_basis import read_sparse_basis
from twodasl.morphable import MorphableModel, load_model

REAL = Path(__file__).resolve().parents[4] / "shared/data/bfm_landmarks"


def write_whitening(folder, parts, name="param_whitening.pkl", keys=("param_mean", "param_std"), unit=1e3):
    std = np.concatenate([np.full(12, 0.5), unit * parts.sigma["shape"], parts.sigma["expression"]])
    content = dict(zip(keys, (np.zeros_like(std), std.astype(np.float32)), strict=True))
    (folder / name).write_bytes(pickle.dumps(content, protocol=2))


@pytest.fixture
def folder(face_parts, tmp_path):
    """Unit shape columns with sigmas in micrometers; of expressions the columns are in micrometers."""
    half = face_parts.mean.ravel()[:, None] * 500
    np.save(tmp_path / "u_shp.npy", half.astype(np.float32))
    np.save(tmp_path / "u_exp.npy", half.astype(np.float32))
    np.save(tmp_path / "w_shp_sim.npy", face_parts.bases["shape"])
    np.save(tmp_path / "w_exp_sim.npy", np.asfortranarray(1e3 * face_parts.bases["expression"]))
    np.save(tmp_path / "keypoints_sim.npy", face_parts.places)
    scipy.io.savemat(tmp_path / "tri.mat", {"tri": (face_parts.triangles.T + 1).astype(np.uint16)})
    write_whitening(tmp_path, face_parts)
    return tmp_path


def test_the_folder(folder, face_parts):
    model = load_model(folder)
    face_parts.check(model)
    assert model.name == "3ddfa"
    assert model.albedo_mean is None


def test_triangles_and_colors_of_300w_lp(folder, face_parts):
    triangles = scipy.io.loadmat(folder / "tri.mat")["tri"]
    (folder / "tri.mat").unlink()
    colors = 255 * face_parts.colors.reshape(-1, 1)
    scipy.io.savemat(folder / "Model_Shape_Sim.mat", {"tri": triangles, "mu_tex": colors})
    model = load_model(folder)
    face_parts.check(model)
    np.testing.assert_allclose(model.albedo_mean, face_parts.colors, atol=1e-6)
    assert model.albedo_modes is None


def test_a_round_trip_through_npz(folder, tmp_path, capsys):
    output = tmp_path / "out" / "converted.npz"
    assert main(["models", "convert", str(folder), str(output)]) == 0
    assert f"3ddfa: {len(load_model(folder).mean)} vertices" in capsys.readouterr().out
    read, written = load_model(folder), MorphableModel.load(output)
    assert written.identity == read.identity
    assert load_model(output).identity == read.identity
    np.testing.assert_array_equal(written.coefficient_std, read.coefficient_std)
    assert written.named_landmarks == read.named_landmarks


def test_fewer_modes_by_command(folder, tmp_path, capsys):
    output = tmp_path / "few.npz"
    words = ["models", "convert", str(folder), str(output), "--shape-modes", "2"]
    assert main([*words, "--expression-modes", "1"]) == 0
    few, whole = load_model(output), load_model(folder)
    np.testing.assert_array_equal(few.modes, whole.modes[[0, 1, 5]])
    assert main([*words, "--expression-modes", "4"]) == 2
    assert "--expression-modes: expected 0 to 3, got 4" in capsys.readouterr().err


def test_its_sheet(folder, tmp_path):
    assert main(["models", "show", str(folder), "-o", str(tmp_path / "sheet.png")]) == 0
    assert (tmp_path / "sheet.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "name", ["u_shp.npy", "u_exp.npy", "w_exp_sim.npy", "keypoints_sim.npy", "tri.mat", "param_whitening.pkl"]
)
def test_every_missing_file_is_named(folder, refuses, name):
    (folder / name).unlink()
    refuses(folder, name.replace(".", r"\."), named=name)


@pytest.mark.parametrize(
    "name", ["u_shp.npy", "w_shp_sim.npy", "keypoints_sim.npy", "tri.mat", "param_whitening.pkl"]
)
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_every_cut_off_file_is_named(folder, refuses, name, share):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(share * len(content))])
    refuses(folder, ".", named=name)


def _npy(header: bytes, content: bytes) -> bytes:
    header = header.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w_shp_sim.npy", np.ones((30, 5)), r"expected \(3006, >= 5\), got \(30, 5\)"),
        ("w_shp_sim.npy", np.full((3006, 5), np.nan), "finite"),
        ("w_shp_sim.npy", np.ones((3006, 6)), r"12 \+ 6 \+ 3 standard deviations, got 20"),
        ("u_shp.npy", np.ones((3007, 1)), "interleaved x y z"),
        ("u_shp.npy", np.array(["a", "b"]), "numbers"),
        ("u_exp.npy", np.ones((3003, 1)), r"\(3006,\) interleaved"),
        ("keypoints_sim.npy", np.arange(204) + 1, "divisible by 3"),
        ("keypoints_sim.npy", np.arange(68), "204 in total"),
        ("keypoints_sim.npy", np.full(204, 3006), "0..3005, got 3006"),
        ("keypoints_sim.npy", np.arange(204), "mm apart|upright"),
        (
            "u_shp.npy",
            _npy(b"{'descr': '<f8', 'fortran_order': False, 'shape': (400000000000, 3), }", b"1234"),
            "expected 4 bytes of numbers",
        ),
        (
            "u_shp.npy",
            _npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (), }", b"cos\nsystem\n."),
            "os.system",
        ),
    ],
)
def test_arrays_that_do_not_fit(folder, refuses, name, content, message):
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        np.save(folder / name, content)
    refuses(folder, message, named=folder.name)


def test_triangles_counted_from_0_are_refused(folder, refuses, face_parts):
    scipy.io.savemat(folder / "tri.mat", {"tri": face_parts.triangles.T})
    refuses(folder, r"expected vertices 1\.\.1002, got 0", named="tri.mat")


@pytest.fixture
def pickled(face_parts, tmp_path):
    """3DDFA_V2's file, of bases wider than its 40 + 10 parameters."""
    rng = np.random.default_rng(1)
    wide = {part: rng.normal(size=(face_parts.mean.size, 60)) for part in ("shape", "expression")}
    content = {
        "u": 1e3 * face_parts.mean.reshape(-1, 1).astype(np.float32),
        "w_shp": wide["shape"].astype(np.float32),
        "w_exp": wide["expression"].astype(np.float32),
        "tri": face_parts.triangles.T.astype(np.int32),
        "keypoints": face_parts.places,
    }
    path = tmp_path / "bfm_noneck_v3.pkl"
    path.write_bytes(pickle.dumps(content, protocol=4))
    std = rng.uniform(1, 2, 62).astype(np.float32)
    whitening = {"mean": np.zeros(62, np.float32), "std": std}
    (tmp_path / "param_mean_std_62d_120x120.pkl").write_bytes(pickle.dumps(whitening, protocol=4))
    return path, content, std


def test_the_second_version(pickled, face_parts):
    path, content, std = pickled
    model = load_model(path)
    assert model.counts == (len(face_parts.mean), 40, 10)
    np.testing.assert_allclose(model.mean, face_parts.mean, atol=2e-5)
    columns = np.concatenate([content["w_shp"][:, :40], content["w_exp"][:, :10]], axis=1)
    wanted = (columns * std[12:] * 1e-3).T.reshape(50, -1, 3)
    np.testing.assert_allclose(model.modes, wanted, rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(model.triangles, face_parts.triangles[:, ::-1])
    np.testing.assert_array_equal(model.landmarks, face_parts.landmarks)
    assert load_model(path.parent).identity == model.identity


def test_triangles_beside_the_second_version_go_first(pickled, refuses, face_parts):
    path, content, _ = pickled
    fewer = face_parts.triangles[:-7]
    path.with_name("tri.pkl").write_bytes(pickle.dumps(fewer.T.astype(np.int32), protocol=4))
    assert len(load_model(path).triangles) == len(fewer)
    path.with_name("tri.pkl").unlink()
    content["tri"] = content["tri"] + 1
    path.write_bytes(pickle.dumps(content, protocol=4))
    refuses(path, r"0\.\.1001, got 1002; put 3DDFA_V2's tri\.pkl next to it")


@pytest.mark.parametrize("share", [0.0, 1e-5, 0.3, 0.9999])
def test_a_cut_off_pickle(pickled, refuses, share):
    path = pickled[0]
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    refuses(path, "empty|pickle")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("u", None, "with the arrays u, w_shp"),
        ("keypoints", [1, 2], "with the arrays u, w_shp"),
        ("w_shp", np.ones((3, 60)), r"w_shp: expected \(3006, >= 40\), got \(3, 60\)"),
        ("w_shp", np.ones(3006), r"12 \+ 0 \+ 60 standard"),
        ("w_exp", np.ones((3006, 9)), r"12 \+ 60 \+ 9 standard"),
    ],
)
def test_parts_that_do_not_fit(pickled, refuses, key, value, message):
    path, content, _ = pickled
    path.write_bytes(pickle.dumps({**content, key: value}, protocol=2))
    refuses(path, message, named=path.parent.name)


@pytest.mark.skipif(
    not REAL.is_dir(), reason="the model at its landmarks (../shared/data/bfm_landmarks) is not here"
)
def test_the_real_mean_triangles_and_landmarks(tmp_path):
    for name in ("u_shp.npy", "u_exp.npy", "keypoints_sim.npy", "param_whitening.pkl", "Model_Shape_Sim.mat"):
        shutil.copyfile(REAL / name, tmp_path / name)
    sparse = read_sparse_basis(REAL)  # in micrometers, one column per mode
    places = np.load(REAL / "keypoints_sim.npy")
    for name, rows in (("w_shp_sim.npy", slice(0, 40)), ("w_exp_sim.npy", slice(40, 50))):
        basis = np.zeros((159645, rows.stop - rows.start), np.float32)
        basis[places] = sparse.modes[rows].reshape(len(basis[0]), -1).T
        np.save(tmp_path / name, basis)
    model = load_model(tmp_path)
    assert model.counts == (53215, 40, 10)
    assert model.triangles.shape == (105840, 3)
    marks = model.mean[model.landmarks]
    np.testing.assert_allclose(marks, 1e-3 * sparse.mean, atol=1e-4)
    assert np.linalg.norm(marks[45] - marks[36]) == pytest.approx(86.262, abs=1e-3)  # millimeters
    with open(REAL / "param_whitening.pkl", "rb") as stream:
        std = pickle.load(stream)["param_std"][12:]
    wanted = 1e-3 * sparse.modes * std[:, None, None]
    np.testing.assert_allclose(model.modes[:, model.landmarks], wanted, rtol=1e-5, atol=1e-5)
    # The surface looks at the viewer: what is nearest to it, the tip of the nose, has its normal toward +z.
    corners = model.mean[model.triangles[(model.triangles == model.landmarks[30]).any(1)]]
    assert np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2].min() > 0
    assert 0.05 < model.albedo_mean.min() < model.albedo_mean.max() < 0.95
