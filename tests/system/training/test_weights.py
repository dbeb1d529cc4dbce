"""Weights to give away: they answer as the checkpoint, tell nothing of a machine, are whole or refused."""

import json
import os
import shutil
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import load, save
from twodasl import weights as weights_module
from twodasl.errors import InputError
from twodasl.io.images import read_image
from twodasl.morphable import MorphableModel
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.training import TrainingConfig, check_model, load_checkpoint, load_regressor, save_checkpoint
from twodasl.training.presets import preset
from twodasl.training.priors import FitPriors
from twodasl.training.setup import begin
from twodasl.training.weights import read_weights, save_weights
from twodasl.weights import weights_file

from ..tiny_runs import Dots, tiny_config

PRIORS = FitPriors((0.1, 0.2, 0.4), (0.05, 0.1, 0.2), (1.0, 2.0, 8.0), (0.5, 1.0, 2.0), 1.5)
ABOUT = {"summary": "a network for tests", "license": "none", "figures": [1.5]}


@pytest.fixture
def exported(tmp_path, lively_checkpoint):
    """The tensors' file of a network's weights."""
    return save_weights(tmp_path / "w.safetensors", load_checkpoint(lively_checkpoint), PRIORS, ABOUT)[0]


def test_both_files_hold_what_the_checkpoint_did(exported, lively_checkpoint):
    assert sorted(path.name for path in exported.parent.iterdir()) == ["w.json", "w.safetensors"]
    assert exported.stat().st_size < 0.6 * lively_checkpoint.stat().st_size
    saved, found = load_checkpoint(lively_checkpoint), read_weights(exported)
    for key in ("model_identity", "model_counts", "step"):
        assert found[key] == saved[key]
    assert torch.equal(found["model_sketch"], saved["model_sketch"])
    for name in ("mean", "std"):
        assert torch.equal(found["whitening"][name], saved["whitening"][name])
    assert found["priors"] == PRIORS
    assert found["about"] == ABOUT
    assert found["regressor"].keys() == saved["regressor"].keys()
    for name, value in saved["regressor"].items():
        assert found["regressor"][name].dtype == value.dtype
        wanted = value.half().to(value.dtype) if value.ndim > 1 else value
        assert torch.equal(found["regressor"][name], wanted), name


