"""The embedded model's modes and colors: each does what its name says and tears nothing."""

import numpy as np
import pytest
from twodasl.morphable import MorphableModel, procedural_model
from twodasl.morphable.procedural.head import mean_head

ASYMMETRIC = {"uneven sides"} | {
    f"{part} sideways" for part in ("chin", "nose", "smile", "mouth", "jaw", "brows")
}
BLINKS = {"blink left", "blink right"}
SIGMAS = 3.0


@pytest.fixture(scope="module")
def model():
    return procedural_model()


@pytest.fixture(scope="module")
def head():
    return mean_head()


def mode(model, name):
    return model.modes[model.mode_names.index(name)].astype(np.float64)


def marks(model, name=None, amount=0.0):
    """The 68 landmarks (68, 3), moved along a mode."""
    points = model.mean[model.landmarks].astype(np.float64)
    return points if name is None else points + amount * mode(model, name)[model.landmarks]


def mirrored(head, field):
    return field[head.mirror] * [-1, 1, 1]


def normals(points, triangles):
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)


def test_counts_names_and_spread(model):
    assert model is procedural_model()
    assert model.counts[1:] == (40, 15)
    assert 10_000 <= model.counts[0] <= 25_000
    assert len(set(model.mode_names)) == 55
    assert len(set(model.albedo_names)) == len(model.albedo_std) >= 8
    assert (model.coefficient_std == 1).all()
    assert model.mean[model.named_landmarks["ear_left"], 0] < -50  # the image's left
    assert model.mean[model.named_landmarks["ear_right"], 0] > 50


def test_it_survives_a_file(model, tmp_path):
    model.save(tmp_path / "head.npz")
    again = MorphableModel.load(tmp_path / "head.npz")
    assert again.identity == model.identity
    assert again.mode_names == model.mode_names
    np.testing.assert_array_equal(again.albedo_modes, model.albedo_modes)


def test_modes_are_symmetric_where_they_should_be(model, head):
    for name in set(model.mode_names) - BLINKS:
        field = mode(model, name)
        sign = -1 if name in ASYMMETRIC else 1
        assert np.abs(field - sign * mirrored(head, field)).max() < 1e-4, name
    np.testing.assert_allclose(
        mirrored(head, mode(model, "blink left")), mode(model, "blink right"), atol=1e-5
    )


def test_modes_are_smooth(model, head):
    """Neighboring vertices move alike: strain below a half at one sigma, but for lips parting and lids."""
    hidden = (
        head.regions["mouth_interior"] + head.regions["eye_socket_left"] + head.regions["eye_socket_right"]
    )
    edges = np.concatenate([model.triangles[:, pair] for pair in ([0, 1], [1, 2], [2, 0])])
    edges = edges[(hidden[edges] < 0.5).all(1)]
    length = np.linalg.norm(model.mean[edges[:, 0]] - model.mean[edges[:, 1]], axis=1)
    for name in model.mode_names:
        field = mode(model, name)
        strain = np.linalg.norm(field[edges[:, 0]] - field[edges[:, 1]], axis=1) / np.maximum(length, 0.5)
        if name in BLINKS or name in ("jaw open", "lips parted"):
            assert strain.max() < 1.2, name
        else:
            assert strain.max() < 0.5, name


def test_no_mode_turns_the_skin_inside_out(model, head):
    """At +-3 sigma hardly a visible triangle turns over: a handful at the seams of ears and lips."""
    hidden = (
        head.regions["mouth_interior"] + head.regions["eye_socket_left"] + head.regions["eye_socket_right"]
    )
    visible = model.triangles[(hidden[model.triangles] < 0.5).any(1)]
    before = normals(model.mean, visible)
    for name in model.mode_names:
        for sign in (-1, 1):
            after = normals(model.mean + sign * SIGMAS * mode(model, name), visible)
            assert ((before * after).sum(1) < 0).sum() <= 30, (name, sign)


def test_modes_differ_from_one_another(model):
    flat = model.modes.reshape(len(model.modes), -1).astype(np.float64)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    likeness = np.abs(flat @ flat.T - np.eye(len(flat)))
    assert likeness.max() < 0.9
    assert np.median(likeness) < 0.15


@pytest.mark.parametrize("side", ["left", "right"])
def test_eyeballs_stay_spheres(model, head, side):
    """In every mode an eyeball is moved, turned or scaled as a whole."""
    ball = head.regions[f"eyeball_{side}"] > 0.5
    before = model.mean[ball].astype(np.float64)
    before -= before.mean(0)
    for name in model.mode_names:
        after = before + SIGMAS * mode(model, name)[ball]
        after -= after.mean(0)
        radii = np.linalg.norm(after, axis=1) / np.linalg.norm(before, axis=1)
        assert np.ptp(radii) < 0.01, name


