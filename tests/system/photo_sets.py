"""Small data sets of photos that tests write: pictures of dots at the landmarks, in every layout."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.io import savemat
from twodasl.geometry.crops import flip_y
from twodasl.geometry.pose import pose_matrix
from twodasl.landmarks import eighteen_from_68, twenty_one_from_68

HEIGHT, WIDTH = 240, 200
SCALES = np.array([0.5, 2.0, 7.0])
"""What the ball's three modes are divided by to become the raw basis's."""


def face_points(photo68: np.ndarray, index: int = 0) -> np.ndarray:
    """(68, 2) landmarks of a face in a picture of HEIGHT x WIDTH, elsewhere for each index."""
    flat = (photo68 - photo68.mean(0)) * 90 / np.ptp(photo68[:, 1])
    return flat + np.array([WIDTH / 2 + 3 * index, HEIGHT / 2 - 2 * index])


def picture(points: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """White dots at the points, on gray."""
    image = np.full((height, width, 3), 90, np.uint8)
    for x, y in points[np.isfinite(points).all(axis=1)]:
        cv2.circle(image, (round(float(x)), round(float(y))), 2, (255, 255, 255), -1)
    return image


def write_picture(file: Path, points: np.ndarray, **size: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), picture(points, **size))


def write_pts(file: Path, points: np.ndarray) -> None:
    """iBUG's format, which counts from 1."""
    rows = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in points)
    file.write_text(f"version: 1\nn_points: {len(points)}\n{{\n{rows}\n}}\n")


def aflw21(points68: np.ndarray) -> np.ndarray:
    """(21, 2) with ears beside the eyes."""
    points = twenty_one_from_68(points68)
    points[12], points[16] = points68[0] - [8, 5], points68[16] + [8, -5]
    return points


