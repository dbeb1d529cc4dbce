"""Synthetic faces: the same bits however they are asked for, and geometry that is exact."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.crops import flip_y
from twodasl.morphable import decompose_pose, load_model, split_parameters
from twodasl.synthetic import SyntheticFaces, SyntheticOptions
from twodasl.training import FacePool

import twodasl_ext

BARE = SyntheticOptions(
    hair=0, headwear=0, torso=0, glasses=0, occluders=0, black_borders=0, degradation=0, photo_backgrounds=0
)


@cache
def faces() -> SyntheticFaces:
    return SyntheticFaces(load_model("procedural"), 64, seed=3)


def assert_same(a: dict, b: dict) -> None:
    assert a.keys() == b.keys()
    for key in ("image", "parameters", "landmarks", "visible"):
        assert torch.equal(a[key], b[key]), key
    assert a["yaw"] == b["yaw"]


def test_a_sample_holds_what_the_documentation_says() -> None:
    model = load_model("procedural")
    sample = faces()[0]
    count = len(model.coefficient_std)
    for key, shape, dtype in (
        ("image", (120, 120, 3), torch.uint8),
        ("parameters", (12 + count,), torch.float32),
        ("landmarks", (68, 3), torch.float32),
        ("visible", (68,), torch.bool),
    ):
        assert tuple(sample[key].shape) == shape
        assert sample[key].dtype == dtype
    assert isinstance(sample["yaw"], float)


def test_samples_depend_on_seed_and_index_alone() -> None:
    dataset = faces()
    wanted = [5, 0, 17, 63, 5]
    batch = dataset.batch(wanted)
    for index, sample in zip(wanted, batch, strict=True):
        assert_same(sample, dataset[index])
    again = SyntheticFaces(load_model("procedural"), 1000, seed=3)  # length does not matter either
    assert_same(again[17], batch[2])
    assert_same(dataset[-1], dataset[63])
    other = SyntheticFaces(load_model("procedural"), 64, seed=4)
    assert not torch.equal(other[0]["image"], dataset[0]["image"])
    assert not torch.equal(other[0]["parameters"], dataset[0]["parameters"])
    assert not torch.equal(dataset[1]["image"], dataset[0]["image"])
    with pytest.raises(IndexError):
        dataset[64]


def test_the_number_of_threads_does_not_matter() -> None:
    """Against a process of its own: a BLAS reads its number of threads when it is loaded."""
    code = (
        "import sys, hashlib, torch, cv2\n"
        "threads = int(sys.argv[1]); torch.set_num_threads(threads); cv2.setNumThreads(threads)\n"
        "from twodasl.synthetic import SyntheticFaces\n"
        "from twodasl.morphable import load_model\n"
        "digest = hashlib.sha256()\n"
        "for sample in SyntheticFaces(load_model('procedural'), 64, 3).batch(range(12)):\n"
        "    digest.update(sample['image'].numpy().tobytes() + sample['parameters'].numpy().tobytes())\n"
        "print(digest.hexdigest())\n"
    )
    threads = "1" if torch.get_num_threads() > 1 else "2"
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", code, threads]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    digest = hashlib.sha256()
    for sample in faces().batch(range(12)):
        digest.update(sample["image"].numpy().tobytes() + sample["parameters"].numpy().tobytes())
    assert done.stdout.strip() == digest.hexdigest()


def test_a_pool_holds_the_same_samples_whatever_the_workers() -> None:
    dataset = SyntheticFaces(load_model("procedural"), 60, seed=3)
    pools = [FacePool(dataset, workers, progress=False) for workers in (0, 2)]
    for key, values in pools[0].columns.items():
        assert torch.equal(values, pools[1].columns[key]), key
    assert len(pools[1]) == 60
    sample = dataset[59]
    sample["yaw"] = torch.tensor(sample["yaw"], dtype=torch.float32)  # a pool keeps tensors
    assert_same(pools[1][59], sample)
    assert len(FacePool(SyntheticFaces(load_model("procedural"), 0), progress=False)) == 0


def test_landmarks_are_those_of_the_parameters() -> None:
    model = load_model("procedural")
    samples = faces().batch(range(32))
    parameters = torch.stack([sample["parameters"] for sample in samples])
    pose, coefficients = split_parameters(parameters, len(model.coefficient_std))
    expected = twodasl_ext.landmarks(model.basis(), coefficients, pose)
    expected[..., 1] = flip_y(expected[..., 1])
    found = torch.stack([sample["landmarks"] for sample in samples])
    # Both are float32 sums of K terms of up to a few hundred pixels, in another order.
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    _, angles, _ = decompose_pose(pose)
    assert angles[:, 1].tolist() == pytest.approx([sample["yaw"] for sample in samples], abs=1e-4)
    torch.testing.assert_close(faces().parameters(7), samples[7]["parameters"], atol=0, rtol=0)


def test_the_picture_shows_the_head_of_the_parameters() -> None:
    """The drawn silhouette is the projected mesh: found by drawing one geometry before two backgrounds."""
    model = load_model("procedural")
    dataset = SyntheticFaces(model, 64, 3, BARE)
    sample = dataset[2]
    pose, coefficients = split_parameters(sample["parameters"][None])
    vertices = twodasl_ext.vertices(model.basis(), coefficients, pose)
    vertices[..., 1] = flip_y(vertices[..., 1])
    index, _, _ = twodasl_ext.rasterize(vertices, torch.from_numpy(model.triangles), 120)
    mesh = (index[0] >= 0).numpy()
    samples, original = [], dataset.backgrounds.sample
    for level in (0.0, 1.0):
        dataset.backgrounds.sample = lambda rng, level=level: (  # type: ignore[method-assign]
            original(rng),
            np.full((120, 120, 3), level, np.float32),
        )[1]
        samples.append(dataset[2]["image"].numpy().astype(int))
    drawn = np.abs(samples[1] - samples[0]).max(axis=2) < 100
    # They may differ in the outermost pixel, which the picture shows partly.
    byte, square = mesh.astype(np.uint8), np.ones((3, 3))
    ring = cv2.dilate(byte, square) - cv2.erode(byte, square)
    assert mesh.mean() > 0.3
    assert ((drawn != mesh) & (ring == 0)).mean() < 0.002
    points = np.rint(sample["landmarks"].numpy()).astype(int)
    inside = (points[:, :2] >= 0).all(axis=1) & (points[:, :2] < 120).all(axis=1)
    near = cv2.dilate(byte, square)
    assert near[points[inside, 1], points[inside, 0]].all()


def test_visibility_follows_the_turn_of_the_head() -> None:
    dataset = SyntheticFaces(load_model("procedural"), 200, 1, BARE)
    right_eye, left_eye = slice(36, 42), slice(42, 48)
    seen: dict[str, list[tuple[float, float]]] = {"image left": [], "image right": [], "frontal": []}
    for sample in dataset:
        # Positive yaw turns the nose to the image's left and hides that side of the face.
        yaw, visible = np.degrees(sample["yaw"]), sample["visible"].numpy()
        if yaw > 70:
            seen["image left"].append((visible[right_eye].mean(), visible[left_eye].mean()))
        elif yaw < -70:
            seen["image right"].append((visible[left_eye].mean(), visible[right_eye].mean()))
        elif abs(yaw) < 15:
            seen["frontal"].append((visible[right_eye].mean(), visible[left_eye].mean()))
    for side in ("image left", "image right"):
        hidden, shown = np.mean(seen[side], axis=0)
        assert hidden < 0.2, side
        assert shown > 0.9, side
    assert np.mean(seen["frontal"]) > 0.97


def test_poses_cover_profiles_and_crops_fit() -> None:
    dataset = SyntheticFaces(load_model("procedural"), 3000)
    parameters = torch.stack([dataset.parameters(index) for index in range(len(dataset))])
    scale, angles, _ = decompose_pose(split_parameters(parameters)[0])
    yaw = np.degrees(angles[:, 1].numpy())
    counts, _ = np.histogram(yaw, np.arange(-90, 91, 15))
    assert counts.min() > 60  # every 15 degrees, to the profile on both sides
    assert 0.35 < (np.abs(yaw) < 30).mean() < 0.75
    assert abs(yaw.mean()) < 3
    assert scale.min() > 0.3
    assert np.degrees(angles.numpy()).std(axis=0)[[0, 2]].min() > 8
    landmarks = torch.stack([sample["landmarks"] for sample in dataset.batch(range(64))])[..., :2]
    extent = landmarks.amax(1) - landmarks.amin(1)
    # A crop of landmarks without error would show them over 120 / sqrt(2) = 84.9 pixels.
    assert extent.amax(1).median().item() == pytest.approx(84, abs=4)
    assert (((landmarks > 0) & (landmarks < 119)).all(-1)).float().mean() > 0.97


def test_looks_do_not_change_geometry() -> None:
    plain = SyntheticFaces(load_model("procedural"), 64, 3, BARE)
    for index in (0, 9):
        a, b = plain[index], faces()[index]
        assert torch.equal(a["parameters"], b["parameters"])
        assert torch.equal(a["landmarks"], b["landmarks"])
        assert not torch.equal(a["image"], b["image"])


def test_a_model_without_colors_is_painted() -> None:
    model = load_model("procedural")
    gray = replace(model, albedo_mean=None, albedo_modes=None, albedo_std=None, albedo_names=None)
    options = replace(BARE, grayscale=0)
    images = torch.stack([sample["image"] for sample in SyntheticFaces(gray, 24, 0, options)]).float()
    middle = images[:, 50:80, 50:80].mean((0, 1, 2))
    assert middle[2] > middle[0] + 10  # skin: more red than blue, on average over people and lights
    assert images[:, 50:80, 50:80].mean((1, 2, 3)).std() > 15


def test_options_reach_the_picture() -> None:
    model = load_model("procedural")
    gray = SyntheticFaces(model, 8, 0, replace(BARE, grayscale=1))
    tinted = [np.ptp(sample["image"].numpy().reshape(-1, 3).mean(0)) for sample in gray]
    assert min(tinted) < 0.5
    bordered = SyntheticFaces(model, 8, 0, replace(BARE, black_borders=1))
    for sample in bordered:
        image = sample["image"].numpy()
        assert any((edge == 0).all() for edge in (image[0], image[-1], image[:, 0], image[:, -1]))
    frontal = SyntheticFaces(model, 64, 0, SyntheticOptions(yaw_limit=0))
    angles = decompose_pose(split_parameters(torch.stack([frontal.parameters(i) for i in range(64)]))[0])[1]
    assert angles[:, 1].abs().max() < 1e-3
    average = SyntheticFaces(model, 8, 0, SyntheticOptions(coefficient_limit=0))
    assert torch.count_nonzero(average.parameters(3)[12:]) == 0


def test_some_mouths_are_open_wide() -> None:
    model = load_model("procedural")
    jaw = 12 + model.mode_names.index("jaw open")
    options = (SyntheticOptions(wide_mouths=share, shut_eyes=0) for share in (0.1, 0.0))
    wide, none = (SyntheticFaces(model, 600, 0, chosen) for chosen in options)
    drawn, calm = (torch.stack([faces.parameters(i) for i in range(600)]) for faces in (wide, none))
    assert calm[:, 12:].abs().max() <= 2.5
    others = torch.arange(12, drawn.shape[1]) != jaw
    torch.testing.assert_close(
        drawn[:, 12:][:, others], calm[:, 12:][:, others]
    )  # the same faces but for the jaw
    changed = drawn[:, jaw] != calm[:, jaw]
    assert 0.06 < changed.double().mean() < 0.14
    assert 2 <= drawn[changed, jaw].min() < 2.5 < 7 < drawn[changed, jaw].max() <= 7.5
    # A model whose modes have no names has no jaw to open.
    unnamed = SyntheticFaces(replace(model, mode_names=None), 40, 0)
    torch.testing.assert_close(torch.stack([unnamed.parameters(i) for i in range(40)]), calm[:40])


def test_some_eyes_are_shut() -> None:
    model = load_model("procedural")
    names = ("blink left", "blink right")
    columns = torch.tensor([12 + model.mode_names.index(name) for name in names])
    options = (SyntheticOptions(shut_eyes=share) for share in (0.1, 0.0))
    some, none = (SyntheticFaces(model, 600, 0, chosen) for chosen in options)
    drawn, awake = (torch.stack([faces.parameters(i) for i in range(600)]) for faces in (some, none))
    changed = drawn[:, columns] != awake[:, columns]
    others = torch.ones(drawn.shape[1], dtype=torch.bool)
    others[:12], others[columns] = False, False
    # The same faces but for the lids.
    torch.testing.assert_close(drawn[:, others], awake[:, others])
    torch.testing.assert_close(drawn[~changed.any(1)], awake[~changed.any(1)])
    assert 0.06 < changed.any(1).double().mean() < 0.14
    both = drawn[changed.all(1)][:, columns]
    assert torch.equal(both[:, 0], both[:, 1])
    assert 1.8 <= both.min() < 2 < 2.9 < both.max() <= 3.05
    winks = changed.sum(1) == 1
    assert 0 < winks.sum() < changed.all(1).sum() / 3
    assert changed[winks].any(0).all()
    # A model whose modes have no names has no eyes to shut.
    unnamed = SyntheticFaces(replace(model, mode_names=None), 40, 0)
    calm = SyntheticFaces(model, 40, 0, SyntheticOptions(shut_eyes=0, wide_mouths=0))
    for i in range(40):
        torch.testing.assert_close(unnamed.parameters(i), calm.parameters(i))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hair", 1.5),
        ("glasses", -0.1),
        ("yaw_limit", 100),
        ("yaw_limit", float("nan")),
        ("box_noise", "much"),
        ("supersampling", 0),
        ("supersampling", 1.3),
        ("degradation", -1),
        ("coefficient_limit", True),
        ("wide_mouths", 0.6),
        ("shut_eyes", -0.1),
    ],
)
def test_bad_options_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^{name}: expected"):
        SyntheticOptions(**{name: value})


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="seed"):
        SyntheticFaces(load_model("procedural"), 1, seed=-1)
    with pytest.raises(InputError, match="length"):
        SyntheticFaces(load_model("procedural"), -1)
    with pytest.raises(InputError, match="workers: expected a whole number from 0, got -1"):
        FacePool(faces(), workers=-1)


def test_command_writes_a_sheet_and_samples(tmp_path, capsys) -> None:
    from twodasl.cli import main

    sheet, folder = tmp_path / "sheet.png", tmp_path / "faces"
    assert (
        main(["data", "synthetic", "-n", "5", "--seed", "3", "-o", str(sheet), "--folder", str(folder)]) == 0
    )
    assert cv2.imread(str(sheet)).shape == (252, 5 * 246 + 6, 3)
    np.testing.assert_array_equal(cv2.imread(str(folder / "000004.png")), faces()[4]["image"].numpy())
    np.testing.assert_array_equal(np.load(folder / "parameters.npy")[4], faces()[4]["parameters"].numpy())
    assert main(["data", "synthetic", "-n", "0", "-o", str(sheet)]) == 2
    assert main(["data", "synthetic", "-o", str(tmp_path / "sheet.tiff")]) == 2
    assert main(["data", "synthetic", "--seed", "-4", "-o", str(sheet)]) == 2
    assert "error:" in capsys.readouterr().err