def lid_clearance(model, head, points, side):
    """Millimeters between the skin before an eye and the eyeball's sphere (its cornea left aside)."""
    ball = points[head.regions[f"eyeball_{side}"] > 0.5]
    center = ball[np.argmin(ball[:, 2])] / 2 + ball[np.argmax(ball[:, 2])] / 2
    radius = np.median(np.linalg.norm(ball - center, axis=1))
    skin = points[head.regions["skin"] > 0.5] - center
    skin = skin[(skin[:, 2] > 0) & (np.abs(skin[:, 0]) < 24)]
    return np.linalg.norm(skin, axis=1).min() - radius


def test_the_eyeball_never_shows_through_the_lids(model, head):
    for name in model.mode_names:
        for amount in (-3, -1.5, 1, 2, 3):
            points = model.mean + amount * mode(model, name)
            for side in ("left", "right"):
                assert lid_clearance(model, head, points, side) > 0, (name, amount, side)


def test_random_people_keep_their_eyes_behind_their_lids(model, head):
    rng = np.random.default_rng(0)
    for _ in range(20):
        coefficients = rng.normal(size=55) * model.coefficient_std
        points = model.shape(coefficients).astype(np.float64)
        assert lid_clearance(model, head, points, "left") > -0.5


@pytest.mark.parametrize(("name", "upper", "lower", "other"), [
    ("blink left", (43, 44), (47, 46), (37, 41)),
    ("blink right", (37, 38), (41, 40), (43, 47)),
])  # fmt: skip
def test_blinks_shut_one_eye(model, name, upper, lower, other):
    open_, shut = marks(model), marks(model, name, SIGMAS)
    for top, bottom in zip(upper, lower, strict=True):
        assert open_[top, 1] - open_[bottom, 1] > 6
        assert shut[top, 1] - shut[bottom, 1] < 0.4
    assert shut[other[0], 1] - shut[other[1], 1] == pytest.approx(open_[other[0], 1] - open_[other[1], 1])
    half = marks(model, name, SIGMAS / 2)
    assert half[upper[0], 1] - half[lower[0], 1] > 2


def test_the_jaw_opens_the_mouth(model, head):
    closed, opened = marks(model), marks(model, "jaw open", SIGMAS)
    assert closed[62, 1] - closed[66, 1] < 2
    assert opened[62, 1] - opened[66, 1] > 9
    assert opened[8, 1] < closed[8, 1] - 6  # the chin drops
    assert np.linalg.norm(opened[51] - closed[51]) < 1.5  # the upper lip stays
    assert np.abs(opened[17:48] - closed[17:48]).max() < 1  # and so do brows, nose, eyes
    crown = model.mean[:, 1] > closed[:, 1].max() + 20
    assert np.abs(mode(model, "jaw open")[crown]).max() < 1e-3


def test_lips_part_without_the_jaw(model):
    """What a smile that shows teeth does; and the other way they press on each other."""
    closed, parted, pressed = (marks(model, "lips parted", amount) for amount in (0, SIGMAS, -1))
    for top, bottom in ((61, 67), (62, 66), (63, 65)):
        assert parted[top, 1] - parted[bottom, 1] > 7
        assert pressed[top, 1] < closed[top, 1] + 0.1
    assert np.abs(parted[:17] - closed[:17]).max() < 1.5  # jaw and chin stay
    assert np.abs(parted[[48, 54]] - closed[[48, 54]]).max() < 1.5  # and the corners
    height = [p[51, 1] - p[57, 1] for p in (pressed, closed)]
    assert height[0] < height[1] - 1.5  # less of their red shows


@pytest.mark.parametrize(("name", "left", "right", "axis"), [
    ("smile sideways", 54, 48, 1), ("brows sideways", 24, 19, 1), ("mouth sideways", 54, 48, 0),
    ("jaw sideways", 8, 8, 0),
])  # fmt: skip
def test_what_goes_sideways(model, name, left, right, axis):
    """Up on the subject's left and down on the right, or both to the left."""
    moved = marks(model, name, SIGMAS) - marks(model)
    assert moved[left, axis] > 2
    expected = moved[left, axis] * (1 if axis == 0 else -1)
    assert moved[right, axis] == pytest.approx(expected, rel=0.2)


