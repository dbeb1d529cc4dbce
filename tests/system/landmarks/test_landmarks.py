"""Landmark schemes against their published indices, and landmark maps against a plain loop."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from twodasl.landmarks import (
    CONNECTIONS_18,
    CONNECTIONS_68,
    EIGHTEEN_NAMES,
    EIGHTEEN_WEIGHTS,
    FLIP_18,
    FLIP_21,
    FLIP_68,
    GROUPS_68,
    NAMES_68,
    TWENTY_ONE_NAMES,
    TWENTY_ONE_WEIGHTS,
    eighteen_from_21,
    eighteen_from_68,
    flip_landmarks,
    landmark_map,
    twenty_one_from_68,
)

PUBLISHED_18 = [17, 19, 21, 22, 24, 26, 36, (37, 40), 39, 42, (43, 46), 45, 31, 30, 35, 48, (62, 66), 54]


def drawn_by_loop(points: np.ndarray, size: int, visible: np.ndarray | None = None, clamp: bool = False):
    """The landmark map's definition, a point at a time."""
    result = -np.ones((len(points), 1, size, size), np.float32)
    for b in range(len(points)):
        for i, (x, y) in enumerate(points[b]):
            if not (math.isfinite(x) and math.isfinite(y)) or (visible is not None and not visible[b, i]):
                continue
            column, row = math.floor(x), math.floor(y)
            if clamp:
                column, row = min(max(column, 0), size - 1), min(max(row, 0), size - 1)
            if 0 <= column < size and 0 <= row < size:
                result[b, 0, row, column] = 1
    return result


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_eighteen_points_are_the_published_ones(kind):
    points = np.random.default_rng(0).normal(size=(2, 5, 68, 3))
    expected = np.stack(
        [points[..., i, :].mean(-2) if isinstance(i, tuple) else points[..., i, :] for i in PUBLISHED_18], -2
    )
    given_points = torch.from_numpy(points) if kind == "torch" else points
    result = eighteen_from_68(given_points)
    assert type(result) is type(given_points)
    np.testing.assert_allclose(np.asarray(result), expected, rtol=0, atol=0)


def test_mouth_center_of_the_paper_is_between_the_corners():
    points = np.random.default_rng(1).normal(size=(68, 2))
    inner, corners = eighteen_from_68(points), eighteen_from_68(points, mouth="corners")
    np.testing.assert_array_equal(corners[16], (points[48] + points[54]) / 2)
    np.testing.assert_array_equal(np.delete(corners, 16, 0), np.delete(inner, 16, 0))
    with pytest.raises(ValueError, match="mouth: expected 'inner-lips' or 'corners'"):
        eighteen_from_68(points, mouth="lips")


def test_gradient_of_a_center_reaches_both_of_its_points():
    points = torch.zeros(68, 2, requires_grad=True)
    eighteen_from_68(points)[16].sum().backward()
    assert points.grad is not None
    assert points.grad[62].tolist() == points.grad[66].tolist() == [0.5, 0.5]
    assert points.grad.sum() == 2


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_twenty_one_points_hold_eighteen_and_chin_and_no_ears(kind):
    points = np.random.default_rng(2).normal(size=(4, 68, 2))
    result = twenty_one_from_68(torch.from_numpy(points) if kind == "torch" else points)
    array = np.asarray(result)
    assert array.shape == (4, 21, 2)
    assert [TWENTY_ONE_NAMES[i] for i in np.flatnonzero(np.isnan(array).any((0, 2)))] == [
        "ear_left",
        "ear_right",
    ]
    np.testing.assert_array_equal(array[:, 20], points[:, 8])
    np.testing.assert_array_equal(np.asarray(eighteen_from_21(result)), eighteen_from_68(points))


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_twenty_one_points_take_ears_that_are_known(kind):
    points, ears = np.random.default_rng(2).normal(size=(4, 68, 2)), np.array([[[1.0, 2], [3, 4]]] * 4)
    given = (torch.from_numpy(points), torch.from_numpy(ears)) if kind == "torch" else (points, ears)
    result = np.asarray(twenty_one_from_68(given[0], ears=given[1]))
    by_name = dict(zip(TWENTY_ONE_NAMES, result[0].tolist(), strict=True))
    assert by_name["ear_left"] == [1, 2]
    assert by_name["ear_right"] == [3, 4]
    np.testing.assert_array_equal(eighteen_from_21(result), eighteen_from_68(points))


