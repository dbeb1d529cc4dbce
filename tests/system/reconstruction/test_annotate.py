"""Annotating photos: which points are fitted to, what is left out, and what a face hides of itself."""

import numpy as np
import pytest
import torch
from twodasl.datasets.photos.sources import open_photos
from twodasl.datasets.report import MostlyBroken
from twodasl.errors import InputError
from twodasl.geometry.crops import SIZE
from twodasl.geometry.parameters import Whitening, join_parameters
from twodasl.geometry.pose import decompose_pose, pose_matrix
from twodasl.geometry.projection import crop_landmarks
from twodasl.landmarks import eighteen_from_68
from twodasl.morphable import load_model
from twodasl.reconstruction.annotate import annotate, crops
from twodasl.reconstruction.annotator import NO_FACE, Annotator
from twodasl.reconstruction.face_network import FaceNetwork
from twodasl.reconstruction.fit_quality import Limits
from twodasl.reconstruction.self_occlusion import visible_landmarks
from twodasl.synthetic import SyntheticFaces, SyntheticOptions

from ..datasets.test_mesh478 import write_set
from ..photo_sets import write_aflw


class Answers(torch.nn.Module):
    """A network that gives prepared answers, one row a crop, and remembers what it was shown."""

    def __init__(self, rows):
        super().__init__()
        self.rows, self.shown = rows, None

    def forward(self, inputs):
        self.shown = inputs
        return self.rows[: len(inputs)]


def network(model, rows, sees_landmarks=True):
    """A `FaceNetwork` with these answers (B, 12+K+...)."""
    made = FaceNetwork.__new__(FaceNetwork)
    size = 12 + len(model.coefficient_std)
    made.checkpoint, made.device, made.model, made.basis = "c.pt", torch.device("cpu"), model, model.basis()
    made.whitening = Whitening(torch.zeros(size), torch.ones(size))
    made.regressor, made.sees_landmarks = Answers(rows), sees_landmarks
    made.has_points, made._once = rows.shape[1] > size, True
    return made


@pytest.fixture(scope="module")
def head():
    return load_model("procedural")


@pytest.fixture(scope="module")
def rendered(head):
    """Synthetic faces, and a network's answers: the truth with some noise."""
    # To 45 degrees of yaw: on profiles, the outline is far from the landmarks of the hidden jaw.
    drawn = SyntheticFaces(head, 40, 5, SyntheticOptions(wide_mouths=0, shut_eyes=0)).batch(range(40))
    samples = [sample for sample in drawn if abs(sample["yaw"]) < 0.8][:10]
    truth = torch.stack([sample["parameters"] for sample in samples])
    draw = torch.Generator().manual_seed(1)
    pose = truth[:, :12].reshape(-1, 3, 4)
    scale, angles, place = decompose_pose(pose)
    turned = angles + 0.05 * torch.randn(10, 3, generator=draw)
    moved = place + torch.tensor([2.0, 1.0, 0.0])
    coefficients = truth[:, 12:] + 0.7 * torch.randn(10, truth.shape[1] - 12, generator=draw)
    answers = join_parameters(pose_matrix(1.03 * scale, turned, moved), coefficients)
    images = torch.stack([sample["image"] for sample in samples])
    return images, truth, answers


@pytest.mark.parametrize("count", [68, 18])
def test_rendered_faces_are_found_again(head, rendered, count):
    images, truth, answers = rendered
    basis = head.basis()
    marks = crop_landmarks(basis, truth)[..., :2]
    eighteen = eighteen_from_68(marks)
    annotator = Annotator(network(head, answers))
    found = annotator(images, eighteen, marks if count == 68 else eighteen)
    assert found.reasons == [""] * 10
    before, after = (
        (crop_landmarks(basis, part)[..., :2] - marks)[:, 17:].norm(dim=-1).mean()
        for part in (answers, found.parameters)
    )
    # Within a pixel, the standard deviation of a point, where the network is off by more than two.
    assert after < 1 < 2 < before
    # The network was shown the points.
    assert (annotator.network.regressor.shown[:, 3] == 1).sum() > 150


def test_the_own_points_of_a_network_are_a_second_source(head, rendered):
    images, truth, answers = rendered
    marks = crop_landmarks(head.basis(), truth)[..., :2]
    places = ((marks - 59.5) / 30).flatten(1)
    nothing = torch.full((10, 68), -2.0)
    few = eighteen_from_68(marks)
    few[:, 3:] = torch.nan
    errors = []
    for rows in (answers, torch.cat([answers, places, nothing], 1)):
        found = Annotator(network(head, rows), limits=Limits(turn=180))(images, few, few)
        errors.append((crop_landmarks(head.basis(), found.parameters)[..., :2] - marks).norm(dim=-1).mean())
    assert errors[1] < 0.5 < 2 < errors[0]


def test_a_network_that_never_saw_landmarks_is_shown_none(head, rendered):
    images, truth, answers = rendered
    eighteen = eighteen_from_68(crop_landmarks(head.basis(), truth)[..., :2])
    annotator = Annotator(network(head, answers, sees_landmarks=False))
    assert annotator(images, eighteen, eighteen).reasons == [""] * 10
    assert (annotator.network.regressor.shown[:, 3] == -1).all()


