"""ARKit's 52 blend shapes: their names, what each moves on the embedded head, and weights there and back."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.morphable import (
    ARKIT_NAMES,
    arkit_shapes,
    arkit_weights,
    from_arkit,
    has_arkit_shapes,
    procedural_model,
    to_arkit,
)
from twodasl.morphable.arkit import mirror_name
from twodasl.morphable.arkit.names import ict_names
from twodasl.morphable.procedural.blendshapes.stored import SHIPPED, STEP, StoredShapes

HEAD = procedural_model()
SHAPES = arkit_shapes(HEAD)
SIZES = np.linalg.norm(SHAPES, axis=-1)
MARKS = HEAD.mean[HEAD.landmarks]
COUNT = len(HEAD.expression_modes)
SIDES = ("Left", "Right")
MOVING = [name for name in ARKIT_NAMES if name != "tongueOut"]


def shape(name: str) -> np.ndarray:
    return SHAPES[ARKIT_NAMES.index(name)]


def at(name: str, landmark: int) -> np.ndarray:
    """What a shape does to one of the 68 points."""
    return shape(name)[HEAD.landmarks[landmark]]


def test_the_names_are_complete() -> None:
    assert len(ARKIT_NAMES) == len(set(ARKIT_NAMES)) == 52
    assert {mirror_name(name) for name in ARKIT_NAMES} == set(ARKIT_NAMES)
    sided = [name for name in ARKIT_NAMES if mirror_name(name) != name]
    assert len(sided) == 40
    prefixes = {"eye": 14, "jaw": 4, "mouth": 23, "brow": 5, "cheek": 3, "nose": 2, "tongue": 1}
    assert {key: sum(name.startswith(key) for name in ARKIT_NAMES) for key in prefixes} == prefixes


def test_the_shapes_are_millimeters_of_the_head() -> None:
    assert SHAPES.shape == (52, *HEAD.mean.shape)
    assert SHAPES.dtype == np.float32
    for name, sizes in zip(ARKIT_NAMES, SIZES, strict=True):
        low, high = (0, 0) if name == "tongueOut" else (30, 40) if name == "jawOpen" else (2, 20)
        assert low * 0.9 <= sizes.max() <= high, name
    with pytest.raises(ValueError, match="read-only"):
        SHAPES[0, 0, 0] = 1


def test_left_and_right_are_mirror_images() -> None:
    mirror = StoredShapes.load(SHIPPED).mirror
    assert np.array_equal(HEAD.mean[mirror], HEAD.mean * [-1, 1, 1])
    for name in ARKIT_NAMES:
        assert np.array_equal(shape(name)[mirror] * [-1, 1, 1], shape(mirror_name(name))), name


@pytest.mark.parametrize("name", [name for name in ARKIT_NAMES if name.endswith("Left")])
def test_left_is_the_subjects_left(name: str) -> None:
    weight = (shape(name) ** 2).sum(1)
    if name in ("jawLeft", "mouthLeft"):  # the whole jaw, to the subject's left
        assert weight @ shape(name)[:, 0] > 0
        return
    assert weight[HEAD.mean[:, 0] > 0].sum() > 0.9 * weight.sum()
    assert np.all(weight[HEAD.mean[:, 0] < -12] == 0)


def test_each_shape_moves_its_own_part() -> None:
    """Beyond so many millimeters from the landmarks of its part, a shape moves nothing visible.

    The eye's outermost landmark is where the lids meet; their fold goes on for 4 mm.
    """
    eyes, mouth, brows = MARKS[36:48], MARKS[48:68], MARKS[17:27]
    lower = np.concatenate([MARKS[:17], mouth])
    parts = {"eye": (eyes, 54), "brow": (brows, 62), "mouthSmile": (mouth, 78), "mouth": (mouth, 70),
             "jaw": (lower, 65), "cheekSquint": (eyes, 62), "cheekPuff": (lower, 60),
             "noseSneer": (MARKS[27:36], 55)}  # fmt: skip
    for name in MOVING:
        places, reach = next(part for key, part in parts.items() if name.startswith(key))
        moved = np.linalg.norm(shape(name), axis=1) > 0.25
        away = np.linalg.norm(HEAD.mean[moved][:, None] - places, axis=-1).min(1)
        assert away.max() < reach, (name, away.max())


def test_parts_leave_each_other_alone() -> None:
    """Landmarks of the lower face under the shapes of eyes and brows, and the other way round."""
    for name in MOVING:
        moved = np.linalg.norm(shape(name)[HEAD.landmarks], axis=1)
        if name.startswith(("eye", "brow")):
            assert np.r_[moved[48:], moved[:17]].max() < 0.1, name
            assert moved[27:36].max() < 0.8, name  # the bridge follows the brows
        elif name.startswith(("jaw", "mouth")):
            assert moved[17:27].max() < 0.1, name
            assert moved[27:31].max() < 0.6, name
            # A smile lifts the lower lids.
            assert moved[36:48].max() < (1.0 if "Smile" in name else 0.1), name


def test_only_gaze_turns_the_eyeballs() -> None:
    used = procedural_eyeball()
    center = (HEAD.mean[used].min(0) + HEAD.mean[used].max(0)) / 2
    arm = HEAD.mean[used] - center
    for name in ARKIT_NAMES:
        field = shape(name)[used]
        if name.startswith("eyeLook") and name.endswith("Left"):
            # The turned ball is the same ball: a turn keeps all distances between its points.
            moved = arm + field
            pick = np.random.default_rng(0).integers(0, len(arm), (200, 2))
            before = np.linalg.norm(arm[pick[:, 0]] - arm[pick[:, 1]], axis=1)
            after = np.linalg.norm(moved[pick[:, 0]] - moved[pick[:, 1]], axis=1)
            assert np.abs(before - after).max() < 0.01, name
            assert np.linalg.norm(field, axis=1).max() > 4, name
        else:
            assert not field.any(), name
    iris = used[np.argmax(HEAD.mean[used, 2])]
    directions = {"Up": (1, 1), "Down": (1, -1), "In": (0, -1), "Out": (0, 1)}
    for way, (axis, sign) in directions.items():
        assert sign * shape(f"eyeLook{way}Left")[iris, axis] > 4, way


def procedural_eyeball() -> np.ndarray:
    """The vertices of the subject's left eyeball: a part of the mesh of its own, around the eye."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = np.concatenate([HEAD.triangles[:, :2], HEAD.triangles[:, 1:]])
    graph = coo_matrix((np.ones(len(ends)), ends.T), shape=(len(HEAD.mean),) * 2)
    part = connected_components(graph, directed=False)[1]
    parts = [np.flatnonzero(part == index) for index in range(part.max() + 1)]
    balls = [rows for rows in parts if len(rows) == 514 and HEAD.mean[rows, 0].min() > 0]
    assert len(balls) == 1
    return balls[0]


