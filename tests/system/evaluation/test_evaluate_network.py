"""`twodasl evaluate aflw2000 --checkpoint`: a network whose output is known, on a made-up data set."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat
from twodasl.cli import main
from twodasl.datasets.benchmarks.aflw2000 import read_aflw2000
from twodasl.datasets.sparse_basis import SparseBasis
from twodasl.errors import InputError
from twodasl.evaluation.network import network_landmarks
from twodasl.morphable import MorphableModel, join_parameters, pose_matrix

from ..constant_network import save_constant_network

COUNT, SHAPES, EXPRESSIONS = 5, 3, 2


def made_up_model(seed: int = 0) -> MorphableModel:
    rng = np.random.default_rng(seed)
    return MorphableModel(
        name="made up",
        mean=(rng.normal(size=(90, 3)) * 40).astype(np.float32),
        shape_modes=rng.normal(size=(SHAPES, 90, 3)).astype(np.float32),
        expression_modes=rng.normal(size=(EXPRESSIONS, 90, 3)).astype(np.float32),
        coefficient_std=np.ones(SHAPES + EXPRESSIONS, np.float32),
        triangles=np.array([[0, 1, 2]]),
        landmarks=rng.permutation(90)[:68],
    )


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    """A network that finds the same face in every crop, and a data set in which it is there."""
    folder = tmp_path_factory.mktemp("network")
    model = made_up_model()
    model.save(folder / "model.npz")
    pose = pose_matrix(torch.tensor(0.4), torch.tensor([0.1, 0.3, 0.0]), torch.tensor([60.0, 61.0, 0.0]))
    parameters = join_parameters(pose, torch.full((SHAPES + EXPRESSIONS,), 0.5))
    save_constant_network(folder / "network.pt", model, parameters)
    root = folder / "aflw"
    (root / "images").mkdir(parents=True)
    names = [f"image{i:05d}.jpg" for i in range(COUNT)]
    boxes = np.array(
        [[10, 20, 190, 200], [0, 0, 120, 120], [5, 5, 65, 65], [30, 10, 90, 70], [20, 20, 140, 140]]
    )
    crop = SparseBasis.from_model(model).crop_landmarks(parameters[None].numpy())[0, :, :2]
    points = crop * ((boxes[:, 2] - boxes[:, 0]) / 120)[:, None, None] + boxes[:, None, :2]
    rng = np.random.default_rng(1)
    for name in names:
        cv2.imwrite(str(root / "images" / name), rng.integers(0, 255, (210, 200, 3), dtype=np.uint8))
    (root / "names.txt").write_text("\n".join(names))
    np.save(root / "pts68.npy", points)
    np.save(root / "yaw_degrees.npy", np.array([0.0, 10, 40, -70, 80]))
    np.save(root / "roi_box.npy", boxes)
    np.save(root / "detected68_crop120.npy", np.broadcast_to(crop + 1, (COUNT, 68, 2)))
    return folder


def evaluate(capsys, folder, *options) -> tuple[int, str, str]:
    code = main(["evaluate", "aflw2000", "--root", str(folder / "aflw"), *map(str, options)])
    output, errors = capsys.readouterr()
    return code, output, errors


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--landmarks", "none"),
        ("--landmarks", "ground-truth", "--batch-size", "2"),
        ("--landmarks", "{root}/pts68.npy"),
        ("--refinements", "1"),
    ],
)
@pytest.mark.usefixtures("one_look")
def test_a_network_that_is_always_right_has_no_error(capsys, made_up, tmp_path, options):
    options = [option.format(root=made_up / "aflw") for option in options]
    file = tmp_path / "report.json"
    base = ("--checkpoint", made_up / "network.pt", "--model", made_up / "model.npz", "--json", file)
    code, output, errors = evaluate(capsys, made_up, *base, *options)
    assert code == 0, errors
    report = json.loads(file.read_text())
    assert report["results"]["network"]["counts"] == {"[0, 30]": 2, "(30, 60]": 1, "(60, 90]": 2}
    # float32 pixels in percent of the face
    assert report["results"]["network"]["image_mean"] == pytest.approx(0, abs=1e-3)
    assert report["results"]["detected landmarks"]["image_mean"] > 0.5
    assert report["settings"]["network"].endswith("network.pt, step 7")
    assert report["settings"]["face model"] == "made up (90/3/2 vertices/shapes/expressions)"
    assert "roi_box.npy, made square" in output
    assert "landmark input" in output


@pytest.mark.usefixtures("one_look")
def test_a_fit_has_a_row_beside_the_networks(capsys, made_up, tmp_path):
    """The detected landmarks are the network's, shifted by a crop pixel: the fit follows them."""
    file = tmp_path / "report.json"
    base = ("--checkpoint", made_up / "network.pt", "--model", made_up / "model.npz", "--json", file)
    code, _, errors = evaluate(capsys, made_up, *base, "--fit")
    assert code == 0, errors
    results = json.loads(file.read_text())["results"]
    assert results["network"]["image_mean"] == pytest.approx(0, abs=1e-3)
    detected = results["detected landmarks"]["image_mean"]
    assert 0.5 * detected < results["network and fit"]["image_mean"] < 1.5 * detected
    code, _, errors = evaluate(capsys, made_up, *base, "--fit", "--landmarks", "none")
    assert code == 2
    assert "--fit: expected landmarks to fit to, or a network with points of its own, got neither" in errors


