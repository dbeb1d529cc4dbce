"""Checkpoints: whole or refused, never executed, and only for the face model they were made for."""

import copy
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel, Whitening
from twodasl.morphable.sketch import sketch
from twodasl.networks import ResNet50, build_regressor
from twodasl.training import TrainingConfig, check_model, load_checkpoint, load_regressor, save_checkpoint
from twodasl.training.setup import begin
from twodasl.training.start import load_start_weights
from twodasl.training.state import contents as state_contents
from twodasl.training.state import restore

from ..tiny_runs import tiny_config


def contents(model, **changes):
    outputs = 12 + len(model.coefficient_std)
    torch.manual_seed(1)
    return {
        "config": TrainingConfig().to_dict(),
        "model_name": model.name,
        "model_identity": model.identity,
        "model_counts": list(model.counts),
        "model_sketch": torch.from_numpy(sketch(model)),
        "whitening": Whitening(torch.randn(outputs), torch.rand(outputs) + 0.5).state_dict(),
        "regressor": build_regressor("small", outputs).state_dict(),
        "step": 12,
        **changes,
    }


@pytest.fixture
def saved(ball_model, tmp_path):
    path = tmp_path / "run.pt"
    save_checkpoint(path, contents(ball_model))
    return path


def test_round_trip(ball_model, saved):
    expected = contents(ball_model)
    loaded = load_checkpoint(saved)
    assert loaded["format"] == "twodasl-checkpoint"
    assert loaded["config"] == expected["config"]
    regressor, whitening, info = load_regressor(saved)
    assert not regressor.training
    for name, value in expected["regressor"].items():
        assert torch.equal(regressor.state_dict()[name], value)
    assert torch.equal(whitening.mean, expected["whitening"]["mean"])
    assert info["model_identity"] == ball_model.identity
    assert info["model_counts"] == list(ball_model.counts)
    assert info["step"] == 12
    check_model(saved, info, ball_model)


def test_numpys_numbers_and_text_are_saved_as_pythons(ball_model, tmp_path):
    entry = {"step": np.int64(3), np.str_("total"): np.float32(0.5)}
    path = tmp_path / "run.pt"
    save_checkpoint(path, contents(ball_model, model_name=np.str_("ball"), history=[entry]))
    loaded = load_checkpoint(path)
    assert (type(loaded["model_name"]), loaded["history"]) == (str, [{"step": 3, "total": 0.5}])


def test_weights_only_can_read_it(saved):
    assert torch.load(saved, weights_only=True)["step"] == 12


