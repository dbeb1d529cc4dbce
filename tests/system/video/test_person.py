"""The running distribution of a face's coefficients."""

from __future__ import annotations

import numpy as np
import pytest
from twodasl.video.person import Person

SHAPES, ALL = 3, 5
STEP = 1 / 30


def _person():
    return Person(np.zeros(ALL), np.eye(ALL) * 2.0, SHAPES, np.ones(ALL))


def _watched(person, frames, information=4.0):
    widths = []
    for _ in range(frames):
        ahead = person.after(STEP)
        person = ahead.corrected(ahead.mean, np.eye(ALL) * information)
        widths.append(np.diag(np.linalg.inv(person.precision)))
    return person, np.array(widths)


def test_the_shape_gets_more_certain_and_not_without_end():
    person, widths = _watched(_person(), 300)
    shape = widths[:, :SHAPES]
    assert (np.diff(shape, axis=0) < 0).all()
    # The frames' errors are alike: all of them together are worth some frames, not three hundred.
    assert 1 / (4.0 * 300) < shape[-1, 0] < 1 / (4.0 * 5)
    assert person.frames == 301


def test_a_late_frame_moves_the_shape_less_and_the_expression_as_before():
    def moved(person):
        ahead = person.after(STEP)
        precision = ahead.precision + np.eye(ALL) * 4.0
        return np.linalg.solve(precision, 4.0 * np.ones(ALL))

    first, late = moved(_person()), moved(_watched(_person(), 100)[0])
    assert late[0] < 0.01
    assert first[0] > 0.5
    assert late[-1] > 5 * late[0]


def test_an_expression_fades_to_the_model_and_a_shape_stays():
    person = _person()
    person.mean[:] = 1.0
    later = person.after(1000.0)
    np.testing.assert_allclose(later.mean, [1, 1, 1, 0, 0], atol=1e-6)
    width = np.diag(np.linalg.inv(later.precision))[SHAPES:]
    np.testing.assert_allclose(width, 1.0, rtol=1e-6)  # the model's own spread


def test_a_lively_face_may_change_more():
    person = _watched(_person(), 50)[0]
    calm, lively = person.after(STEP), person.after(STEP, lively=True)
    face = slice(SHAPES, None)
    assert (np.diag(lively.precision)[face] < np.diag(calm.precision)[face]).all()
    np.testing.assert_allclose(np.diag(lively.precision)[:SHAPES], np.diag(calm.precision)[:SHAPES])


def test_what_the_network_says_counts_for_the_shape_alone():
    told = _person().told(np.ones(ALL), np.full(ALL, 2.0))
    np.testing.assert_allclose(told.mean, [0.5, 0.5, 0.5, 0, 0])
    np.testing.assert_allclose(np.diag(told.precision), [4, 4, 4, 2, 2])


@pytest.mark.parametrize(("change", "surprised"), [(0.02, False), (2.0, True)])
def test_a_sudden_smile_is_noticed(change, surprised):
    ahead = _watched(_person(), 50)[0].after(STEP)
    mean = ahead.mean + np.array([0, 0, 0, change, change])
    assert ahead.surprised(mean, np.eye(ALL) * 4.0) is surprised
