"""`twodasl fit`: the files, the words, and one line where something does not fit."""

import json

import numpy as np
import pytest
from twodasl import cli
from twodasl.io.images import read_image
from twodasl.meshes import read_mesh
from twodasl.meshes.write import write_ply


@pytest.fixture
def ball_scan(ball_model, tmp_path):
    """A scan in centimeters of the ellipsoid, and three of its landmarks."""
    shown = ball_model.shape(np.array([0.5, -0.5, 0.3])).astype(np.float64)
    write_ply(tmp_path / "scan.ply", 0.1 * shown, ball_model.triangles)
    ball_model.save(tmp_path / "ball.npz")
    rows = [f"{i},{','.join(map(str, 0.1 * shown[ball_model.landmarks[i]]))}" for i in (0, 8, 16, 30, 36, 45)]
    (tmp_path / "marks.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def run(folder, *words) -> int:
    scan, model, output = folder / "scan.ply", folder / "ball.npz", folder / "out"
    return cli.main(["fit", str(scan), "-m", str(model), "-o", str(output), *map(str, words)])


def test_the_files_and_the_report(ball_scan, ball_model, capsys):
    assert run(ball_scan, "-l", ball_scan / "marks.csv") == 0
    printed = capsys.readouterr().out
    assert "the scan is in cm" in printed
    assert "position: from the landmarks" in printed
    out = ball_scan / "out"
    assert sorted(file.name for file in out.iterdir()) == [
        "scan.curve.png", "scan.fitted.obj", "scan.fitted.ply", "scan.heat-map.png", "scan.json",
    ]  # fmt: skip
    numbers = json.loads((out / "scan.json").read_text())
    assert numbers["unit"] == "cm"
    assert numbers["errors_mm"]["median"] < 0.5
    assert numbers["points"] == len(ball_model.mean)
    assert len(numbers["shape"]) == 2
    for suffix in (".ply", ".obj"):
        mesh = read_mesh(out / f"scan.fitted{suffix}")
        np.testing.assert_array_equal(mesh.triangles, ball_model.triangles)
        scan = read_mesh(ball_scan / "scan.ply")
        assert np.median(np.linalg.norm(mesh.vertices - scan.vertices, axis=1)) < 0.05
    for name in ("heat-map", "curve"):
        assert read_image(out / f"scan.{name}.png").std() > 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-l", "no.csv"], "no.csv: cannot be read"),
        (["-l", "two.csv"], "two.csv: expected at least 3 points, got 2"),
        (["--device", "tpu"], "--device: expected cpu"),
        (["-m", "no.npz"], "no.npz: no such face model"),
    ],
)
def test_what_does_not_fit_is_one_line_and_writes_nothing(ball_scan, capsys, monkeypatch, words, message):
    monkeypatch.chdir(ball_scan)
    (ball_scan / "two.csv").write_text("8,1,2,3\n30,2,3,4\n")
    assert run(ball_scan, *words) == 2
    errors = capsys.readouterr().err
    assert message in errors
    assert errors.count("\n") == 1
    assert not (ball_scan / "out").exists()


def test_a_scan_of_three_points(ball_scan, capsys):
    write_ply(ball_scan / "scan.ply", np.eye(3), [[0, 1, 2]])
    assert run(ball_scan) == 2
    assert "scan.ply: expected (P, 3) finite numbers, at least 50 points, got 3" in capsys.readouterr().err
    assert not (ball_scan / "out").exists()