@pytest.fixture
def annotated(made_up, tmp_path):
    """The same data set with the annotation that has angles: the network's, pitch 3 degrees and yaw 1 off."""
    shutil.copytree(made_up / "aflw", tmp_path / "aflw")
    for name in ("model.npz", "network.pt"):
        shutil.copy(made_up / name, tmp_path / name)
    points = np.load(made_up / "aflw" / "pts68.npy")
    for index in range(COUNT):
        pose = np.zeros((1, 7), np.float32)
        # The last image is beyond the limit.
        pose[0, :3] = [0.1 + np.radians(3), 0.3 - np.radians(1), np.radians(120) if index == COUNT - 1 else 0]
        depth = np.concatenate([points[index], np.zeros((68, 1))], axis=1).T
        savemat(tmp_path / "aflw" / "images" / f"image{index:05d}.mat", {"pt3d_68": depth, "Pose_Para": pose})
    return tmp_path


@pytest.mark.usefixtures("one_look")
def test_pose_is_measured_where_angles_are_known(capsys, annotated, tmp_path, made_up):
    file = tmp_path / "report.json"
    base = ("--checkpoint", annotated / "network.pt", "--model", annotated / "model.npz", "--json", file)
    code, output, errors = evaluate(capsys, annotated, *base)
    assert code == 0, errors
    report = json.loads(file.read_text())
    wanted = {"pitch": 3, "yaw": 1, "roll": 0, "mean": 4 / 3, "images": COUNT - 1}
    assert report["pose"] == {"network": pytest.approx(wanted, abs=1e-3)}
    assert report["units"]["pose"] == "degrees"
    line = "pose, network: mean absolute error in degrees of yaw 1.000, pitch 3.000, roll 0.000, mean 1.333;"
    assert f"{line} 4 images with all angles within 99 degrees" in output
    # Beside a fit both have a line.
    code, output, errors = evaluate(capsys, annotated, *base, "--fit")
    assert code == 0, errors
    report = json.loads(file.read_text())
    assert set(report["pose"]) == {"network and fit", "network"}
    assert report["pose"]["network"] == pytest.approx(wanted, abs=1e-3)
    # Without angles nothing is said of them.
    plain = ("--checkpoint", made_up / "network.pt", "--model", made_up / "model.npz", "--json", file)
    code, output, _ = evaluate(capsys, made_up, *plain)
    assert json.loads(file.read_text())["pose"] == {}
    assert "pose, " not in output


def test_pose_of_a_file_of_parameters(capsys, annotated, tmp_path):
    pose = pose_matrix(torch.tensor(0.4), torch.tensor([0.1, 0.3, 0.0]), torch.tensor([60.0, 61.0, 0.0]))
    parameters = join_parameters(pose, torch.full((SHAPES + EXPRESSIONS,), 0.5)).numpy()
    np.save(tmp_path / "found.npy", np.tile(parameters, (COUNT, 1)))
    file = tmp_path / "report.json"
    options = ("--predictions", tmp_path / "found.npy", "--unwhitened", "--json", file)
    code, _, errors = evaluate(capsys, annotated, *options, "--model", annotated / "model.npz")
    assert code == 0, errors
    wanted = {"pitch": 3, "yaw": 1, "roll": 0, "mean": 4 / 3, "images": COUNT - 1}
    assert json.loads(file.read_text())["pose"] == {"predictions": pytest.approx(wanted, abs=1e-3)}


