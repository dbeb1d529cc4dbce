"""`twodasl evaluate aflw` and `aflw-lfpa` on small files in the data sets' formats."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from scipy.io import savemat
from twodasl.cli import main
from twodasl.datasets.benchmarks.sparse_sets import read_aflw, read_aflw_lfpa
from twodasl.errors import InputError
from twodasl.evaluation.aflw_points import benchmark_21_from_68
from twodasl.evaluation.nme import visible_mean_error
from twodasl.morphable import join_parameters, pose_matrix

from ..constant_network import save_constant_network
from ..photo_sets import face_points, write_aflw, write_picture

COUNT = 6


def evaluate(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["evaluate", *map(str, arguments)])
    output, errors = capsys.readouterr()
    return code, output, errors


@pytest.fixture
def aflw(tmp_path, photo68):
    """AFLW's folder, the points of the original images (n, 21, 2), and which are visible."""
    root = tmp_path / "aflw"
    inside, visible = write_aflw(root, photo68, COUNT)
    boxes = np.load(root / "roi_box.npy").astype(float)
    return root, inside * 2 + boxes[:, None, :2], visible


def write_lfpa_test(root, photo68, count: int = 4):
    """AFLW-LFPA's test part; returns points (n, 34, 2), which are visible, and face boxes x y w h."""
    rng = np.random.default_rng(1)
    points, visible = np.empty((count, 34, 2)), np.ones((count, 34), bool)
    for index in range(count):
        marks = face_points(photo68, index)
        points[index, :21] = benchmark_21_from_68(marks[None])[0]
        points[index, 21:] = marks[:13] + rng.normal(size=(13, 2))
        visible[index, [index, 30]] = False
        write_picture(root / "TestImages" / f"{index + 1}.jpg", points[index])
    rows = np.concatenate([points[..., 0], points[..., 1], visible], axis=1)
    faces = np.array([[50.0, 60, 100 + index, 90] for index in range(count)])
    savemat(root / "Landmark.mat", {"phisTr": np.zeros((1, 102)), "phisT": rows})
    savemat(root / "BoundingBox.mat", {"bboxesT": faces, "bboxesTr": np.zeros((1, 4))})
    return points, visible, faces


@pytest.fixture
def lfpa(tmp_path, photo68):
    root = tmp_path / "lfpa"
    (root / "TestImages").mkdir(parents=True)
    return root, *write_lfpa_test(root, photo68)


def test_21_points_of_68_are_those_of_the_published_evaluation(photo68):
    found = benchmark_21_from_68(photo68[None])[0]
    np.testing.assert_allclose(found[7], photo68[36:42].mean(0))
    np.testing.assert_allclose(found[18], photo68[60:68].mean(0))
    np.testing.assert_array_equal(found[[12, 16, 20, 14, 0]], photo68[[2, 14, 8, 30, 17]])
    with pytest.raises(ValueError, match="68"):
        benchmark_21_from_68(found[None])


