"""`twodasl evaluate reconstruction` on small folders: numbers, files, pictures, answers to bad input."""

import contextlib
import io
import json
import os

import cv2
import numpy as np
import pytest
from scipy.io import savemat
from twodasl.cli import main
from twodasl.evaluation.error_curve import error_curve
from twodasl.evaluation.heat_map import Face, heat_map
from twodasl.evaluation.reconstruction import reconstruction_error
from twodasl.meshes.write import write_obj, write_ply
from twodasl.pictures.charts import nice_ticks, ramp

PICTURES = ("error-curve.png", "error-heat-map.png")


def run(capsys, *arguments) -> tuple[int, str, str]:
    code = main(["evaluate", "reconstruction", *map(str, arguments), "--no-progress"])
    output, errors = capsys.readouterr()
    return code, output, errors


def bump(height: float) -> tuple[np.ndarray, np.ndarray]:
    """A face of a kind, (221, 3) y up, 100 x 120 units, and its triangles, counter-clockwise from the
    front."""
    x, y = np.meshgrid(np.linspace(-50, 50, 13), np.linspace(60, -60, 17))
    z = height * np.exp(-(x**2 + y**2) / 900) - 0.008 * (x**2 + y**2) + 4 * np.sin(x / 18) * np.cos(y / 25)
    index = np.arange(13 * 17).reshape(17, 13)
    a, b, c, d = (part.ravel() for part in (index[:-1, :-1], index[1:, :-1], index[:-1, 1:], index[1:, 1:]))
    return np.stack([x, y, z], 2).reshape(-1, 3), np.concatenate(
        [np.stack(t, 1) for t in ((a, b, c), (c, b, d))]
    )


@pytest.fixture
def folders(tmp_path):
    """Five true faces of one shape; the predictions' relief is off by 0, 1, 2, 3 and 4 units at the nose."""
    for number in range(5):
        truth, triangles = bump(30)
        write_ply(tmp_path / "truth" / f"face{number}.ply", truth, triangles)
        write_obj(tmp_path / "predicted" / f"face{number}.obj", bump(30 + number)[0] + [5, 0, 9], triangles)
    return tmp_path


def arguments(folders) -> list:
    return ["--predicted", folders / "predicted", "--truth", folders / "truth"]


@pytest.mark.parametrize("protocol", ["nearest", "authors-matlab"])
def test_report_json_and_pictures(capsys, folders, protocol):
    np.save(folders / "yaw.npy", np.array([0, -20, 45, 59, 80.0]))
    out = folders / "new" / "out"
    code, text, _ = run(
        capsys, *arguments(folders), "--protocol", protocol, "--yaw", folders / "yaw.npy", "--output", out
    )
    assert code == 0
    report = json.loads((out / "reconstruction.json").read_text())
    faces = report["faces"]
    nme = [face["nme"] for face in faces]
    assert report["protocol"] == protocol
    assert [face["name"] for face in faces] == [f"face{number}" for number in range(5)]
    assert nme[0] == pytest.approx(0, abs=1e-4)  # the OBJ keeps six digits
    assert nme == sorted(nme)
    assert faces[0]["normalizer"] == pytest.approx(np.sqrt(100 * 120))
    results = report["results"]
    assert results["mean"] == pytest.approx(np.mean(nme))
    assert results["median"] == pytest.approx(nme[2])
    bins = [np.mean(nme[:2]), np.mean(nme[2:4]), nme[4]]
    assert list(results["bins"].values()) == pytest.approx(bins)
    assert results["bin_mean"] == pytest.approx(np.mean(bins))
    for words in (protocol, "sqrt(w*h)", "median", "(30, 60]", "bin mean", f"{np.mean(nme):.4f}", "yaw.npy"):
        assert words in text
    for name in PICTURES:
        picture = cv2.imread(str(out / name))
        assert picture.shape[0] > 300
        assert picture.std() > 10
        assert str(out / name) in text
    assert sorted(file.name for file in out.iterdir()) == sorted([*PICTURES, "reconstruction.json"])


def test_without_output_nothing_is_written(capsys, folders):
    before = sorted(folders.rglob("*"))
    code, text, _ = run(capsys, *arguments(folders))
    assert code == 0
    assert "5     faces" in text
    assert "|yaw|" not in text
    assert sorted(folders.rglob("*")) == before


