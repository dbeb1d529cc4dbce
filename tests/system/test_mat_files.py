"""MATLAB files of numbers: SciPy's and MATLAB's own forms are read, and no damage ends the process."""

import random
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from twodasl.data.mat_files import read_variables
from twodasl.errors import InputError

IMAGES = Path(__file__).resolve().parents[3] / "shared" / "data" / "aflw2000_dev" / "images"
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


def element(order, kind, content):
    return struct.pack(order + "II", kind, len(content)) + content + b"\0" * (-len(content) % 8)


def by_hand(order, flags, sizes, stored, values):
    """A file of one variable `x`, whose numbers are of another type than its class."""
    body = element(order, 6, struct.pack(order + "II", flags, 0))
    body += element(order, 5, struct.pack(f"{order}{len(sizes)}i", *sizes))
    body += struct.pack(order + "I", 1 << 16 | 1) + b"x\0\0\0"
    body += element(order, stored, values)
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(order + "H", 0x0100)
    return head + (b"IM" if order == "<" else b"MI") + element(order, 14, body)


@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_in_a_smaller_type_and_either_byte_order(tmp_path, order):
    file = tmp_path / "a.mat"
    file.write_bytes(by_hand(order, 6, (2, 3), 3, struct.pack(order + "6h", 1, -2, 3, 4, 5, 300)))
    np.testing.assert_array_equal(read_variables(file, {"x": (2, 3)})["x"], [[1, 3, 5], [-2, 4, 300]])
    np.testing.assert_array_equal(loadmat(file)["x"], [[1, 3, 5], [-2, 4, 300]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is too short"),
        (b"words " * 40, "it is not of version 5 to 7"),
        (b"MATLAB 7.3".ljust(124) + b"\0\x02IM", r"it is of version 7\.3; save it with -v7"),
        (by_hand("<", 6, (2, 3), 9, bytes(40)), "another size than it claims"),
        (by_hand("<", 6, (-1, -6), 9, bytes(48)), "another size than it claims"),
        (by_hand("<", 6, (1 << 30, 1 << 30), 9, bytes(48)), "another size than it claims"),
        (by_hand("<", 6, (), 9, bytes(8)), "another size than it claims"),
        (by_hand("<", 6, (2, 3), 77, bytes(48)), "has no numbers"),
        (by_hand("<", 6, (2, 3), 9, bytes(48))[:-20], "damaged or cut off"),
        (by_hand("<", 1, (2, 3), 9, bytes(48)), r"expected x \(2, n\) of numbers, got cell"),
        (by_hand("<", 6 | 0x0800, (2, 3), 9, bytes(48)), "got complex numbers"),
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


def test_a_compressed_variable_that_unpacks_to_more_than_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("twodasl.data.mat_files.LARGEST", 1 << 20)
    packed = zlib.compress(bytes(1 << 24))
    file = tmp_path / "a.mat"
    head = b"MATLAB 5.0".ljust(124) + b"\0\x01IM"
    file.write_bytes(head + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(InputError, match="cut off or too large"):
        read_variables(file, {"x": (2, 3)})


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
