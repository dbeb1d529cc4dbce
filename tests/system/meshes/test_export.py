"""OBJ and PLY files, read back by a few lines of their own."""

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.meshes.write import write_obj, write_ply

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