def test_shapes_do_what_their_names_say() -> None:
    """In millimeters at the landmarks (x the subject's left, y up, z forward)."""

    def gap(name: str) -> float:
        return float((at(name, 62) - at(name, 66))[1])

    assert gap("jawOpen") > 20
    assert at("jawOpen", 8)[1] < -15
    assert abs(gap("jawOpen") + gap("mouthClose")) < 1.5  # lips shut over an open jaw
    assert np.abs(at("mouthClose", 8)).max() < 0.1
    assert at("jawForward", 8)[2] > 8
    assert at("jawLeft", 8)[0] > 8
    assert gap("mouthFunnel") > 6
    assert abs(gap("mouthPucker")) < 0.6
    for name in ("mouthFunnel", "mouthPucker"):
        assert at(name, 54)[0] < -5, name
        assert at(name, 51)[2] > 4, name
    assert at("mouthLeft", 54)[0] > 7
    assert at("mouthLeft", 48)[0] > 7
    corner = {"mouthSmileLeft": (1, 1), "mouthFrownLeft": (1, -1), "mouthStretchLeft": (0, 1)}
    for name, (axis, sign) in corner.items():
        assert sign * at(name, 54)[axis] > 5, name
        assert np.abs(at(name, 48)).max() < 0.5, name
    assert at("mouthDimpleLeft", 54)[2] < -4
    # Rolled in, the red between border and contact becomes lower; pressed too.
    for name, border, contact, sign in (("mouthRollLower", 57, 66, 1), ("mouthRollUpper", 51, 62, -1)):
        assert sign * (at(name, border) - at(name, contact))[1] > 3, name
        assert at(name, contact)[2] < -5, name
    assert at("mouthPressLeft", 56)[1] > 1
    assert at("mouthShrugLower", 57)[2] > 4
    assert at("mouthShrugLower", 57)[1] > 2
    assert at("mouthShrugUpper", 51)[2] > 3
    assert at("mouthShrugUpper", 51)[1] > 2
    assert at("mouthLowerDownLeft", 56)[1] < -4
    assert at("mouthUpperUpLeft", 52)[1] > 4
    assert at("browDownLeft", 24)[1] < -4
    assert at("browOuterUpLeft", 25)[1] > 5
    assert at("browInnerUp", 22)[1] > 5
    assert at("browInnerUp", 21)[1] > 5
    assert at("browInnerUp", 26)[1] < 1
    upper, lower = [43, 44], [46, 47]
    lids = MARKS[upper].mean(0)[1] - MARKS[lower].mean(0)[1]

    def closing(name: str) -> float:
        return float(np.mean([at(name, k)[1] for k in lower]) - np.mean([at(name, k)[1] for k in upper]))

    assert closing("eyeBlinkLeft") > 0.95 * lids
    assert 2 < closing("eyeSquintLeft") < 0.7 * lids
    assert closing("eyeWideLeft") < -3
    assert at("noseSneerLeft", 35)[1] > 2.5