# Mode -> what grows with it: a function of the landmarks.
MEASURES = {
    "face length": lambda p: p[27, 1] - p[8, 1],
    "face width": lambda p: p[15, 0] - p[1, 0],
    "nose length": lambda p: p[27, 1] - p[33, 1],
    "nose width": lambda p: p[35, 0] - p[31, 0],
    "nose protrusion": lambda p: p[30, 2] - p[27, 2],
    "nose tip turn": lambda p: p[30, 1] - p[33, 1],
    "nose sideways": lambda p: p[30, 0] - p[27, 0],
    "bridge height": lambda p: p[28, 2] - p[30, 2],
    "mouth width": lambda p: p[54, 0] - p[48, 0],
    "mouth protrusion": lambda p: p[51, 2] - p[27, 2],
    "upper lip": lambda p: p[51, 1] - p[62, 1],
    "lower lip": lambda p: p[66, 1] - p[57, 1],
    "philtrum length": lambda p: p[33, 1] - p[51, 1],
    "chin height": lambda p: p[57, 1] - p[8, 1],
    "chin protrusion": lambda p: p[8, 2],
    "chin width": lambda p: p[10, 0] - p[6, 0],
    "chin sideways": lambda p: p[8, 0],
    "jaw width": lambda p: p[12, 0] - p[4, 0],
    "eye spacing": lambda p: p[42, 0] - p[39, 0],
    "eye depth": lambda p: p[27, 2] - p[42:48, 2].mean(),
    "eye size": lambda p: (p[45, 0] - p[42, 0]) * (p[43, 1] - p[47, 1]),
    "eye tilt": lambda p: p[45, 1] - p[42, 1],
    "eye opening": lambda p: p[43, 1] - p[47, 1],
    "brow ridge": lambda p: p[19, 2] + p[24, 2],
    "midface depth": lambda p: p[33, 2],
    "smile": lambda p: p[54, 0] - p[48, 0] + 2 * (p[54, 1] - p[57, 1]),
    "frown": lambda p: p[57, 1] - p[54, 1],
    "pucker": lambda p: p[48, 0] - p[54, 0] + p[51, 2],
    "brows up": lambda p: p[17:27, 1].mean(),
    "squint": lambda p: p[47, 1] - p[43, 1],
    "sneer": lambda p: p[50, 1] + p[35, 1],
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_mode_moves_what_its_name_says(model, name):
    measure = MEASURES[name]
    low, mean, high = (measure(marks(model, name, amount)) for amount in (-SIGMAS, 0, SIGMAS))
    assert low < mean < high
    scale = np.ptp([low, high])
    assert scale > 1.0  # millimeters: a person sees it


def test_the_spread_is_that_of_adults(model):
    """Standard deviations of landmark distances over random people, against anthropometry, within 40 %."""
    expected = {
        (27, 8): 6.0,
        (27, 33): 3.3,
        (48, 54): 3.5,
        (39, 42): 2.5,
        (31, 35): 2.5,
        (36, 45): 3.5,
        (66, 8): 4.0,
    }
    modes = model.shape_modes[:, model.landmarks].astype(np.float64)
    for (first, second), std in expected.items():
        along = marks(model)[first] - marks(model)[second]
        along /= np.linalg.norm(along)
        found = np.sqrt((((modes[:, first] - modes[:, second]) @ along) ** 2).sum())
        assert std / 1.4 < found < std * 1.4, (first, second)


def test_ears_move_as_a_whole(model, head):
    """Brushes on the face do not tear an ear: within it, displacements follow one affine motion."""
    ear = head.regions["ear_left"] > 0.5
    design = np.column_stack([np.ones(ear.sum()), model.mean[ear]])
    for name in ("face width", "head width", "jaw width", "jaw angle", "cheekbones"):
        field = mode(model, name)[ear]
        rest = field - design @ np.linalg.lstsq(design, field, rcond=None)[0]
        assert np.sqrt((rest**2).mean()) < 0.25, name


def brightness(colors, where):
    return colors[where].mean()


def test_colors_are_colors(model, head):
    assert model.albedo_mean.min() >= 0
    assert model.albedo_mean.max() <= 1
    forehead = head.regions["forehead"] > 0.5
    tone = np.zeros(len(model.albedo_std))
    shades = []
    for amount in (-3, -1, 0, 1, 3):
        tone[model.albedo_names.index("skin tone")] = amount
        shades.append(brightness(model.albedo(tone), forehead))
    assert np.all(np.diff(shades) > 0.05)
    assert shades[0] < 0.35 < 0.75 < shades[-1]


def test_eyes_and_lips_are_told_from_skin(model, head):
    colors = model.albedo_mean
    ball = head.regions["eyeball_left"] > 0.5
    assert brightness(colors, ball) > 0.4
    assert colors[ball].min() < 0.1  # the pupil
    lips = (head.regions["lip_upper"] + head.regions["lip_lower"]) > 0.8
    skin = colors[head.regions["chin"] > 0.5].mean(0)
    redness = colors[lips].mean(0) / colors[lips].mean()
    assert redness[0] > 1.1 * skin[0] / skin.mean()
    brows = head.regions["brows"] > 0.7
    assert brightness(colors, brows) < 0.75 * brightness(colors, head.regions["forehead"] > 0.5)


def test_color_modes_stay_in_their_place(model, head):
    moved = np.abs(model.albedo_modes).max(2)
    names = model.albedo_names
    ball = (head.regions["eyeball_left"] + head.regions["eyeball_right"]) > 0.5
    assert moved[names.index("iris color"), ~ball].max() == 0
    assert moved[names.index("skin tone"), ball].max() < 1e-6
    scalp = head.regions["scalp"] > 0.9
    assert moved[names.index("hair color"), scalp].mean() > 0.03
    assert moved[names.index("hair color"), head.regions["chin"] > 0.5].max() < 1e-6
