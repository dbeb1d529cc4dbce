"""GLB files, read back by a parser of their own; and judged by the Khronos Group's validator where it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.meshes.glb import write_glb
from twodasl.meshes.glb_head import HeadMotion, HeadPose
from twodasl.meshes.normals import normal_changes, vertex_normals

from ..glb_files import Glb
from ..outside import glb_reports, validator_needed

HALF = float(np.sqrt(0.5))
TURNED = (0.0, HALF, 0.0, HALF)  # by 90 degrees about y


def sphere(rows=12, columns=18):
    """A closed surface of 0.1 m, its texture coordinates, and its triangles."""
    polar, around = np.meshgrid(
        np.linspace(0.2, np.pi - 0.2, rows), np.arange(columns) * 2 * np.pi / columns, indexing="ij"
    )
    unit = np.stack([np.sin(polar) * np.sin(around), np.cos(polar), np.sin(polar) * np.cos(around)], -1)
    ring = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = ring[:-1], ring[1:], np.roll(ring[1:], -1, 1), np.roll(ring[:-1], -1, 1)
    triangles = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    uv = np.stack([around / (2 * np.pi), 1 - polar / np.pi], -1).reshape(-1, 2)
    return 0.1 * unit.reshape(-1, 3), triangles, uv


POINTS, TRIANGLES, UV = sphere()
LOCAL = np.where(POINTS[:, 1:2] > 0.08, [0.0, 0.01, 0.0], 0.0)
WHOLE = 0.2 * POINTS
TARGETS = {"brow": LOCAL, "puff": WHOLE, "nothing": np.zeros_like(POINTS)}


def written(path, *arguments, **options):
    write_glb(path, *arguments, **options)
    return Glb(path.read_bytes())


def test_a_mesh_comes_back(tmp_path):
    glb = written(tmp_path / "m.glb", POINTS, TRIANGLES)
    np.testing.assert_array_equal(glb.attribute("POSITION"), np.float32(POINTS))
    np.testing.assert_array_equal(glb.triangles, TRIANGLES)
    np.testing.assert_allclose(glb.attribute("NORMAL"), vertex_normals(POINTS, TRIANGLES), atol=1e-6)
    outward = np.einsum("nc,nc->n", glb.attribute("NORMAL"), POINTS)
    assert (outward > 0.09).all()
    assert glb.document["asset"]["version"] == "2.0"
    assert {"min", "max"} <= glb.document["accessors"][glb.primitive["attributes"]["POSITION"]].keys()
    assert "targets" not in glb.primitive
    assert "animations" not in glb.document


def test_the_head_hangs_on_a_joint(tmp_path):
    pose = HeadPose(TURNED, (0.1, 0.2, 0.3))
    glb = written(tmp_path / "m.glb", POINTS, TRIANGLES, pose=pose)
    joint, face = glb.node("head"), glb.node("face")
    np.testing.assert_allclose(joint["rotation"], TURNED, atol=1e-7)
    np.testing.assert_allclose(joint["translation"], (0.1, 0.2, 0.3), atol=1e-7)
    skin = glb.document["skins"][face["skin"]]
    assert [glb.document["nodes"][index]["name"] for index in skin["joints"]] == ["head"]
    assert not glb.attribute("JOINTS_0").any()
    np.testing.assert_array_equal(glb.attribute("WEIGHTS_0"), np.tile([255, 0, 0, 0], (len(POINTS), 1)))


def test_targets_local_ones_sparse(tmp_path):
    glb = written(tmp_path / "m.glb", POINTS, TRIANGLES, morph_targets=TARGETS, weights={"puff": 0.25})
    assert glb.names == list(TARGETS)
    assert glb.weights == {"brow": 0, "puff": 0.25, "nothing": 0}
    for name, moves in TARGETS.items():
        np.testing.assert_array_equal(glb.target(name), np.float32(moves))
        after = vertex_normals(POINTS + moves, TRIANGLES) - vertex_normals(POINTS, TRIANGLES)
        np.testing.assert_allclose(glb.target(name, "NORMAL"), after, atol=6e-3)  # what is no turn
    entries = [glb.document["accessors"][target["POSITION"]] for target in glb.primitive["targets"]]
    assert ["sparse" in entry for entry in entries] == [True, False, False]
    assert ["bufferView" in entry for entry in entries] == [False, True, False]


def test_moves_that_nobody_sees_are_left_out(tmp_path):
    faint = LOCAL + 1e-7
    glb = written(tmp_path / "m.glb", POINTS, TRIANGLES, morph_targets={"brow": faint})
    np.testing.assert_allclose(glb.target("brow"), LOCAL, atol=2e-7)
    assert not glb.target("brow")[POINTS[:, 1] <= 0.08].any()


def test_a_texture_is_inside_and_v_goes_down(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (9, 7, 3)).astype(np.uint8)
    glb = written(tmp_path / "m.glb", POINTS, TRIANGLES, uv=UV, texture=picture)
    np.testing.assert_allclose(glb.attribute("TEXCOORD_0"), UV * [1, -1] + [0, 1], atol=1e-6)
    image = glb.document["images"][0]
    content = np.frombuffer(glb.view(image["bufferView"]), np.uint8)
    np.testing.assert_array_equal(cv2.imdecode(content, cv2.IMREAD_COLOR), picture)
    assert image["mimeType"] == "image/png"
    surface = glb.document["materials"][glb.primitive["material"]]["pbrMetallicRoughness"]
    assert glb.document["textures"][surface["baseColorTexture"]["index"]]["source"] == 0
    assert "COLOR_0" not in glb.primitive["attributes"]


def test_colors_are_light(tmp_path):
    """sRGB 0.5 is 21.4 % of the light."""
    colors = np.tile([0.0, 0.5, 1.0], (len(POINTS), 1))
    glb = written(tmp_path / "m.glb", POINTS, TRIANGLES, colors=colors)
    np.testing.assert_allclose(glb.attribute("COLOR_0")[0] / 65535, [0, 0.2140, 1], atol=0.003)  # of 8 bits
    number = glb.primitive["attributes"]["COLOR_0"]
    view = glb.document["bufferViews"][glb.document["accessors"][number]["bufferView"]]
    assert view["byteStride"] == 8
    assert glb.document["accessors"][number]["normalized"] is True


def test_an_animation(tmp_path):
    turns = [[0, 0, 0, 1], [0, -HALF, 0, -HALF], [0, 0, 0, 1]]
    moved = np.arange(9).reshape(3, 3) / 100
    weights = np.arange(9).reshape(3, 3) / 10
    motion = HeadMotion([0, 0.04, 0.1], turns, moved, weights)
    glb = written(tmp_path / "m.glb", POINTS, TRIANGLES, morph_targets=TARGETS, animation=motion)
    channels = glb.channels()
    assert {path: node for path, (_, _, node) in channels.items()} == {
        "rotation": "head",
        "translation": "head",
        "weights": "face",
    }
    for times, _, _ in channels.values():
        np.testing.assert_allclose(times, [0, 0.04, 0.1], atol=1e-7)
    # The same turns, with the sign that needs no jump.
    np.testing.assert_allclose(channels["rotation"][1], np.abs(turns), atol=1e-7)
    np.testing.assert_allclose(channels["translation"][1], moved, atol=1e-7)
    np.testing.assert_allclose(channels["weights"][1].reshape(3, 3), weights, atol=1e-7)


def test_more_vertices_than_two_bytes_count(tmp_path):
    points = np.concatenate([POINTS, np.zeros((66_000, 3))])
    triangles = np.concatenate([TRIANGLES, [[0, 1, len(points) - 1]]])
    moves = np.zeros_like(points)
    moves[-1] = 0.01
    glb = written(tmp_path / "m.glb", points, triangles, morph_targets={"last": moves})
    np.testing.assert_array_equal(glb.triangles, triangles)
    np.testing.assert_array_equal(glb.target("last"), np.float32(moves))
    # Vertices without triangles have a normal of unit length all the same.
    np.testing.assert_allclose(np.linalg.norm(glb.attribute("NORMAL"), axis=1), 1, atol=1e-5)


def test_changes_of_normals_are_those_of_the_whole_mesh():
    moves = np.float32(np.stack([LOCAL, WHOLE * [3, 1, 1], np.zeros_like(POINTS)]))
    before = vertex_normals(POINTS, TRIANGLES)
    expected = [vertex_normals(POINTS + move, TRIANGLES) - before for move in moves]
    found = normal_changes(POINTS, TRIANGLES, moves)
    np.testing.assert_allclose(found, expected, atol=2e-5)  # float32 sums in another order
    assert np.abs(found[0]).max() > 0.05
    assert not found[0][POINTS[:, 1] < 0.04].any()


def test_the_same_head_is_the_same_file(tmp_path):
    for name in "ab":
        write_glb(tmp_path / f"{name}.glb", POINTS, TRIANGLES, morph_targets=TARGETS)
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


def test_the_validator_finds_nothing(tmp_path):
    """All that a file can hold, in one run of node."""
    validator = validator_needed()
    picture = np.full((4, 8, 3), 90, np.uint8)
    motion = HeadMotion([0, 0.5], [TURNED, TURNED], POINTS[:2], [[0, 0, 0], [1, 0.5, 0]])
    far = np.concatenate([POINTS, np.zeros((66_000, 3))])
    variants = {
        "plain": (POINTS, TRIANGLES, {}),
        "texture": (POINTS, TRIANGLES, {"uv": UV, "texture": picture, "morph_targets": TARGETS}),
        "colors": (POINTS, TRIANGLES, {"colors": np.full_like(POINTS, 0.5), "pose": HeadPose(TURNED)}),
        "moving": (POINTS, TRIANGLES, {"morph_targets": TARGETS, "animation": motion}),
        "still": (POINTS, TRIANGLES, {"animation": HeadMotion([0], [TURNED])}),
        "large": (far, TRIANGLES, {"morph_targets": {"all": far * 0.1, "few": far * (far > 0.09)}}),
    }
    for name, (points, triangles, options) in variants.items():
        write_glb(tmp_path / f"{name}.glb", points, triangles, **options)
    broken = tmp_path / "broken.glb"
    content = bytearray((tmp_path / "plain.glb").read_bytes())
    content[-4:] = b"\xff\xff\xff\xff"  # the last corners of triangles
    broken.write_bytes(content)
    reports = glb_reports([*(tmp_path / f"{name}.glb" for name in variants), broken], validator)
    assert reports.pop(broken)["numErrors"] > 0  # it does look
    for path, report in reports.items():
        assert (report["numErrors"], report["numWarnings"]) == (0, 0), (path.name, report["messages"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vertices": POINTS * 1e6}, "vertices: expected meters"),
        ({"vertices": POINTS * np.nan}, "vertices: expected"),
        ({"triangles": TRIANGLES + len(POINTS)}, "triangles: expected indices"),
        ({"triangles": TRIANGLES[:0]}, "triangles: expected at least one"),
        ({"uv": UV}, "texture: expected together with uv"),
        ({"texture": np.zeros((2, 2, 3), np.uint8)}, "uv: expected together with texture"),
        ({"uv": UV[:4], "texture": np.zeros((2, 2, 3), np.uint8)}, r"uv: expected \(216, 2\), got \(4, 2\)"),
        ({"uv": UV, "texture": np.zeros((2, 2), np.uint8)}, r"texture: expected \(H, W, 3\) uint8"),
        ({"colors": POINTS[:4]}, "colors: expected"),
        ({"normals": POINTS[:4]}, r"normals: expected \(216, 3\)"),
        ({"normals": POINTS * 50}, "normals: expected unit length, got 5"),
        ({"morph_targets": {"a": POINTS[:3]}}, r"morph target 'a': expected \(216, 3\), got \(3, 3\)"),
        ({"morph_targets": {"a": np.full_like(POINTS, np.inf)}}, "morph target 'a': expected finite numbers"),
        ({"morph_targets": TARGETS, "weights": {"smile": 1}}, "weights: expected names .* got 'smile'"),
        ({"morph_targets": TARGETS, "weights": {"brow": np.nan}}, "weights: expected finite numbers"),
        (
            {"morph_targets": TARGETS, "animation": HeadMotion([0], [TURNED], None, [[1, 2]])},
            "animation.weights: expected 3 a frame, got 2",
        ),
    ],
)
def test_what_does_not_fit(tmp_path, options, message):
    arguments = {"vertices": POINTS, "triangles": TRIANGLES, **options}
    with pytest.raises(ValueError, match=message):
        write_glb(tmp_path / "m.glb", **arguments)
    assert not (tmp_path / "m.glb").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 0], [TURNED] * 2), "animation.seconds: expected at least one time, from 0 up and increasing"),
        (([-1], [TURNED]), "animation.seconds"),
        (([], np.zeros((0, 4))), "animation.seconds"),
        (([0, 1], [TURNED]), r"animation.rotations: expected \(2, 4\), got \(1, 4\)"),
        (([0], [[0, 0, 0, 2]]), "animation.rotations: expected unit length, got 2"),
        (([0], [TURNED], [[0, 0]]), r"animation.translations: expected \(1, 3\)"),
    ],
)
def test_motions_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        HeadMotion(*arguments)


def test_poses_that_do_not_fit():
    with pytest.raises(ValueError, match=r"pose.rotation: expected unit length, got 0"):
        HeadPose((0, 0, 0, 0))
    with pytest.raises(ValueError, match=r"pose.translation: expected \(3,\)"):
        HeadPose(translation=(0, 0))


def test_a_file_that_cannot_be_written(tmp_path):
    (tmp_path / "m.glb").mkdir()
    with pytest.raises(InputError, match="is a folder, expected a file"):
        write_glb(tmp_path / "m.glb", POINTS, TRIANGLES)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": b"face"}, "name: expected a str"),
        ({"pose": (0, 0, 0, 1)}, "pose: expected a HeadPose"),
        ({"animation": "nod"}, "animation: expected a HeadMotion, got 'nod'"),
        ({"morph_targets": {1: POINTS}}, "morph_targets: expected names and displacements"),
        ({"morph_targets": [("a", POINTS)]}, "morph_targets: expected names and displacements"),
        ({"morph_targets": {"a": [[1, 2, 3], [1]]}}, "morph target 'a': expected .* numbers, got"),
        ({"morph_targets": {"a": np.full(POINTS.shape, 1e38)}}, "morph target 'a': expected meters, within"),
        ({"morph_targets": TARGETS, "weights": {"brow": "x"}}, "weights: expected a number, got 'x'"),
        ({"morph_targets": TARGETS, "weights": [1]}, "weights: expected names and numbers"),
        ({"normals": "up"}, "normals: expected .* numbers, got 'up'"),
        ({"colors": np.full(POINTS.shape, "red")}, "colors: expected numbers, got <U3"),
    ],
)
def test_other_kinds_are_named_and_nothing_is_written(tmp_path, changed, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        write_glb(tmp_path / "m.glb", POINTS, TRIANGLES, **changed)
    assert not any(tmp_path.iterdir())


def test_tensors_are_taken_whatever_they_are_for(tmp_path):
    torch = pytest.importorskip("torch")
    points = torch.tensor(POINTS, dtype=torch.float32, requires_grad=True)
    write_glb(tmp_path / "t.glb", points, torch.tensor(TRIANGLES), morph_targets={"a": 0.1 * points})
    plain = points.detach().numpy()
    write_glb(tmp_path / "n.glb", plain, TRIANGLES, morph_targets={"a": np.float32(0.1) * plain})
    assert (tmp_path / "t.glb").read_bytes() == (tmp_path / "n.glb").read_bytes()