def test_a_single_shape_is_recovered() -> None:
    found = arkit_weights(HEAD, SHAPES)
    assert found.shape == (52, 52)
    assert found.dtype == np.float32
    for row, name in enumerate(ARKIT_NAMES):
        expected = 0 if name == "tongueOut" else 1
        # The ridge shares a little between shapes as alike as funnel and pucker.
        assert abs(found[row, row] - expected) < 0.04, name
        assert np.delete(found[row], row).max() < 0.04, name
    assert found.min() >= 0
    assert found.max() <= 1


def test_mixtures_are_recovered_there_and_back() -> None:
    rng = np.random.default_rng(0)
    weights = rng.uniform(size=(6, 52)) * (rng.uniform(size=(6, 52)) < 0.25)
    for name in ("jawRight", "mouthRight", "tongueOut"):  # of opposites only the difference shows
        weights[:, ARKIT_NAMES.index(name)] = 0
    for row in weights:
        named = dict(zip(ARKIT_NAMES, row, strict=True))
        moved = from_arkit(HEAD, named)
        assert moved.shape == HEAD.mean.shape
        assert moved.dtype == np.float32
        assert np.allclose(moved, from_arkit(HEAD, row))
        found = to_arkit(HEAD, moved)
        assert tuple(found) == ARKIT_NAMES
        assert np.abs(np.array(list(found.values())) - row).max() < 0.05


def test_weights_stay_between_0_and_1() -> None:
    for factor in (3.0, -1.0):
        found = to_arkit(HEAD, factor * shape("jawOpen"))
        assert min(found.values()) >= 0
        assert max(found.values()) <= 1
    assert to_arkit(HEAD, 3 * shape("browInnerUp"))["browInnerUp"] == 1
    assert max(to_arkit(HEAD, np.zeros(COUNT)).values()) == 0


def test_coefficients_give_nearly_what_their_displacement_gives() -> None:
    """The larger ridge on coefficients changes how similar shapes share a movement, not the movement."""
    rng = np.random.default_rng(1)
    coefficients = rng.normal(size=(2, COUNT)).astype(np.float32)
    moved = np.tensordot(coefficients, HEAD.expression_modes, 1)
    by_coefficients = arkit_weights(HEAD, coefficients)
    assert by_coefficients.shape == (2, 52)
    by_displacement = arkit_weights(HEAD, moved)
    for one, other, field in zip(by_coefficients, by_displacement, moved, strict=True):
        first, second = from_arkit(HEAD, one), from_arkit(HEAD, other)
        assert np.linalg.norm(first - second) < 0.3 * np.linalg.norm(field)
    face = SimpleNamespace(expression=coefficients[0])
    assert np.allclose(list(to_arkit(HEAD, face).values()), by_coefficients[0], atol=1e-4)


def test_the_heads_own_expressions_are_called_by_their_names() -> None:
    names = HEAD.mode_names[len(HEAD.shape_modes) :]

    def weights(mode: str, coefficient: float) -> dict[str, float]:
        return to_arkit(HEAD, coefficient * np.eye(COUNT)[names.index(mode)])

    assert weights("blink left", 3)["eyeBlinkLeft"] > 0.95 > 0.05 > weights("blink left", 3)["eyeBlinkRight"]
    assert weights("jaw open", 3)["jawOpen"] > 0.4
    assert min(weights("smile", 3)[f"mouthSmile{side}"] for side in ("Left", "Right")) > 0.9
    assert weights("pucker", 3)["mouthPucker"] > 0.6
    assert weights("brows up", 3)["browInnerUp"] > 0.6
    assert weights("brows up", -3)["browDownLeft"] > 0.6
    assert weights("cheeks", 3)["cheekPuff"] > 0.5
    parted = weights("lips parted", 3)
    assert min(parted[f"mouth{lip}{side}"] for lip in ("UpperUp", "LowerDown") for side in SIDES) > 0.4
    for mode in ("mouth sideways", "jaw sideways", "smile sideways"):
        name = "mouthSmile" if mode.startswith("smile") else mode.split()[0]
        for sign, side, other in ((3, *SIDES), (-3, *SIDES[::-1])):
            assert weights(mode, sign)[name + side] > 0.3 > 0.1 > weights(mode, sign)[name + other], mode


def test_a_head_with_fewer_modes_has_them_too() -> None:
    small = HEAD.truncated(3, 2)
    assert arkit_shapes(small) is SHAPES
    assert to_arkit(small, np.array([3.0, 0]))["jawOpen"] > 0.4


