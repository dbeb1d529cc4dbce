"""Which reader a path goes to, and what is said of paths that go to none."""

import pickle
import zipfile

import numpy as np
import pytest
import scipy.io
import torch
from twodasl.cli import main
from twodasl.morphable import load_model
from twodasl.morphable.readers.recognize import SUPPORTED

KINDS = {
    "MATLAB": (".mat", lambda path: scipy.io.savemat(path, {"model": np.ones(3)}, appendmat=False)),
    "pickle": (".pkl", lambda path: path.write_bytes(pickle.dumps({"u": np.ones(3)}))),
    "npz": (".npz", lambda path: np.savez(path.open("wb"), mean=np.ones(3))),
    "HDF5": (".h5", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".mat", ".pkl", ".npz", ".h5", ".bin", ".txt", ""])
def test_a_wrong_name_is_told(tmp_path, refuses, kind, suffix):
    path = tmp_path / f"face{suffix}"
    own, write = KINDS[kind]
    write(path)
    if suffix == own:
        refuses(path, "struct|not a known face model|format|h5py|damaged HDF5")
    else:
        refuses(path, f"is of kind {kind} by its content; rename it to end in {own}")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".txt", ""])
def test_what_no_name_makes_a_model(tmp_path, refuses, suffix):
    path = tmp_path / f"run{suffix}"
    for archive in (True, False):
        torch.save({"format": torch.ones(3)}, path, _use_new_zipfile_serialization=archive)
        refuses(path, "is a file of torch .*, no face model; expected twodasl")
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("face.obj", "v 0 0 0")
    refuses(path, "is a zip archive of something else; expected twodasl's")
    path.write_bytes(path.read_bytes()[:40])
    refuses(path, "is not a .npz file, or is damaged")


@pytest.mark.parametrize("suffix", [".mat", ".pkl", ".npz", ".h5", ".bin", ".txt", ""])
def test_an_empty_file(tmp_path, refuses, suffix):
    path = tmp_path / f"face{suffix}"
    path.touch()
    refuses(path, "is empty; expected twodasl's .npz, BFM")


@pytest.mark.parametrize("suffix", [".mat", ".pkl", ".npz", ".h5", ".bin", ".txt", ""])
@pytest.mark.parametrize("content", [b"v 1 2 3\nf 1 2 3\n", bytes(500), bytes(range(256))])
def test_a_file_of_something_else(tmp_path, refuses, suffix, content):
    path = tmp_path / f"face{suffix}"
    path.write_bytes(content)
    refuses(path, "face model|MATLAB file|pickle|HDF5|h5py|model of eos|npz")


def test_unknown_contents_are_listed(tmp_path, refuses):
    path = tmp_path / "face.pkl"
    path.write_bytes(pickle.dumps({"b": 1, "a": 2}))
    refuses(path, "contains a, b, not a known face model; expected twodasl's")
    path.write_bytes(pickle.dumps([1, 2]))
    refuses(path, "contains list, not a known face model")


def test_folders(tmp_path, refuses, ball_path):
    refuses(tmp_path, "is not a face model folder and contains no model file; expected twodasl's")
    for name in ("generic_model.pkl", "flame2023.pkl"):
        (tmp_path / name).write_bytes(b"\x80\x02}.")
    refuses(tmp_path, r"contains several face models \(generic_model\.pkl, flame2023\.pkl\); name one of")
    (tmp_path / "flame2023.pkl").unlink()
    refuses(
        tmp_path, r"generic_model\.pkl: contains nothing, not a known face model", named="generic_model.pkl"
    )
    refuses(tmp_path / "gone", "no such face model; give 'procedural' or the path of a file or folder")


def test_the_command_says_it_in_one_line(tmp_path, capsys):
    path = tmp_path / "face.mat"
    path.write_text("no model")
    assert main(["models", "show", str(path)]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith(f"twodasl: error: {path}: ")
    assert errors.count("\n") == 1


def test_a_model_of_twodasl_is_still_one(ball_path, ball_model):
    assert load_model(ball_path).identity == ball_model.identity
    assert "ICT-FaceKit" in SUPPORTED
