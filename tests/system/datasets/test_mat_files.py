"""MATLAB files of numbers: SciPy's and MATLAB's own forms are read, and no damage ends the process."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from twodasl.datasets.mat_files import read_variables
from twodasl.errors import InputError
from twodasl.io.matlab import mat_names, read_mat

IMAGES = Path(__file__).resolve().parents[4] / "shared" / "data" / "aflw2000_dev" / "images"
ARRAYS = {
    "wide": np.arange(6.0).reshape(2, 3) / 7,
    "single": np.float32([[1.5, -2]]),
    "whole": np.int16([[3], [-4], [5]]),
    "bytes": np.uint8([[1, 2, 3, 4]]),
    "long": np.int64([[2**40, -1]]),
    "cube": np.arange(24.0).reshape(2, 3, 4),
    "none": np.zeros((0, 3)),
}


@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes(tmp_path, compressed):
    file = tmp_path / "a.mat"
    others = {"words": "text", "cell": np.array([1, "a"], object), "struct": {"x": 1}}
    savemat(file, {**others, **ARRAYS}, do_compression=compressed)
    found = read_variables(file, {name: (None,) * array.ndim for name, array in ARRAYS.items()})
    for name, array in ARRAYS.items():
        assert found[name].dtype == np.float64
        np.testing.assert_array_equal(found[name], array)
    found = read_mat(file, (*others, *ARRAYS, "absent"))
    assert mat_names(file) == set(found) == {*others, *ARRAYS}
    assert (found["words"], found["cell"], found["struct"]) == ("text", "cell", {"x": 1})
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def element(order, kind, content):
    return struct.pack(order + "II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def file_of(order, *elements):
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", 0x0100)
    return head + (b"IM" if order == "<" else b"MI") + b"".join(elements)


def by_hand(order, flags, sizes, stored, values):
    """A file of one variable `x`, whose numbers are of another type than its class."""
    body = element(order, 6, struct.pack(order + "II", flags, 0))
    body += element(order, 5, struct.pack(f"{order}{len(sizes)}i", *sizes))
    body += struct.pack(order + "I", 1 << 16 | 1) + b"x\0\0\0"
    body += element(order, stored, values)
    return file_of(order, element(order, 14, body))


def packed(file, cut=0):
    """The same with its variable compressed, and without the last bytes of that."""
    content = zlib.compress(file[128:])
    content = content[: len(content) - cut]
    return file[:128] + struct.pack("<II", 15, len(content)) + content


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_in_a_smaller_type_and_either_byte_order(tmp_path, order):
    file = tmp_path / "a.mat"
    file.write_bytes(by_hand(order, 6, (2, 3), 3, struct.pack(order + "6h", 1, -2, 3, 4, 5, 300)))
    np.testing.assert_array_equal(read_variables(file, {"x": (2, 3)})["x"], [[1, 3, 5], [-2, 4, 300]])
    np.testing.assert_array_equal(loadmat(file)["x"], [[1, 3, 5], [-2, 4, 300]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a MATLAB file of version 5 to 7, got another file; save it with '-v7'"),
        (b"words " * 40, "expected a MATLAB file of version 5 to 7, got another file; save it with '-v7'"),
        (b"MATLAB 7.3".ljust(124) + b"\0\x02IM", r"is of MATLAB's version 7\.3; save it with '-v7'"),
        (by_hand("<", 6, (2, 3), 9, bytes(40)), r"damaged or cut off \(5 numbers for the shape \(2, 3\)\)"),
        (by_hand("<", 6, (-1, -6), 9, bytes(48)), "without a class or a shape"),
        (by_hand("<", 6, (1 << 30, 1 << 20), 9, bytes(48)), "6 numbers for the shape"),
        (by_hand("<", 6, (0, *[(1 << 31) - 1] * 3), 9, b""), "without a class or a shape"),
        (by_hand("<", 6, (), 9, bytes(8)), "without a class or a shape"),
        (by_hand("<", 6, (2, 3), 77, bytes(48)), "48 bytes of numbers of type 77"),
        (by_hand("<", 6, (2, 3), 9, bytes(48))[:-20], "a variable goes on beyond the end of the file"),
        (by_hand("<", 6, (2, 3), 9, bytes(48)) + bytes(8), "an element of type 0 where a variable begins"),
        (packed(by_hand("<", 6, (2, 3), 9, bytes(48)), 4), "a compressed variable has no end"),
        (by_hand("<", 2, (1, 1), 5, struct.pack("<i", 1)), "an element is missing"),
        (by_hand("<", 1, (2, 3), 9, bytes(48)), r"expected x \(2, n\) of numbers, got cell"),
        (by_hand("<", 6 | 0x0800, (2, 3), 9, bytes(48)), "got complex numbers"),
        (by_hand("<", 9 | 0x0200, (2, 3), 2, bytes(6)), "got truth values"),
        (by_hand("<", 6, (3, 2), 9, bytes(48)), r"expected x \(2, n\) of numbers, got \(3, 2\) float64"),
        (by_hand("<", 6, (2, 3), 9, struct.pack("<6d", *range(5), float("nan"))), "x holds NaN or infinity"),
        (by_hand("<", 6, (2, 3), 9, bytes(48))[:128], "has no variable x"),
    ],
)
def test_what_is_refused(tmp_path, content, message):
    file = tmp_path / "a.mat"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_variables(file, {"x": (2, None)})
    assert str(file) in str(caught.value)
    with pytest.raises(InputError, match=r"no\.mat: cannot be read"):
        read_variables(tmp_path / "no.mat", {"x": (2, 3)})


def test_version_4_is_refused(tmp_path):
    savemat(tmp_path / "a.mat", {"x": np.eye(3)}, format="4")
    with pytest.raises(InputError, match="of version 5 to 7, got another file; save it with '-v7'"):
        read_variables(tmp_path / "a.mat", {"x": (3, 3)})


def test_an_object_of_a_newer_class_beside_the_numbers(tmp_path):
    """MATLAB's strings and tables have no shape where other variables have theirs."""
    parts = (element("<", 6, struct.pack("<II", 17, 0)), element("<", 1, b"title"), element("<", 1, b"MCOS"))
    file = tmp_path / "a.mat"
    file.write_bytes(
        file_of("<", element("<", 14, b"".join(parts)), by_hand("<", 6, (1, 2), 2, b"\1\2")[128:])
    )
    assert mat_names(file) == {"title", "x"}
    assert read_mat(file, ("title",)) == {"title": "object"}
    np.testing.assert_array_equal(read_variables(file, {"x": (1, 2)})["x"], [[1, 2]])