def test_the_same_weights_are_the_same_bytes(tmp_path, lively_checkpoint):
    contents = load_checkpoint(lively_checkpoint)
    first, second = (save_weights(tmp_path / f"{x}.safetensors", contents, PRIORS, ABOUT) for x in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    # Weights of weights are those weights.
    third = save_weights(tmp_path / "c.safetensors", read_weights(first[0]), PRIORS, ABOUT)
    assert [path.read_bytes() for path in third] == [path.read_bytes() for path in first]


def test_faces_are_those_of_the_checkpoint(tmp_path, lively_checkpoint, ball_path, photo_path, photo68):
    """Half precision has eleven bits: a thousandth of what the network adds to its mean face, 0.02 pixels."""
    image = read_image(photo_path)
    contents = load_checkpoint(lively_checkpoint)
    exported = save_weights(tmp_path / "w.safetensors", contents, FitPriors(), {})[0]
    for fit in (False, True):
        for landmarks, box in ((photo68, None), (None, (140, 40, 320, 220))):
            one, other = (
                FaceReconstructor(path, ball_path, fit=fit)(image, landmarks, box)
                for path in (lively_checkpoint, exported)
            )
            apart = np.linalg.norm(one.landmarks[:, :2] - other.landmarks[:, :2], axis=1)
            assert apart.max() < 0.02  # pixels of the photo
            np.testing.assert_allclose(one.angles, other.angles, rtol=0, atol=0.02)


def test_the_networks_output_is_the_checkpoints_to_half_precision(exported, lively_checkpoint):
    image = torch.randn(4, 4, 120, 120, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        one, other = (load_regressor(path)[0](image) for path in (lively_checkpoint, exported))
    assert 0 < (one - other).abs().max() < 4e-3 * one.abs().max()


def test_priors_reach_the_fit(exported, ball_path):
    assert FaceReconstructor(exported, ball_path)._fit.priors == PRIORS


def test_averaged_weights_are_taken(tmp_path, lively_checkpoint):
    contents = load_checkpoint(lively_checkpoint)
    average = {name: value + 0.5 for name, value in contents["regressor"].items()}
    file = save_weights(tmp_path / "w.safetensors", {**contents, "average": average}, PRIORS, {})[0]
    bias = read_weights(file)["regressor"]["output.bias"]
    assert torch.equal(bias, contents["regressor"]["output.bias"] + 0.5)


def test_what_half_precision_cannot_hold_is_kept(tmp_path, lively_checkpoint):
    contents = load_checkpoint(lively_checkpoint)
    contents["regressor"]["output.weight"][3, 5] = 1e5
    file = save_weights(tmp_path / "w.safetensors", contents, PRIORS, {})[0]
    assert torch.equal(
        read_weights(file)["regressor"]["output.weight"], contents["regressor"]["output.weight"]
    )


def test_nothing_tells_where_files_lay(tmp_path, lively_checkpoint):
    contents = load_checkpoint(lively_checkpoint)
    secret = "/home/somebody/secret"
    config = TrainingConfig.from_dict(contents["config"]).updated(
        {
            "fitted_batch": 2,
            "data": {
                "model": f"{secret}/ball.npz",
                "photo_source": f"aflw:{secret}/aflw",
                "face_source": f"300w-lp:{secret},one/300W_LP",
                "fitted_source": f"fitted:{secret}/a,fitted:{secret}/b/,fitted:.,fitted:/",
                "basis": f"{secret}/basis",
                "cache": f"{secret}/cache",
            },
            "network": {"start": f"{secret}/run/checkpoint.pt"},
        }
    )
    contents |= {"config": config.to_dict(), "model_name": f"{secret}/ball.npz"}
    file = save_weights(tmp_path / "w.safetensors", contents, PRIORS, {})[0]
    for path in (file, file.with_suffix(".json")):
        for word in (b"somebody", b"secret", os.fsencode(tmp_path)):
            assert word not in path.read_bytes()
    head = read_weights(file)
    found = TrainingConfig.from_dict(head["config"])
    assert head["model_name"] == found.data.model == "ball.npz"
    assert found.data.photo_source == "aflw:aflw"
    assert found.data.face_source == "300w-lp:300W_LP"
    assert found.data.fitted_sources == ["fitted:a", "fitted:b", "fitted:.", "fitted:."]
    assert found.network.start == "checkpoint.pt"
    load_regressor(file)


def test_the_configuration_is_the_runs_otherwise(exported, lively_checkpoint):
    found = TrainingConfig.from_dict(read_weights(exported)["config"])
    config = TrainingConfig.from_dict(load_checkpoint(lively_checkpoint)["config"])
    assert found == config.updated({"data": {"model": "ball.npz"}})


def test_a_run_starts_from_weights(exported, ball_model, other_model):
    config = tiny_config(network={"start": str(exported), "points": 68})
    networks = begin(config, "ball", ball_model, Dots(ball_model, 4), None, torch.device("cpu")).networks
    given = read_weights(exported)
    state = networks.regressor.state_dict()
    assert torch.equal(state["stem.weight"], given["regressor"]["stem.weight"])
    assert torch.equal(state["output.weight"][:15], given["regressor"]["output.weight"])
    assert len(state["output.weight"]) == 15 + 3 * 68
    assert torch.equal(networks.whitening.mean, given["whitening"]["mean"])
    other = MorphableModel.load(other_model)
    with pytest.raises(InputError, match="was trained for the face model"):
        begin(config, "wide", other, Dots(other, 4), None, torch.device("cpu"))
    large = config.updated({"network": {"regressor": "resnet50"}})
    with pytest.raises(InputError, match=r"w\.safetensors: was trained with other networks than 'resnet50'"):
        begin(large, "ball", ball_model, Dots(ball_model, 4), None, torch.device("cpu"))


def test_a_run_starts_from_weights_of_the_package(exported, ball_model, monkeypatch, tmp_path):
    monkeypatch.setattr("twodasl.weights._FOLDER", tmp_path)
    for suffix in (".safetensors", ".json"):
        shutil.copy(exported.with_suffix(suffix), tmp_path / f"base{suffix}")
    config = tiny_config(network={"start": "base"})
    networks = begin(config, "ball", ball_model, Dots(ball_model, 4), None, torch.device("cpu")).networks
    given = read_weights(exported)["regressor"]
    assert torch.equal(networks.regressor.state_dict()["output.weight"], given["output.weight"])
    assert preset("research").network.start == "base"


def one_sentence(error, *words):
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    for word in words:
        assert word in message


def test_the_json_file_is_not_the_weights(exported):
    with pytest.raises(InputError) as error:
        load_regressor(exported.with_suffix(".json"))
    one_sentence(error, "w.json: describes weights; give the file of their tensors, w.safetensors")


def test_a_byte_order_mark_does_no_harm(exported):
    side = exported.with_suffix(".json")
    side.write_bytes(b"\xef\xbb\xbf" + side.read_bytes())
    assert read_weights(exported)["about"] == ABOUT


@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9999])
def test_truncated_tensors_are_refused(exported, share):
    os.truncate(exported, int(exported.stat().st_size * share))
    with pytest.raises(InputError) as error:
        load_regressor(exported)
    one_sentence(error, str(exported), "is not weights of a network, or is damaged", "twodasl weights export")


