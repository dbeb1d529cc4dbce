"""`twodasl demo` with the weights that come with the package, on the photograph that scikit-image brings."""

import json

import numpy as np
from twodasl.cli import main


def test_the_photograph_is_found_and_reconstructed(tmp_path, capsys, photo68):
    assert main(["demo", "-o", str(tmp_path / "out")]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith("."))
    assert names == [f"astronaut.{suffix}" for suffix in ("glb", "json", "obj", "ply", "png")]
    printed = capsys.readouterr().out
    assert "found a face and reconstructed it in " in printed
    assert "next: twodasl reconstruct photo.jpg -o out" in printed
    numbers = json.loads((tmp_path / "out" / "astronaut.json").read_text())
    assert numbers["source"]["detector"] == "retinaface"
    # A smiling face that looks at the camera. The points were marked by hand; the network never saw them.
    apart = np.linalg.norm(np.array(numbers["landmarks_2d"]) - photo68, axis=1)
    size = np.sqrt(np.ptp(photo68, axis=0).prod())
    assert apart[17:].mean() < 0.035 * size
    assert abs(numbers["pose"]["yaw_degrees"]) < 10


def test_settings_are_the_trainings(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path), "--set", "stage1.steps=1"]) == 2
    assert "--set: changes the training's configuration; give --train with it" in capsys.readouterr().err