@pytest.mark.parametrize("stored", [9, 2])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_variable_that_takes_more_than_it_may(tmp_path, monkeypatch, stored, compressed):
    """As doubles in the file, or stored as bytes of which each becomes eight."""
    monkeypatch.setattr("twodasl.datasets.mat_files.LARGEST", 1 << 20)
    content = by_hand("<", 6, (1 << 17, 3), stored, bytes((3 << 17) * (8 if stored == 9 else 1)))
    file = tmp_path / "a.mat"
    file.write_bytes(packed(content) if compressed else content)
    with pytest.raises(
        InputError, match=r"is larger than 1 MiB|expected variables of at most 1 MiB together"
    ):
        read_variables(file, {"x": (None, 3)})
    with pytest.raises(InputError, match="expected variables of at most 1 MiB together"):
        read_mat(file, ("x",), 1 << 20)
    assert mat_names(file) == {"x"}
    assert read_mat(file, ("x",))["x"].shape == (1 << 17, 3)


def test_variables_without_end(tmp_path):
    """Tiny variables by the million would be walked through for minutes."""
    (tmp_path / "a.mat").write_bytes(file_of("<", by_hand("<", 6, (0, 0), 9, b"")[128:] * 70000))
    with pytest.raises(InputError, match="more than 65536 variables"):
        mat_names(tmp_path / "a.mat")


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_anywhere_is_an_error_or_other_numbers(tmp_path, compressed):
    """One wrong byte at each place, and each cut; SciPy's reader does not survive this."""
    file, shapes = tmp_path / "a.mat", {"wide": (2, 3), "single": (1, 2), "whole": (3, 1)}
    savemat(file, {name: ARRAYS[name] for name in shapes}, do_compression=compressed)
    whole, rng, refused = file.read_bytes(), random.Random(4), 0
    changed = [
        whole[:i] + bytes([whole[i] ^ rng.randrange(1, 256)]) + whole[i + 1 :] for i in range(len(whole))
    ]
    for content in [*changed, *(whole[:size] for size in range(len(whole)))]:
        file.write_bytes(content)
        try:
            found = read_variables(file, shapes)
        except InputError:
            refused += 1
        else:
            assert all(found[name].shape == shape for name, shape in shapes.items())
    assert refused > len(whole)  # every cut, and much of the damage


@pytest.mark.skipif(not IMAGES.is_dir(), reason="needs ../shared/data/aflw2000_dev")
def test_what_matlab_itself_wrote():
    shapes = {"pt3d_68": (3, 68), "pt2d": (2, 21), "Pose_Para": (1, 7), "Shape_Para": (199, 1)}
    shapes |= {"Exp_Para": (29, 1), "roi": (1, 4)}
    for file in sorted(IMAGES.glob("*.mat"))[::40]:
        expected = loadmat(file)
        for name, array in read_variables(file, shapes).items():
            np.testing.assert_array_equal(array, expected[name])
