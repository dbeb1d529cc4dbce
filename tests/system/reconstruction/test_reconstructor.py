"""FaceReconstructor: coordinates, what the network sees, batches, and arguments that do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.crops import crop_from_landmarks, flip_y
from twodasl.io.images import read_image
from twodasl.landmarks import eighteen_from_68
from twodasl.morphable import matrix_from_angles
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import BLIND_REFINEMENTS, FaceReconstructor

BOX = (140.0, 40.0, 320.0, 220.0)


@pytest.fixture(scope="module")
def photo(photo_path):
    return read_image(photo_path)


@pytest.fixture
def steady(ball_checkpoint):
    """Answers with the same centered face whatever it sees."""
    return FaceReconstructor(ball_checkpoint, fit=False, once=True)


@pytest.fixture
def lively(lively_checkpoint):
    return FaceReconstructor(lively_checkpoint, fit=False)


class Recorder(torch.nn.Module):
    """Stands in for a network: keeps what it sees and answers what it is told."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.seen = answer, []

    def forward(self, batch):
        self.seen.append(batch.clone())
        return self.answer.expand(len(batch), -1)


def _record(reconstructor, parameters=None):
    mean, std = reconstructor.network.whitening.mean, reconstructor.network.whitening.std
    answer = torch.zeros(len(mean)) if parameters is None else (parameters - mean) / std
    reconstructor.network.regressor = Recorder(answer)
    return reconstructor.network.regressor


def test_vertices_land_where_the_parameters_say(steady, ball_model, photo):
    """A pose and coefficients chosen here, put through the crop by hand in float64."""
    angles = np.radians([10.0, -25.0, 5.0])
    rotation = matrix_from_angles(*map(float, angles)).double().numpy()
    pose = np.hstack([0.5 * rotation, [[58.0], [63.0], [-7.0]]])
    coefficients = np.array([1.5, -0.5, 2.0])
    _record(steady, torch.from_numpy(np.r_[pose.ravel(), coefficients]).float())
    face = steady(photo, box=BOX, refinements=0)

    shape = ball_model.mean + np.tensordot(coefficients, ball_model.modes.astype(float), 1)
    crop = 0.5 * shape @ rotation.T + [58.0, 63.0, -7.0]
    step = 180 / 120
    expected = np.stack(
        [BOX[0] + step * crop[:, 0], BOX[1] + step * (121 - crop[:, 1]), step * crop[:, 2]], 1
    )
    # float32 of numbers up to 300
    np.testing.assert_allclose(face.vertices, expected, atol=2e-3)
    np.testing.assert_allclose(face.landmarks, expected[ball_model.landmarks], atol=2e-3)
    np.testing.assert_allclose(face.angles, [10, -25, 5], atol=1e-4)
    assert face.scale == pytest.approx(0.5 * step, rel=1e-5)
    np.testing.assert_allclose(face.translation, [BOX[0] + step * 58, BOX[1] + step * (121 - 63)], atol=1e-4)
    np.testing.assert_allclose(np.r_[face.shape, face.expression], coefficients, atol=1e-5)
    np.testing.assert_allclose(face.upright(512)[:, 1], 511 - expected[:, 1], atol=2e-3)


def test_the_network_sees_crop_and_landmark_map(steady, photo, photo68):
    network = _record(steady)
    face = steady(photo, photo68)
    crop = crop_from_landmarks(photo68)
    assert face.crop == crop
    assert len(network.seen) == 1
    seen = network.seen[0][0].numpy()
    np.testing.assert_array_equal(seen[:3], (crop.image(photo).transpose(2, 0, 1) - 127.5) / 128)
    columns, rows = np.floor(eighteen_from_68(crop.to_crop(photo68))).astype(int).T
    expected = np.full((120, 120), -1.0)
    expected[rows, columns] = 1
    np.testing.assert_array_equal(seen[3], expected)


def test_without_landmarks_the_networks_own_come_back(steady, ball_model, photo):
    network = _record(steady)
    face = steady(photo, box=BOX)
    assert len(network.seen) == 1 + BLIND_REFINEMENTS
    assert (network.seen[0][0, 3] == -1).all()
    columns, rows = np.floor(eighteen_from_68(face.crop.to_crop(face.landmarks[:, :2]))).astype(int).T
    assert (network.seen[1][0, 3].numpy()[rows, columns] == 1).all()
    assert int((network.seen[1][0, 3] == 1).sum()) == len(set(zip(rows, columns, strict=True)))


