"""Training on photos from disk, named by the configuration."""

from pathlib import Path

import numpy as np
import pytest
import torch
from twodasl.cli import main
from twodasl.datasets.photos.sources import open_photos
from twodasl.errors import InputError
from twodasl.training import TrainingConfig, load_checkpoint, train
from twodasl.training import datasets as training_datasets
from twodasl.training.compiled import decided
from twodasl.training.feed import prepare
from twodasl.training.setup import estimate_whitening
from twodasl.training.streams import FacePool, LandmarksOnly, stack

from ..photo_sets import link_wild, write_aflw, write_basis, write_folder, write_w300lp

WILD = Path(__file__).resolve().parents[4] / "shared" / "data" / "aflw_wild"

SHORT = {
    "batch": 3,
    "photo_batch": 2,
    "checkpoint_every": 2,
    "data": {"faces": 6, "workers": 0},
    "augment": {"flip": 0.5},
    "network": {"encoder_widths": [2, 2, 2, 2, 2, 4]},
    "stage1": {"steps": 2},
    "stage2": {"steps": 2},
}


def configured(cache, source, **data):
    config = TrainingConfig().updated(SHORT)
    return config.updated({"data": {"photo_source": source, "cache": str(cache), **data}})


def same_weights(one, two):
    return all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("kind", ["aflw", "photos"])
def test_a_run_on_photos_is_reproduced_by_its_checkpoint(tmp_path, ball_model, photo68, kind):
    root = tmp_path / "data"
    root.mkdir()
    (write_aflw if kind == "aflw" else write_folder)(root, photo68)
    config = configured(tmp_path / "cache", f"{kind}:{root}")
    result = train(config, output=tmp_path / "run", model=ball_model, progress=False)
    assert result.history[-1]["landmarks_2d"] > 0
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert saved["lengths"] == [6, 6 if kind == "aflw" else 4]
    again = TrainingConfig.from_dict(saved["config"])
    # What "auto" left open is written as it was decided.
    assert again == decided(config, torch.device("cpu"))
    assert same_weights(train(again, model=ball_model, progress=False).regressor, result.regressor)
    unpooled = again.updated({"data": {"pool": False}})
    assert same_weights(train(unpooled, model=ball_model, progress=False).regressor, result.regressor)
    synthetic = again.updated({"data": {"photo_source": "", "photos": 6}})
    assert not same_weights(train(synthetic, model=ball_model, progress=False).regressor, result.regressor)


def test_a_run_on_300w_lp(tmp_path, ball_model):
    root, basis = tmp_path / "lp", tmp_path / "basis"
    write_w300lp(root, ball_model)
    write_basis(basis, ball_model)
    config = TrainingConfig().updated(SHORT).updated({"photo_batch": 0, "augment": {"flip": 0.0}})
    config = config.updated({"data": {"face_source": f"300w-lp:{root}", "cache": str(tmp_path / "cache")}})
    with pytest.raises(InputError, match=r"need parameters of the face model 'ball': 3DDFA's basis"):
        train(config, model=ball_model, progress=False)
    config = config.updated({"data": {"basis": str(basis)}})
    result = train(config, output=tmp_path / "run", model=ball_model, progress=False)
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt")["lengths"] == [5, 0]
    assert result.history[-1]["vertices"] > 0
    with pytest.raises(InputError, match=r"augment.flip: the face model 'ball' is not symmetric"):
        train(config.updated({"augment": {"flip": 0.5}}), model=ball_model, progress=False)
    # The whitening is that of the data set's parameters.
    faces = open_photos("300w-lp", root, model=ball_model, basis=basis, cache=tmp_path / "cache")
    truth = torch.stack([faces.parameters(index) for index in range(5)])
    torch.testing.assert_close(result.whitening.mean, truth.mean(0), rtol=1e-5, atol=1e-6)


