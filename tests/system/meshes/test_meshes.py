"""Mesh files: what each format holds comes back, and a broken file gets one sentence that names it."""

import os
import struct

import numpy as np
import pytest
from scipy.io import savemat
from twodasl.errors import InputError
from twodasl.meshes import read_mesh, read_triangles
from twodasl.meshes.write import write_obj, write_ply

VERTICES = np.array([[0, 0, 0], [2, 0, 0.5], [0, 3, 0.25], [2, 3, -1]], np.float64)  # exact in float32
TRIANGLES = np.array([[0, 1, 2], [2, 1, 3]])

ASCII_PLY = """ply
format ascii 1.0
comment a square and a stray element
element camera 1
property float f
element vertex 4
property uchar red
property double x
property double y
property double z
element face 2
property uchar flags
property list uchar int vertex_indices
end_header
35.5
9 0 0 0
9 2 0 0.5
9 0 3 0.25
9 2 3 -1
1 3 0 1 2
0 3 2 1 3
"""


def check(mesh, triangles=TRIANGLES) -> None:
    assert mesh.vertices.dtype == np.float64
    np.testing.assert_array_equal(mesh.vertices, VERTICES)
    if triangles is None:
        assert mesh.triangles is None
    else:
        assert mesh.triangles.dtype == np.int64
        np.testing.assert_array_equal(mesh.triangles, triangles)


@pytest.mark.parametrize("colors", [None, np.full((4, 3), 0.5)])
def test_what_the_project_writes_comes_back(tmp_path, colors):
    for write, name in ((write_ply, "mesh.ply"), (write_obj, "mesh.OBJ")):
        write(tmp_path / name, VERTICES, TRIANGLES, colors)
        check(read_mesh(tmp_path / name))


def test_obj_corners_polygons_and_comments(tmp_path):
    rows = "".join(f"v {x} {y} {z} 0.1 0.2 0.3\n" for x, y, z in VERTICES.tolist())
    file = tmp_path / "mesh.obj"
    for face in ("f 1/1 2/2/2 4//7 3", "f -4 -3 -1 -2 # a quad", "f 1 2 \\\n 4 3"):
        file.write_text(f"# comment\nmtllib a.mtl\nvn 0 0 1\n{rows}vt 0 0\ng head\n\t{face}\n")
        check(read_mesh(file), [[0, 1, 3], [0, 3, 2]])
    file.write_text(rows.replace("\n", "\r\n"))
    check(read_mesh(file), None)


def test_ascii_ply_with_other_elements(tmp_path):
    file = tmp_path / "mesh.ply"
    file.write_text(ASCII_PLY)
    check(read_mesh(file))
    file.write_text(ASCII_PLY.replace("\n", "\r\n"), newline="")
    check(read_mesh(file))


@pytest.mark.parametrize(("order", "name"), [("<", "binary_little_endian"), (">", "binary_big_endian")])
@pytest.mark.parametrize("mixed", [False, True])
def test_binary_ply_of_both_byte_orders(tmp_path, order, name, mixed):
    header = (
        f"ply\nformat {name} 1.0\nelement thing 2\nproperty list uchar short items\nelement vertex 4\n"
        "property float x\nproperty float y\nproperty float z\nproperty uchar alpha\n"
        "element face 2\nproperty list int uint vertex_index\nproperty float quality\nend_header\n"
    )
    data = struct.pack(f"{order}BhhB", 2, 7, 8, 0)
    data += b"".join(struct.pack(f"{order}3fB", *row, 1) for row in VERTICES.tolist())
    faces = [[0, 1, 3, 2], [0, 1, 2]] if mixed else TRIANGLES.tolist()
    for face in faces:
        data += struct.pack(f"{order}i{len(face)}If", len(face), *face, 0.5)
    file = tmp_path / "mesh.ply"
    file.write_bytes(header.encode() + data)
    check(read_mesh(file), [[0, 1, 3], [0, 3, 2], [0, 1, 2]] if mixed else TRIANGLES)
    file.write_bytes(header.encode() + data[:-9])
    with pytest.raises(InputError, match=r"mesh\.ply: is cut off or damaged"):
        read_mesh(file)