def test_crops_around_landmarks_are_other_crops(capsys, made_up, tmp_path):
    file = tmp_path / "report.json"
    base = ("--checkpoint", made_up / "network.pt", "--model", made_up / "model.npz", "--json", file)
    assert evaluate(capsys, made_up, *base, "--crops", "landmarks")[0] == 0
    report = json.loads(file.read_text())
    assert report["results"]["network"]["image_mean"] > 1
    assert report["settings"]["crops"] == "squares around the landmark input"


@pytest.mark.usefixtures("one_look")
def test_the_annotations_own_vertices_stand_for_the_points_where_they_are_known(capsys, made_up, tmp_path):
    """Against the original annotation, unless told otherwise; the checkpoint still belongs to the model."""
    other = replace(made_up_model(), basel_landmarks=np.roll(made_up_model().landmarks, 1))
    other.save(tmp_path / "other.npz")
    base = ("--checkpoint", made_up / "network.pt", "--json", tmp_path / "report.json")
    errors = {}
    for name, options in {
        "unknown": ("--model", made_up / "model.npz"),
        "auto": ("--model", tmp_path / "other.npz"),
        "ibug": ("--model", tmp_path / "other.npz", "--points", "ibug"),
        "file": ("--model", tmp_path / "other.npz", "--ground-truth", made_up / "aflw" / "pts68.npy"),
    }.items():
        assert evaluate(capsys, made_up, *base, *options)[0] == 0
        report = json.loads((tmp_path / "report.json").read_text())
        errors[name] = report["results"]["network"]["image_mean"]
        assert report["settings"]["points"].startswith("basel" if name == "auto" else "ibug")
    assert errors["auto"] > 5
    assert max(errors["unknown"], errors["ibug"], errors["file"]) < 1e-3
    code, _, message = evaluate(capsys, made_up, *base, "--model", made_up / "model.npz", "--points", "basel")
    assert code == 2
    assert "the face model made up does not say which vertices these are" in message


def test_images_landmarks_and_boxes_arrive_together(made_up):
    """Each image meets its own landmarks and box, also in the last, smaller batch."""
    data = read_aflw2000(made_up / "aflw")
    seen = []

    class Recorder:
        def reconstruct(self, faces, *, refinements, batch_size):
            seen.append((faces, refinements))
            return [SimpleNamespace(landmarks=np.full((68, 3), face.crop.x0)) for face in faces]

    found = network_landmarks(Recorder(), data, data.detected, boxes=data.boxes, refinements=3, batch_size=2)
    assert [len(faces) for faces, _ in seen] == [2, 2, 1]
    np.testing.assert_array_equal(found, np.broadcast_to(data.boxes[:, :1, None], (COUNT, 68, 3)))
    for i, face in enumerate(face for faces, _ in seen for face in faces):
        np.testing.assert_array_equal(face.image, data.read_image(i))
        np.testing.assert_array_equal(face.landmarks, data.detected[i])
        assert not face.recrop
    assert all(refinements == 3 for _, refinements in seen)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--landmarks", "none", "--crops", "landmarks"),
            "--crops landmarks: expected landmarks to crop around",
        ),
        (("--landmarks", "missing.npy"), "missing.npy: cannot be read"),
        (("--unwhitened",), "--unwhitened: has a meaning only with --predictions"),
        (("--batch-size", "0"), "expected a whole number from 1"),
        (("--device", "toaster"), "toaster"),
    ],
)
def test_options_that_do_not_fit(capsys, made_up, options, message):
    base = ("--checkpoint", made_up / "network.pt", "--model", made_up / "model.npz")
    code, _, errors = evaluate(capsys, made_up, *base, *options)
    assert code == 2
    assert message in errors


def test_another_model_a_cut_checkpoint_and_a_missing_image(capsys, made_up, tmp_path):
    made_up_model(seed=1).save(tmp_path / "other.npz")
    code, _, errors = evaluate(
        capsys, made_up, "--checkpoint", made_up / "network.pt", "--model", tmp_path / "other.npz"
    )
    assert code == 2
    assert "was trained for the face model 'made up'" in errors
    whole = (made_up / "network.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    code, _, errors = evaluate(capsys, made_up, "--checkpoint", tmp_path / "cut.pt")
    assert code == 2
    assert "cut.pt" in errors
    data = read_aflw2000(made_up / "aflw")
    boxes = data.boxes.copy()
    boxes[3] += 5000
    with pytest.raises(InputError, match=r"^image00003\.jpg: box: .*outside"):
        network_landmarks(_reconstructor(made_up), data, data.detected, boxes=boxes)


def _reconstructor(folder):
    from twodasl.reconstruction.reconstructor import FaceReconstructor

    return FaceReconstructor(folder / "network.pt", folder / "model.npz")
