"""Numbers, names and tables in text: plain digits, one row's fault in one row."""

import json
import os
import random

import numpy as np
import pytest
from twodasl.datasets.names import check_name, read_names
from twodasl.datasets.photos.sources import open_photos
from twodasl.errors import InputError, reading
from twodasl.evaluation.comparison import read_report
from twodasl.evaluation.yaw_files import read_yaw
from twodasl.io.text import plain_text, reals, whole
from twodasl.landmarks import read_landmarks
from twodasl.meshes import read_mesh
from twodasl.morphable import load_model

from ..photo_sets import write_umdfaces


@pytest.mark.parametrize(
    "word", [b"", b"1_0", "\u00b2".encode(), "\u0663".encode(), b"1e3", b"0x1", b"1" * 19]
)
def test_what_is_no_whole_number(word):
    with pytest.raises(ValueError, match="is not a whole number"):
        whole(word)


def test_numbers():
    assert [whole(word) for word in (b"0", b"-7", b"+12", b"9" * 18)] == [0, -7, 12, 10**18 - 1]
    np.testing.assert_array_equal(reals([b"1.5", b"-.5e2", b"1e999", b"nan"]), [1.5, -50, np.inf, np.nan])
    for word in (b"1_0", "\u0661".encode(), b"1,5", b"0x1", b"", b"1 2"):
        with pytest.raises(ValueError, match=r"could not convert|underscore"):
            reals([b"1", word])
    assert plain_text("a", b"\xef\xbb\xbfx") == b"x"
    for code in ("utf-16", "utf-32"):
        with pytest.raises(InputError, match="a: is text in UTF-16 or UTF-32"):
            plain_text("a", "x".encode(code))


@pytest.mark.parametrize(
    "error", [KeyError("a"), RecursionError(), MemoryError(), OverflowError("x\ny"), OSError(5, "I/O")]
)
def test_whatever_a_reader_raises_is_the_files_error(error):
    with pytest.raises(InputError, match=r"^a\.ply: .+") as caught, reading("a.ply", "a mesh"):
        raise error
    assert "\n" not in str(caught.value)
    with pytest.raises(KeyboardInterrupt), reading("a.ply", "a mesh"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "name", ["/etc/a.jpg", "../a.jpg", "a/../../b.jpg", "a\0.jpg", "a/" + "b" * 252 + ".jpg"]
)
def test_names_that_are_no_photos(name):
    with pytest.raises(InputError, match=r"^its name "):
        check_name(name)
    check_name("a b/c..d/" + "e" * 251 + ".jpg")


def test_a_list_of_names(tmp_path):
    (tmp_path / "names.txt").write_bytes("\ufeffa b.jpg\r\n\r\n c\u3000d.jpg\n".encode() + b"\xff.jpg")
    assert read_names(tmp_path / "names.txt") == ("a b.jpg", "c\u3000d.jpg", "\udcff.jpg")


def test_one_line_of_a_table_spoils_no_other(tmp_path, photo68):
    write_umdfaces(tmp_path, photo68, 20)
    file = tmp_path / "batch" / "faces.csv"
    lines = [line.encode() for line in file.read_text().splitlines()]
    names = [b"/etc/x.jpg", b"a" * 300 + b".jpg", b"x\0.jpg", b"\xff.jpg", b'"someone', b"../0.jpg"]
    for row, name in enumerate(names, start=1):
        lines[row] = lines[row].replace(f"someone/{row - 1}.jpg".encode(), name)
    lines.insert(3, b"x" * 200_000)
    lines[8] = lines[8].replace(b"0.98", "\u0661".encode(), 1)
    file.write_bytes(b"\n".join(lines))
    photos = open_photos("umdfaces", tmp_path, cache=tmp_path.parent / "cache", progress=False)
    assert [photos.name(i) for i in range(len(photos))] == [f"batch/someone/{i}.jpg" for i in range(7, 20)]


@pytest.mark.parametrize(
    "row", ["239,20;240", "239,5;240,5", '"239,20","240,5"', "239,20 240,5", "239,20\t240,5"]
)
@pytest.mark.parametrize("head", ["", "x;y\n"])
def test_decimal_commas_are_refused(tmp_path, row, head):
    (tmp_path / "a.csv").write_text(head + "\n".join([row] * 68))
    with pytest.raises(InputError, match=r"a\.csv"):
        read_landmarks(tmp_path / "a.csv")
    (tmp_path / "a.csv").write_text(head + "\n".join(["239.5;240"] * 68))
    np.testing.assert_array_equal(read_landmarks(tmp_path / "a.csv")[0], [239.5, 240])


