"""OBJ and PLY files, read back by a few lines of their own."""

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.io.images import write_image
from twodasl.meshes.read import read_mesh
from twodasl.meshes.write import ObjTexture, write_mtl, write_obj, write_ply

VERTICES = np.array([[0, 0, 0], [10.5, 0, 0.25], [0, -20.125, 1], [3, 4, 5]])
TRIANGLES = np.array([[0, 1, 2], [1, 3, 2]])
COLORS = np.array([[0, 0.5, 1], [1, 1, 1], [0.2, 0.4, 0.6], [0, 0, 0]])


def read_ply(path):
    header, body = path.read_bytes().split(b"end_header\n")
    lines = header.decode().splitlines()
    counts = {line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("element")}
    colored = any("red" in line for line in lines)
    dtype = np.dtype([("xyz", "<f4", 3), ("rgb", "u1", 3)] if colored else [("xyz", "<f4", 3)])
    size = counts["vertex"] * dtype.itemsize
    table = np.frombuffer(body[:size], dtype)
    faces = np.frombuffer(body[size:], np.dtype([("n", "u1"), ("v", "<i4", 3)]))
    assert len(faces) == counts["face"]
    assert (faces["n"] == 3).all()
    return table, faces["v"]


@pytest.mark.parametrize("colors", [None, COLORS, (COLORS * 255).round().astype(np.uint8)])
def test_ply_round_trip(tmp_path, colors):
    write_ply(tmp_path / "m.ply", VERTICES, TRIANGLES, colors)
    table, faces = read_ply(tmp_path / "m.ply")
    np.testing.assert_allclose(table["xyz"], VERTICES)
    np.testing.assert_array_equal(faces, TRIANGLES)
    if colors is not None:
        np.testing.assert_array_equal(table["rgb"], np.rint(COLORS * 255))


def test_obj_round_trip(tmp_path):
    write_obj(tmp_path / "m.obj", VERTICES, TRIANGLES, COLORS)
    rows = [line.split() for line in (tmp_path / "m.obj").read_text().splitlines()]
    table = np.array([row[1:] for row in rows if row[0] == "v"], float)
    np.testing.assert_allclose(table[:, :3], VERTICES)
    np.testing.assert_allclose(table[:, 3:], COLORS, atol=0.003)
    np.testing.assert_array_equal([list(map(int, row[1:])) for row in rows if row[0] == "f"], TRIANGLES + 1)
    write_obj(tmp_path / "plain.obj", VERTICES, TRIANGLES)
    first = (tmp_path / "plain.obj").read_text().splitlines()[1]
    assert first == "v 10.5 0 0.25"


