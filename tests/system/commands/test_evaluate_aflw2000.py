"""`twodasl evaluate aflw2000`: the check figures where the data is, and every option on a made-up set."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from twodasl.cli import main
from twodasl.datasets.sparse_basis import SparseBasis, read_sparse_basis, read_whitening
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel, Whitening, join_parameters, pose_matrix

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
DEVELOPMENT = SHARED / "aflw2000_dev"
needs_data = pytest.mark.skipif(
    not (DEVELOPMENT.is_dir() and (SHARED / "bfm_landmarks").is_dir()),
    reason="needs ../shared/data/aflw2000_dev and bfm_landmarks",
)

COUNT, SHAPES, EXPRESSIONS = 4, 5, 2
SIZE = 12 + SHAPES + EXPRESSIONS


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["evaluate", "aflw2000", *map(str, arguments)])
    output, errors = capsys.readouterr()
    return code, output, errors


def table_row(output: str, label: str) -> list[float]:
    line = next(line for line in output.splitlines() if line.startswith(label + "  "))
    return [float(cell) for cell in line[len(label) :].split()]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory) -> Path:
    """A development folder whose truth is a small face model's landmarks, and that model beside it."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("data") / "aflw"
    (root / "images").mkdir(parents=True)
    basis = root.parent / "bfm_landmarks"
    basis.mkdir()
    mean, modes = rng.normal(size=(68, 3)) * 40, rng.normal(size=(SHAPES + EXPRESSIONS, 68, 3))
    np.savetxt(basis / "u_base.txt", mean.reshape(-1, 1))
    columns = modes.reshape(-1, 204).T
    np.savetxt(basis / "w_shp_base.txt", columns[:, :SHAPES])
    np.savetxt(basis / "w_exp_base.txt", columns[:, SHAPES:])
    whitening = {
        "param_mean": rng.normal(size=SIZE).astype(np.float32),
        "param_std": rng.uniform(0.5, 2, SIZE).astype(np.float32),
    }
    (basis / "param_whitening.pkl").write_bytes(pickle.dumps(whitening, protocol=3))

    yaw = np.array([10.0, -50, 70, 20], np.float32)
    angles = torch.deg2rad(torch.tensor([[0.1, y, 5.0] for y in yaw.tolist()]))
    translation = torch.tensor([60.0, 61.0, 0.0]).expand(COUNT, 3)
    pose = pose_matrix(torch.full((COUNT,), 0.5), angles, translation)
    parameters = join_parameters(
        pose, torch.from_numpy(rng.normal(size=(COUNT, SHAPES + EXPRESSIONS))).float()
    )
    parameters = parameters.double().numpy()
    # V = (fR) S + t with y up; the row is 121 - y; the box stretches 120 crop pixels over the image's.
    shapes = mean + np.einsum("bk,knd->bnd", parameters[:, 12:], modes)
    matrix = parameters[:, :12].reshape(-1, 3, 4)
    crop = np.einsum("bij,bnj->bni", matrix[:, :, :3], shapes) + matrix[:, None, :, 3]
    crop[..., 1] = 121 - crop[..., 1]
    boxes = np.array([[10, 20, 250, 260], [0, 0, 120, 120], [5, 5, 185, 165], [30, 10, 90, 70]], np.float32)
    scale = (boxes[:, None, 2:] - boxes[:, None, :2]) / 120
    points = np.concatenate([crop[..., :2] * scale + boxes[:, None, :2], crop[..., 2:]], axis=2)

    (root / "names.txt").write_text("".join(f"image{i:05d}.jpg\n" for i in range(COUNT)))
    np.save(root / "pts68.npy", points.transpose(0, 2, 1))
    np.save(root / "yaw_degrees.npy", yaw)
    np.save(root / "roi_box.npy", boxes)
    np.save(root / "raw.npy", parameters)
    np.save(root / "whitened.npy", (parameters - whitening["param_mean"]) / whitening["param_std"])
    np.save(root / "image68.npy", points)
    np.save(root / "crop68.npy", crop[..., :2].transpose(0, 2, 1))
    return root


