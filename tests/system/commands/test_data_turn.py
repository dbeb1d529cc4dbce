"""`twodasl data turn`: a folder of fitted photos becomes one of heads turned further."""

import json

import numpy as np
from twodasl.cli import main
from twodasl.datasets.photos.fitted_store import read_store
from twodasl.datasets.photos.sources import open_photos
from twodasl.morphable import load_model

from ..fitted_sets import write_fitted


def turn(store, output, *more):
    return main(["data", "turn", str(store), "-o", str(output), *more])


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_heads_are_turned_to_profiles(tmp_path, capsys):
    model = load_model("procedural")
    store, output = tmp_path / "store", tmp_path / "deep" / "turned"
    write_fitted(store, model, 6)
    before = contents(store)
    assert turn(store, output, "-n", "2", "--seed", "5") == 0
    assert f"wrote {output}" in capsys.readouterr().out
    assert contents(store) == before
    photos = open_photos("fitted", output, model=model)
    yaws = np.abs(photos.yaw_degrees)
    assert len(photos) % 2 == 0
    assert 0 < len(photos) <= 12
    assert (yaws >= 29.9).all()
    assert (yaws <= 90.1).all()
    note = json.loads((output / "fitted.json").read_text())
    assert note["turned"] == {"folder": str(store), "count": 2, "seed": 5}
    assert note["source"] == {"kind": "aflw", "folder": "/data/aflw"}
    source, found = read_store(store).faces, read_store(output).faces
    for row, name in enumerate(found.names):
        origin = source.names.index(name.split(" turned to ")[0])
        np.testing.assert_array_equal(found.parameters[row, 12:], source.parameters[origin, 12:])
        np.testing.assert_array_equal(found.deviations[row, 7:], source.deviations[origin, 7:])
        # All three axes were as uncertain: so they stay, however the head turns.
        np.testing.assert_allclose(found.deviations[row, :3], source.deviations[origin, :3], rtol=1e-4)
        assert found.residual[row] == source.residual[origin]
    # The same seed gives the same folder, another one another.
    again, other = tmp_path / "again", tmp_path / "other"
    assert turn(store, again, "-n", "2", "--seed", "5") == 0
    assert contents(again) == contents(output)
    assert turn(store, other, "-n", "2", "--seed", "6") == 0
    assert contents(other)["parameters.npy"] != contents(output)["parameters.npy"]


def test_mistakes_are_told_in_a_sentence(tmp_path, other_model, capsys):
    store = tmp_path / "store"
    write_fitted(store, load_model("procedural"), 2)
    (tmp_path / "file").touch()
    mistakes = {
        "lies inside the data set": (store, store / "turned"),
        "is a file, expected a folder": (store, tmp_path / "file"),
        "fitted.json": (tmp_path / "none", tmp_path / "turned"),
        "its faces are of the face model": (store, tmp_path / "turned", "-m", str(other_model)),
    }
    for words, (folder, output, *more) in mistakes.items():
        assert turn(folder, output, *more) == 2
        message = capsys.readouterr().err.strip().splitlines()
        assert len(message) == 1
        assert words in message[0]
    assert not (tmp_path / "turned").exists()


def test_profiles_alone_are_refused(tmp_path, capsys):
    store = tmp_path / "store"
    write_fitted(store, load_model("procedural"), 2)
    parameters = np.load(store / "parameters.npy")
    landmarks = np.load(store / "landmarks.npy")
    quarter = np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]], np.float32)
    import torch
    from twodasl.geometry.projection import crop_landmarks

    model = load_model("procedural")
    for row in parameters:
        size = np.linalg.norm(row[:3])
        row[:12].reshape(3, 4)[:, :3] = size * quarter
    landmarks = crop_landmarks(model.basis(), torch.from_numpy(parameters)).numpy()
    np.save(store / "parameters.npy", parameters)
    np.save(store / "landmarks.npy", landmarks)
    assert turn(store, tmp_path / "turned") == 2
    assert "profiles only" in capsys.readouterr().err
    assert not (tmp_path / "turned").exists()
