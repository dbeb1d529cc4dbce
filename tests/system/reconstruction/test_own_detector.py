"""A detector from the user's own file: RetinaFace and YuNet are known by their outputs."""

from __future__ import annotations

import numpy as np
import pytest
from twodasl.cli import main
from twodasl.errors import InputError
from twodasl.io.images import read_image
from twodasl.reconstruction.detect import chosen_faces, find_faces, load_detector
from twodasl.reconstruction.detectors import onnx_network
from twodasl.reconstruction.detectors.retinaface import RetinaFaceDetector
from twodasl.reconstruction.detectors.yunet import OUTPUTS, YuNetDetector

COLUMNS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}


@pytest.fixture(scope="module")
def network():
    weights = pytest.importorskip("retinaface.weights")
    return weights.WEIGHTS


class Answers:
    """Stands in for a network: it gives what it is told to, and keeps what it was given."""

    source, size = "made up", None

    def __init__(self, answer, outputs=()):
        self.answer, self.outputs, self.seen = answer, list(outputs), []

    def __call__(self, image):
        self.seen.append(image)
        return self.answer(image.shape[3], image.shape[2])


def test_a_file_of_retinaface(network, photo_path, tmp_path):
    file = tmp_path / "mine.onnx"
    file.write_bytes(network)
    detector = load_detector(file)
    assert isinstance(detector, RetinaFaceDetector)
    photo = read_image(photo_path)
    (face,), (expected,) = find_faces(photo, detector), find_faces(photo, "retinaface")
    assert face.detector == "mine.onnx"
    assert face.crop == expected.crop


class Answer:
    """A detector that returns what it was made with."""

    name, sure = "answer", None

    def __init__(self, found):
        self._found = found

    def __call__(self, image):
        return self._found


@pytest.mark.parametrize("found", [None, [1], "no", {"a": 1}])
def test_an_answer_that_is_no_list_of_detections(found):
    image = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(InputError, match="detector: expected answer to return a list of Detections, got"):
        find_faces(image, Answer(found))
    assert find_faces(image, Answer([])) == []
    with pytest.raises(InputError, match=r"detector: expected a name, what load_detector gives, or a Det"):
        find_faces(image, lambda image: [])
    with pytest.raises(InputError, match="faces: expected"):
        chosen_faces([], np.array([1, 2]))


def test_what_is_no_detector_is_one_sentence(network, tmp_path, photo_path, ball_checkpoint, capsys):
    file = tmp_path / "broken.onnx"
    for content in (b"", b"\x08\x06", b"\x00" * 100, b"<html>no</html>", network[: len(network) // 2]):
        file.write_bytes(content)
        with pytest.raises(
            InputError, match=r"broken\.onnx: is not a face detector in ONNX's format"
        ) as caught:
            load_detector(file)
        assert "\n" not in str(caught.value)
    words = [
        "reconstruct",
        photo_path,
        "-c",
        ball_checkpoint,
        "--detector-model",
        file,
        "-o",
        tmp_path / "out",
    ]
    assert main([str(word) for word in words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match=r"none\.onnx: cannot be read .*; expected an ONNX file"):
        load_detector(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="a folder"):
        load_detector(tmp_path)


def test_outputs_of_another_network(tmp_path, network, monkeypatch):
    file = tmp_path / "other.onnx"
    file.write_bytes(network)
    session = onnx_network.OnnxNetwork

    class Other(session):
        def __init__(self, content, source):
            super().__init__(content, source)
            self.outputs = self.outputs[:2]

    monkeypatch.setattr("twodasl.reconstruction.detectors.own_model.OnnxNetwork", Other)
    with pytest.raises(InputError, match=r"other\.onnx: expected the outputs of RetinaFace or YuNet, got 2"):
        load_detector(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda loc, conf, marks: (loc[:, :-1], conf, marks), "expected RetinaFace's outputs"),
        (lambda loc, conf, marks: (loc, conf + 3, marks), "expected scores from 0 to 1"),
        (lambda loc, conf, marks: (loc, conf * np.nan, marks), "expected scores from 0 to 1"),
        (lambda loc, conf, marks: (loc * np.inf, conf, marks), "answers NaN or infinity"),
    ],
)
def test_answers_that_cannot_be_retinafaces(change, message):
    def answer(width, height):
        count = sum(2 * (width // stride) * (height // stride) for stride in (8, 16, 32))
        parts = [np.ones((1, count, columns), np.float32) for columns in (4, 2, 10)]
        return list(change(*parts))

    with pytest.raises(InputError, match=f"^made up: {message}"):
        RetinaFaceDetector(Answers(answer))(np.zeros((64, 64, 3), np.uint8))


BOX = [0.5, 0.5, np.log(6), np.log(7)]
CELL = np.array([10, 8])
POINTS = np.array([[-1.5, -1.5], [1.5, -1.5], [0, 0], [-1, 2], [1, 2]], np.float32)


def _yunet(width, height):
    """YuNet's answer with one face in the cell (10, 8) of its grid of 16 pixels."""
    given = []
    for name in sorted(OUTPUTS):
        kind, step = name.split("_")
        values = np.zeros((height // int(step), width // int(step), COLUMNS[kind]), np.float32)
        if step == "16":
            values[CELL[1], CELL[0]] = {"cls": 0.9, "obj": 0.9, "bbox": BOX, "kps": POINTS.ravel()}[kind]
        given.append(values.reshape(1, -1, COLUMNS[kind]))
    return given


def test_yunet_is_decoded_as_opencv_does():
    """The points are offsets from their cell, in units of its side."""
    answer = Answers(_yunet, sorted(OUTPUTS))
    [face] = YuNetDetector(answer)(np.full((320, 320, 3), 7, np.uint8))
    np.testing.assert_allclose(face.five, (POINTS + CELL) * 16 - 0.5, atol=1e-4)
    assert face.score == pytest.approx(0.9)
    assert answer.seen[0].shape == (1, 3, 320, 320)
    assert answer.seen[0].max() == 7


def test_yunets_outputs_have_their_shapes():
    short = Answers(lambda *size: [part[..., :3] for part in _yunet(*size)], sorted(OUTPUTS))
    with pytest.raises(InputError, match=r"expected YuNet's output bbox_8 of shape"):
        YuNetDetector(short)(np.zeros((320, 320, 3), np.uint8))


def test_a_network_of_one_size_sees_the_whole_photo():
    answer = Answers(_yunet, sorted(OUTPUTS))
    answer.size = (640, 640)
    [face] = YuNetDetector(answer)(np.full((160, 320, 3), 7, np.uint8))
    assert answer.seen[0].shape == (1, 3, 640, 640)
    assert answer.seen[0][0, 0, 319, 0] == 7
    assert answer.seen[0][0, 0, 320, 0] == 0
    np.testing.assert_allclose(face.five, (POINTS + CELL) * 8 - 0.5, atol=1e-4)