def write_aflw(root: Path, photo68: np.ndarray, count: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """AFLW's layout; returns points (n, 21, 2) in crop pixels and visible (n, 21)."""
    inside, boxes, original = [], [], []
    visible = np.ones((count, 21), bool)
    for index in range(count):
        points = (aflw21(face_points(photo68, 0)) - [WIDTH / 2, HEIGHT / 2]) * 0.9 + [58 + index, 62 - index]
        visible[index, [index % 21, 16]] = False
        box = np.array([30 + index, 40, 30 + index + 240, 40 + 240])
        write_picture(root / "images" / f"image{index:05d}.jpg", points, height=120, width=120)
        inside.append(points)
        boxes.append(box)
        original.append(np.where(visible[index][:, None], points * 2 + box[:2], -1).T)
    (root / "names.txt").write_text("".join(f"image{index:05d}.jpg\n" for index in range(count)))
    np.save(root / "pts21.npy", np.array(original, np.float32))
    np.save(root / "roi_box.npy", np.array(boxes, np.uint16))
    np.save(root / "yaw_degrees.npy", np.linspace(-80, 70, count).astype(np.float32))
    return np.array(inside), visible


def link_wild(source: Path, root: Path, rows: Sequence[int]) -> None:
    """Some of the real AFLW's photos as a data set of their own."""
    names = (source / "names.txt").read_text().split()
    (root / "images").mkdir(parents=True)
    for row in rows:
        (root / "images" / names[row]).symlink_to(source / "images" / names[row])
    (root / "names.txt").write_text("".join(f"{names[row]}\n" for row in rows))
    for name in ("pts21.npy", "roi_box.npy", "yaw_degrees.npy"):
        np.save(root / name, np.load(source / name)[list(rows)])


def write_folder(root: Path, photo68: np.ndarray) -> dict[str, np.ndarray]:
    """Photos with 68 points in each kind of file; returns the points by name."""
    points = {f"{name}.jpg": face_points(photo68, i) for i, name in enumerate(("a", "b", "deep/c", "d"))}
    for name, marks in points.items():
        write_picture(root / name, marks)
    files = [(root / name).with_suffix("") for name in points]
    write_pts(files[0].with_suffix(".pts"), points["a.jpg"])
    np.save(files[1].with_suffix(".npy"), points["b.jpg"])
    np.savetxt(files[2].with_suffix(".csv"), points["deep/c.jpg"], delimiter=",", fmt="%.3f")
    np.savetxt(files[3].with_suffix(".txt"), points["d.jpg"], fmt="%.3f")
    return points


def write_umdfaces(root: Path, photo68: np.ndarray, count: int = 4) -> np.ndarray:
    """UMDFaces' layout; returns points (n, 21, 2) in image pixels. Point 5 of every face is hidden."""
    names = [f"P{i}{axis}" if axis != "V" else f"VIS{i}" for i in range(1, 22) for axis in "XYV"]
    header = ["SUBJECT_ID", "FILE", "FACE_X", "FACE_Y", "FACE_WIDTH", "FACE_HEIGHT", "YAW", "PITCH", "ROLL"]
    lines, points = [",".join([*header, *names])], []
    for index in range(count):
        marks = aflw21(face_points(photo68, index)).round(2)
        write_picture(root / "batch" / "someone" / f"{index}.jpg", marks)
        flags = np.where(np.arange(21) == 5, 0.2, 0.98)
        numbers = np.column_stack([marks, flags]).ravel()
        lines.append(
            f"7,someone/{index}.jpg,1,2,3,4,{10 * index},0,0," + ",".join(f"{number:g}" for number in numbers)
        )
        points.append(marks)
    (root / "batch" / "faces.csv").write_text("\n".join(lines) + "\n")
    return np.array(points)


def write_lfpa(root: Path, photo68: np.ndarray, count: int = 4) -> np.ndarray:
    """AFLW-LFPA's layout; returns the first 21 points (n, 21, 2). Point 2 is hidden, without a place."""
    rows, points = [], []
    for index in range(count):
        marks = aflw21(face_points(photo68, index))
        write_picture(root / "TrainImages" / f"{index + 1}.jpg", marks)
        all34 = np.concatenate([marks, np.full((13, 2), 50.0)])
        flags = np.ones(34)
        flags[2], all34[2] = 0, 0
        rows.append(np.concatenate([all34[:, 0], all34[:, 1], flags]))
        points.append(marks)
    savemat(root / "Landmark.mat", {"phisTr": np.array(rows), "phisT": np.zeros((2, 102))})
    savemat(root / "BoundingBox.mat", {"bboxesTr": np.zeros((count, 4))})
    return np.array(points)


def write_basis(root: Path, model) -> None:
    """3DDFA's three text files for a model of 2 + 1 modes; the other 38 + 9 modes are noise."""
    rng = np.random.default_rng(3)
    marks = model.landmarks
    shapes, expressions = rng.normal(size=(204, 40)), rng.normal(size=(204, 10))
    for index in range(2):
        shapes[:, index] = model.shape_modes[index][marks].ravel() * 1000 / SCALES[index]
    expressions[:, 0] = model.expression_modes[0][marks].ravel() * 1000 / SCALES[2]
    root.mkdir(parents=True, exist_ok=True)
    np.savetxt(root / "u_base.txt", model.mean[marks].ravel() * 1000.0)
    np.savetxt(root / "w_shp_base.txt", shapes)
    np.savetxt(root / "w_exp_base.txt", expressions)


def raw_face(index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pose_Para (7,), Shape_Para (199,) and Exp_Para (29,) of a face, in 3DDFA's units."""
    pose = np.array([0.1, -0.3 + 0.2 * index, 0.05, 100 + index, 118 - index, -5, 0.5e-3])
    shape, expression = np.zeros(199), np.zeros(29)
    shape[:2], expression[0] = [0.3 * index, -0.6], 2.0
    return pose, shape, expression


def raw_landmarks(model, index: int, height: int = HEIGHT) -> np.ndarray:
    """(68, 3) image landmarks of `raw_face`, worked out without the code under test's conversion."""
    pose, shape, expression = raw_face(index)
    marks = model.landmarks
    points = model.mean[marks] * 1000.0
    for j in range(2):
        points = points + shape[j] * model.shape_modes[j][marks] * 1000 / SCALES[j]
    points = points + expression[0] * model.expression_modes[0][marks] * 1000 / SCALES[2]
    camera = pose_matrix(float(pose[6]), torch.from_numpy(pose[:3]), torch.from_numpy(pose[3:6])).numpy()
    placed = points @ camera[:, :3].T + camera[:, 3]
    placed[:, 1] = flip_y(placed[:, 1], height)
    return placed


def write_w300lp(root: Path, model, count: int = 5) -> None:
    """300W-LP's own layout."""
    for index in range(count):
        folder = root / ("HELEN" if index % 2 else "AFW_Flip")
        pose, shape, expression = raw_face(index)
        points = raw_landmarks(model, index)[:, :2]
        write_picture(folder / f"face_{index}.jpg", points)
        savemat(
            folder / f"face_{index}.mat",
            {"pt2d": points.T, "Pose_Para": pose[None], "Shape_Para": shape[:, None],
             "Exp_Para": expression[:, None]},
        )  # fmt: skip


def write_tddfa_list(root: Path, model, count: int = 4) -> np.ndarray:
    """3DDFA's list of crops; returns the 62 numbers (n, 62)."""
    rows = []
    for index in range(count):
        pose, shape, expression = raw_face(index)
        pose[3:5] = [60 + index, 58]
        camera = pose_matrix(float(pose[6]), torch.from_numpy(pose[:3]), torch.from_numpy(pose[3:6])).numpy()
        rows.append(np.concatenate([camera.ravel(), shape[:40], expression[:10]]))
        write_picture(
            root / "train_aug_120x120" / f"{index}.jpg", np.full((1, 2), 60.0), height=120, width=120
        )
    raw = np.array(rows)
    mean, std = np.linspace(-1, 1, 62), np.linspace(0.5, 2, 62)
    mean[:12], std[:12] = 0, 1e-4
    (root / "train_aug_120x120.list.train").write_text("".join(f"{i}.jpg\n" for i in range(count)))
    whitened = ((raw - mean.astype(np.float32)) / std.astype(np.float32)).astype(np.float32)
    (root / "param_all_norm.pkl").write_bytes(pickle.dumps(whitened))
    whitening = {"param_mean": mean.astype(np.float32), "param_std": std.astype(np.float32)}
    (root / "param_whitening.pkl").write_bytes(pickle.dumps(whitening))
    return raw


def eighteen(points68: np.ndarray) -> np.ndarray:
    return np.asarray(eighteen_from_68(points68))