def test_twenty_one_points_have_a_finite_gradient():
    points = torch.randn(68, 2, requires_grad=True)
    twenty_one_from_68(points).nan_to_num().sum().backward()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()


def test_names_groups_and_connections_are_complete():
    assert sorted(i for group in GROUPS_68.values() for i in group) == list(range(68))
    assert len(set(NAMES_68)) == 68
    assert len(set(EIGHTEEN_NAMES)) == 18
    assert len(set(TWENTY_ONE_NAMES)) == 21
    assert TWENTY_ONE_NAMES[12:17] == ("ear_left", "nose_left", "nose_tip", "nose_right", "ear_right")
    assert {i for edge in CONNECTIONS_68 for i in edge} == set(range(68))
    assert (41, 36) in CONNECTIONS_68  # the eye is closed
    assert (16, 0) not in CONNECTIONS_68  # the contour is not
    assert len(CONNECTIONS_68) == 68 - 5  # five open lines: contour, brows, nose bridge, nose base
    assert len(CONNECTIONS_18) == 12


def test_weights_are_four_two_one():
    by_name = dict(zip(EIGHTEEN_NAMES, EIGHTEEN_WEIGHTS.tolist(), strict=True))
    assert {name for name, w in by_name.items() if w == 4} == {"nose_tip", "mouth_center"}
    assert {name for name, w in by_name.items() if w == 2} == {
        "eye_left_center", "eye_right_center", "mouth_left", "mouth_right",
    }  # fmt: skip
    assert sorted(set(by_name.values())) == [1, 2, 4]
    assert torch.equal(eighteen_from_21(TWENTY_ONE_WEIGHTS[:, None])[:, 0], EIGHTEEN_WEIGHTS)
    assert TWENTY_ONE_WEIGHTS[[12, 16, 20]].tolist() == [1, 1, 1]


@pytest.mark.parametrize(("flip", "count"), [(FLIP_68, 68), (FLIP_21, 21), (FLIP_18, 18)])
def test_flip_is_an_involution_on_all_points(flip, count):
    assert sorted(flip) == list(range(count))
    assert [flip[i] for i in flip] == list(range(count))


def test_flip_keeps_lines_and_swaps_sides():
    edges = {frozenset(edge) for edge in CONNECTIONS_68}
    assert {frozenset((FLIP_68[a], FLIP_68[b])) for a, b in CONNECTIONS_68} == edges
    middle = [i for i in range(68) if FLIP_68[i] == i]
    assert middle == [8, 27, 28, 29, 30, 33, 51, 57, 62, 66]
    # Mirror then choose 18, or choose 18 then mirror: the same but for the eye centers' diagonals.
    points = np.random.default_rng(3).uniform(0, 120, (68, 2))
    first = eighteen_from_68(flip_landmarks(points, 120))
    second = flip_landmarks(eighteen_from_68(points), 120)
    same = [i for i, name in enumerate(EIGHTEEN_NAMES) if name not in ("eye_left_center", "eye_right_center")]
    np.testing.assert_allclose(first[same], second[same], rtol=0, atol=1e-12)


