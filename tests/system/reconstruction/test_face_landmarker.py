"""MediaPipe's face landmarker: its model's file, and its answers; MediaPipe itself is a stand-in here.

Where MediaPipe and a model are installed, test_detect looks at a photograph with them.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile

import numpy as np
import pytest
from twodasl.cli import main
from twodasl.errors import InputError
from twodasl.geometry.crops import crop_from_landmarks
from twodasl.landmarks.mesh478 import sixty_eight_from_478
from twodasl.reconstruction import detect
from twodasl.reconstruction.detect import find_faces, load_detector
from twodasl.reconstruction.detectors import face_landmarker, mediapipe_files

PARTS = ("face_detector.tflite", "face_landmarks_detector.tflite", "face_blendshapes.tflite")
IMAGE = np.full((200, 300, 3), 128, np.uint8)
MESH = np.random.default_rng(0).uniform(0.3, 0.7, (478, 2))

# The names and shapes of MediaPipe 1.2.3, and the lines that its library writes to stderr.
STAND_IN = {
    "__init__.py": """
import enum
class ImageFormat(enum.Enum):
    SRGB = 1
class Image:
    def __init__(self, image_format, data):
        assert image_format is ImageFormat.SRGB and data.flags.c_contiguous
        self.data = data
""",
    "tasks/__init__.py": "",
    "tasks/python/__init__.py": """
import dataclasses
@dataclasses.dataclass
class BaseOptions:
    model_asset_path: str = None
    model_asset_buffer: bytes = None
""",
    "tasks/python/vision/__init__.py": "from .face_landmarker import FaceLandmarker, FaceLandmarkerOptions",
    "tasks/python/vision/face_landmarker.py": """
import dataclasses, os
from types import SimpleNamespace
from mediapipe.tasks.python import BaseOptions
@dataclasses.dataclass
class FaceLandmarkerOptions:
    base_options: BaseOptions
    num_faces: int = 1
class FaceLandmarker:
    answer, seen, refusal, closed = [], [], None, 0
    @classmethod
    def create_from_options(cls, options):
        os.write(2, b"W0000 face_landmarker_graph.cc:181] Sets FaceBlendshapesGraph acceleration\\n")
        if cls.refusal is not None:
            raise cls.refusal
        cls.options = options
        return cls()
    def __enter__(self):
        return self
    def __exit__(self, *error):
        type(self).closed += 1
    def detect(self, image):
        self.seen.append(image.data)
        if isinstance(self.answer, Exception):
            raise self.answer
        meshes = [[SimpleNamespace(x=x, y=y, z=0.0) for x, y in mesh] for mesh in self.answer]
        return SimpleNamespace(face_landmarks=meshes)
""",
}


@pytest.fixture
def caches():
    """What was found out about the installation is found out again."""
    known = (
        mediapipe_files.has_solutions,
        mediapipe_files.has_tasks,
        mediapipe_files.packaged_model,
        face_landmarker.packaged_landmarker,
    )
    for each in known:
        each.cache_clear()
    yield
    for each in known:
        each.cache_clear()


@pytest.fixture
def without(monkeypatch, caches):
    """An installation without MediaPipe."""
    monkeypatch.setattr(mediapipe_files, "find_spec", lambda name: None)


@pytest.fixture
def landmarker(monkeypatch, tmp_path, caches):
    """The class that stands in for MediaPipe's; no package has its model."""
    for name, text in STAND_IN.items():
        file = tmp_path / "site/mediapipe" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name in [name for name in sys.modules if name.split(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(mediapipe_files.metadata, "distributions", lambda: [])
    from mediapipe.tasks.python.vision import FaceLandmarker

    yield FaceLandmarker
    for name in [name for name in sys.modules if name.split(".")[0] == "mediapipe"]:
        del sys.modules[name]


def _archive(parts=PARTS, content=b"TFL3" * 50):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in parts:
            archive.writestr(name, content)
    return file.getvalue()


@pytest.fixture
def model(tmp_path):
    file = tmp_path / "mine.task"
    file.write_bytes(_archive())
    return file


def test_the_mesh_becomes_68_landmarks(landmarker, model):
    landmarker.answer = [MESH]
    (face,) = find_faces(IMAGE, load_detector(model))
    expected = sixty_eight_from_478(MESH * [300, 200] - 0.5)
    np.testing.assert_allclose(face.landmarks, expected, atol=1e-9)
    assert face.crop == crop_from_landmarks(face.landmarks)
    assert face.detector == "mine.task"
    assert face.score is None
    assert not face.recrop
    assert landmarker.options.base_options.model_asset_buffer == model.read_bytes()
    assert landmarker.options.num_faces > 10


def test_red_comes_first(landmarker, model):
    detector = load_detector(model)
    find_faces(IMAGE * np.array([0, 1, 2], np.uint8), detector)
    assert landmarker.seen[-1][0, 0].tolist() == [0, 128, 0]


def test_all_faces_and_none(landmarker, model):
    detector = load_detector(model)
    assert find_faces(IMAGE, detector) == []
    half = 0.25 + MESH / 4
    landmarker.answer = [half, MESH, MESH / 50, np.full((478, 2), 0.5)]  # the last two: too small for a crop
    first, second = find_faces(IMAGE, detector)
    assert first.crop.x1 - first.crop.x0 == pytest.approx(4 * (second.crop.x1 - second.crop.x0))


def test_a_renamed_file_is_known(landmarker, tmp_path):
    file = tmp_path / "model.bin"
    file.write_bytes(_archive())
    landmarker.answer = [MESH]
    assert len(find_faces(IMAGE, load_detector(file))) == 1


def test_it_is_closed_when_nobody_has_it(landmarker, model):
    landmarker.closed = 0
    detector = load_detector(model)
    assert landmarker.closed == 0
    del detector
    assert landmarker.closed == 1


def test_its_library_is_quiet(landmarker, model, capfd):
    load_detector(model)
    os.write(2, b"and stderr is back\n")
    assert capfd.readouterr().err == "and stderr is back\n"


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (RuntimeError("Expected uncompressed\nzip archive."), r"mine\.task: is not the model of MediaPipe's"),
        (ValueError("The model is not a valid Flatbuffer buffer"), r"mine\.task: is not the model of Media"),
        (
            OSError("libEGL.so.1: cannot open"),
            r"detector: MediaPipe cannot be loaded \(libEGL\.so\.1",
        ),
    ],
)
def test_what_mediapipe_refuses(landmarker, model, refusal, message, capfd):
    landmarker.refusal = refusal
    with pytest.raises(InputError, match=message) as caught:
        load_detector(model)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_networks_that_do_not_fit_each_other(landmarker, model):
    detector = load_detector(model)
    landmarker.answer = RuntimeError("CalculatorGraph::Run() failed:\n num_values == 1")
    with pytest.raises(InputError, match=r"mine\.task: is not the model of .* give MediaPipe's face_landm"):
        find_faces(IMAGE, detector)
    with pytest.raises(InputError, match=r"mine\.task: is not the model of "):
        load_detector(model)