@pytest.mark.parametrize("write", [write_obj, write_ply])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((VERTICES[:, :2], TRIANGLES), "vertices"),
        ((VERTICES * np.nan, TRIANGLES), "vertices"),
        ((VERTICES, TRIANGLES + 2), "triangles"),
        ((VERTICES, TRIANGLES - 1), "triangles"),
        ((VERTICES, TRIANGLES * 1.0), "triangles"),
        ((VERTICES, TRIANGLES, COLORS[:3]), "colors"),
        ((VERTICES, TRIANGLES, COLORS * np.nan), "colors"),
    ],
)
def test_wrong_arguments_write_nothing(tmp_path, write, arguments, message):
    with pytest.raises(ValueError, match=message):
        write(tmp_path / "m.out", *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("write", [write_obj, write_ply])
def test_an_unwritable_place_is_an_input_error(tmp_path, write):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write(tmp_path / "file" / "m", VERTICES, TRIANGLES)


def textured(material="m.mtl", corners=TRIANGLES, coordinates=VERTICES[:, :2] * 0):
    return ObjTexture(coordinates, corners, material)


def test_textured_obj_and_mtl(tmp_path):
    """Five corners for four vertices: one lies on a cut."""
    places = np.array([[0, 0], [1, 0.25], [0.5, 1], [0.125, 0.75], [1, 1]])
    corners = np.array([[0, 1, 2], [4, 3, 2]])
    write_obj(tmp_path / "ä b.obj", VERTICES, TRIANGLES, COLORS, textured("ä b.mtl", corners, places))
    write_mtl(tmp_path / "ä b.mtl", "ä b-texture.png")
    lines = (tmp_path / "ä b.obj").read_text("utf-8").splitlines()
    assert lines[0] == "mtllib ä b.mtl"
    rows = [line.split() for line in lines]
    np.testing.assert_allclose([list(map(float, row[1:])) for row in rows if row[0] == "vt"], places)
    pairs = np.array([[list(map(int, word.split("/"))) for word in row[1:]] for row in rows if row[0] == "f"])
    np.testing.assert_array_equal(pairs[..., 0], TRIANGLES + 1)
    np.testing.assert_array_equal(pairs[..., 1], corners + 1)
    assert "map_Kd ä b-texture.png" in (tmp_path / "ä b.mtl").read_text("utf-8").splitlines()
    mesh = read_mesh(tmp_path / "ä b.obj")
    np.testing.assert_allclose(mesh.vertices, VERTICES)
    np.testing.assert_array_equal(mesh.triangles, TRIANGLES)


def test_trimesh_reads_the_texture(tmp_path):
    trimesh = pytest.importorskip("trimesh", reason="trimesh is not installed")
    places = np.array([[0, 0], [1, 0.25], [0.5, 1], [0.125, 0.75]])
    write_obj(tmp_path / "m.obj", VERTICES, TRIANGLES, None, textured(coordinates=places))
    write_mtl(tmp_path / "m.mtl", "m-texture.png")
    write_image(tmp_path / "m-texture.png", np.full((8, 8, 3), 99, np.uint8))
    mesh = trimesh.load(tmp_path / "m.obj", process=False)
    np.testing.assert_allclose(mesh.visual.uv, places)
    assert mesh.visual.material.image.size == (8, 8)


@pytest.mark.parametrize(
    ("texture", "words"),
    [
        (textured(corners=TRIANGLES[:1]), r"corners: expected \(2, 3\) integers"),
        (textured(corners=TRIANGLES + 5), "corners: expected indices 0..3"),
        (textured(coordinates=np.full((4, 2), np.nan)), r"coordinates: expected \(M, 2\) finite"),
    ],
)
def test_a_wrong_texture(tmp_path, texture, words):
    with pytest.raises(ValueError, match=words):
        write_obj(tmp_path / "m.obj", VERTICES, TRIANGLES, None, texture)
    assert not list(tmp_path.iterdir())


def test_a_name_that_a_line_cannot_hold(tmp_path):
    with pytest.raises(InputError, match="rename the photo"):
        write_obj(tmp_path / "m.obj", VERTICES, TRIANGLES, None, textured("a\nb.mtl"))
    with pytest.raises(InputError, match="rename the photo"):
        write_mtl(tmp_path / "m.mtl", "a\nb.png")
    assert not list(tmp_path.iterdir())


def test_obj_lines_are_those_of_plain_formatting(tmp_path):
    """Twice with the same triangles, whose text is kept, then with others."""
    rng = np.random.default_rng(0)
    for seed, count in ((1, 50), (1, 50), (2, 50), (3, 20_000)):
        triangles = np.random.default_rng(seed).integers(0, count, (2 * count, 3))
        points = rng.normal(0, 100, (count, 3)) ** 3
        rgb = rng.integers(0, 256, (count, 3)).astype(np.uint8)
        write_obj(tmp_path / "mesh.obj", points, triangles, rgb)
        lines = [
            "v {:.6g} {:.6g} {:.6g} {:.4f} {:.4f} {:.4f}".format(*p, *(c / 255))
            for p, c in zip(points, rgb, strict=True)
        ]
        lines += ["f {} {} {}".format(*corners) for corners in triangles + 1]
        assert (tmp_path / "mesh.obj").read_text() == "\n".join(lines) + "\n"