def test_bad_faces_have_a_reason_and_do_not_change_the_others(head, rendered):
    images, truth, answers = rendered
    marks = crop_landmarks(head.basis(), truth)[..., :2]
    eighteen = eighteen_from_68(marks)
    good = Annotator(network(head, answers))(images, eighteen, marks)
    rows, points = answers.clone(), marks.clone()
    rows[0, :12] = 0  # no face
    points[1] = torch.nan  # nothing to fit to
    points[2] = points[2].flip(0)  # the points of no face
    points[3] += 100  # elsewhere
    found = Annotator(network(head, rows))(images, eighteen, points)
    assert found.reasons[0] == NO_FACE
    assert found.reasons[1] == "it has no points to fit to"
    assert "misses its points" in found.reasons[2]
    assert found.reasons[3] == "the fitted face lies outside the crop"
    assert found.reasons[4:] == [""] * 6
    assert torch.equal(found.parameters[4:], good.parameters[4:])
    rows[5] = torch.nan
    with pytest.raises(InputError, match=r"c\.pt: its network gives NaN or infinity"):
        Annotator(network(head, rows))(images, eighteen, points)


@pytest.fixture
def annotator(ball_checkpoint):
    return Annotator(FaceNetwork(ball_checkpoint, None, torch.device("cpu")), limits=Limits(residual=6.0))


def test_a_data_set_is_annotated_in_order(tmp_path, photo68, annotator):
    write_aflw(tmp_path / "set", photo68, 7)
    (tmp_path / "set/images/image00002.jpg").write_bytes(b"nothing")
    photos = open_photos("aflw", tmp_path / "set", cache=tmp_path / "cache", progress=False)
    whole = annotate(photos, annotator, progress=False)
    assert whole.rows == list(range(6))
    assert whole.faces.names == tuple(photos.name(index) for index in range(6))
    assert whole.report.lines()[0] == "6 photos kept, 1 left out:"
    assert whole.faces.parameters.shape == (6, 15)
    assert whole.faces.visible.shape == (6, 68)
    assert whole.faces.visible.dtype == bool
    # The dots are photos' of one face that moves a pixel to the right and up from each to the next.
    steps = np.diff(whole.faces.landmarks[:, 30, :2], axis=0)
    np.testing.assert_allclose(steps.mean(0), [1.2, -1.2], atol=0.4)
    for size in (1, 4):
        again = annotate(photos, annotator, batch_size=size, progress=False)
        np.testing.assert_allclose(again.faces.parameters, whole.faces.parameters, rtol=0, atol=1e-3)
    images = list(crops(photos, whole.rows, progress=False))
    assert [image.shape for image in images] == [(SIZE, SIZE, 3)] * 6


def test_what_is_left_out_is_counted(tmp_path, photo68, ball_checkpoint):
    write_aflw(tmp_path / "set", photo68, 6)
    photos = open_photos("aflw", tmp_path / "set", cache=tmp_path / "cache", progress=False)
    strict = Annotator(FaceNetwork(ball_checkpoint, None, torch.device("cpu")), limits=Limits(residual=0.0))
    with pytest.raises(MostlyBroken, match=r"6 of 6 photos cannot be used, .* misses its points"):
        annotate(photos, strict, progress=False)


def test_faces_with_68_points_are_fitted_to_them_among_others(tmp_path, photo68, annotator):
    def change(mesh, five):
        mesh[1] = np.nan

    write_set(tmp_path / "set", photo68, change)
    photos = open_photos("mesh478", tmp_path / "set", cache=tmp_path / "cache", progress=False)
    assert [len(photos.fit_points(index)) for index in range(3)] == [68, 18, 68]
    assert np.isfinite(photos.fit_points(1)).all(1).sum() == 5
    found = annotate(photos, annotator, progress=False)
    assert found.rows == [0, 1, 2]
    # The first and the last show the same face in the same place of the crop.
    np.testing.assert_allclose(found.faces.landmarks[0], found.faces.landmarks[2], atol=0.5)


def test_a_face_hides_its_far_side(head):
    basis, triangles = head.basis(), torch.from_numpy(head.triangles)
    angles = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.2, 0.0], [0.0, -1.2, 0.0]])
    place = torch.tensor([60.0, 60.0, 0.0]).expand(3, 3)
    pose = pose_matrix(torch.full((3,), 0.42), angles, place)
    parameters = join_parameters(pose, torch.zeros(3, basis.mode_count))
    visible = visible_landmarks(basis, triangles, parameters)
    assert visible[0, 17:].all()
    left, right = [*range(36, 40)], [*range(42, 46)]
    # A positive yaw turns the nose to the picture's left: what is on the left is then hidden.
    assert not visible[1, left[0]]
    assert visible[1, right].all()
    assert not visible[2, right[-1]]
    assert visible[2, left].all()
    parameters[:, 3] += 200
    assert not visible_landmarks(basis, triangles, parameters).any()