def _flipped(content):
    at = content.index(b"TFL3") + 9
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"x\.task: is not the model of MediaPipe's face landmarker, or is damaged \(BadZipFile"),
        (b"<html>no</html>", r"x\.task: is not the model of MediaPipe's face landmarker, or is damaged"),
        (_archive()[:-30], r"x\.task: is not the model of MediaPipe's face landmarker, or is damaged"),
        (
            _flipped(_archive()),
            r"the checksum of face_detector\.tflite is wrong\); give Media",
        ),
        (_archive(()), r"x\.task: expected the model of .* got a file with nothing in it; give"),
        (
            _archive(["hand_detector.tflite", "hand_landmarks_detector.tflite"]),
            r"expected the model of MediaPipe's face landmarker, got a file with 'hand_detector.tflite'",
        ),
    ],
)
def test_files_that_are_something_else(without, tmp_path, content, message):
    """They are refused without MediaPipe too."""
    file = tmp_path / "x.task"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_detector(file)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(without, tmp_path):
    with pytest.raises(InputError, match=r"none\.task: cannot be read .* or MediaPipe's face_landm"):
        load_detector(tmp_path / "none.task")
    (tmp_path / "folder.task").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        load_detector(tmp_path / "folder.task")


def test_parts_that_would_fill_the_memory(without, tmp_path, monkeypatch):
    file = tmp_path / "x.task"
    file.write_bytes(_archive())
    monkeypatch.setattr(face_landmarker, "_LARGEST", 500)
    with pytest.raises(InputError, match=r"got a file of more than"):
        load_detector(file)
    monkeypatch.setattr(face_landmarker, "_LARGEST", len(_archive()))
    file.write_bytes(_archive(content=b""))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in PARTS:
            archive.writestr(name, b"\0" * 5000)
    with pytest.raises(InputError, match="its parts are too large"):
        load_detector(file)


def test_the_extra_is_missing(without, model):
    with pytest.raises(InputError, match=r"mine\.task: needs MediaPipe .*pip install '\.\[mediapipe\]'"):
        load_detector(model)
    assert "mediapipe" not in detect.detectors()
    with pytest.raises(InputError, match=r"mediapipe is not installed; pip install '\.\[mediapipe\]'"):
        find_faces(IMAGE, "mediapipe")


def test_the_model_is_missing(landmarker):
    assert "mediapipe" not in detect.detectors()
    with pytest.raises(InputError, match=r"no other package has face_landmarker\.task; give the file"):
        find_faces(IMAGE, "mediapipe")


def test_a_package_has_the_model(landmarker, tmp_path, monkeypatch):
    """Of two packages, the first by name; a file that is gone does not count."""
    site = tmp_path / "site"
    for name, there in (("other", True), ("carrier", True), ("absent", False)):
        (site / name).mkdir()
        if there:
            (site / name / "face_landmarker.task").write_bytes(_archive(content=name.encode()))
        about = site / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (about / "RECORD").write_text(f"{name}/__init__.py,,\n{name}/face_landmarker.task,,\n")
    monkeypatch.undo()
    found = mediapipe_files.metadata.distributions(path=[str(site)])
    monkeypatch.setattr(mediapipe_files.metadata, "distributions", lambda: found)
    monkeypatch.syspath_prepend(site)
    mediapipe_files.has_tasks.cache_clear()
    mediapipe_files.packaged_model.cache_clear()
    assert mediapipe_files.packaged_model() == site / "carrier/face_landmarker.task"
    assert "mediapipe" in detect.detectors()
    landmarker.answer = [MESH]
    assert [face.detector for face in find_faces(IMAGE, "mediapipe")] == ["mediapipe"]
    assert detect.automatic() != "mediapipe"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--detector-model", "x.task"], "x.task: expected the model of MediaPipe's face landmarker, got"),
        (["--detector", "mediapipe"], "detector: mediapipe is not installed; pip install '.[mediapipe]'"),
    ],
)
def test_the_command_says_so_once(
    without, tmp_path, monkeypatch, photo_path, ball_checkpoint, words, message, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.task").write_bytes(_archive(["pose_detector.tflite"]))
    (tmp_path / "second.png").write_bytes(photo_path.read_bytes())
    command = ["reconstruct", photo_path, "second.png", "-c", ball_checkpoint, "-o", "out", *words]
    assert main([str(word) for word in command]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
