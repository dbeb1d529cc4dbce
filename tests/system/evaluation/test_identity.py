"""Whether shapes tell people apart: the numbers, the layouts, and `twodasl evaluate identity`."""

from __future__ import annotations

import csv
import json
import re

import cv2
import numpy as np
import pytest
from twodasl.cli import main
from twodasl.datasets.benchmarks.people import read_people
from twodasl.errors import InputError
from twodasl.evaluation.identity import angles, lengths, mesh_distance, recognition
from twodasl.morphable import load_model

from ..photo_sets import HEIGHT, WIDTH, face_points, write_picture

WHO = np.array(["a", "a", "b", "b", "c"])


def run(capsys, *words) -> tuple[int, str, str]:
    code = main(["evaluate", "identity", *map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def people(tmp_path, photo68):
    """Five photos of three people, with a list and landmarks."""
    root = tmp_path / "set"
    points = np.stack([face_points(photo68, i) for i in range(len(WHO))])
    for i, marks in enumerate(points):
        write_picture(root / "images" / f"{i}.png", marks)
    lines = [f"{i}.png,{who}" for i, who in enumerate(WHO)]
    (root / "faces.csv").write_text("\n".join(["image,person", *lines]) + "\n")
    np.save(root / "pts68.npy", points)
    return root


def test_auc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(3)
    who = rng.integers(0, 6, 40).astype(str)
    rows = rng.normal(size=(40, 4)).round(1)  # ties
    apart = lengths(rows)
    upper = [(i, j) for i in range(40) for j in range(i)]
    same = [apart[i, j] for i, j in upper if who[i] == who[j]]
    different = [apart[i, j] for i, j in upper if who[i] != who[j]]
    order = np.sign(np.subtract.outer(different, same))
    found = recognition(apart, who)
    assert found.auc == pytest.approx((order.mean() + 1) / 2)
    assert (found.same, found.different) == (len(same), len(different))


def test_rank1_asks_only_those_who_have_another_photo():
    # Each photo of "a" is nearest to the other; those of "b" are nearest to "c", who has one photo.
    places = np.array([0.0, 1.0, 10.0, 13.0, 11.4])
    found = recognition(np.abs(np.subtract.outer(places, places)), WHO)
    assert found.rank1 == 0.5
    assert found.gallery == 2
    assert found.gallery_rank1 == 1.0  # with one photo each of "a" and "b", nothing is confused


def test_distances_of_coefficients():
    rows = np.array([[1.0, 0, 0], [3.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    np.testing.assert_allclose(lengths(rows)[0], [0, 2, np.sqrt(2), np.sqrt(2)])
    centered = rows - rows.mean(axis=0)
    cosine = centered[0] @ centered[2] / np.linalg.norm(centered[0]) / np.linalg.norm(centered[2])
    assert angles(rows)[0, 2] == pytest.approx(1 - cosine)
    assert angles(np.ones((3, 2))).tolist() == np.ones((3, 3)).tolist()  # no direction: all alike


def test_mesh_distance_is_that_of_the_meshes(ball_model):
    model = load_model("procedural")
    rng = np.random.default_rng(0)
    for face_model in (ball_model, model):
        shapes = len(face_model.shape_modes)
        rows = rng.normal(size=(4, shapes))
        padded = np.zeros((4, len(face_model.coefficient_std)))
        padded[:, :shapes] = rows * face_model.coefficient_std[:shapes]
        meshes = np.stack([face_model.shape(row) for row in padded]).astype(np.float64)
        who = np.array(["a", "a", "b", "c"])
        apart = [
            np.sqrt(((meshes[i] - meshes[j]) ** 2).sum(axis=1).mean())
            for i in range(4)
            for j in range(i)
            if who[i] != who[j]
        ]
        assert mesh_distance(rows, face_model, who) == pytest.approx(np.mean(apart), rel=1e-5)


def test_layouts(people, photo68):
    listed, folder = read_people(people / "faces.csv"), read_people(people)
    assert listed.names == folder.names == tuple(f"{i}.png" for i in range(5))
    assert all(path.is_file() for path in (*listed.images, *folder.images))
    assert listed.landmarks.shape == (5, 68, 2)
    for i, who in enumerate(WHO):
        (people.parent / "folders" / who).mkdir(parents=True, exist_ok=True)
        (people / "images" / f"{i}.png").rename(people.parent / "folders" / who / f"{i}.png")
    sorted_in = read_people(people.parent / "folders")
    assert sorted_in.people.tolist() == WHO.tolist()
    assert sorted_in.names[2] == "b/2.png"
    assert sorted_in.landmarks is None
    assert all(path.is_file() for path in sorted_in.images)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,who\n1.png,a\n", "under the columns image and person, got image, who"),
        ("image,person\n1.png,a\n2.png,\n", "got none in line 3"),
        ("image,person\n../1.png,a\n2.png,a\n", "leads out of the folder"),
        ("image,person\n1.png,a\n2.png,b\n", "two of one of them, got 2 of 2"),
        ("image,person\n1.png,a\n2.png,a\n", "at least two people"),
        ("", "columns image and person"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, text, words):
    (tmp_path / "faces.csv").write_text(text)
    with pytest.raises(InputError, match=words):
        read_people(tmp_path)


def test_a_file_of_embeddings(capsys, people):
    np.save(people / "p.npy", np.array([[0, 0], [0, 1], [9, 0], [9, 1], [5, 9.0]]))
    code, text, errors = run(
        capsys, "--root", people, "--predictions", people / "p.npy", "-o", people / "out"
    )
    assert code == 0, errors
    report = json.loads((people / "out/report.json").read_text())
    row = report["results"]["predictions, lengths"]
    assert (row["auc"], row["rank1"], row["gallery_rank1"]) == (1, 100, 100)
    assert row["mesh_distance"] is None
    assert "Meshes: not measured" in text
    with open(people / "out/photos.csv", newline="") as stream:
        photos = list(csv.DictReader(stream))
    assert [photo["person"] for photo in photos] == WHO.tolist()
    assert float(photos[2]["c0"]) == 9
    with open(people / "out/table.csv", newline="") as stream:
        assert [row["row"] for row in csv.DictReader(stream)] == list(report["results"])


def test_coefficients_of_a_model_give_the_meshes_distance(capsys, people, ball_path, ball_model):
    rows = np.zeros((5, 2))
    rows[2:] = [1, 0]  # one standard deviation of the first mode
    np.save(people / "p.npy", rows * ball_model.coefficient_std[:2])
    code, _, errors = run(
        capsys,
        "--root",
        people,
        "--predictions",
        people / "p.npy",
        "-m",
        ball_path,
        "--json",
        people / "r.json",
    )
    assert code == 0, errors
    one = np.sqrt((ball_model.shape_modes[0] ** 2).sum(axis=1).mean())
    row = json.loads((people / "r.json").read_text())["results"]["predictions, angles"]
    assert row["mesh_distance"] == pytest.approx(one * 6 / 8)  # of 8 pairs of two people 6 differ


def test_a_network(capsys, people, lively_checkpoint):
    (people / "images/4.png").write_bytes(b"no photo")
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    assert cv2.imwrite(str(people / "images/2.png"), noise)
    code, text, errors = run(
        capsys, "--root", people, "-c", lively_checkpoint, "--no-fit", "--csv", people / "photos.csv"
    )
    assert code == 0, errors
    assert "network, angles" in text
    assert "Left out, and in no number above: 1 photo" in text
    assert "  4.png: " in text
    with open(people / "photos.csv", newline="") as stream:
        photos = list(csv.DictReader(stream))
    assert [photo["photo"] for photo in photos] == [f"{i}.png" for i in range(4)]
    assert photos[2]["c0"] != photos[0]["c0"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--predictions", "three.npy"], r"expected finite numbers \(5, K\)"),
        (["--predictions", "five.npy", "-m", "procedural"], "expected 40 shape coefficients"),
        (["--predictions", "five.npy", "--no-fit"], "have a meaning only with --checkpoint"),
        (["--predictions", "five.npy", "--json", "five.npy"], "five.npy"),
    ],
)
def test_mistakes(capsys, people, monkeypatch, options, words):
    monkeypatch.chdir(people)
    np.save("three.npy", np.zeros((3, 2)))
    np.save("five.npy", np.zeros((5, 2)))
    code, _, errors = run(capsys, "--root", people, *options)
    assert code == 2
    assert errors.startswith("twodasl: error: ")
    assert errors.count("\n") == 1
    assert re.search(words, errors), errors


def test_a_set_without_photos_is_an_error(capsys, people, ball_checkpoint):
    for photo in (people / "images").iterdir():
        photo.unlink()
    code, _, errors = run(capsys, "--root", people, "-c", ball_checkpoint, "--no-fit")
    assert code == 2
    assert "5 of 5 photos could not be used, too many to go on: 0.png" in errors