def test_box_and_landmarks_together(steady, photo, photo68):
    """The box is the crop, the landmarks are the map."""
    network = _record(steady)
    assert steady(photo, photo68, BOX).crop.box == BOX
    assert len(network.seen) == 1
    assert (network.seen[0][0, 3] == 1).sum() > 10


def test_a_long_box_is_made_square(steady, photo):
    assert steady(photo, box=(100, 50, 200, 90)).crop.box == (100, 20, 200, 120)


def test_recrop_follows_the_landmarks(steady, photo):
    fixed = steady(photo, box=BOX)
    moved = steady(photo, box=BOX, recrop=True)
    assert fixed.crop.box == BOX
    wanted = crop_from_landmarks(steady(photo, box=BOX, refinements=0).landmarks)
    once = steady(photo, box=BOX, recrop=True, refinements=1).crop
    np.testing.assert_allclose(once.box, wanted.box, atol=1e-3)
    assert moved.crop != fixed.crop


def test_recrop_refuses_a_wild_jump(steady, photo):
    """Landmarks far from the box, as of a network that has learned nothing, do not carry the crop away."""
    parameters = steady.network.whitening.mean.clone()
    parameters[3] = 400.0
    _record(steady, parameters)
    assert steady(photo, box=BOX, recrop=True).crop.box == BOX


def test_batch_equals_one_by_one(lively, photo, photo68):
    marks = [photo68, None, photo68, None, None]
    boxes = [None, BOX, BOX, (150, 50, 290, 190), BOX]
    together = lively.batch([photo] * 5, marks, boxes, batch_size=3)
    for face, points, box in zip(together, marks, boxes, strict=True):
        alone = lively(photo, points, box)
        assert face.crop == alone.crop
        # Convolutions of another batch size add in another order.
        np.testing.assert_allclose(face.parameters, alone.parameters, atol=1e-3)
        np.testing.assert_allclose(face.vertices, alone.vertices, atol=1e-2)


def test_landmarks_change_the_answer(lively, photo, photo68):
    with_map = lively(photo, photo68, BOX)
    without = lively(photo, None, BOX, refinements=0)
    assert np.abs(with_map.vertices - without.vertices).max() > 0.05


def test_a_crop_beyond_the_border(steady, photo):
    face = steady(photo, box=(-60, -60, 100, 100))
    assert np.isfinite(face.vertices).all()


def test_a_given_model_is_taken_and_a_wrong_one_refused(ball_checkpoint, ball_model, ball_path, other_model):
    assert FaceReconstructor(ball_checkpoint, ball_model).model is ball_model
    assert FaceReconstructor(ball_checkpoint, ball_path).model.identity == ball_model.identity
    with pytest.raises(InputError) as caught:
        FaceReconstructor(ball_checkpoint, other_model)
    for word in (str(ball_checkpoint), "'ball'", "'wide'", ball_model.identity[:12]):
        assert word in str(caught.value)


def test_a_device_that_is_not_there(ball_checkpoint):
    with pytest.raises(InputError, match=r"device: expected cpu.*got 'nonsense'"):
        FaceReconstructor(ball_checkpoint, device="nonsense")


def test_a_network_that_gives_nan_is_named(steady, ball_checkpoint, photo):
    _record(steady, steady.network.whitening.mean * torch.nan)
    with pytest.raises(InputError, match="NaN or infinity") as caught:
        steady(photo, box=BOX)
    assert str(ball_checkpoint) in str(caught.value)


BAD = {
    "neither": (None, None, "landmarks, box: "),
    "67 points": (np.zeros((67, 2)), None, r"landmarks: .* \(67, 2\)"),
    "3D points": (np.zeros((68, 3)), None, r"landmarks: .* \(68, 3\)"),
    "text": ("photo.pts", None, "landmarks: expected"),
    "nan": (
        np.where(np.arange(136).reshape(68, 2) == 7, np.nan, 100.0),
        None,
        "landmarks: .* 1 points with NaN",
    ),
    "one place": (np.full((68, 2), 100.0), None, "landmarks: .* spread over a face"),
    "elsewhere": (np.random.default_rng(0).uniform(600, 900, (68, 2)), None, "landmarks: 68 of the 68"),
    "empty box": (None, (100, 100, 100, 200), "box: expected x0 < x1"),
    "turned box": (None, (200, 200, 100, 100), "box: expected x0 < x1"),
    "nan box": (None, (np.nan, 0, 100, 100), "box: expected four finite"),
    "infinite box": (None, (0, 0, np.inf, 100), "box: expected four finite"),
    "three numbers": (None, (0, 0, 100), "box: expected four numbers"),
    "one number": (None, 5, "box: expected four numbers"),
    "words": (None, ["a", "b", "c", "d"], "box: expected four numbers"),
    "numbers beyond any": (None, (0, 0, 10**400, 1), "box: expected four numbers"),
    "complex numbers": (np.zeros((68, 2), complex), None, "landmarks: expected "),
    "outside": (None, (512, 0, 700, 188), "box: lies outside the 512x512 image"),
    "left of it": (None, (-200, 0, 0, 200), "box: lies outside the 512x512 image"),
    "tiny": (None, (100, 100, 104, 104), "box: expected a side of at least"),
    "huge": (None, (-1e6, -1e6, 1e6, 1e6), "box: expected a box of the 512x512 image's size"),
}


