"""`twodasl data annotate`: from photos to a folder that training reads, and its errors."""

import hashlib
import json

import numpy as np
from twodasl.cli import main
from twodasl.datasets.photos.sources import open_photos

from ..photo_sets import write_aflw


def annotate(root, checkpoint, store, *more):
    command = ["data", "annotate", "aflw", str(root), "-c", str(checkpoint), "-o", str(store)]
    return main([*command, "--cache", str(root.parent / "cache"), *more])


def test_a_data_set_becomes_a_folder_that_training_reads(
    tmp_path, photo68, ball_model, ball_checkpoint, ball_path, capsys
):
    root, store = tmp_path / "data", tmp_path / "deep" / "store"
    write_aflw(root, photo68, 7)
    (root / "images" / "image00003.jpg").write_bytes(b"nothing")
    assert annotate(root, ball_checkpoint, store, "--sigma", "2", "--batch-size", "4") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "6 photos kept, 1 left out:"
    assert lines[2].startswith("distance from the given points to the model's: median ")
    assert lines[3] == f"wrote {store}"
    files = ("images", "parameters", "deviations", "landmarks", "visible", "residual")
    names = {f"{name}.npy" for name in files} | {"names.txt", "fitted.json"}
    assert {path.name for path in store.iterdir()} == names
    note = json.loads((store / "fitted.json").read_text())
    assert note["format"] == "twodasl-fitted"
    assert note["source"] == {"kind": "aflw", "folder": str(root)}
    assert note["face_model"]["identity"] == ball_model.identity
    assert note["checkpoint"]["sha256"] == hashlib.sha256(ball_checkpoint.read_bytes()).hexdigest()
    assert note["fit"]["sigma"] == 2
    assert (note["kept"], [group["count"] for group in note["left_out"]]) == (6, [1])
    photos = open_photos("fitted", store, model=ball_model)
    source = open_photos("aflw", root, cache=tmp_path / "cache")
    for index in range(6):
        np.testing.assert_array_equal(photos[index]["image"], source[index]["image"])
        assert photos.name(index) == source.name(index)
    # The same again is refused, and what is there stays.
    before = {path: path.read_bytes() for path in store.iterdir()}
    assert annotate(root, ball_checkpoint, store) == 2
    assert "expected an empty or new folder" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in store.iterdir()} == before
    sheet = tmp_path / "sheet.png"
    command = ["data", "check", "fitted", str(store), "-o", str(sheet)]
    assert main([*command, "-m", str(ball_path)]) == 0
    printed = capsys.readouterr().out
    assert "landmarks: 68 points" in printed
    assert "parameters: of the face model, for every photo" in printed
    assert sheet.exists()


def test_mistakes_are_told_in_a_sentence(tmp_path, photo68, ball_checkpoint, other_model, capsys):
    root = tmp_path / "data"
    write_aflw(root, photo68)
    store = tmp_path / "store"
    mistakes = {
        "lies inside the data set": (root, ball_checkpoint, root / "store"),
        "is a file, expected a folder": (root, ball_checkpoint, tmp_path / "file"),
        "cannot be read": (root, tmp_path / "none.pt", store),
        "no such folder": (tmp_path / "none", ball_checkpoint, store),
        "was trained for the face model 'ball'": (root, ball_checkpoint, store, "-m", str(other_model)),
        # With such a sigma all stay where the network has them.
        "6 of 6 photos cannot be used": (root, ball_checkpoint, store, "--sigma", "100"),
    }
    (tmp_path / "file").touch()
    for words, (folder, checkpoint, output, *more) in mistakes.items():
        assert annotate(folder, checkpoint, output, *more) == 2
        message = capsys.readouterr().err.strip().splitlines()
        assert len(message) == 1
        assert words in message[0]
        assert not store.exists()
    for text in ("0", "nan", "-1", "pixel"):
        assert annotate(root, ball_checkpoint, store, "--sigma", text) == 2
        assert "expected a number from 0.01 to 100" in capsys.readouterr().err


def test_what_is_annotated_is_not_annotated_again(tmp_path, photo68, ball_checkpoint, capsys):
    root, store = tmp_path / "data", tmp_path / "store"
    write_aflw(root, photo68)
    assert annotate(root, ball_checkpoint, store) == 0
    again = ["data", "annotate", "fitted", str(store), "-c", str(ball_checkpoint)]
    assert main([*again, "-o", str(tmp_path / "other")]) == 2
    assert "is annotated already; give the photos that it was made from" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
