"""Arguments of the Python functions that are of the wrong kind: one sentence that begins with their name."""

import inspect
import pkgutil
from importlib import import_module

import numpy as np
import pytest
import torch
import twodasl
from twodasl.arguments import flag, path_of, whole_number
from twodasl.datasets.benchmarks.aflw2000 import read_aflw2000
from twodasl.datasets.photos.sources import open_photos
from twodasl.errors import InputError
from twodasl.evaluation.landmark_misuse import landmark_warnings
from twodasl.evaluation.mesh_misuse import mesh_warnings
from twodasl.evaluation.mesh_pairs import Pairs, find_pairs, measure_pair, measure_pairs
from twodasl.evaluation.now import now_error
from twodasl.evaluation.now_set import measure_now
from twodasl.evaluation.pose_set import network_poses
from twodasl.evaluation.predictions import read_predictions
from twodasl.evaluation.reconstruction import reconstruction_error
from twodasl.evaluation.rigid import best_motion
from twodasl.io.arrays import read_point_array
from twodasl.io.images import read_image
from twodasl.landmarks import read_landmarks
from twodasl.meshes import read_mesh, read_triangles
from twodasl.morphable import MorphableModel, load_model
from twodasl.morphable.readers.ict_facekit import read_ict_facekit
from twodasl.pictures.model_sheet import model_sheet
from twodasl.reconstruction.plain_network import PlainNetwork
from twodasl.training import FacePool, load_checkpoint, preset, train
from twodasl.training.losses import consistency, parameter_loss, vertex_loss

CLOUD = np.random.default_rng(0).normal(size=(6, 3))
LANDMARKS = np.zeros((2, 68, 2))
EIGHTEEN = torch.zeros(2, 18, 3)


def flags(folder) -> dict:
    """Calls with one flag each, that are right but for it."""
    np.save(folder / "points.npy", LANDMARKS)
    np.save(folder / "marks.npy", np.arange(136.0).reshape(68, 2))
    points, marks = folder / "points.npy", folder / "marks.npy"
    photo = folder / "photo.png"
    import cv2

    cv2.imwrite(str(photo), np.full((40, 40, 3), 9, np.uint8))
    pairs = Pairs((), (), ())
    clouds = torch.zeros(1, 14), torch.zeros(1, 14)
    return {
        "upright": lambda wrong: read_image(photo, upright=wrong),
        "gaps": lambda wrong: read_landmarks(marks, gaps=wrong),
        "depth": lambda wrong: read_point_array(points, depth=wrong),
        "crop_pixels": lambda wrong: read_predictions(points, None, crop_pixels=wrong),
        "crop_pixels of warnings": lambda wrong: landmark_warnings(
            LANDMARKS, LANDMARKS + 50, np.ones(2), None, crop_pixels=wrong
        ),
        "scale": lambda wrong: reconstruction_error(CLOUD, CLOUD, scale=wrong),
        "scale of a motion": lambda wrong: best_motion(CLOUD, CLOUD, wrong),
        "scale of a pair": lambda wrong: measure_pair(None, scale=wrong),
        "scale of pairs": lambda wrong: measure_pairs(pairs, scale=wrong),
        "scale of warnings": lambda wrong: mesh_warnings(None, scale=wrong),
        "vertices": lambda wrong: PlainNetwork(None, vertices=wrong),
        "boxes": lambda wrong: network_poses(None, None, boxes=wrong),
        "metrical": lambda wrong: now_error(None, None, None, None, metrical=wrong),
        "metrical of faces": lambda wrong: measure_now((), metrical=wrong),
        "progress of pairs": lambda wrong: measure_pairs(pairs, progress=wrong),
        "progress of a sheet": lambda wrong: model_sheet(None, progress=wrong),
        "progress of a pool": lambda wrong: FacePool(None, 0, progress=wrong),
        "progress of photos": lambda wrong: open_photos("photos", folder, progress=wrong),
        "progress of a model": lambda wrong: read_ict_facekit(folder, progress=wrong),
        "blend_shapes": lambda wrong: read_ict_facekit(folder, blend_shapes=wrong),
        "progress of training": lambda wrong: train(preset("demo"), progress=wrong),
        "rebuild": lambda wrong: open_photos("photos", folder, rebuild=wrong),
        "resume": lambda wrong: train(preset("demo"), resume=wrong),
        "stop_on_signals": lambda wrong: train(preset("demo"), stop_on_signals=wrong),
        "keep_undetected": lambda wrong: read_aflw2000(folder, keep_undetected=wrong),
        "importance": lambda wrong: parameter_loss(None, None, *clouds, importance=wrong),
        "equal": lambda wrong: consistency(
            EIGHTEEN, EIGHTEEN, EIGHTEEN[..., :2], EIGHTEEN[..., 0] == 0, equal=wrong
        ),
        "ignore_depth": lambda wrong: vertex_loss(None, *clouds, ignore_depth=wrong),
    }