@pytest.mark.parametrize("count", [68, 21, 18])
def test_flip_landmarks_twice_is_the_identity(count):
    points = torch.rand(2, count, 3, dtype=torch.float64) * 120
    flipped = flip_landmarks(points, 120)
    assert flipped[0, FLIP_68.index(0) if count == 68 else 5, 0] == 119 - points[0, 0, 0]
    torch.testing.assert_close(flip_landmarks(flipped, 120), points, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(flip_landmarks(points.numpy(), 120), flipped.numpy())


@pytest.mark.parametrize("call", [eighteen_from_68, twenty_one_from_68, eighteen_from_21])
def test_another_number_of_points_is_named(call):
    with pytest.raises(ValueError, match=r"points: expected \(\.\.\., (68|21), D\), got \(67, 2\)"):
        call(np.zeros((67, 2)))


coordinates = st.one_of(
    st.floats(-5, 25), st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([-0.5, 0, 15.999, 16])
)


@settings(max_examples=200, deadline=None)
@given(
    points=hnp.arrays(
        np.float64, st.tuples(st.integers(0, 3), st.integers(0, 18), st.just(2)), elements=coordinates
    ),
    seed=st.integers(0, 9),
    clamp=st.booleans(),
)
def test_map_is_the_loop_for_any_coordinates(points, seed, clamp):
    visible = np.random.default_rng(seed).random(points.shape[:2]) < 0.7
    outside = "clamp" if clamp else "drop"
    result = landmark_map(torch.from_numpy(points), 16, torch.from_numpy(visible), outside=outside)
    np.testing.assert_array_equal(result.numpy(), drawn_by_loop(points, 16, visible, clamp))
    assert result.dtype == torch.float32
    everything = landmark_map(torch.from_numpy(points), 16, outside=outside)
    np.testing.assert_array_equal(everything.numpy(), drawn_by_loop(points, 16, None, clamp))


def test_points_outside_never_wrap_to_the_other_side():
    outside = torch.tensor([[[-0.01, 5.0], [120.0, 5.0], [5.0, -1.0], [5.0, 120.0], [math.nan, 5.0]]])
    assert (landmark_map(outside) == -1).all()
    clamped = (landmark_map(outside, outside="clamp")[0, 0] == 1).nonzero().tolist()
    assert clamped == [[0, 5], [5, 0], [5, 119], [119, 5]]


def test_map_of_integer_half_and_float_points_is_the_same():
    points = torch.tensor([[[3, 4], [119, 0], [120, 7]]])
    expected = landmark_map(points.double())
    assert expected.sum() == -120 * 120 + 2 * 2
    for dtype in (torch.int64, torch.uint8, torch.float16, torch.bfloat16, torch.float32):
        torch.testing.assert_close(landmark_map(points.to(dtype)), expected, rtol=0, atol=0)


def test_map_has_no_gradient_and_leaves_points_alone():
    points = torch.full((1, 18, 2), 7.5, requires_grad=True)
    result = landmark_map(points)
    assert not result.requires_grad
    assert (points == 7.5).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"points": torch.zeros(18, 2)}, r"points: expected \(B, L, 2\), got \(18, 2\)"),
        ({"points": torch.zeros(1, 18, 3)}, r"points: expected \(B, L, 2\)"),
        ({"points": torch.zeros(1, 18, 2), "visible": torch.ones(1, 17)}, r"visible: expected \(1, 18\)"),
        ({"points": torch.zeros(1, 18, 2), "outside": "wrap"}, "outside: expected 'drop' or 'clamp'"),
        ({"points": torch.zeros(1, 18, 2), "size": 0}, "size: expected a positive"),
    ],
)
def test_map_names_the_argument_that_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        landmark_map(**arguments)


def test_map_and_schemes_compile_whole():
    def both(points: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        return landmark_map(eighteen_from_68(points), 24, visible)

    points, visible = torch.rand(3, 68, 2) * 30 - 3, torch.rand(3, 18) < 0.5
    compiled = torch.compile(both, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(points, visible), both(points, visible), rtol=0, atol=0)


@pytest.mark.slow
def test_map_compiles_with_the_default_backend():
    points = torch.rand(3, 18, 2) * 30 - 3
    compiled = torch.compile(landmark_map, fullgraph=True)
    torch.testing.assert_close(compiled(points, 24), landmark_map(points, 24), rtol=0, atol=0)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_map_on_the_gpu_is_that_of_the_cpu():
    points = torch.rand(4, 18, 2) * 140 - 10
    result = landmark_map(points.cuda())
    assert result.is_cuda
    torch.testing.assert_close(result.cpu(), landmark_map(points), rtol=0, atol=0)
