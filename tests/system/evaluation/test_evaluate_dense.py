"""Dense and 3D alignment on AFLW2000-3D, on a made-up set whose every vertex is known."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.io import savemat
from twodasl.cli import main
from twodasl.datasets.basel import read_raw_basis
from twodasl.evaluation.nme import normalized_mean_error
from twodasl.geometry.crops import Crop
from twodasl.geometry.pose import pose_matrix

from ..constant_network import save_constant_network
from ..photo_sets import HEIGHT, SCALES, raw_face, write_basis, write_picture

COUNT = 3
STEP = 7  # pixels that the face of image i + 1 is further to the right
# float32 vertices of a face of some hundred pixels, in percent of it
CLOSE = 2e-3


def true_vertices(model, index: int) -> np.ndarray:
    """(N, 3) image pixels of the face in image `index`, by the data set's own formula."""
    pose, shape, expression = raw_face(0)
    points = model.mean * 1000.0
    for j in range(2):
        points = points + shape[j] * model.shape_modes[j] * 1000 / SCALES[j]
    points = points + expression[0] * model.expression_modes[0] * 1000 / SCALES[2]
    camera = pose_matrix(float(pose[6]), torch.from_numpy(pose[:3]), torch.from_numpy(pose[3:6])).numpy()
    placed = points @ camera[:, :3].T + camera[:, 3] + [STEP * index, 0, 0]
    placed[:, 1] = HEIGHT + 1 - placed[:, 1]
    return placed


@pytest.fixture(scope="module")
def faces(tmp_path_factory, ball_model):
    """The set in its own layout, its basis, its model, and what predicts it without an error."""
    folder = tmp_path_factory.mktemp("dense")
    root = folder / "AFLW2000"
    root.mkdir()
    write_basis(folder / "bfm_landmarks", ball_model)
    ball_model.save(folder / "ball.npz")
    raw, boxes, truth = [], [], []
    for index in range(COUNT):
        pose, shape, expression = raw_face(0)
        pose[3] += STEP * index
        points = true_vertices(ball_model, index)
        file = root / f"image{index:05d}.mat"
        marks = points[ball_model.landmarks]
        savemat(
            file,
            {
                "pt3d_68": marks.T,
                "Pose_Para": pose[None],
                "Shape_Para": shape[:, None],
                "Exp_Para": expression[:, None],
            },
        )
        write_picture(file.with_suffix(".jpg"), marks[:, :2])
        box = (20 + STEP * index, 40, 200 + STEP * index, 220)
        camera = pose_matrix(float(pose[6]), torch.from_numpy(pose[:3]), torch.from_numpy(pose[3:6])).numpy()
        raw.append(np.concatenate([Crop(*box).pose(camera, HEIGHT).ravel(), shape[:40], expression[:10]]))
        boxes.append(box)
        truth.append(points)
    np.save(root / "roi_box.npy", np.array(boxes, np.float64))
    np.save(folder / "raw.npy", np.array(raw))
    own = read_raw_basis(folder / "bfm_landmarks").conversion(ball_model).parameters(np.array(raw))
    np.save(folder / "own.npy", own)
    return folder, np.array(truth), np.array(raw), own


def evaluate(capsys, folder, *options) -> tuple[int, dict, str, str]:
    file = folder / "report.json"
    file.unlink(missing_ok=True)
    code = main(
        ["evaluate", "aflw2000", "--root", str(folder / "AFLW2000"), "--json", str(file), *map(str, options)]
    )
    output, errors = capsys.readouterr()
    return code, json.loads(file.read_text()) if file.exists() else {}, output, errors


ROWS = ("predictions", "predictions, 3D", "predictions, dense 2D", "predictions, dense 3D")


@pytest.mark.parametrize(
    "options",
    [("raw.npy", "--dense-model", "{folder}/ball.npz"), ("own.npy", "--model", "{folder}/ball.npz")],
)
def test_perfect_predictions_have_no_dense_error(capsys, faces, options):
    folder = faces[0]
    rest = [option.format(folder=folder) for option in options[1:]]
    code, report, _, errors = evaluate(
        capsys, folder, "--predictions", folder / options[0], "--unwhitened", *rest
    )
    assert code == 0, errors
    assert tuple(report["results"]) == ROWS
    for row in ROWS:
        assert report["results"][row]["image_mean"] == pytest.approx(0, abs=CLOSE)
    assert "40 of its shapes and 10 of its expressions" in report["settings"]["dense truth"]
    assert report["notes"] == []


def test_dense_errors_are_those_of_all_vertices(capsys, faces, tmp_path, ball_model):
    """A face moved, and one bent in depth: the numbers follow from the vertices alone."""
    folder, truth, raw, _ = faces
    wrong = raw.copy()
    wrong[:, 3] += 4  # crop pixels, 1.5 image pixels each
    wrong[:, 8:11] *= 1.2  # depth
    np.save(tmp_path / "wrong.npy", wrong)
    predictions = ("--predictions", tmp_path / "wrong.npy", "--unwhitened")
    _, report, _, _ = evaluate(capsys, folder, *predictions, "--dense-model", folder / "ball.npz")
    box = truth[:, ball_model.landmarks]
    side = np.sqrt(np.ptp(box[..., 0], axis=1) * np.ptp(box[..., 1], axis=1))
    for points, rows in ((box, ROWS[:2]), (truth, ROWS[2:])):
        flat = report["results"][rows[0]]["image_mean"]
        assert flat == pytest.approx((100 * 6 / side).mean(), abs=CLOSE)
        z = points[..., 2] - points[..., 2].min(axis=1, keepdims=True)
        deep = np.hypot(6, 0.2 * z).mean(axis=1) / side
        assert report["results"][rows[1]]["image_mean"] == pytest.approx(100 * deep.mean(), abs=CLOSE)


