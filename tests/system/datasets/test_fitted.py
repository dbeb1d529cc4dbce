"""Folders of fitted photos: what was written is read again, and what is damaged is refused in a sentence."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
import torch
from twodasl.datasets.photos.fitted_store import read_store, refuse_used, write_store
from twodasl.datasets.photos.sources import open_photos
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel

from ..fitted_sets import write_fitted


@pytest.fixture(scope="module")
def written(tmp_path_factory, ball_model):
    folder = tmp_path_factory.mktemp("fitted") / "store"
    return folder, write_fitted(folder, ball_model)


@pytest.fixture
def store(written, tmp_path):
    """A copy to damage."""
    return shutil.copytree(written[0], tmp_path / "store")


def test_what_was_written_is_read_again(written, ball_model):
    folder, dots = written
    photos = open_photos("fitted", folder, model=ball_model)
    assert len(photos) == 8
    assert photos.without_parameters == ""
    assert photos.has_yaw
    assert photos.visible.shape == (8, 68)
    for index in (0, 7, -1):
        sample, truth = photos[index], dots[index % 8]
        for key in ("image", "parameters", "landmarks", "visible"):
            assert sample[key].dtype == truth[key].dtype
            torch.testing.assert_close(sample[key], truth[key], rtol=0, atol=0)
        assert abs(sample["yaw"]) < 0.5
        assert torch.equal(photos.parameters(index), truth["parameters"])
        assert photos.name(index) == f"images/{index % 8}.png"
        assert photos.yaw_degrees[index] == pytest.approx(np.degrees(sample["yaw"]))
    with pytest.raises(IndexError, match="index 8 is outside a data set of 8 photos"):
        photos[8]
    assert photos.report.lines()[0] == "8 photos kept, 2 left out:"
    assert "the fit misses its points" in photos.report.lines()[1]


def test_without_a_model_there_are_landmarks_alone(written):
    photos = open_photos("fitted", written[0])
    assert photos.without_parameters == "no face model was named"
    assert "parameters" not in photos[0]
    torch.testing.assert_close(photos[0]["landmarks"], written[1][0]["landmarks"])
    with pytest.raises(InputError, match="no face model was named"):
        photos.parameters(0)


def test_worker_processes_do_not_get_the_crops_but_map_them(written, ball_model):
    photos = open_photos("fitted", written[0], model=ball_model)
    sent = pickle.dumps(photos)
    assert len(sent) < 8 * 120 * 120
    assert torch.equal(pickle.loads(sent)[3]["image"], photos[3]["image"])


def test_another_face_model_is_refused(written, other_model):
    other = MorphableModel.load(other_model)
    with pytest.raises(InputError, match=r"face model 'ball' .* identity .*, got 'wide' .*; give the model"):
        open_photos("fitted", written[0], model=other)


def replaced(name, change):
    def damage(folder):
        array = change(np.load(folder / name))
        (folder / name).unlink()
        np.save(folder / name, array)

    return name, damage


def edited(key, value):
    def damage(folder):
        note = json.loads((folder / "fitted.json").read_text())
        note[key] = value
        (folder / "fitted.json").write_text(json.dumps(note))

    return "fitted.json", damage


def cut(name):
    return name, lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def gone(name):
    return name, lambda folder: (folder / name).unlink()


def holding(name, content):
    return name, lambda folder: (folder / name).write_bytes(content)


def first_is(value):
    def change(array):
        array.reshape(-1)[0] = value
        return array

    return change


DAMAGE = {
    "no images": gone("images.npy"),
    "no names": gone("names.txt"),
    "images cut": cut("images.npy"),
    "parameters cut": cut("parameters.npy"),
    "note cut": cut("fitted.json"),
    "images in float": replaced("images.npy", lambda a: a.astype(np.float32)),
    "an image too few": replaced("images.npy", lambda a: a[:-1]),
    "parameters NaN": replaced("parameters.npy", first_is(np.nan)),
    "deviations negative": replaced("deviations.npy", first_is(-1.0)),
    "deviations huge": replaced("deviations.npy", first_is(1e30)),
    "residual negative": replaced("residual.npy", first_is(-1.0)),
    "deviations infinite": replaced("deviations.npy", first_is(np.inf)),
    "parameters of more modes": replaced("parameters.npy", lambda a: np.pad(a, ((0, 0), (0, 1)))),
    "landmarks elsewhere": replaced("landmarks.npy", lambda a: a + 1),
    "visible in numbers": replaced("visible.npy", lambda a: a.astype(np.uint8)),
    "residual in double": replaced("residual.npy", lambda a: a.astype(np.float64)),
    "an object": replaced("residual.npy", lambda a: np.array([{}] * len(a))),
    "a name too many": holding("names.txt", b"a\n" * 9),
    "not JSON": holding("fitted.json", b"\xff\x00"),
    "JSON of numbers": holding("fitted.json", b"[" * 5000),
    "other format": edited("format", "something"),
    "newer version": edited("version", 99),
    "no face model": edited("face_model", {}),
    "absurd counts": edited("face_model", {"name": "ball", "identity": "", "counts": [1, -2, 1 << 80]}),
    "left out nothing": edited("left_out", [{"reason": 3, "names": []}]),
    "kept in words": edited("kept", "eight"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_folder_is_refused_in_one_sentence(store, ball_model, kind):
    name, damage = DAMAGE[kind]
    damage(store)
    with pytest.raises(InputError) as caught:
        open_photos("fitted", store, model=ball_model)
    message = str(caught.value)
    assert message.startswith(str(store / name))
    assert "\n" not in message
    assert len(message) - len(str(store)) < 300


def test_an_empty_folder_is_no_store(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}: expected a folder .*, found no fitted.json in it"):
        open_photos("fitted", tmp_path)


def test_a_folder_that_holds_something_is_refused(tmp_path, written):
    refuse_used(tmp_path / "new")
    (tmp_path / ".twodasl.lock").touch()
    refuse_used(tmp_path)
    with pytest.raises(InputError, match=r"expected an empty or new folder, found 'deviations\.npy' in it"):
        refuse_used(written[0])
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, expected a folder"):
        refuse_used(tmp_path / "file")


def test_what_is_interrupted_leaves_nothing(tmp_path, written, ball_model):
    kept = read_store(written[0])

    def images():
        yield np.zeros((120, 120, 3), np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path, kept.faces, images(), {}, kept.report)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="images: expected 8, got 0"):
        write_store(tmp_path, kept.faces, [], {}, kept.report)
    assert list(tmp_path.iterdir()) == []