@pytest.mark.parametrize(
    "text",
    [
        "# C:\\scans\\\n{v}# end \\\n{f}",
        "\ufeff{v}{f}",
        "{v}\ufeff{f}",  # two files joined
        "mtllib C:\\scans\\\n{v}{f}",
        "{v}f 1 2 \\ # and on\n3\nf 3 2 \\\n\\\n4\n",
        "{v}vt 0 \\\n1\n{f}",
        "g レナ\n{v}{f}",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_obj_is_read_by_its_grammar(tmp_path, text, end):
    file = tmp_path / "mesh.obj"
    rows = "".join(f"v\t{x} {y}  {z} 1.0\n" for x, y, z in VERTICES.tolist())
    text = text.format(v=rows, f="f 1/1 2 3\nf -2 -3 -1\n")
    file.write_bytes(text.replace("\n", end).encode())
    check(read_mesh(file))


def test_lines_keep_their_numbers_where_they_are_joined(tmp_path):
    (tmp_path / "a.obj").write_text("v 1 \\\n2 \\\n3\nv 1 2\n")
    with pytest.raises(InputError, match="line 4: expected 'v x y z'"):
        read_mesh(tmp_path / "a.obj")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_binary_ply_header_of_any_line_end_and_comment(tmp_path, end, order):
    name = {"<": "little", ">": "big"}[order]
    header = (
        f"ply\nformat binary_{name}_endian 1.0\ncomment end_header? \x85 \x1c \xff\nobj_info {'x' * 70_000}\n"
        "element vertex 4\nproperty double x\nproperty double y\nproperty double z\nelement nothing 7\n"
        "element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    ).replace("\n", end)
    strips = [0, 1, 2, 2, 3, -1, 2, 1, 3]  # one triangle and two without a size; one more
    data = VERTICES.astype(f"{order}f8").tobytes() + np.array([9, *strips], f"{order}i4").tobytes()
    file = tmp_path / "mesh.ply"
    file.write_bytes(header.encode("latin1") + data)
    check(read_mesh(file))


def test_strips_turn_every_second_triangle(tmp_path):
    head = "\ufeff" + ASCII_PLY[: ASCII_PLY.index("element face")]
    rows = "\n".join(ASCII_PLY.splitlines()[-7:-2])
    strips = "element tristrips 2\nproperty list uchar int vertex_index\nend_header\n"
    file = tmp_path / "mesh.ply"
    file.write_text(f"{head}{strips}{rows}\n4 0 1 2 3\n4 -1 3 2 1\n", encoding="utf-8")
    check(read_mesh(file), [[0, 1, 2], [2, 1, 3], [3, 2, 1]])


@pytest.mark.parametrize(
    ("kind", "length"),
    [
        *((kind, length) for kind in ("float", "double") for length in (np.nan, np.inf, -1, 3.5, 1e30)),
        *(("int", length) for length in (-1, 2**31 - 1)),
    ],
)
@pytest.mark.parametrize("element", ["face", "tristrips", "other"])
def test_a_list_that_claims_an_impossible_length(tmp_path, kind, length, element):
    head = (
        f"ply\nformat binary_little_endian 1.0\nelement {element} 1\nproperty list {kind} int vertex_index\n"
    )
    head += "element vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    code = {"float": "f4", "double": "f8", "int": "i4"}[kind]
    (tmp_path / "a.ply").write_bytes(head.encode() + np.array([length]).astype(code).tobytes() + bytes(60))
    with pytest.raises(InputError, match=r"a\.ply: is cut off or damaged: a list of .* claims"):
        read_mesh(tmp_path / "a.ply")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("suffix", ["ply", "obj", "npy", "mat"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, suffix):
    os.mkfifo(tmp_path / f"a.{suffix}")
    for read in (read_mesh, lambda file: read_triangles(file, 3)):
        with pytest.raises(InputError, match="is a pipe"):
            read(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_npy(tmp_path, transposed, dtype):
    array = VERTICES.astype(dtype)
    np.save(tmp_path / "mesh.npy", array.T if transposed else array)
    check(read_mesh(tmp_path / "mesh.npy"), None)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("name", ["vertices", "vertex", "pt3d"])
def test_mat(tmp_path, name, compressed):
    file = tmp_path / "mesh.mat"
    savemat(file, {"other": 1, name: VERTICES.T}, do_compression=compressed)
    check(read_mesh(file), None)
    savemat(file, {name: VERTICES, "tri": (TRIANGLES + 1).astype(np.uint16)}, do_compression=compressed)
    check(read_mesh(file))


def test_triangles_of_their_own(tmp_path):
    write_ply(tmp_path / "mesh.ply", VERTICES, TRIANGLES)
    np.save(tmp_path / "zero.npy", TRIANGLES)
    np.save(tmp_path / "one.npy", (TRIANGLES + 1).T)
    savemat(tmp_path / "tri.mat", {"tri": (TRIANGLES + 1).T.astype(float)})
    for name in ("mesh.ply", "zero.npy", "tri.mat"):
        np.testing.assert_array_equal(read_triangles(tmp_path / name, 4), TRIANGLES)
    many = np.arange(1, 7).reshape(3, 2)  # (3, T), counted from 1
    np.save(tmp_path / "one.npy", many)
    np.testing.assert_array_equal(read_triangles(tmp_path / "one.npy", 6), many.T - 1)
    with pytest.raises(InputError, match="refers to vertex 3"):
        read_triangles(tmp_path / "zero.npy", 3)
    np.save(tmp_path / "bare.npy", VERTICES)
    with pytest.raises(InputError, match="expected triangles"):
        read_triangles(tmp_path / "bare.npy", 4)


PLY_HEAD = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.obj", b"", "is empty"),
        ("a.obj", b"\x00\xff" * 50, "line 1: expected an OBJ line"),
        ("a.obj", b"o head\n", "without 'v x y z' lines"),
        ("a.obj", b"v 1 2 3\n\xc2\xa0v 1 2 3\n", "line 2: expected an OBJ line"),
        ("a.obj", b"v 1 2 3\nv\xe3\x80\x801 2 3\n", "line 2: expected an OBJ line"),
        ("a.obj", "v 1 2 3\n".encode("utf-16"), "UTF-16"),
        ("a.obj", "v 1 2 3\n".encode("utf-16-le"), "line 1: expected an OBJ line"),
        ("a.obj", b"v 1 2 3\nv 1_0 2 3\n", "line 2: expected numbers"),
        ("a.obj", "v 1 2 \u0663\n".encode(), "line 1: expected numbers"),
        ("a.obj", b"v 1,5 2,5 3,5\n", "line 1: expected numbers"),
        ("a.obj", b"v 1 2 " + b"1" * 200_000 + b"\n" + b"v 1 2 3\n" * 50_000, "infinity in vertex 0"),
        ("a.obj", b"v 1 2 3\nf 1 1 99999999999999999999\n", "line 2: expected 'f' and three"),
        ("a.obj", b"v 1 2 3\nf 1 1 1_0\n", "line 2: expected 'f' and three"),
        ("a.obj", b"v 1 2 3\nf 1 1 1 \\x\n", "line 2: expected 'f' and three"),
        ("a.obj", b"v 1 2 3\nv 1 2", "line 2: expected 'v x y z'"),
        ("a.obj", b"v 1 2 x\n", "expected numbers"),
        ("a.obj", b"v 1 2 nan\n", "NaN or infinity in vertex 0"),
        ("a.obj", b"v 1 2 3\nf 1 1 2\n", "refers to vertex 1"),
        ("a.obj", b"v 1 2 3\nf 1 1 -2\n", "refers to vertex -1"),
        ("a.obj", b"v 1 2 3\nf 1 1\n", "line 2: expected 'f' and three"),
        ("a.obj", b"v 1 2 3\nf 0 1 1\n", "line 2: expected 'f' and three"),
        ("a.obj", ASCII_PLY.encode(), "begins like a .ply file"),
        ("a.ply", b"\x93NUMPY\x01\x00", "begins like a .npy file"),
        ("a.ply", b"PK\x03\x04\x14\x00", "is a zip archive; expected a mesh, one of "),
        ("a.ply", b"ply\n", "expected a PLY header"),
        ("a.ply", b"v 1 2 3\n", "expected a PLY header"),
        ("a.ply", f"{PLY_HEAD}end_header\n".encode(), "is cut off"),
        ("a.ply", f"{PLY_HEAD}end_header\n1 2\n".encode(), "in a line of 'vertex', got '1 2'"),
        ("a.ply", f"{PLY_HEAD}property\nend_header\n".encode(), "invalid line"),
        ("a.ply", PLY_HEAD.replace(" 1\n", " 999999999999\n").encode() + b"end_header\n", "claims '999"),
        ("a.ply", PLY_HEAD.replace(" 1\n", " \xb2\n").encode("latin1") + b"end_header\n", "claims"),
        ("a.ply", PLY_HEAD.replace(" 1\n", " -1\n").encode() + b"end_header\n", "claims '-1"),
        ("a.ply", PLY_HEAD.replace(" 1\n", " 1_0\n").encode() + b"end_header\n", "claims '1_0"),
        ("a.ply", (PLY_HEAD + PLY_HEAD[21:] + "end_header\n").encode(), "names an element twice"),
        ("a.ply", f"{PLY_HEAD}property int x\nend_header\n".encode(), "names a property twice"),
        ("a.ply", f"{PLY_HEAD}end_header\n1 2 3 4\n".encode(), "in a line of 'vertex', got '1 2 3 4'"),
        ("a.ply", f"{PLY_HEAD}end_header\n1 2 0x3\n".encode(), "expected numbers in the lines of 'vertex'"),
        ("a.ply", ASCII_PLY.replace("3 2 1 3", "-1 2 1 3").encode(), "in a line of 'face'"),
        ("a.ply", ASCII_PLY.replace("3 2 1 3", "\xb3 2 1 3").encode("latin1"), "in a line of 'face'"),
        ("a.ply", ASCII_PLY.replace("3 2 1 3", "3 2 1 1" + "0" * 30).encode(), "in a line of 'face'"),
        ("a.ply", PLY_HEAD.replace("float z", "float w").encode() + b"end_header\n1 2 3\n", "property 'z'"),
        (
            "a.ply",
            PLY_HEAD.replace("ascii", "morse").encode() + b"end_header\n1 2 3\n",
            "invalid line",
        ),
        ("a.ply", b"ply\nformat ascii 1.0\nend_header\n", "element 'vertex'"),
        ("a.ply", ASCII_PLY.replace("3 2 1 3", "3 2 1").encode(), "in a line of 'face'"),
        ("a.ply", ASCII_PLY.replace("3 2 1 3", "3 2 1 4").encode(), "refers to vertex 4"),
        ("a.ply", ASCII_PLY[:-20].encode(), "is cut off"),
        ("a.npy", b"\x93NUMPY\x01\x00", "expected a .npy file"),
        ("a.mat", b"MATLAB 5.0 MAT-file" + b" " * 120, "expected"),
        ("a.mat", b"garbage", "expected a MATLAB file"),
        ("a.stl", b"solid", "a file named .ply, .obj, .npy, .mat"),
    ],
)
def test_broken_files_get_a_sentence(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_mesh(file)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 2)), "expected vertices"),
        (np.zeros((0, 3)), "expected vertices"),
        (np.full((4, 3), np.inf), "expected finite vertices"),
        (np.full((4, 3), 1e32), "expected coordinates within 1e.09, got 1e.32"),
        (np.zeros((4, 3), complex), "real numbers"),
        (np.array([[None] * 3]), "no objects"),
    ],
)
def test_arrays_that_are_no_mesh(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=message):
        read_mesh(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"Pose_Para": np.zeros((1, 7))}, "variable named vertices, .*got Pose_Para"),
        ({"vertices": np.zeros((4, 2))}, "expected vertices of shape"),
        ({"vertices": "a word or two"}, "expected vertices"),
        ({"vertices": VERTICES * 1j}, "real numbers"),
        ({"vertices": VERTICES, "tri": [[0, 1, 2]]}, "refers to vertex -1"),
        ({"vertices": VERTICES, "tri": [[1, 2, 2.5]]}, "whole numbers"),
        ({"vertices": VERTICES, "tri": [[1, 2, 1e300]]}, "whole numbers"),
        ({"vertices": {"x": VERTICES}}, "expected vertices to be real numbers, got a struct"),
    ],
)
def test_mat_files_that_are_no_mesh(tmp_path, content, message):
    savemat(tmp_path / "a.mat", content)
    with pytest.raises(InputError, match=message):
        read_mesh(tmp_path / "a.mat")


