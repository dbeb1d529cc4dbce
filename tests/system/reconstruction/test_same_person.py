"""One person from several photos: one shape, and which photos contradict the others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.parameters import join_parameters
from twodasl.geometry.pose import pose_matrix
from twodasl.geometry.projection import crop_landmarks
from twodasl.morphable import load_model
from twodasl.reconstruction.face_input import FaceInput
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.training.priors import FitPriors

from ..oracle import BOX, Oracle, checkpoint, in_photo, moved, noisy, outlined, photo

COUNT, SHAPES = 6, 40
# Of a network that errs by two pixels and three degrees, and as much as people differ.
MEASURED = FitPriors((0.05, 0.05, 0.05), (0.03, 0.03, 0.03), (2.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def head():
    return load_model("procedural")


def faces_of(head, shape_seed, expression_seed, special=1.0):
    """(COUNT, 12+K) parameters of one person in several poses with several expressions.

    special: times how far the shape is from the mean; negative: the other way.
    """
    spread = torch.from_numpy(head.coefficient_std)
    yaw = torch.linspace(-0.6, 0.6, COUNT)
    angles = torch.stack([torch.linspace(0.2, -0.2, COUNT), yaw, torch.full((COUNT,), -0.05)], dim=1)
    pose = pose_matrix(torch.full((COUNT,), 0.42), angles, torch.tensor([60.0, 62.0, 0.0]).expand(COUNT, 3))
    one = torch.randn(SHAPES, generator=torch.Generator().manual_seed(shape_seed)).expand(COUNT, -1)
    rest = torch.Generator().manual_seed(expression_seed)
    expression = torch.randn(COUNT, len(spread) - SHAPES, generator=rest)
    return join_parameters(pose, torch.cat([special * one, expression], dim=1) * spread)


@pytest.fixture(scope="module")
def truth(head):
    return faces_of(head, 3, 4)


@pytest.fixture(scope="module")
def stranger(head):
    return faces_of(head, 3, 6, -2.0)


def points_of(head, parameters):
    """(COUNT, 68, 2) crop pixels."""
    return crop_landmarks(head.basis(), parameters)[..., :2]


@pytest.fixture(scope="module")
def made(tmp_path_factory, head):
    folder = tmp_path_factory.mktemp("oracles")

    def make(oracle, *, fit=True):
        points = 0 if oracle.points is None else 68
        found = FaceReconstructor(checkpoint(folder, head, points), head, fit=fit, once=True)
        found.network.regressor = oracle
        if fit:
            found._fit.priors = MEASURED
        return found

    return make


def inputs(marks=None, rows=range(COUNT)):
    return [FaceInput.given(photo(i), None if marks is None else in_photo(marks[i]), BOX) for i in rows]


def blank(truth):
    """What a network says that knows the pose and nothing of the face."""
    known = truth.clone()
    known[:, 12:] = 0
    return known


def off(head, shape, truth):
    """Root mean square of the shape's error in the model's standard deviations."""
    missed = (shape - truth[0, 12 : 12 + SHAPES].numpy()) / head.coefficient_std[:SHAPES]
    return float(np.sqrt((missed**2).mean()))


@pytest.mark.parametrize("given", [True, False])
def test_the_shape_is_one_and_better_than_that_of_any_photo(made, head, truth, given):
    marks = points_of(head, truth)
    oracle = Oracle(blank(truth), blank(truth), noisy(marks, 1.0), sigma=1.0)
    reconstruct = made(oracle)
    faces = inputs(noisy(outlined(head.basis(), truth), 0.5, 1) if given else None)
    person = reconstruct.same_person(faces)
    for face in person.faces:
        np.testing.assert_array_equal(face.shape, person.shape)
        np.testing.assert_array_equal(face.parameters[12 : 12 + SHAPES], person.shape)
    assert person.contradicts == person.left_out == (False,) * COUNT
    single = [off(head, face.shape, truth) for face in reconstruct.reconstruct(faces)]
    # Without landmarks one photo may be as good by chance; which one, nobody knows.
    assert off(head, person.shape, truth) < (min(single) if given else 0.95 * np.mean(single))


def test_each_photo_keeps_its_pose_and_expression(made, head, truth):
    marks = points_of(head, truth)
    reconstruct = made(Oracle(blank(truth), blank(truth), marks, sigma=0.5))
    person = reconstruct.same_person(inputs())
    for face, single, parameters in zip(person.faces, reconstruct.reconstruct(inputs()), truth, strict=True):
        expected = crop_landmarks(head.basis(), parameters[None])[0, 17:, :2].numpy()
        found = face.crop.to_crop(face.landmarks[17:, :2])
        assert np.linalg.norm(found - expected, axis=1).mean() < 0.6
        assert np.abs(np.subtract(face.angles, single.angles)).max() < 6
    expressions = np.stack([face.expression for face in person.faces])
    assert np.ptp(expressions, axis=0).max() > 0.5 * head.coefficient_std[SHAPES:].max()


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("given", [True, False])
def test_one_photo_gives_what_it_gives_alone(made, head, truth, own, given):
    marks = points_of(head, truth)
    reconstruct = made(Oracle(moved(truth, 2.0), moved(truth, 2.0), noisy(marks, 1.0) if own else None))
    faces = inputs(noisy(outlined(head.basis(), truth), 0.5, 1) if given else None, [2])
    person, (alone,) = reconstruct.same_person(faces), reconstruct.reconstruct(faces)
    np.testing.assert_array_equal(person.faces[0].parameters, alone.parameters)
    np.testing.assert_array_equal(person.faces[0].vertices, alone.vertices)
    assert person.contradicts == person.left_out == (False,)


def test_order_and_batches_do_not_matter_and_runs_repeat(made, head, truth):
    marks = points_of(head, truth)
    reconstruct = made(Oracle(blank(truth), blank(truth), noisy(marks, 1.0), sigma=1.0))
    faces = inputs(noisy(outlined(head.basis(), truth), 0.5, 1))
    person, again = reconstruct.same_person(faces), reconstruct.same_person(faces)
    np.testing.assert_array_equal(person.shape, again.shape)
    order = [4, 1, 5, 0, 3, 2]
    other = reconstruct.same_person([faces[i] for i in order], batch_size=4)
    spread = head.coefficient_std[:SHAPES]
    np.testing.assert_allclose(other.shape / spread, person.shape / spread, atol=2e-3)
    for place, index in enumerate(order):
        np.testing.assert_allclose(other.faces[place].vertices, person.faces[index].vertices, atol=2e-2)


def test_a_stranger_is_named_and_has_no_say(made, head, truth, stranger):
    marks = outlined(head.basis(), truth)
    marks[3] = outlined(head.basis(), stranger)[3]
    reconstruct = made(Oracle(blank(truth), blank(truth)))
    faces = inputs(noisy(marks, 0.3, 1))
    person = reconstruct.same_person(faces)
    assert person.contradicts == person.left_out == tuple(i == 3 for i in range(COUNT))
    without = reconstruct.same_person([face for i, face in enumerate(faces) if i != 3])
    np.testing.assert_allclose(person.shape, without.shape, atol=2e-3 * head.coefficient_std.max())
    np.testing.assert_array_equal(person.faces[3].shape, person.shape)


def test_two_photos_that_contradict_each_other_are_both_named(made, head, truth, stranger):
    marks = outlined(head.basis(), truth)
    marks[3] = outlined(head.basis(), stranger)[3]
    person = made(Oracle(blank(truth), blank(truth))).same_person(inputs(noisy(marks, 0.3, 1), [0, 3]))
    assert person.contradicts == (True, True)
    assert person.left_out == (False, False)


def test_most_photos_keep_their_say_however_many_people_they_show(made, head, truth):
    marks = torch.stack([outlined(head.basis(), faces_of(head, 10 + i, 4, 2.0))[i] for i in range(COUNT)])
    person = made(Oracle(blank(truth), blank(truth))).same_person(inputs(noisy(marks, 0.3, 1)))
    assert sum(person.contradicts) > COUNT // 2
    assert sum(person.left_out) == (COUNT - 1) // 2
    assert all(face.vertices.shape == (len(head.mean), 3) for face in person.faces)


def test_without_points_of_any_kind_the_shape_is_the_networks_mean(made, truth, stranger):
    said = truth.clone()
    said[1:3] = stranger[1:3]
    reconstruct = made(Oracle(said, said))
    person = reconstruct.same_person(inputs(), refinements=0)
    np.testing.assert_allclose(person.shape, said[:, 12 : 12 + SHAPES].mean(0).numpy(), atol=1e-6)
    for face, parameters in zip(person.faces, said, strict=True):
        np.testing.assert_array_equal(face.parameters[:12], parameters[:12].numpy())
        np.testing.assert_array_equal(face.expression, parameters[12 + SHAPES :].numpy())
    assert not any(person.contradicts)


def test_photos_with_and_without_landmarks(made, head, truth):
    """Those without keep pose and expression as the network says them, and take the shape."""
    marks = outlined(head.basis(), truth)
    reconstruct = made(Oracle(blank(truth), blank(truth)))
    faces = [*inputs(noisy(marks, 0.3, 1), [0, 1, 2]), *inputs(None, [3])]
    person = reconstruct.same_person(faces, refinements=0)
    np.testing.assert_array_equal(person.faces[3].shape, person.shape)
    np.testing.assert_array_equal(person.faces[3].parameters[:12], blank(truth)[3, :12].numpy())
    assert off(head, person.shape, truth) < 0.9
    assert not any(person.contradicts)


def test_many_photos(made, head, truth):
    """More than are compared one by one."""
    marks = outlined(head.basis(), truth)
    reconstruct = made(Oracle(blank(truth), blank(truth)))
    faces = [face for seed in range(4) for face in inputs(noisy(marks, 0.5, seed))]
    person = reconstruct.same_person(faces)
    assert len(person.faces) == 4 * COUNT
    assert not any(person.contradicts)
    few = reconstruct.same_person(faces[:COUNT])
    assert off(head, person.shape, truth) < off(head, few.shape, truth)


def test_the_neutral_face_has_no_expression(made, head, truth):
    marks = points_of(head, truth)
    person = made(Oracle(truth, truth, marks)).same_person(inputs())
    rest = np.zeros(len(head.coefficient_std) - SHAPES, np.float32)
    np.testing.assert_array_equal(person.neutral(head), head.shape(np.concatenate([person.shape, rest])))


def test_bad_inputs(made, truth):
    oracle = Oracle(truth, truth)
    with pytest.raises(InputError, match="faces: expected at least one photo of the person, got none"):
        made(oracle).same_person([])
    with pytest.raises(InputError, match="faces: expected a list of FaceInput"):
        made(oracle).same_person([photo(0)])
    with pytest.raises(InputError, match="same_person: one shape for all photos takes the fit"):
        made(oracle, fit=False).same_person(inputs())
    with pytest.raises(InputError, match="batch_size"):
        made(oracle).same_person(inputs(), batch_size=0)