def test_a_data_set_of_landmarks_cannot_give_3d_faces(tmp_path, ball_model, photo68):
    write_aflw(tmp_path, photo68)
    config = TrainingConfig().updated(
        {"data": {"face_source": f"aflw:{tmp_path}", "cache": str(tmp_path / "c")}}
    )
    with pytest.raises(InputError, match="the data set has landmarks only"):
        train(config, model=ball_model, progress=False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.photo_source=aflw", "data.photo_source: expected KIND:FOLDER"),
        ("data.photo_source=lfw:/x", "kinds are 300w-lp, aflw, aflw-lfpa, umdfaces, mesh478, fitted, photos"),
        ("data.face_source=300w-lp", "data.face_source: expected KIND:FOLDER"),
        ("data.photo_source=aflw:/no/such/folder", "/no/such/folder: no such folder; expected AFLW as in"),
        ("augment.flip=2", "augment.flip: expected a number from 0 to 1"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, ball_path, capsys, monkeypatch, setting, message):
    monkeypatch.setenv("TWODASL_CACHE", str(tmp_path / "cache"))
    assert main(["train", "-o", str(tmp_path / "run"), "--model", str(ball_path), "--set", setting]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_pool_beyond_the_memory_is_refused(monkeypatch, ball_model):
    class Many:
        def __len__(self):
            return 2_000_000

    monkeypatch.setattr(training_datasets, "_installed_memory", lambda: 64 << 30)
    with pytest.raises(InputError, match=r"2,000,000 faces need 84 GiB in memory, .* data.pool=false"):
        training_datasets.check_memory([Many()])
    monkeypatch.setattr(training_datasets, "_installed_memory", lambda: 128 << 30)
    training_datasets.check_memory([Many()])


def test_hidden_landmarks_of_photos_do_not_count(tmp_path, photo68):
    points, visible = write_aflw(tmp_path / "data", photo68)
    photos = LandmarksOnly(open_photos("aflw", tmp_path / "data", cache=tmp_path / "cache"))
    batch = FacePool(photos, progress=False).gather(range(6))
    part = stack([{**photos[i], "parameters": torch.zeros(62)} for i in range(2)])
    config = TrainingConfig().updated({"augment": {"rotation": 0, "scale": 0, "shift": 0, "gain": 0}})
    faces = prepare([part, batch], config, 0)
    without_ears = np.r_[0:12, 13:16, 17:20]
    np.testing.assert_array_equal(faces.visible[2:], visible[:, without_ears])
    seen = visible[:, without_ears]
    np.testing.assert_allclose(faces.observed[2:][seen], points[:, without_ears][seen], atol=1e-4)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("pool", [True, False])
def test_a_photo_that_was_damaged_later_stops_the_run_in_one_sentence(
    tmp_path, ball_path, photo68, capsys, workers, pool
):
    root, cache = tmp_path / "data", tmp_path / "cache"
    write_aflw(root, photo68)
    open_photos("aflw", root, cache=cache)
    (root / "images" / "image00002.jpg").write_bytes(b"no longer a photo")
    settings = (
        *(f"data.photo_source=aflw:{root}", f"data.cache={cache}", "data.faces=4", "photo_batch=6"),
        *(f"data.pool={str(pool).lower()}", f"data.workers={workers}", "network.encoder_widths=2,2,2,2,2,4"),
    )
    command = ["train", "-o", str(tmp_path / "run"), "--model", str(ball_path)]
    assert main([*command, *(word for setting in settings for word in ("--set", setting))]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"twodasl: error: {root / 'images/image00002.jpg'}: is not an image")
    assert last.endswith("list it again (twodasl data check --rebuild)")
    assert "Traceback" not in last


def test_whitening_is_of_faces_from_the_whole_data_set():
    class Sorted:
        def __len__(self):
            return 100

        def parameters(self, index):
            return torch.full((12,), float(index))

    whitening = estimate_whitening(Sorted(), samples=10)
    torch.testing.assert_close(whitening.mean, torch.full((12,), 45.0))
    torch.testing.assert_close(estimate_whitening(Sorted()).mean, torch.full((12,), 49.5))


@pytest.mark.skipif(not WILD.is_dir(), reason="needs ../shared/data/aflw_wild")
def test_a_run_on_real_photos_and_synthetic_faces(tmp_path, ball_path):
    link_wild(WILD, tmp_path / "some", range(0, 10_000, 400))
    command = ["train", "-o", str(tmp_path / "run"), "--model", str(ball_path)]
    for setting in (
        f"data.photo_source=aflw:{tmp_path / 'some'}",
        f"data.cache={tmp_path / 'cache'}",
        *("data.pool=false", "data.faces=8", "batch=4", "photo_batch=4", "stage1.steps=3", "stage2.steps=2"),
        *("network.encoder_widths=2,2,2,2,2,4", "augment.flip=0.5"),
    ):
        command += ["--set", setting]
    assert main(command) == 0
    saved = load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    assert saved["lengths"] == [8, 25]
    assert saved["step"] == 5
    assert all(np.isfinite(list(entry.values())).all() for entry in saved["history"])