def test_broken_and_missing_files_are_skipped_counted_and_named(capsys, folders):
    (folders / "predicted" / "face1.obj").write_text("v 1 2\n")
    (folders / "predicted" / "face3.obj").unlink()
    (folders / "predicted" / "stranger.npy").write_bytes(b"")
    table = "".join(f"face{number}.jpg,{10 * number}\n" for number in range(5))
    (folders / "yaw.csv").write_text("image,yaw_degrees\n" + table)
    code, text, _ = run(
        capsys, *arguments(folders), "--yaw", folders / "yaw.csv", "--output", folders / "out"
    )
    assert code == 0
    assert "2 of 5" in text
    assert "face1.obj: line 1" in text
    assert "face3: no prediction" in text
    assert "Predictions without a ground truth: 1" in text
    report = json.loads((folders / "out" / "reconstruction.json").read_text())
    assert [(face["name"], face["yaw"]) for face in report["faces"]] == [
        ("face0", 0),
        ("face2", 20),
        ("face4", 40),
    ]
    assert set(report["skipped"]) == {"face1", "face3"}
    assert report["without_truth"] == ["stranger"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("face1.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 99999999999999999999\n"),
        ("face1.obj", b"v 0 0 " + b"1" * 100_000 + b"\n" + b"v 0 0 0\n" * 1000),
        ("face1.ply", b"ply\nformat ascii 1.0\nelement vertex \xb2\nproperty float x\nend_header\n"),
        ("face1.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'shape': (9999999999, 3)}"),
        ("face1.mat", b"MATLAB 5.0" + bytes(500)),
        ("face1.obj", b"v 1e99 1e99 1e99\nv -1e99 0 0\nv 0 1e99 0\n"),
        ("face1.ply", None),
    ],
)
def test_whatever_is_in_one_file_the_others_are_measured(capsys, folders, name, content):
    (folders / "predicted" / "face1.obj").unlink()
    file = folders / "predicted" / name
    if content is None:
        os.mkfifo(file)
    else:
        file.write_bytes(content)
    code, text, _ = run(capsys, *arguments(folders))
    assert code == 0
    assert "faces" in text
    if b"1e99" not in (content or b""):  # a face of that size is one, if a bad one
        assert "Skipped, and in no number above: 1 of 5" in text
        assert str(file) in text


def test_the_files_are_written_before_a_name_that_cannot_be_shown(folders, monkeypatch):
    for kind, suffix in (("truth", ".ply"), ("predicted", ".obj")):
        (folders / kind / f"face0{suffix}").rename(folders / kind / os.fsdecode(b"\xff" + suffix.encode()))
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", narrow)
    with contextlib.suppress(UnicodeEncodeError):
        main(
            [
                "evaluate",
                "reconstruction",
                *map(str, arguments(folders)),
                "-o",
                str(folders / "out"),
                "--no-progress",
            ]
        )
    names = [
        face["name"] for face in json.loads((folders / "out" / "reconstruction.json").read_text())["faces"]
    ]
    assert "\udcff" in names
    assert all((folders / "out" / name).is_file() for name in PICTURES)


def test_a_set_mostly_broken_is_an_error(capsys, folders):
    for number in range(3):
        (folders / "predicted" / f"face{number}.obj").write_text("")
    code, _, errors = run(capsys, *arguments(folders), "--output", folders / "out")
    assert code == 2
    assert errors.count("\n") == 1
    assert "3 of 5 faces could not be measured" in errors
    assert "face0.obj: is empty" in errors
    assert not (folders / "out").exists()


def test_other_topology_suits_one_protocol_only(capsys, folders):
    for number in range(5):
        (folders / "predicted" / f"face{number}.obj").unlink()
        np.save(folders / "predicted" / f"face{number}.npy", bump(30 + number)[0][:200].T)
    code, _, errors = run(capsys, *arguments(folders), "--protocol", "authors-matlab")
    assert code == 2
    assert "has 200 vertices and the ground truth 221" in errors
    assert run(capsys, *arguments(folders), "--output", folders / "out")[0] == 0
    assert (folders / "out" / "error-heat-map.png").exists()  # the truth has triangles, the prediction none