def test_another_face_model_is_refused_by_both_names(ball_model, other_model, saved):
    other = MorphableModel.load(other_model)
    with pytest.raises(InputError) as error:
        check_model(saved, load_checkpoint(saved), other)
    for part in (
        str(saved),
        f"'ball' (1002/2/1 vertices/shapes/expressions), identity {ball_model.identity[:12]}",
        f"'wide' (1002/2/1 vertices/shapes/expressions), identity {other.identity[:12]}",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize("share", [0.0001, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_truncated_files_are_refused(saved, share):
    size = saved.stat().st_size
    os.truncate(saved, int(size * share))
    with pytest.raises(InputError, match=r"run\.pt: is not a twodasl checkpoint"):
        load_checkpoint(saved)


def test_a_file_that_lacks_its_last_byte_is_refused(saved):
    os.truncate(saved, saved.stat().st_size - 1)
    with pytest.raises(InputError, match=r"cut off|damaged"):
        load_checkpoint(saved)


def test_a_flipped_bit_is_found(saved):
    with zipfile.ZipFile(saved) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    data = bytearray(saved.read_bytes())
    data[largest.header_offset + 500 + largest.file_size // 2] ^= 4
    saved.write_bytes(data)
    with pytest.raises(InputError, match="is not a twodasl checkpoint, or is damaged"):
        load_checkpoint(saved)


def test_zeros_at_the_end_of_a_file_are_found(saved):
    """What a crash can leave where the file's length reached the disk and its data did not."""
    data = saved.read_bytes()
    saved.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    with pytest.raises(InputError, match=r"cut off|damaged"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "is empty"), (b"x", "is not a twodasl checkpoint"), (b"\x89PNG" + bytes(500), "is not a twodasl")],
)
def test_other_files_are_refused(tmp_path, data, message):
    path = tmp_path / "other.pt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        load_checkpoint(path)


def test_a_pipe_is_refused_before_it_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(InputError, match="is a pipe"):
        load_checkpoint(tmp_path / "pipe.pt")
    with pytest.raises(InputError, match="is a pipe"):
        load_start_weights(ResNet50(62), tmp_path / "pipe.pt")


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.pt: cannot be read"):
        load_checkpoint(tmp_path / "none.pt")
    with pytest.raises(InputError, match="is a folder, not a regular file"):
        load_checkpoint(tmp_path)


class Payload:
    def __reduce__(self):
        return (os.system, ("touch executed",))


def test_pickled_code_is_not_executed(ball_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tmp_path / "evil.pt", contents(ball_model, extra=Payload()))
    with pytest.raises(InputError, match="pickled objects"):
        load_checkpoint(tmp_path / "evil.pt")
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(InputError, match="is not a twodasl checkpoint"):
        load_checkpoint(tmp_path / "raw.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "value",
    [{"state_dict": {}}, [1, 2], {"format": "other"}, torch.zeros(3)],
    ids=["dict", "list", "format", "tensor"],
)
def test_other_torch_files_are_refused(tmp_path, value):
    torch.save(value, tmp_path / "x.pt")
    with pytest.raises(InputError, match="is not a twodasl checkpoint"):
        load_checkpoint(tmp_path / "x.pt")


def test_other_zip_files_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("readme", "hello")
    with pytest.raises(InputError, match="is not a twodasl checkpoint"):
        load_checkpoint(tmp_path / "x.pt")


def test_newer_versions_are_refused(ball_model, tmp_path):
    torch.save({"format": "twodasl-checkpoint", "version": 2, **contents(ball_model)}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="version 2, this twodasl reads version 1"):
        load_checkpoint(tmp_path / "x.pt")


def test_missing_parts_are_named(ball_model, tmp_path):
    partial = contents(ball_model)
    del partial["regressor"]
    del partial["step"]
    save_checkpoint(tmp_path / "x.pt", partial)
    with pytest.raises(InputError, match="lacks regressor, step"):
        load_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("config", []),
        ("model_name", 3),
        ("model_identity", "abc"),
        ("model_counts", [1, 2]),
        ("model_counts", [1002, 5, 5]),
        ("model_counts", [1002, 10**9, 10**9]),
        ("model_counts", [1002.0, 2, 1]),
        ("model_sketch", torch.zeros(4, 8, 3, dtype=torch.bfloat16)),
        ("whitening", {"mean": torch.zeros(15)}),
        ("whitening", {"mean": torch.zeros(14), "std": torch.ones(14)}),
        ("whitening", {"mean": torch.zeros(15), "std": torch.zeros(15)}),
        ("whitening", {"mean": torch.full((15,), torch.nan), "std": torch.ones(15)}),
        ("whitening", {"mean": [0.0] * 15, "std": [1.0] * 15}),
        ("regressor", {"output.weight": 3}),
        ("regressor", {3: torch.zeros(2)}),
        ("average", None),
        ("step", "many"),
        ("step", True),
        ("step", -1),
        ("optimizers", {"regressor": {}}),
        ("optimizers", {key: {"state": {0: 1}, "param_groups": []} for key in ("regressor", "critic")}),
        ("scaler", {"scale": "large"}),
        ("lengths", 3),
        ("rng", torch.zeros(3)),
        ("history", [{"step": "one"}]),
        ("history", [{"total": 1.0}]),
        ("recent", [3]),
    ],
)
def test_a_part_of_another_kind_is_named(ball_model, tmp_path, part, value):
    save_checkpoint(tmp_path / "x.pt", contents(ball_model, **{part: value}))
    named = "whitening|model_counts" if part == "model_counts" else part  # the two tell K
    with pytest.raises(InputError, match=rf"x\.pt: ({named}): .*give a whole checkpoint"):
        load_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize(
    "change",
    [
        {"regressor": {"output.weight": torch.zeros(15, 256)}},
        {"config": {**TrainingConfig().to_dict(), "network": {"regressor": "resnet50"}}},
    ],
)
def test_weights_that_do_not_fit_are_refused(ball_model, tmp_path, change):
    save_checkpoint(tmp_path / "x.pt", contents(ball_model, **change))
    with pytest.raises(InputError, match=r"x\.pt: the checkpoint's weights do not fit"):
        load_regressor(tmp_path / "x.pt")


def test_a_configuration_of_another_program_is_refused(ball_model, tmp_path):
    save_checkpoint(tmp_path / "x.pt", contents(ball_model, config={"epochs": 3}))
    with pytest.raises(InputError, match=r"x\.pt: unknown key epochs"):
        load_regressor(tmp_path / "x.pt")


def test_saving_leaves_nothing_half_written(saved, monkeypatch, ball_model):
    before = saved.read_bytes()

    def fail(value, file):
        file.write(b"PK half")
        raise RuntimeError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(RuntimeError):
        save_checkpoint(saved, contents(ball_model))
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["run.pt"]