@pytest.mark.parametrize("kind", BAD)
def test_arguments_that_do_not_fit(steady, photo, kind):
    landmarks, box, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        steady(photo, landmarks, box)


def test_images_that_do_not_fit(steady, photo68):
    with pytest.raises(InputError, match="image: expected"):
        steady(np.zeros((512, 512)), photo68)
    with pytest.raises(InputError, match="image: is 20x20"):
        steady(np.zeros((20, 20, 3), np.uint8), photo68)
    with pytest.raises(ValueError, match="one entry for each of 2 images"):
        steady.batch([np.zeros((64, 64, 3), np.uint8)] * 2, [photo68])


@pytest.mark.parametrize("wrong", [5, 1.5, b"x", ["a"], True])
def test_a_checkpoint_or_model_that_is_no_path_is_named(ball_checkpoint, wrong):
    with pytest.raises(
        InputError, match=r"^checkpoint: expected a checkpoint file, as a str or os.PathLike, got "
    ):
        FaceReconstructor(wrong)
    with pytest.raises(InputError, match=r"^model: expected a face model, .* got "):
        FaceReconstructor(ball_checkpoint, model=wrong)
    with pytest.raises(InputError, match=r"^device: expected "):
        FaceReconstructor(ball_checkpoint, device=[wrong])


WRONG = {"number": 5, "text": "x", "bytes": b"x", "dict": {}, "iterator": iter([])}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_lists_of_the_wrong_kind_are_named(steady, photo, wrong):
    with pytest.raises(InputError, match=r"^images: expected a list of images, got "):
        steady.batch(wrong)
    for name in ("landmarks", "boxes"):
        with pytest.raises(
            InputError, match=rf"^{name}: expected a list, one entry for each of 1 images, got "
        ):
            steady.batch([photo], **{name: wrong})
    with pytest.raises(
        InputError, match=r"^images: expected a list of images, got a value of type NoneType|got None"
    ):
        steady.batch(None)
    for call in (steady, FaceInput.given):
        with pytest.raises(InputError, match=r"^recrop: expected True or False, got "):
            call(photo, box=BOX, recrop=wrong)
    for faces in (wrong, [wrong], [photo]):
        with pytest.raises(InputError, match=r"^faces: expected a list of FaceInput, got "):
            steady.reconstruct(faces)


def test_colors_are_of_a_photo_and_a_reconstruction(steady, photo):
    face = steady(photo, box=BOX)
    with pytest.raises(InputError, match=r"^image: expected \(H, W, 3\) uint8 BGR, got "):
        steady.colors("photo.jpg", face)
    with pytest.raises(InputError, match=r"^face: expected a Reconstruction, got "):
        steady.colors(photo, face.vertices)


def test_the_flip_is_its_own_inverse():
    assert flip_y(flip_y(np.array([17.25]))) == 17.25


@pytest.mark.parametrize("name", ["refinements", "batch_size"])
@pytest.mark.parametrize("value", [-1, 1.5, "x"])
def test_counts_that_are_none_are_refused(steady, photo, name, value):
    with pytest.raises(InputError, match=f"^{name}: expected a whole number from "):
        steady.batch([photo], boxes=[BOX], **{name: value})


def test_numpys_numbers_and_lists_count(steady, photo, photo68):
    face = steady(photo, box=BOX, refinements=1)
    again = steady.batch([photo], boxes=np.array([BOX]), refinements=np.int64(1), batch_size=np.int64(1))[0]
    assert np.array_equal(face.vertices, again.vertices)
    assert np.array_equal(steady(photo, photo68.tolist()).vertices, steady(photo, photo68).vertices)