def test_decimal_commas_in_yaw(tmp_path):
    (tmp_path / "yaw.csv").write_text("a,12,5\nb,1\n")
    with pytest.raises(InputError, match="expected lines 'name,yaw'"):
        read_yaw(tmp_path / "yaw.csv", ["a", "b"])


@pytest.mark.parametrize("number", [10**400, 10**4000, 1e300, -(10**30), "x", None])
@pytest.mark.parametrize("place", ["nme", "yaw", "dropped_worst"])
def test_numbers_of_any_size_in_a_report(tmp_path, number, place):
    images = {
        "name": ["a"],
        "yaw": [number if place == "yaw" else 1],
        "nme": {"l": [number if place == "nme" else 1]},
    }
    content = {
        "title": "t",
        "settings": {},
        "metric": "m",
        "notes": [],
        "per_image": images,
        "dropped_worst": 0,
    }
    content |= {place: number} if place == "dropped_worst" else {}
    (tmp_path / "report.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"report\.json: expected a report"):
        read_report(tmp_path / "report.json")


def test_a_report_beyond_any_size_says_so(tmp_path):
    with open(tmp_path / "report.json", "wb") as stream:
        stream.truncate((256 << 20) + 1)
    with pytest.raises(InputError, match=r"report\.json: is larger than 256 MiB"):
        read_report(tmp_path / "report.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("suffix", ["npz", "pkl", "mat", "h5", "bin"])
def test_a_pipe_is_no_model(tmp_path, suffix):
    os.mkfifo(tmp_path / f"model.{suffix}")
    with pytest.raises(InputError, match="is a pipe"):
        load_model(tmp_path / f"model.{suffix}")


TOKENS = (
    b"nan",
    b"1e999",
    b"9" * 40,
    b"-1",
    "\u00b2".encode(),
    b"1_0",
    b"\\\n",
    b"#",
    b"\r",
    b"\0",
    b"\xff" * 4,
    b'"',
)


def test_damaged_text_ends_in_a_sentence_or_a_value(tmp_path):
    """Seeded damage: bytes changed, cut out, put in, or the end cut off."""
    rng = random.Random(5)
    rows = "".join(f"v {i} {i * i} {-i} 1\n" for i in range(6))
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    faces = "element face 1\nproperty list uchar int vertex_index\nelement tristrips 1\n"
    points = "".join(f"{i}.5,{2 * i}\n" for i in range(68))
    report = {"title": "t", "settings": {}, "metric": "m", "notes": [], "dropped_worst": 0}
    report["per_image"] = {"name": ["a", "b"], "yaw": [1, 2], "nme": {"l": [1, 2.5]}}
    kinds = {
        "a.obj": (read_mesh, f"# a \\\n{rows}f 1 2/1 \\\n 3//2\nf -1 -2 -3 -4\n"),
        "a.ply": (
            read_mesh,
            f"{head}{faces}property list int int vertex_index\nend_header\n"
            "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n4 -1 0 1 2\n",
        ),
        "a.csv": (read_landmarks, f"x,y\n{points}"),
        "a.pts": (read_landmarks, f"version: 1\nn_points: 68\n{{\n{points.replace(',', ' ')}}}\n"),
        "a.json": (read_report, json.dumps(report)),
        "yaw.csv": (lambda file: read_yaw(file, ["a", "b"]), "name,yaw\na,1.5\nb,-20\n"),
    }
    refused = []
    for name, (read, text) in kinds.items():
        file = tmp_path / name
        file.write_text(text)
        read(file)
        for _ in range(80):
            content = bytearray(text.encode())
            for _ in range(rng.choice((1, 1, 2, 4))):
                at = rng.randrange(len(content) + 1)
                content[at : at + rng.choice((0, 0, 1, 9, 10**6 * (rng.random() < 0.2)))] = rng.choice(TOKENS)
            file.write_bytes(content)
            try:
                read(file)
            except InputError as error:
                refused.append(str(error))
    assert len(refused) > 150
    assert not any("\n" in sentence for sentence in refused)
