"""Landmark files: round trips through every format, and one clear error for every broken file."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from twodasl.errors import InputError
from twodasl.landmarks import read_landmarks

POINTS = np.random.default_rng(0).uniform(0, 450, (68, 2))


def pts_text(points: np.ndarray) -> str:
    rows = "\n".join(f"{x + 1!r} {y + 1!r}" for x, y in points.tolist())
    return f"version: 1\nn_points: {len(points)}\n{{\n{rows}\n}}\n"


def table_text(points: np.ndarray, separator: str = ",", header: str = "") -> str:
    return header + "\n".join(separator.join(repr(v) for v in row) for row in points.tolist()) + "\n"


any_points = hnp.arrays(
    np.float64,
    (68, 2),
    elements=st.floats(-1e6, 1e6) | st.integers(-500, 5000).map(float),
    fill=st.just(7.25),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=any_points, separator=st.sampled_from([",", " ", "\t", ", ", ";"]), header=st.booleans())
def test_what_is_written_is_read_back(tmp_path: Path, points, separator, header):
    for suffix in (".csv", ".txt"):
        file = tmp_path / f"points{suffix}"
        file.write_text(table_text(points, separator, f"x{separator}y\n" if header else ""))
        np.testing.assert_array_equal(read_landmarks(file), points)
    file = tmp_path / "points.pts"
    file.write_text(pts_text(points))
    # Adding 1 for the file and taking it away again rounds by an ulp of the coordinate.
    np.testing.assert_allclose(read_landmarks(file), points, rtol=1e-15, atol=1e-9)
    file = tmp_path / "points.npy"
    np.save(file, points)
    np.testing.assert_array_equal(read_landmarks(file), points)


def test_pts_counts_from_one(tmp_path):
    file = tmp_path / "face.pts"
    points = np.ones((68, 2))
    points[5] = (3, 4)
    rows = "\n".join(f"{x} {y}" for x, y in points)
    file.write_text(f"version: 1\r\nn_points:  68\r\n{{\r\n{rows}\r\n}}")
    result = read_landmarks(file)
    assert result.dtype == np.float64
    assert result[0].tolist() == [0, 0]
    assert result[5].tolist() == [2, 3]


@pytest.mark.parametrize(
    "array",
    [
        POINTS.astype(np.float32),
        np.asfortranarray(POINTS),
        POINTS.T,
        np.concatenate([POINTS, POINTS[:, :1]], axis=1),
        np.concatenate([POINTS, POINTS[:, :1]], axis=1).T,
        POINTS.astype(">f8"),
    ],
    ids=["float32", "fortran", "2x68", "68x3", "3x68", "big-endian"],
)
def test_npy_layouts(tmp_path, array):
    np.save(tmp_path / "face.npy", array)
    result = read_landmarks(str(tmp_path / "face.npy"))
    assert result.shape == (68, 2)
    assert result.dtype == np.float64
    # float32 rounds coordinates below 512 by 2^-15 at most
    np.testing.assert_allclose(result, POINTS, rtol=0, atol=2e-5)


def test_integer_npy(tmp_path):
    np.save(tmp_path / "face.npy", POINTS.astype(np.uint16))
    np.testing.assert_array_equal(read_landmarks(tmp_path / "face.npy"), np.floor(POINTS))


@pytest.mark.parametrize(
    "text",
    [
        table_text(np.c_[np.arange(68), POINTS], header="index,x,y\n"),
        table_text(POINTS[:, ::-1], header='"Y","X"\n'),
        "# made by hand\n\n" + table_text(np.c_[POINTS, POINTS[:, 0]], " "),
        "\ufeff" + table_text(POINTS, header="x,y\n"),
        table_text(POINTS.T),
        table_text(POINTS, header="column,row\n").replace("\n", "\r\n"),
        table_text(POINTS[:, ::-1], header="row,col\n"),
        table_text(POINTS[:, ::-1], header="v,u\n"),
    ],
    ids=["index", "y-first", "comment-z", "bom", "two-rows", "crlf", "row-first", "v-first"],
)
def test_csv_layouts(tmp_path, text):
    file = tmp_path / "FACE.CSV"
    file.write_bytes(text.encode())
    np.testing.assert_array_equal(read_landmarks(file), POINTS)


def npy_bytes(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def archive_bytes() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, points=POINTS)
    return stream.getvalue()


def with_value(value: float) -> np.ndarray:
    points = POINTS.copy()
    points[[7, 9], 1] = value
    return points


HUGE = npy_bytes(POINTS).replace(b"(68, 2), }", b"(68, 99999999999), }").replace(b" " * 11 + b"\n", b"\n")

BROKEN = {
    "67.pts": (pts_text(POINTS[:67]), "expected n_points: 68, got n_points: 67"),
    "short.pts": (pts_text(POINTS[:67]).replace("points: 67", "points: 68"), "got 67"),
    "cut.pts": (pts_text(POINTS)[:500], "cut off"),
    "word.pts": (
        pts_text(POINTS).replace(repr(float(POINTS[3, 0] + 1)), "eye"),
        "line 7: expected numbers, got 'eye'",
    ),
    "nan.pts": (pts_text(with_value(np.nan)), "2 points with NaN or infinity, the first of them point 7"),
    "headless.pts": (table_text(POINTS, " "), "{"),
    "uncounted.pts": (pts_text(POINTS).replace("n_points: 68\n", ""), "n_points: 68"),
    "one.pts": (re.sub(r"^([0-9.]+) [0-9.]+$", r"\1", pts_text(POINTS), flags=re.M), r"shape \(68, 1\)"),
    "empty.pts": ("", "got an empty file"),
    "67.csv": (table_text(POINTS[:67]), "expected 68 points, got 67"),
    "69.csv": (table_text(np.vstack([POINTS, POINTS[:1]])), "expected 68 points, got 69"),
    "header.csv": ("x,y\n", "expected 68 points, got 0"),
    "nan.csv": (table_text(with_value(np.nan)), "first of them point 7"),
    "inf.txt": (table_text(with_value(np.inf), " "), "first of them point 7"),
    "word.csv": (
        table_text(POINTS).replace(repr(float(POINTS[3, 0])), "eye"),
        "line 4: expected numbers, got 'eye'",
    ),
    "gap.csv": (
        table_text(POINTS).replace(repr(float(POINTS[3, 0])), ""),
        "line 4: expected numbers, got ''",
    ),
    "ragged.csv": (table_text(POINTS) + "1,2,3\n", "line 69: expected 2 numbers"),
    "narrow.csv": (table_text(POINTS[:, :1]), r"got an array of shape \(68, 1\)"),
    "wide.csv": (table_text(np.c_[POINTS, POINTS]), r"got an array of shape \(68, 4\)"),
    "indexed.csv": (table_text(np.c_[np.arange(1, 69), POINTS]), "index column"),
    "names.csv": (
        table_text(POINTS, header="name a,name b\n"),
        "line 1: expected a header with columns x and y",
    ),
    "halves.csv": (table_text(POINTS, header="x,row_\n"), "line 1: expected a header with columns x and y"),
    "fields.csv": (table_text(POINTS, header="n,x,y\n"), "line 2: expected 3 fields"),
    "empty.csv": ("", "got an empty file"),
    "blank.txt": ("\n  \n# nothing\n", "got an empty file"),
    "bytes.csv": (b"\xff\xd8\xff\xe0" + b"\x00\x9f" * 50, "not UTF-8"),
    "large.txt": (b"1 2\n" * 300_000, "more than 1 MiB"),
    "67.npy": (npy_bytes(POINTS[:67]), r"shape \(67, 2\)"),
    "flat.npy": (npy_bytes(POINTS.ravel()), r"shape \(136,\)"),
    "batch.npy": (npy_bytes(POINTS[None]), r"shape \(1, 68, 2\)"),
    "scalar.npy": (npy_bytes(np.float64(3)), r"shape \(\)"),
    "none.npy": (npy_bytes(np.zeros((0, 2))), r"shape \(0, 2\)"),
    "nan.npy": (npy_bytes(with_value(np.nan)), "first of them point 7"),
    "inf.npy": (npy_bytes(with_value(-np.inf)), "first of them point 7"),
    "object.npy": (npy_bytes(POINTS.astype(object)), "no objects"),
    "string.npy": (npy_bytes(POINTS.astype("U8")), "dtype <U8"),
    "complex.npy": (npy_bytes(POINTS.astype(complex)), "dtype complex128"),
    "truth.npy": (npy_bytes(POINTS > 3), "dtype bool"),
    "record.npy": (npy_bytes(np.zeros((68, 2), [("x", "f4")])), "real numbers"),
    "cut.npy": (npy_bytes(POINTS)[:-9], "numpy rejects"),
    "huge.npy": (HUGE, "numpy rejects"),
    "empty.npy": (b"", "numpy rejects"),
    "text.npy": (b"68 points follow", "no objects"),
    "archive.npy": (archive_bytes(), "archive"),
    "face.jpg": (b"\xff\xd8", r"named \.pts, \.npy, \.csv, \.txt, got \.jpg"),
    "face": ("1 2", "got no suffix"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_one_sentence_with_its_name(tmp_path, name):
    content, message = BROKEN[name]
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError, match=message) as caught:
        read_landmarks(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pts", ".npy", ".csv", ".txt"])
def test_a_missing_file_and_a_folder_are_named(tmp_path, suffix):
    missing = tmp_path / f"nothing{suffix}"
    with pytest.raises(InputError, match="No such file"):
        read_landmarks(missing)
    missing.mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_landmarks(missing)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=400), suffix=st.sampled_from([".pts", ".npy", ".csv", ".txt"]), data=st.data()
)
def test_arbitrary_bytes_are_an_input_error(tmp_path: Path, content, suffix, data):
    good = {".pts": pts_text(POINTS).encode(), ".npy": npy_bytes(POINTS)}.get(
        suffix, table_text(POINTS).encode()
    )
    if data.draw(st.booleans(), label="damage a good file"):
        start = data.draw(st.integers(0, len(good)))
        content = good[:start] + content
    file = tmp_path / f"any{suffix}"
    file.write_bytes(content)
    try:
        result = read_landmarks(file)
    except InputError:
        return
    assert result.shape == (68, 2)
    assert np.isfinite(result).all()