@needs_data
@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ("original", (2.6447, 3.4085, 4.6456, 3.5662, 3.0969)),
        ("reannotated", (2.3778, 2.6663, 4.0042, 3.0161, 2.6813)),
    ],
)
def test_published_predictions_give_the_check_figures(capsys, tmp_path, truth, expected):
    file = tmp_path / "report.json"
    predictions = DEVELOPMENT / "reference_params62_whitened.npy"
    code, output, _ = run(
        capsys, "--root", DEVELOPMENT, "--predictions", predictions, "--ground-truth", truth, "--json", file
    )
    assert code == 0
    assert table_row(output, "predictions") == pytest.approx(expected, abs=1e-3)
    if truth == "original":
        detected = (3.3340, 5.1200, 8.1578, 5.5373, 4.4134)
        assert table_row(output, "detected landmarks") == pytest.approx(detected, abs=1e-3)
        in_space = (4.3953, 5.5386, 7.5510, 5.8283, 5.0967)
        assert table_row(output, "predictions, 3D") == pytest.approx(in_space, abs=1e-3)
    for word in (
        "ground truth",
        "yaw source",
        "averaging",
        "bfm_landmarks",
        "param_whitening.pkl",
        "roi_box.npy",
    ):
        assert word in output
    result = json.loads(file.read_text())["results"]["predictions"]
    found = (*result["bins"].values(), result["bin_mean"], result["image_mean"])
    assert found == pytest.approx(expected, abs=1e-4)
    assert result["images"] == 400


@pytest.mark.parametrize(
    "arguments",
    [
        ("whitened.npy",),
        ("raw.npy", "--unwhitened"),
        ("image68.npy",),
        ("crop68.npy", "--crop-pixels"),
        ("raw.npy", "--unwhitened", "--basis-dir", "{root}/../bfm_landmarks"),
        ("whitened.npy", "--whitening", "{root}/../bfm_landmarks/param_whitening.pkl"),
    ],
)
def test_perfect_predictions_of_every_kind_have_no_error(capsys, made_up, arguments):
    options = [argument.format(root=made_up) for argument in arguments[1:]]
    code, output, _ = run(capsys, "--root", made_up, "--predictions", made_up / arguments[0], *options)
    assert code == 0
    # 1e-4 percent of the face: the whitening is stored in float32
    assert table_row(output, "predictions") == pytest.approx([0] * 5, abs=1e-4)


def test_the_same_file_read_as_another_kind_is_not_perfect(capsys, made_up):
    for arguments in (("whitened.npy", "--unwhitened"), ("raw.npy",), ("crop68.npy",)):
        _, output, _ = run(capsys, "--root", made_up, "--predictions", made_up / arguments[0], *arguments[1:])
        assert max(table_row(output, "predictions")[:3]) > 1


def test_parameters_of_a_complete_model(capsys, made_up, tmp_path):
    sparse = read_sparse_basis(made_up.parent / "bfm_landmarks")
    order = np.random.default_rng(1).permutation(68)  # landmark i is vertex order[i]
    vertices, modes = np.empty((68, 3)), np.empty((len(sparse.modes), 68, 3))
    vertices[order], modes[:, order] = sparse.mean, sparse.modes
    model = MorphableModel(
        name="made up",
        mean=vertices.astype(np.float32),
        shape_modes=modes[:SHAPES].astype(np.float32),
        expression_modes=modes[SHAPES:].astype(np.float32),
        coefficient_std=np.ones(SHAPES + EXPRESSIONS, np.float32),
        triangles=np.array([[0, 1, 2]]),
        landmarks=order,
    )
    model.save(tmp_path / "model.npz")
    options = ("--root", made_up, "--predictions", made_up / "raw.npy", "--model", tmp_path / "model.npz")
    code, output, _ = run(capsys, *options, "--unwhitened")
    assert code == 0
    assert table_row(output, "predictions") == pytest.approx([0] * 5, abs=1e-4)  # float32 vertices
    assert run(capsys, *options)[0] == 2  # whitened, but by what?
    assert "--whitening FILE or --unwhitened" in run(capsys, *options)[2]