def named_model(rename=ict_names) -> object:
    """A model with one expression mode for each part of each shape, in another order."""
    parts = {part: field for name, field in zip(ARKIT_NAMES, SHAPES, strict=True) for part in rename(name)}
    names = sorted(parts)
    return replace(
        HEAD,
        name="other",
        mean=HEAD.mean + np.float32(1),
        shape_modes=HEAD.shape_modes[:1],
        expression_modes=np.stack([parts[name] for name in names]),
        coefficient_std=np.ones(1 + len(names), np.float32),
        mode_names=("wide", *names),
    )


def test_a_model_with_icts_names() -> None:
    model = named_model()
    assert {"browInnerUp_L", "mouthSmile_R", "jawLeft"} <= set(model.mode_names)
    found = arkit_shapes(model)
    for name, field, other in zip(ARKIT_NAMES, SHAPES, found, strict=True):
        # Of shapes that are whole there and in two halves here, both halves are the whole in this model.
        assert np.allclose(other, field * len(ict_names(name))), name
    own = named_model(lambda name: (name,))
    assert np.array_equal(arkit_shapes(own), SHAPES)
    # Its modes are the shapes: their coefficients are the weights.
    coefficients = np.array([0.5 * name.startswith("mouthSmile") for name in own.mode_names[1:]])
    found = to_arkit(own, coefficients)
    assert all(abs(value - 0.5 * name.startswith("mouthSmile")) < 0.02 for name, value in found.items())


def test_other_shapes_can_be_given() -> None:
    plain = replace(HEAD, mean=HEAD.mean + np.float32(1), mode_names=None)
    assert not has_arkit_shapes(plain)
    assert to_arkit(plain, shape("jawOpen"), shapes=SHAPES)["jawOpen"] > 0.95
    with pytest.raises(InputError, match=r"^shapes: expected \(52, 16782, 3\) millimeters, got shape"):
        to_arkit(plain, shape("jawOpen"), shapes=SHAPES[:3])


def test_mistakes_are_named() -> None:
    plain = replace(HEAD, name="mine", mean=HEAD.mean + np.float32(1), mode_names=None)
    with pytest.raises(
        InputError, match=r"^model: the face model 'mine' has no ARKit shapes; 'procedural' has"
    ):
        to_arkit(plain, np.zeros(COUNT))
    arrays = (np.zeros(9), np.zeros((2, 5)), np.zeros((2, COUNT)), np.full(COUNT, np.nan))
    for wrong in (*arrays, "smile", [1, [2]]):
        with pytest.raises(InputError, match=r"^expression: expected 15 finite expression coefficients or"):
            to_arkit(HEAD, wrong)
    with pytest.raises(InputError, match=r"^weights: expected names of ARKIT_NAMES, got 'jawopen'$"):
        from_arkit(HEAD, {"jawopen": 1})
    for wrong in (np.zeros(51), {"jawOpen": float("inf")}, {"jawOpen": "wide"}):
        with pytest.raises(InputError, match=r"^weights: expected \(52,\) finite weights"):
            from_arkit(HEAD, wrong)


def test_the_file_is_small_and_is_what_it_was(tmp_path) -> None:
    assert SHIPPED.stat().st_size < 300_000
    stored = StoredShapes.load(SHIPPED)
    stored.save(tmp_path / "again.npz")
    assert StoredShapes.load(tmp_path / "again.npz").largest_difference(stored) == 0
    assert np.array_equal(stored.fields(), SHAPES)
    name = "browInnerUp"
    other = StoredShapes(stored.steps | {name: stored.steps[name] + 1}, stored.mirror)
    assert other.largest_difference(stored) == STEP


def test_tensors_of_every_kind_are_taken_and_what_moves_no_face_is_refused():
    model = procedural_model()
    count = len(model.expression_modes)
    usual = to_arkit(model, np.ones(count))
    for given in (
        torch.ones(count, requires_grad=True),
        torch.ones(count, dtype=torch.bfloat16),
        torch.nn.Parameter(torch.ones(count)),
    ):
        assert to_arkit(model, given) == usual
    with pytest.raises(InputError, match=r"^expression: .*got 1e\+38, more than 1e\+06"):
        to_arkit(model, np.full(model.mean.shape, 1e38))
    with pytest.raises(InputError, match=r"^weights: .*got 1e\+300"):
        from_arkit(model, np.full(52, 1e300))
    for wrong in (to_arkit, arkit_weights, from_arkit):
        with pytest.raises(InputError, match=r"^model: expected a MorphableModel.*got 'procedural'"):
            wrong("procedural", np.zeros(52))


def test_a_head_without_expressions_has_weights_of_displacements():
    model = procedural_model()
    plain = model.truncated(1, 0)
    assert set(to_arkit(plain, []).values()) == {0}
    open_jaw = from_arkit(model, {"jawOpen": 1})
    assert to_arkit(plain, open_jaw) == to_arkit(model, open_jaw)