@pytest.mark.parametrize("length", [2**63, 2**40, 10**8 + 1])
def test_a_huge_header_is_refused(exported, length):
    exported.write_bytes(struct.pack("<Q", length) + exported.read_bytes()[8:])
    with pytest.raises(InputError) as error:
        load_regressor(exported)
    one_sentence(error, "w.safetensors: is not weights of a network, or is damaged")


def test_a_tensor_that_claims_more_than_the_file_holds_is_refused(exported):
    head = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    exported.write_bytes(struct.pack("<Q", len(head)) + head)
    with pytest.raises(InputError, match=r"w\.safetensors: is not weights of a network, or is damaged"):
        load_regressor(exported)


def test_the_json_file_is_needed(exported):
    exported.with_suffix(".json").unlink()
    with pytest.raises(InputError) as error:
        load_regressor(exported)
    one_sentence(error, "w.json: cannot be read", "expected the JSON file that belongs to w.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not the JSON file beside weights, or is damaged"),
        ("{", "is not the JSON file beside weights, or is damaged"),
        ("[" * 100_000, "is not the JSON file beside weights, or is damaged"),
        ("\xff", "is not the JSON file beside weights, or is damaged"),
        ("[]", "expected twodasl-weights, version 1"),
        ("{}", "expected twodasl-weights, version 1"),
        (" " * (1 << 20) + "{}", "expected at most 1,048,576 bytes"),
    ],
)
def test_another_json_file_is_refused(exported, text, message):
    exported.with_suffix(".json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError) as error:
        load_regressor(exported)
    one_sentence(error, f"w.json: {message}")


def changed(file, **changes):
    side = file.with_suffix(".json")
    head = json.loads(side.read_text())
    side.write_text(json.dumps({k: v for k, v in {**head, **changes}.items() if v != "gone"}))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "other", "expected twodasl-weights, version 1"),
        ("version", 2, "expected twodasl-weights, version 1"),
        ("priors", "gone", "priors: expected"),
        (
            "priors",
            {**PRIORS.to_dict(), "coefficients": [1, 1]},
            "priors.coefficients: expected 0 or 3 numbers",
        ),
        ("priors", {**PRIORS.to_dict(), "points": 10**400}, "priors.points: expected a number"),
        ("config", [], "config: expected a table of settings"),
        ("config", {"network": {"regressor": "other"}}, "network.regressor"),
        ("config", {"network": {"points": 68}}, "the checkpoint's weights do not fit the network"),
        ("config", {"network": {"regressor": "resnet50"}}, "the checkpoint's weights do not fit the network"),
        ("model_counts", [1002, 2, 2], "whitening: expected 16 numbers"),
        ("model_counts", [1002, 2, 10**400], "model_counts: expected"),
        ("model_identity", "gone", "model_identity: expected"),
        ("model_name", 3, "model_name: expected text"),
        ("step", -1, "step: expected a number from 0"),
    ],
)
def test_a_json_file_of_something_else_is_named(exported, key, value, message):
    changed(exported, **{key: value})
    with pytest.raises(InputError) as error:
        load_regressor(exported)
    one_sentence(error, message, "w.")


def test_about_is_what_its_maker_says_or_nothing(exported):
    for value in ("gone", 3, ["x"]):
        changed(exported, about=value)
        assert read_weights(exported)["about"] == {}