def test_files_and_worst_images(capsys, made_up, tmp_path):
    points = np.load(made_up / "image68.npy")
    points[2] += 9
    np.save(tmp_path / "off.npy", points)
    code, output, _ = run(
        capsys, "--root", made_up, "--predictions", tmp_path / "off.npy", "--worst", 1,
        "--json", tmp_path / "new/report.json", "--csv", tmp_path / "report.csv",
    )  # fmt: skip
    assert code == 0
    lines = output.splitlines()
    listed = lines[lines.index("Worst 1 of predictions: NME, yaw, image") + 1]
    assert listed.endswith("image00002.jpg")
    assert (tmp_path / "report.csv").read_text().count("\n") == 1 + COUNT
    report = json.loads((tmp_path / "new/report.json").read_text())
    assert report["settings"]["ground truth"].startswith("original (pts68.npy)")
    assert report["results"]["predictions"]["bins"]["[0, 30]"] == 0


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("bad.npy", np.zeros((COUNT, SIZE + 1)), f"expected {SIZE} parameters a row"),
        (
            "bad.npy",
            np.zeros((COUNT - 1, SIZE)),
            f"expected a row for each of {COUNT} images, got {COUNT - 1}",
        ),
        ("bad.npy", np.zeros((COUNT, 67, 2)), "expected 68 points per image"),
        ("bad.npy", np.full((COUNT, SIZE), np.nan), "expected finite parameters"),
        ("bad.npy", np.full((COUNT, 68, 2), np.nan), "expected finite coordinates"),
        ("bad.npy", np.zeros(COUNT), "expected landmarks"),
        ("missing.npy", None, "No such file"),
    ],
)
def test_predictions_that_do_not_fit_are_one_line_and_exit_code_2(
    capsys, made_up, tmp_path, file, array, message
):
    if array is not None:
        np.save(tmp_path / file, array)
    output = tmp_path / "report.json"
    code, _, errors = run(capsys, "--root", made_up, "--predictions", tmp_path / file, "--json", output)
    assert code == 2
    assert errors.count("\n") == 1
    assert str(tmp_path / file) in errors
    assert message in errors
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--landmarks", "none"), "--landmarks: has a meaning only with --checkpoint"),
        (("--crops", "landmarks"), "--crops: has a meaning only with --checkpoint"),
        (("--basis-dir", "x", "--model", "y"), "--basis-dir, --model: expected one"),
        (("--basis-dir", "nowhere"), "u_base.txt: "),
        (("--whitening", "nowhere.pkl"), "nowhere.pkl: cannot be read"),
        (("--ground-truth", "reannotated"), "has no re-annotated landmarks"),
        (("--ground-truth", "other.npy"), "other.npy: cannot be read"),
        (("--worst", "-1"), "expected a whole number from 0"),
    ],
)
def test_options_that_do_not_fit(capsys, made_up, options, message):
    code, _, errors = run(capsys, "--root", made_up, "--predictions", made_up / "whitened.npy", *options)
    assert code == 2
    assert message in errors


def test_parameters_without_a_face_model(capsys, made_up, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    for file in made_up.glob("*.*"):
        (alone / file.name).write_bytes(file.read_bytes())
    code, _, errors = run(capsys, "--root", alone, "--predictions", alone / "whitened.npy")
    assert code == 2
    assert "--basis-dir or --model" in errors


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("u_base.txt", "1 2 3\n", "expected 204 numbers"),
        ("w_shp_base.txt", "1 2\n" * 203, "expected 204 rows"),
        ("w_exp_base.txt", "1 x\n" * 204, "expected rows of numbers"),
        ("w_exp_base.txt", "", "expected finite numbers"),
        ("u_base.txt", "nan\n" * 204, "expected finite numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_a_broken_basis_is_named(made_up, tmp_path, name, content, message):
    for file in (made_up.parent / "bfm_landmarks").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_sparse_basis(tmp_path)
    assert name in str(caught.value)
    (tmp_path / name).unlink()
    with pytest.raises(InputError, match="cannot be read") as caught:
        read_sparse_basis(tmp_path)
    assert str(caught.value).count(name) == 1


def test_sparse_landmarks_are_the_complete_models(made_up):
    """The basis at 68 landmarks gives what the operators give on a whole model's landmarks."""
    import twodasl_ext

    sparse = read_sparse_basis(made_up.parent / "bfm_landmarks")
    whitening = read_whitening(made_up.parent / "bfm_landmarks" / "param_whitening.pkl")
    assert isinstance(whitening, Whitening)
    assert isinstance(sparse, SparseBasis)
    parameters = torch.from_numpy(np.load(made_up / "raw.npy")).float()
    basis = twodasl_ext.MorphableBasis(sparse.mean, sparse.modes, np.arange(68))
    points = twodasl_ext.landmarks(
        basis, parameters[:, 12:].contiguous(), parameters[:, :12].reshape(-1, 3, 4)
    )
    expected = points.numpy() * [1, -1, 1] + [0, 121, 0]
    # float32 of coordinates up to some hundred pixels
    np.testing.assert_allclose(sparse.crop_landmarks(parameters.numpy()), expected, atol=1e-3)