@pytest.mark.parametrize("wrong", ["no", "", None, 2, 0.0, [], np.array([True, False])], ids=repr)
def test_a_flag_is_true_or_false(tmp_path, wrong):
    for case, call in flags(tmp_path).items():
        name = case.partition(" ")[0]
        with pytest.raises((InputError, TypeError), match=rf"^{name}: expected True or False, got "):
            call(wrong)


# Methods of torch's own, and functions that get their flags from the ones below.
PASSED_ON = {"iterative_closest_points", "progress_bar", "read_listing", "build_listing"}


def test_every_flag_of_a_public_function_is_tried(tmp_path):
    tried = {case.partition(" ")[0] for case in flags(tmp_path)} | {"recrop"}
    found = set()
    for place in (
        "",
        ".io",
        ".datasets",
        ".datasets.photos",
        ".datasets.benchmarks",
        ".evaluation",
        ".landmarks",
        ".meshes",
        ".morphable",
        ".pictures",
        ".reconstruction",
        ".training",
    ):
        package = import_module(f"twodasl{place}")
        for info in pkgutil.iter_modules(package.__path__, f"twodasl{place}."):
            if info.name.endswith("__main__") or info.ispkg:
                continue
            module = import_module(info.name)
            for name, value in vars(module).items():
                public = inspect.isfunction(value) and value.__module__ == info.name and name[0] != "_"
                if public and name not in PASSED_ON:
                    parameters = inspect.signature(value).parameters.values()
                    found |= {
                        p.name for p in parameters if p.annotation == "bool" and p.default is not p.empty
                    }
    assert len(found) > 8
    assert found <= tried


@pytest.mark.parametrize("right", [True, 1, np.True_, np.array(True), np.int64(1)], ids=repr)
def test_numpys_flags_count(right):
    assert flag(right, "name") is True
    assert flag(right ^ right, "name") is False


@pytest.mark.parametrize(
    "wrong", [5, b"x", 1.5, ["a"], None, object()], ids=lambda value: type(value).__name__
)
def test_what_is_no_path_is_named(wrong, ball_model):
    calls = (
        read_image, read_landmarks, read_mesh, load_checkpoint, load_model,
        MorphableModel.load, ball_model.save,
        lambda path: read_triangles(path, 3), lambda path: find_pairs(path, path), read_aflw2000,
        lambda path: open_photos("photos", path), read_ict_facekit,
    )  # fmt: skip
    for call in calls:
        with pytest.raises(InputError, match=r"^[a-z]+: expected .*, as a str or os.PathLike, got "):
            call(wrong)


def test_whole_numbers_and_paths():
    assert whole_number(np.uint8(3), "n", 0, 3) == 3
    for wrong in (True, 1.0, "1", -1, 4, None, 10**5000):
        with pytest.raises(InputError, match=r"^n: expected a whole number from 0 to 3, got "):
            whole_number(wrong, "n", 0, 3)
    with pytest.raises(InputError, match=r"^path: expected a photo, as .*, got a value of type"):
        path_of(b"x" * 100, "a photo")
    assert str(path_of("a/b", "a photo")) == "a/b"
    assert issubclass(twodasl.InputError, ValueError)
