"""Landmarks in space: what the readers take, and what they refuse in one sentence."""

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.landmarks import NAMES_68
from twodasl.landmarks.space_files import read_space_landmarks

POINTS = np.random.default_rng(0).normal(size=(68, 3)).round(3)


def lines(points) -> str:
    return "".join(",".join(map(str, point)) + "\n" for point in points)


def test_all_formats_give_the_same(tmp_path):
    some = POINTS.copy()
    some[40] = np.nan
    np.save(tmp_path / "a.npy", some)
    (tmp_path / "b.csv").write_text("x,y,z\n" + lines(some))
    (tmp_path / "c.txt").write_text("# placed by hand\n" + lines(some).replace(",", " "))
    (tmp_path / "d.pts").write_text("version: 1\nn_points: 68\n{\n" + lines(some).replace(",", " ") + "}\n")
    named = "".join(
        f"{name};{';'.join(map(str, point))}\n" for name, point in zip(NAMES_68, some, strict=True)
    )
    (tmp_path / "e.csv").write_text("name;x;y;z\n" + named)
    picked = "".join(
        f'<point active="1" name="{i}" x="{x}" y="{y}" z="{z}"/>\n'
        for i, (x, y, z) in enumerate(POINTS)
        if i != 40
    )
    (tmp_path / "f.pp").write_text(f"<!DOCTYPE PickedPoints>\n<PickedPoints>\n{picked}</PickedPoints>\n")
    for file in sorted(tmp_path.iterdir()):
        found = read_space_landmarks(file)
        assert list(found) == [name for i, name in enumerate(NAMES_68) if i != 40], file
        np.testing.assert_array_equal(np.stack(list(found.values())), np.delete(POINTS, 40, axis=0))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", "got an empty file"),
        ("a.csv", "1,2,3\n", r"got float64 of shape \(1, 3\)"),
        ("a.csv", "nose,1,2,3\n", "line 1: unknown landmark 'nose'"),
        ("a.csv", "nose_base_9,1,2,3\n", "did you mean 'nose_base_0'|did you mean"),
        ("a.csv", "chin,1,2\n", "line 1: expected 68 lines"),
        ("a.csv", "chin,1,2,x\n", "line 1: expected 68 lines"),
        ("a.csv", "chin,1,2,3\nchin,1,2,3\n", "line 2: chin is placed twice"),
        ("a.pts", "1 2 3\n", "expected a .pts file with points between"),
        ("a.pp", "<PickedPoints></PickedPoints>", "expected MeshLab's picked points, got none"),
        ("a.pp", '<point name="8" x="1" y="2"/>', "expected x, y and z"),
        ("a.jpg", "x", "expected a landmark file named"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_space_landmarks(file)
    assert str(caught.value).startswith(str(file))
    assert "\n" not in str(caught.value)