def retensored(file, change):
    tensors = load(file.read_bytes())
    change(tensors)
    file.write_bytes(save(tensors))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("whitening.mean"), "whitening: expected mean and std"),
        (lambda t: t.update({"whitening.std": torch.ones(14)}), "whitening: "),
        (lambda t: t.update({"whitening.std": torch.full((15,), torch.nan)}), "whitening: "),
        (lambda t: t.pop("model_sketch"), "model_sketch: expected"),
        (lambda t: t.update(model_sketch=torch.zeros(4, 8, 3)), "model_sketch: expected (1+K, 8, 3) float64"),
        (lambda t: t.pop("regressor.stem.weight"), "do not fit the network"),
        (lambda t: t.update({"regressor.output.bias": torch.zeros(16)}), "do not fit the network"),
        (lambda t: t.update({"regressor.more": torch.zeros(1)}), "do not fit the network"),
    ],
)
def test_tensors_of_something_else_are_named(exported, change, message):
    retensored(exported, change)
    with pytest.raises(InputError) as error:
        load_regressor(exported)
    one_sentence(error, f"{exported}: ", message)


def test_another_face_model_is_refused(exported, other_model, lively_checkpoint, tmp_path):
    with pytest.raises(InputError, match="was trained for the face model 'ball'"):
        FaceReconstructor(exported, other_model)
    # The name alone is kept, which leads nowhere.
    with pytest.raises(InputError) as error:
        FaceReconstructor(exported)
    one_sentence(error, "was trained for the face model 'ball'", "give the model itself (--model)")
    # Tensors beside another network's JSON file, of another model with the same counts.
    other = MorphableModel.load(other_model)
    with pytest.raises(InputError, match="was trained for the face model"):
        check_model(exported, read_weights(exported), other)


def test_names_and_files(tmp_path, monkeypatch, exported):
    monkeypatch.setattr(weights_module, "_FOLDER", tmp_path)
    with pytest.raises(InputError) as error:
        weights_file("base")
    assert str(error.value) == "weights: 'base' is not in this installation; give a file of weights"
    for path in (exported, exported.with_suffix(".json")):
        path.rename(tmp_path / f"base{path.suffix}")
    assert weights_file("base") == tmp_path / "base.safetensors"
    assert load_regressor("base")[2]["about"] == ABOUT
    for path in ("run.pt", "deep/base", tmp_path / "none"):
        assert weights_file(path) == type(tmp_path)(path)
    with pytest.raises(InputError) as error:
        weights_file("bass")
    assert str(error.value) == "weights: expected base, research or a file, got 'bass' (did you mean 'base'?)"
    for wrong in (b"base", 3, None):
        with pytest.raises(
            InputError, match=r"^weights: expected weights of a network, as a str or os.PathLike"
        ):
            weights_file(wrong)


def test_a_file_of_another_name_or_too_long_a_text_writes_nothing(tmp_path, lively_checkpoint):
    contents = load_checkpoint(lively_checkpoint)
    for name in ("w.pt", "w", "w.json"):
        with pytest.raises(InputError, match=r": expected a file named NAME\.safetensors$"):
            save_weights(tmp_path / name, contents, PRIORS, {})
    with pytest.raises(InputError, match=r"w\.json: expected at most 1,048,576 bytes, got "):
        save_weights(tmp_path / "w.safetensors", contents, PRIORS, {"long": "x" * (1 << 20)})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_and_a_pipe_are_refused(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(InputError, match="is a folder, not a regular file; expected weights of a network"):
        load_regressor(tmp_path / "folder.safetensors")
    os.mkfifo(tmp_path / "pipe.safetensors")
    with pytest.raises(InputError, match="is a pipe"):
        load_regressor(tmp_path / "pipe.safetensors")


def test_a_checkpoint_is_no_weights_and_weights_no_checkpoint(tmp_path, exported, lively_checkpoint):
    (tmp_path / "x.pt").write_bytes(exported.read_bytes())
    with pytest.raises(InputError, match=r"x\.pt: is not a twodasl checkpoint"):
        load_regressor(tmp_path / "x.pt")
    (tmp_path / "y.safetensors").write_bytes(lively_checkpoint.read_bytes())
    with pytest.raises(InputError, match=r"y\.safetensors: is not weights of a network"):
        load_regressor(tmp_path / "y.safetensors")
    save_checkpoint(tmp_path / "z.pt", {"step": 1})
    with pytest.raises(InputError, match=r"z\.pt: the checkpoint lacks"):
        load_regressor(tmp_path / "z.pt")