def test_only_visible_points_count(capsys, aflw, tmp_path):
    root, truth, visible = aflw
    off = np.full((COUNT, 1), 3.0) * np.arange(1, COUNT + 1)[:, None]
    points = truth.copy()
    points[..., 0] += off
    points[~visible] = 1e5  # a hidden point may be anywhere
    np.save(tmp_path / "p.npy", points)
    code, output, errors = evaluate(
        capsys, "aflw", "--root", root, "--predictions", tmp_path / "p.npy", "--csv", tmp_path / "i.csv"
    )
    assert code == 0, errors
    seen = np.where(visible[..., None], truth, np.nan)
    side = np.sqrt((np.nanmax(seen, axis=1) - np.nanmin(seen, axis=1)).prod(axis=1))
    with open(tmp_path / "i.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = [float(row["nme_percent predictions"]) for row in rows]
    np.testing.assert_allclose(found, 100 * off[:, 0] / side, rtol=1e-5)
    assert "the visible annotated points; not 3DDFA's normalizer" in output
    assert [row["yaw_bin"] for row in rows] == [
        "(60, 90]",
        "(30, 60]",
        "[0, 30]",
        "[0, 30]",
        "(30, 60]",
        "(60, 90]",
    ]


def test_aflw_is_normalized_by_68_points_where_the_folder_has_them(capsys, aflw, tmp_path, photo68):
    root, truth, _ = aflw
    fitted = np.stack([face_points(photo68, i) for i in range(COUNT)])
    np.save(root / "AFLW_GT_pts68.npy", fitted.transpose(0, 2, 1))
    side = np.sqrt(np.ptp(fitted, axis=1).prod(axis=1))
    np.testing.assert_allclose(read_aflw(root).normalizer, side)
    np.testing.assert_allclose(read_aflw(root, "crop").normalizer, 240)
    np.save(tmp_path / "p.npy", truth + np.array([0, 2.0]))
    base = ("aflw", "--root", root, "--predictions", tmp_path / "p.npy", "--json", tmp_path / "r.json")
    assert evaluate(capsys, *base)[0] == 0
    report = json.loads((tmp_path / "r.json").read_text())
    np.testing.assert_allclose(report["per_image"]["nme"]["predictions"], 200 / side, rtol=1e-6)
    assert "as in 3DDFA's evaluation" in report["settings"]["normalizer"]
    np.save(root / "AFLW_GT_pts68.npy", fitted[:-1])
    code, _, errors = evaluate(capsys, *base)
    assert (code, errors.count("\n")) == (2, 1)
    assert "expected one row for each of 6 images, got 5" in errors


def test_68_predicted_points_and_images_without_a_landmark(capsys, aflw, tmp_path, photo68):
    root = aflw[0]
    stored = np.load(root / "pts21.npy")
    stored[2] = -1
    np.save(root / "pts21.npy", stored)
    data = read_aflw(root)
    assert data.names == tuple(f"image{i:05d}.jpg" for i in (0, 1, 3, 4, 5))
    assert data.total == COUNT
    points = np.stack([face_points(photo68, i) for i in range(COUNT)])
    for name, rows in (("all", range(COUNT)), ("left", (0, 1, 3, 4, 5))):
        np.save(tmp_path / f"{name}.npy", points[list(rows)])
    results = []
    for name in ("all", "left"):
        options = ("--predictions", tmp_path / f"{name}.npy", "--json", tmp_path / "r.json")
        code, output, errors = evaluate(capsys, "aflw", "--root", root, *options)
        assert code == 0, errors
        assert "1 images without a visible landmark" in output
        results.append(json.loads((tmp_path / "r.json").read_text())["results"]["predictions"])
    assert results[0] == results[1]
    expected = visible_mean_error(benchmark_21_from_68(points[data.rows]), data.truth, data.normalizer)
    assert results[0]["image_mean"] == pytest.approx(100 * expected.mean())


def test_lfpa_counts_34_visible_points_over_the_face_box(capsys, lfpa, tmp_path):
    root, points, visible, faces = lfpa
    found = points + np.array([3.0, 4.0])
    found[~visible] = -500
    np.save(tmp_path / "p.npy", found)
    base = ("aflw-lfpa", "--root", root, "--predictions", tmp_path / "p.npy", "--json", tmp_path / "r.json")
    code, output, errors = evaluate(capsys, *base)
    assert code == 0, errors
    report = json.loads((tmp_path / "r.json").read_text())
    expected = 500 / np.sqrt(faces[:, 2] * faces[:, 3])
    np.testing.assert_allclose(report["per_image"]["nme"]["predictions"], expected)
    assert report["results"]["predictions"]["bin_mean"] is None
    assert "yaw source   not known" in output
    assert "[0, 30]" not in output
    (tmp_path / "yaw.csv").write_text("name,yaw\n1.jpg,5\n2.jpg,-40\n3.jpg,70\n4.jpg,10\n")
    assert evaluate(capsys, *base, "--yaw", tmp_path / "yaw.csv")[0] == 0
    bins = json.loads((tmp_path / "r.json").read_text())["results"]["predictions"]["bins"]
    assert bins["(30, 60]"] == pytest.approx(expected[1])


def test_68_points_on_lfpa_say_what_is_missing(capsys, lfpa, tmp_path, photo68):
    root, points, visible, _ = lfpa
    np.save(tmp_path / "p.npy", np.stack([face_points(photo68, i) for i in range(len(points))]))
    code, output, _ = evaluate(capsys, "aflw-lfpa", "--root", root, "--predictions", tmp_path / "p.npy")
    assert code == 0
    counted, total = visible[:, :21].sum(), visible.sum()
    assert f"over {counted} of {total} visible points and is not the literature's" in output
    row = next(line for line in output.splitlines() if line.startswith("predictions      "))
    assert float(row.split()[-2]) == pytest.approx(0, abs=1e-9)


@pytest.mark.usefixtures("one_look")
def test_a_network_and_named_vertices_on_crops(capsys, aflw, ball_model, tmp_path):
    """The pictures are crops, the points are the original images'; the truth is what the network says."""
    root, _, visible = aflw
    pose = pose_matrix(torch.tensor(0.4), torch.tensor([0.1, 0.3, 0.0]), torch.tensor([60.0, 61.0, 0.0]))
    save_constant_network(tmp_path / "n.pt", ball_model, join_parameters(pose, torch.zeros(3)), step=1)
    ball_model.save(tmp_path / "ball.npz")
    vertices = np.random.default_rng(0).permutation(len(ball_model.mean))[:21]
    np.save(tmp_path / "vertices.npy", vertices)
    crop = ball_model.mean[vertices] @ pose[:, :3].numpy().T + pose[:, 3].numpy()
    crop[:, 1] = 121 - crop[:, 1]
    boxes = np.load(root / "roi_box.npy").astype(float)
    points = crop[None, :, :2] * 2 + boxes[:, None, :2]
    np.save(root / "pts21.npy", np.where(visible[..., None], points, -1).transpose(0, 2, 1))
    base = ("aflw", "--root", root, "-c", tmp_path / "n.pt", "-m", tmp_path / "ball.npz")
    base = (*base, "--json", tmp_path / "r.json", "--batch-size", 4)
    code, _, errors = evaluate(capsys, *base, "--vertices", tmp_path / "vertices.npy", "-o", tmp_path / "out")
    assert code == 0, errors
    result = json.loads((tmp_path / "r.json").read_text())["results"]["network"]
    assert result["image_mean"] == pytest.approx(0, abs=1e-3)  # float32 pixels
    assert evaluate(capsys, *base)[0] == 0  # by the 68 landmarks, which are other vertices
    assert json.loads((tmp_path / "r.json").read_text())["results"]["network"]["image_mean"] > 1
    assert cv2.imread(str(tmp_path / "out" / "worst-images.png")).shape[0] > 300
    np.save(tmp_path / "vertices.npy", vertices + len(ball_model.mean))
    code, _, errors = evaluate(capsys, *base, "--vertices", tmp_path / "vertices.npy")
    assert (code, errors.count("\n")) == (2, 1)
    assert "expected vertex numbers 0.." in errors
    cv2.imwrite(str(root / "images" / "image00003.jpg"), np.zeros((60, 60, 3), np.uint8))
    code, _, errors = evaluate(capsys, *base)
    assert code == 2
    assert "image00003.jpg: expected a 120x120 crop, got 60x60" in errors


@pytest.mark.usefixtures("one_look")
def test_a_network_on_lfpa_sees_the_face(capsys, lfpa, ball_model, tmp_path):
    root, *_ = lfpa
    pose = pose_matrix(torch.tensor(0.4), torch.tensor([0.0, 0.0, 0.0]), torch.tensor([60.0, 61.0, 0.0]))
    save_constant_network(tmp_path / "n.pt", ball_model, join_parameters(pose, torch.zeros(3)), step=1)
    ball_model.save(tmp_path / "ball.npz")
    data = read_aflw_lfpa(root)
    mean = (ball_model.mean[ball_model.landmarks] @ pose[:, :3].numpy().T + pose[:, 3].numpy()) * [1, -1, 1]
    crop = mean[None].repeat(len(data), 0) + np.array([0, 121, 0])
    points = benchmark_21_from_68(data.crops_to_image(crop))
    expected = visible_mean_error(points, data.only(np.arange(34) < 21).truth[:, :21], data.normalizer)
    code, _, errors = evaluate(
        capsys, "aflw-lfpa", "--root", root, "-c", tmp_path / "n.pt", "-m", tmp_path / "ball.npz",
        "--json", tmp_path / "r.json",
    )  # fmt: skip
    assert code == 0, errors
    report = json.loads((tmp_path / "r.json").read_text())
    np.testing.assert_allclose(report["per_image"]["nme"]["network"], 100 * expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("p.npy", np.zeros((COUNT, 20, 2)), "expected 68 points per image"),
        ("p.npy", np.zeros((COUNT - 1, 21, 2)), "expected a row for each of 6 images, got 5"),
        ("p.npy", np.full((COUNT, 21, 2), np.nan), "expected finite coordinates"),
        ("p.npy", np.zeros((COUNT, 62)), "--basis-dir or --model"),
        ("pts21.npy", np.zeros((COUNT, 2, 20)), "expected shape (6, 2, 21)"),
        ("pts21.npy", np.full((COUNT, 2, 21), -1.0), "expected an image with a visible landmark"),
        ("roi_box.npy", np.ones((COUNT, 4)), "expected boxes x0 y0 x1 y1"),
        ("yaw_degrees.npy", np.full(COUNT, np.nan), "expected finite degrees"),
    ],
)
def test_files_that_do_not_fit_are_one_sentence(capsys, aflw, tmp_path, name, array, message):
    root, truth, _ = aflw
    np.save(tmp_path / "p.npy", truth)
    np.save(tmp_path / name if name == "p.npy" else root / name, array)
    output = tmp_path / "out"
    code, _, errors = evaluate(
        capsys, "aflw", "--root", root, "--predictions", tmp_path / "p.npy", "-o", output
    )
    assert code == 2
    assert errors.count("\n") == 1
    assert message in errors
    assert not output.exists()


@pytest.mark.parametrize("missing", ["Landmark.mat", "BoundingBox.mat", "TestImages"])
def test_an_incomplete_lfpa_folder_is_named(lfpa, tmp_path, missing):
    (lfpa[0] / missing).rename(tmp_path / "away")
    with pytest.raises(InputError, match=f"found no {missing}"):
        read_aflw_lfpa(lfpa[0])


def test_points_that_span_no_box_ask_for_another_normalizer(aflw):
    root, *_ = aflw
    stored = np.load(root / "pts21.npy")
    stored[1, :, 3:] = -1
    stored[1, 1, :3] = 77
    np.save(root / "pts21.npy", stored)
    with pytest.raises(InputError, match=r"1 images, first image00001\.jpg, .*--normalizer crop"):
        read_aflw(root)
    assert len(read_aflw(root, "crop")) == COUNT