def test_resnet_starts_from_authors_or_imagenet_files(tmp_path):
    torch.manual_seed(0)
    source = ResNet50(62)
    state = source.state_dict()
    authors = {"res_state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 9}
    # Their files are of the format before the zip archive.
    torch.save(authors, tmp_path / "authors.pth.tar", _use_new_zipfile_serialization=False)
    network = ResNet50(62)
    load_start_weights(network, tmp_path / "authors.pth.tar")
    assert torch.equal(network.fc.weight, source.fc.weight)
    with pytest.raises(InputError, match="as many outputs"):
        load_start_weights(ResNet50(50), tmp_path / "authors.pth.tar")

    imagenet = {k: v for k, v in state.items() if not k.startswith("fc.")}
    imagenet["conv1.weight"] = state["conv1.weight"][:, :3].clone()
    torch.save(imagenet, tmp_path / "resnet50.pth")
    network = ResNet50(62)
    before = network.fc.weight.clone()
    load_start_weights(network, tmp_path / "resnet50.pth")
    assert torch.equal(network.fc.weight, before)
    assert torch.equal(network.layer3[2].conv2.weight, source.layer3[2].conv2.weight)
    assert torch.equal(network.conv1.weight[:, 3], torch.zeros(64, 7, 7))

    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    for name, message in (("other.pth", "expected a ResNet-50"), ("none.pth", "No such file")):
        with pytest.raises(InputError, match=message):
            load_start_weights(network, tmp_path / name)
    (tmp_path / "text.pth").write_text("hello")
    with pytest.raises(InputError, match="is not a file of weights"):
        load_start_weights(ResNet50(62), tmp_path / "text.pth")
    del imagenet["layer3.2.conv2.weight"]
    torch.save(imagenet, tmp_path / "part.pth")
    with pytest.raises(InputError, match="layers have other names"):
        load_start_weights(ResNet50(62), tmp_path / "part.pth")


class Unfinished:
    """Eight faces of a model, of which a run needs the parameters alone to begin."""

    def __len__(self):
        return 8

    def parameters(self, index):
        return torch.randn(15, generator=torch.Generator().manual_seed(index))


@pytest.fixture
def begun(ball_model):
    config = tiny_config(optimizer={"name": "adam"})
    torch.manual_seed(0)
    run = begin(config, "ball", ball_model, Unfinished(), Unfinished(), torch.device("cpu"))
    for optimizer in (run.optimizer, run.critic_optimizer):
        for group in optimizer.param_groups:
            for weight in group["params"]:
                weight.grad = torch.ones_like(weight)
        optimizer.step()
    run.step = 1
    return run


def state_of(run):
    """A checkpoint of the run whose parts may be changed."""
    saved = state_contents(run)
    saved["optimizers"] = copy.deepcopy(saved["optimizers"])
    return saved


@pytest.mark.parametrize("key", ["encoder", "critic", "optimizers", "lengths", "rng", "history"])
def test_a_run_that_lacks_a_part_is_not_resumed(begun, key):
    saved = state_of(begun)
    del saved[key]
    with pytest.raises(InputError, match=rf"x\.pt: lacks {key} and .*cannot be resumed"):
        restore(begun, saved, Path("x.pt"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exp_avg", torch.zeros(3)),
        ("exp_avg", 0.0),
        ("exp_avg_sq", torch.full((), torch.nan)),
        ("step", torch.tensor(-1.0)),
        ("step", float("nan")),
        ("momentum_buffer", torch.zeros(3)),
    ],
)
def test_an_optimizer_of_something_else_is_not_resumed(begun, name, value):
    saved = state_of(begun)
    saved["optimizers"]["critic"]["state"][0][name] = value
    with pytest.raises(InputError, match="cannot be resumed"):
        restore(begun, saved, Path("x.pt"))


def test_a_step_beyond_the_run_and_another_generator_are_not_resumed(begun):
    with pytest.raises(InputError, match="is of step 1000, expected at most"):
        restore(begun, {**state_of(begun), "step": 1000}, Path("x.pt"))
    with pytest.raises(InputError, match="cannot be resumed"):
        restore(begun, {**state_of(begun), "rng": torch.zeros(3, dtype=torch.uint8)}, Path("x.pt"))


def test_an_optimizer_keeps_the_settings_of_the_configuration(begun):
    saved = state_of(begun)
    expected = begun.critic_optimizer.param_groups[0]["betas"]
    saved["optimizers"]["critic"]["param_groups"] = [{"betas": "none", "lr": "fast"}]
    restore(begun, saved, Path("x.pt"))
    assert begun.critic_optimizer.param_groups[0]["betas"] == expected
    begun.critic_optimizer.step()