def test_every_way_to_cut_or_damage_a_file_ends_in_a_sentence_or_a_mesh(tmp_path):
    write_ply(tmp_path / "a.ply", VERTICES, TRIANGLES, np.full((4, 3), 0.5))
    write_obj(tmp_path / "a.obj", VERTICES, TRIANGLES)
    np.save(tmp_path / "a.npy", VERTICES)
    savemat(tmp_path / "a.mat", {"vertices": VERTICES, "tri": TRIANGLES + 1}, do_compression=True)
    rng = np.random.default_rng(0)
    refused = 0
    for suffix in ("ply", "obj", "npy", "mat"):
        whole = (tmp_path / f"a.{suffix}").read_bytes()
        damaged = [whole[:length] for length in range(0, len(whole), 1 + len(whole) // 60)]
        for _ in range(100):
            content = bytearray(whole)
            content[rng.integers(len(content))] = rng.integers(256)
            damaged.append(bytes(content))
        for content in damaged:
            (tmp_path / f"b.{suffix}").write_bytes(content)
            try:
                mesh = read_mesh(tmp_path / f"b.{suffix}")
            except InputError:
                refused += 1
            else:
                assert mesh.vertices.shape[1] == 3
    assert refused > 300


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_to_a_mat_file_ends_in_a_sentence_or_a_mesh(tmp_path, compressed):
    """Every cut, and 600 damaged places of one to four bytes, not all of which SciPy's reader survives."""
    file = tmp_path / "a.mat"
    content = {"note": "words", "vertices": VERTICES, "tri": TRIANGLES + 1}
    savemat(file, content, do_compression=compressed)
    whole, rng, refused = file.read_bytes(), np.random.default_rng(7), 0
    damaged = [whole[:size] for size in range(len(whole))]
    for _ in range(600):
        changed, size = bytearray(whole), rng.integers(1, 5)
        at = rng.integers(124, len(whole) - size)
        changed[at : at + size] = rng.bytes(size)
        damaged.append(bytes(changed))
    for content in damaged:
        file.write_bytes(content)
        try:
            mesh = read_mesh(file)
        except InputError:
            refused += 1
        else:
            assert mesh.vertices.shape[1] == 3
    assert len(whole) + 100 < refused < len(damaged)