@pytest.fixture(scope="module")
def network(faces, ball_model):
    """Options that measure a network which answers the first face's parameters for every crop."""
    folder, _, _, own = faces
    parameters = torch.from_numpy(own[0])
    save_constant_network(folder / "network.pt", ball_model, parameters)
    return "--checkpoint", folder / "network.pt", "--model", folder / "ball.npz", "--landmarks", "none"


@pytest.mark.usefixtures("one_look")
def test_a_network_is_measured_densely(capsys, faces, network):
    code, report, _, errors = evaluate(capsys, faces[0], *network)
    assert code == 0, errors
    for row in ROWS:
        row = row.replace("predictions", "network")
        assert report["results"][row]["image_mean"] == pytest.approx(0, abs=CLOSE)


def torchrun(folder, *options):
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "twodasl"]
    command = ["evaluate", "aflw2000", "--root", folder / "AFLW2000", "--batch-size", 1, *options]
    return subprocess.run(
        [sys.executable, *launch, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_two_processes_measure_what_one_does(capsys, faces, network, tmp_path):
    """Three images for two processes, one of which has two; only one prints, and a bad image ends both."""
    folder, truth, *_ = faces
    boxes = np.load(folder / "AFLW2000" / "roi_box.npy")
    boxes[1] += 5  # so that errors differ
    boxes[2] -= 9
    root = tmp_path / "AFLW2000"
    shutil.copytree(folder / "AFLW2000", root)
    shutil.copytree(folder / "bfm_landmarks", tmp_path / "bfm_landmarks")
    np.save(root / "roi_box.npy", boxes)
    code, alone, _, errors = evaluate(capsys, tmp_path, *network, "--batch-size", 1)
    assert code == 0, errors
    assert len({round(value, 3) for value in alone["per_image"]["nme"]["network, dense 2D"]}) == len(truth)
    done = torchrun(tmp_path, *network, "--json", tmp_path / "two.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("AFLW2000-3D, 3 of its") == 1
    assert json.loads((tmp_path / "two.json").read_text()) == alone
    (root / "image00001.jpg").write_bytes(b"no image")  # the second process's
    done = torchrun(tmp_path, *network, "--json", tmp_path / "none.json")
    assert done.returncode != 0
    assert done.stderr.count("twodasl: error: ") == 1
    assert "image00001.jpg" in done.stderr
    assert not (tmp_path / "none.json").exists()


def test_what_cannot_be_measured_is_said(capsys, faces, tmp_path, ball_model):
    folder, truth, _, _ = faces
    _, report, output, _ = evaluate(capsys, folder, "--predictions", folder / "raw.npy", "--unwhitened")
    assert tuple(report["results"]) == ROWS[:2]
    assert any(note.startswith("Dense: not measured") and "--dense-model" in note for note in report["notes"])
    flat = truth[:, ball_model.landmarks, :2]
    np.save(tmp_path / "flat.npy", flat)
    _, report, output, _ = evaluate(capsys, folder, "--predictions", tmp_path / "flat.npy")
    assert tuple(report["results"]) == ROWS[:1]
    assert "3D: not measured, because these predictions have no depth." in output
    assert "Dense: not measured, because a file of landmarks has no vertices." in output
    np.save(tmp_path / "truth.npy", flat)
    predictions = ("--predictions", folder / "raw.npy", "--unwhitened")
    _, report, output, _ = evaluate(capsys, folder, *predictions, "--ground-truth", tmp_path / "truth.npy")
    assert "3D: not measured, because this ground truth has no depth." in output


def test_a_dense_model_that_does_not_fit_is_an_error(capsys, faces, tmp_path, ball_model):
    folder = faces[0]
    base = ("--predictions", folder / "raw.npy", "--unwhitened")
    code, _, _, errors = evaluate(capsys, folder, *base, "--dense-model", "procedural")
    assert code == 2
    assert "has another basis" in errors
    code, _, _, errors = evaluate(capsys, folder, *base, "--dense-model", folder / "ball.npz", "--model", "x")
    assert code == 2
    code, _, _, errors = evaluate(
        capsys, folder, "--predictions", folder / "own.npy", "--unwhitened", "--basis-dir", tmp_path
    )
    assert code == 2
    assert errors.count("\n") == 1


def test_depth_has_no_origin_and_the_box_is_flat():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(2, 9, 3))
    found = truth + np.array([0, 0, 5])
    np.testing.assert_allclose(normalized_mean_error(found, truth, space="3d"), 0, atol=1e-12)
    tall = truth * [1, 1, 10]
    moved = tall + np.array([0.5, 0, 0])
    np.testing.assert_allclose(
        normalized_mean_error(moved, tall, space="3d"), normalized_mean_error(moved, tall), rtol=1e-12
    )
    with pytest.raises(ValueError, match="expected \\(n, L, 3 or more\\)"):
        normalized_mean_error(truth[..., :2], truth[..., :2], space="3d")
    with pytest.raises(ValueError, match="space"):
        normalized_mean_error(truth, truth, space="4d")