def test_points_alone_need_triangles_for_the_heat_map(capsys, folders):
    for number in range(5):
        (folders / "truth" / f"face{number}.ply").unlink()
        savemat(folders / "truth" / f"face{number}.mat", {"vertices": bump(30)[0].T})
    code, text, _ = run(capsys, *arguments(folders), "--output", folders / "out")
    assert code == 0
    assert "No heat-map" in text
    assert not (folders / "out" / "error-heat-map.png").exists()
    savemat(folders / "tri.mat", {"tri": bump(30)[1].T + 1})
    more = ("--output", folders / "out", "--triangles", folders / "tri.mat", "--y-axis", "up")
    assert run(capsys, *arguments(folders), *more)[0] == 0
    assert cv2.imread(str(folders / "out" / "error-heat-map.png")).std() > 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--protocol", "paper"), "--protocol: expected one of nearest, authors-matlab, got"),
        (("--protocol", "authors-matlab", "--scale"), "--scale: has a meaning only"),
        (("--yaw", "{root}/none.npy"), "none.npy: cannot be read"),
        (("--yaw", "{root}/short.npy"), "expected a yaw for each of 5"),
        (("--yaw", "{root}/far.npy"), "expected degrees, got 1000.0"),
        (("--yaw", "{root}/words.csv"), "expected lines 'name,yaw', got 'one,two'"),
        (("--yaw", "{root}/few.csv"), "got none for 'face1'"),
        (("--yaw", "{root}/twice.csv"), "expected one yaw a face, got 1.0 and 2.0 for 'face0'"),
        (("--yaw", "{root}/yaw.txt"), "a .npy or .csv file"),
        (("--triangles", "{root}/short.npy"), "expected triangles"),
        (("--output", "{root}/few.csv"), "few.csv is a file"),
        (("--truth", "{root}/nowhere"), "no such folder"),
        (("--truth", "{root}/empty"), "found none"),
        (("--truth", "{root}/others"), "expected meshes of one name in both"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(capsys, folders, options, message):
    np.save(folders / "short.npy", np.zeros(4))
    np.save(folders / "far.npy", np.full(5, 1000.0))
    (folders / "words.csv").write_text("one,two\n")
    (folders / "few.csv").write_text("face0,1\n")
    (folders / "twice.csv").write_text("face0,1\nface0.obj,2\n")
    (folders / "empty").mkdir()
    (folders / "others").mkdir()
    np.save(folders / "others" / "another.npy", bump(3)[0])
    given = [option.format(root=folders) for option in options]
    code, _, errors = run(capsys, *arguments(folders), *given)
    assert code == 2
    assert message in errors


def test_the_heat_map_shows_where_the_error_is_and_which_way_is_up():
    truth, triangles = bump(30)
    found = truth + np.where(truth[:, 1:2] > 30, [0, 0, 6], 0)  # wrong in the upper quarter
    error = reconstruction_error(found, truth, protocol="authors-matlab")
    pictures = []
    for flip in (1, -1):  # y up, and the same in image pixels: one picture
        sign = [1, flip, 1]
        error = reconstruction_error(found * sign, truth * sign, protocol="authors-matlab")
        faces = [Face("face", truth * sign, triangles, found * sign, triangles, error)]
        pictures.append(heat_map(faces, "title", "label"))
    np.testing.assert_allclose(pictures[0].astype(int), pictures[1], atol=2)
    tile = pictures[0][138:498, 764:1124].astype(int)  # the third
    redness = tile[..., 2] - tile[..., 0]
    assert redness[40:80, 133:227].mean() > 30 + redness[227:307, 133:227].mean()
    upside_down = heat_map(faces, "title", "label", y_axis="up")
    assert np.abs(upside_down.astype(int) - pictures[1]).mean() > 3


def test_charts():
    assert nice_ticks(1.9) == pytest.approx([0, 0.5, 1, 1.5, 2])
    assert nice_ticks(6, 6) == pytest.approx([0, 1, 2, 3, 4, 5, 6])
    for top in (0, 1e-9, 0.31, 99.9, 1e7):
        ticks = nice_ticks(top)
        assert 2 <= len(ticks) <= 7
        assert ticks[-1] >= top
    brightness = ramp(np.linspace(0, 1, 50)).sum(1)
    assert (np.diff(brightness) < 0).all()
    for errors in ([0.0], [1.0, 1.0], np.linspace(0, 9, 2000)):
        assert error_curve(np.array(errors), "title", "label").std() > 10
    with pytest.raises(ValueError, match="errors"):
        error_curve(np.array([np.nan]), "title", "label")
