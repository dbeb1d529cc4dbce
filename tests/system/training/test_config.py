"""Configurations: round trips, overrides, and errors that name the key."""

import json
import os

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.training.config import LossConfig, NetworkConfig, OptimizerConfig, StageConfig, TrainingConfig
from twodasl.training.presets import PRESETS, preset, read_toml, to_toml
from twodasl.training.records import _flat


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_dictionaries_and_toml(name, tmp_path):
    config = preset(name)
    assert config.preset == name
    assert TrainingConfig.from_dict(config.to_dict()) == config
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config))
    assert TrainingConfig().updated(read_toml(file)) == config
    assert TrainingConfig.from_dict(read_toml(file)) == config


def test_text_survives_toml(tmp_path):
    config = TrainingConfig().updated({"data": {"model": 'C:\\faces\\"mine".npz'}})
    (tmp_path / "c.toml").write_text(to_toml(config))
    assert TrainingConfig.from_dict(read_toml(tmp_path / "c.toml")) == config


def test_what_is_left_out_keeps_its_value():
    config = preset("paper").updated({"stage1": {"steps": 7}, "seed": 3})
    assert (config.stage1.steps, config.seed) == (7, 3)
    assert config.stage1.learning_rate == preset("paper").stage1.learning_rate
    assert config.loss == preset("paper").loss


def test_settings():
    config = TrainingConfig().with_settings(
        [
            "stage1.steps=12",
            "data.pool=False",
            "stage2.learning_rate=3e-4",
            "network.encoder_widths=[4,4,4,4,4,8]",
            "data.model=/faces/a=b.npz",
        ]
    )
    assert config.stage1.steps == 12
    assert config.data.pool is False
    assert config.stage2.learning_rate == 3e-4
    assert config.network.encoder_widths == (4, 4, 4, 4, 4, 8)
    assert config.data.model == "/faces/a=b.npz"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("stage1.step=3", "unknown key stage1.step (did you mean 'stage1.steps'?); known here: steps,"),
        (
            "stage3.steps=3",
            "unknown key stage3 (did you mean 'stage1.steps' or 'stage2.steps'?); known here: preset,",
        ),
        ("seed.x=3", "unknown key seed.x"),
        ("stage1=3", "expected a key inside stage1: steps,"),
        ("stage1.steps=many", "expected a whole number, got 'many'"),
        ("stage1.steps=1.5", "expected a whole number"),
        ("data.pool=yes", "expected true or false"),
        ("seed", "expected key=value"),
        ("=3", "expected key=value"),
        ("network.regressor=vgg", "network.regressor: expected resnet50 or small, got 'vgg'"),
        ("network.encoder_widths=1,2", "network.encoder_widths: expected six widths"),
        ("loss.cycle=-1", "loss.cycle: expected a number from 0 to 1,000,000,000, got -1.0"),
        ("loss.cycle=nan", "loss.cycle: expected a number from 0 to 1,000,000,000, got nan"),
        ("stage1.learning_rate=inf", "stage1.learning_rate: expected a number from 1e-30 to 1,000, got inf"),
        ("landmarks.map_dropout=1.5", "landmarks.map_dropout: expected a number from 0 to 1"),
        ("batch=1", "batch: expected a number from 2 to 65,536, got 1"),
    ],
)
def test_bad_settings_name_the_key(setting, message):
    with pytest.raises(InputError) as error:
        TrainingConfig().with_settings([setting])
    assert message in str(error.value)
    assert str(error.value).startswith(f"--set {setting}: ")


NUMBERS = [key for key, value in _flat(TrainingConfig().to_dict()).items() if type(value) in (int, float)]
ABSURD = [-1, 10**12 * 10**12, 10**400, -(10**400), 10**5000, float("inf"), float("-inf"), float("nan")]


@pytest.mark.parametrize("key", NUMBERS)
def test_no_number_is_absurd(key):
    """One sentence, which is short, for a number that would crash or fill the memory somewhere else."""
    for absurd in ABSURD:
        value: object = absurd
        for name in reversed(key.split(".")):
            value = {name: value}
        with pytest.raises(InputError) as error:
            TrainingConfig().updated(value)
        assert key.rpartition(".")[2] in str(error.value)
        assert len(str(error.value)) < 300
    assert len(NUMBERS) > 40


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (f"seed={2**64}", "seed: expected a number from 0 to 9,223,372,036,854,775,807"),
        ("data.faces=1000000000000", "data.faces: expected a number from 2 to 10,000,000"),
        (f"batch={'9' * 5000}", "expected a whole number"),
        (f"stage1.learning_rate=1{'0' * 400}", "got inf"),
        ("loss.cycle=1e400", "got inf"),
        ("network.encoder_widths=1,1,1,1,1,100000", "six widths from 1 to 4096"),
    ],
)
def test_absurd_settings(setting, message):
    with pytest.raises(InputError, match=r"^--set") as error:
        TrainingConfig().with_settings([setting])
    assert message in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize(
    "text",
    [
        "seed = 1\0",
        'data.model = "a\\u0000b"',
        f"seed = {'9' * 5000}",
        f"seed = {2**64}",
        "seed = 1e400",
        "loss.cycle = nan",
        "seed = 1979-05-27",
        f"seed = {'[' * 3000}{']' * 3000}",
        f"{'a.' * 3000}b = 1",
        f"network.encoder_widths = [{'1,' * 100_000}]",
        f"# {'x' * 2**20}",
        f"data.model = '{'x' * 5000}'",
        "data = 3",
        "seed = [",
    ],
)
def test_a_file_of_nonsense_is_refused_in_a_sentence(tmp_path, text):
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=r"c\.toml") as error:
        TrainingConfig().updated(read_toml(path), where=str(path))
    assert len(str(error.value)) < 600


def test_a_pipe_is_no_configuration(tmp_path):
    os.mkfifo(tmp_path / "c.toml")
    with pytest.raises(InputError, match="is a pipe"):
        read_toml(tmp_path / "c.toml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"stage1": {"stepz": 3}}, "run.toml: unknown key stage1.stepz"),
        ({"stage1": 3}, "run.toml: stage1: expected a table of settings, got 3"),
        ({"batch": "32"}, "run.toml: batch: expected a whole number, got '32'"),
        ({"batch": True}, "run.toml: batch: expected a whole number, got True"),
        ({"stage1": {"steps": 0}, "stage2": {"steps": 0}}, "run.toml: stage1.steps: expected at least one"),
        ({"network": {"encoder_widths": [1, 2, 3, 4, 5, "6"]}}, "network.encoder_widths: expected"),
    ],
)
def test_bad_dictionaries_name_the_key(values, message):
    with pytest.raises(InputError) as error:
        TrainingConfig.from_dict(values, where="run.toml")
    assert message in str(error.value)


def test_bad_toml_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_toml(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("seed = = 3")
    with pytest.raises(InputError, match=r"bad\.toml: expected a TOML"):
        read_toml(tmp_path / "bad.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"binary\.toml: expected a TOML"):
        read_toml(tmp_path / "binary.toml")


def test_unknown_preset():
    with pytest.raises(InputError, match="paper-stage2, small, base-start, base, research, demo, got 'huge'"):
        preset("huge")
    with pytest.raises(InputError, match="preset: 'small-cpu' is now called 'small'; give that name"):
        preset("small-cpu")


def test_differences_name_both_values():
    config = TrainingConfig()
    other = config.updated({"seed": 5, "stage1": {"steps": 9}})
    assert config.differences(other) == ["seed (0 and 5)", "stage1.steps (1000 and 9)"]
    assert config.differences(config) == []


def test_stages_follow_one_another():
    config = TrainingConfig(stage1=StageConfig(steps=3), stage2=StageConfig(steps=2))
    assert config.steps == 5
    found = [config.stage_at(step) for step in range(5)]
    assert found == [(config.stage1, i) for i in range(3)] + [(config.stage2, i) for i in range(2)]


def test_learning_rates():
    cosine = StageConfig(steps=100, learning_rate=1.0, final_learning_rate=0.1, warmup=9)
    assert [cosine.learning_rate_at(i) for i in range(9)] == pytest.approx([i / 10 for i in range(1, 10)])
    assert cosine.learning_rate_at(9) == 1.0
    assert cosine.learning_rate_at(99) == pytest.approx(0.1, abs=1e-3)
    rates = [cosine.learning_rate_at(i) for i in range(9, 100)]
    assert rates == sorted(rates, reverse=True)
    exponential = StageConfig(steps=100, learning_rate=1.0, final_learning_rate=0.01, schedule="exponential")
    assert exponential.learning_rate_at(0) == 1.0
    assert exponential.learning_rate_at(50) == pytest.approx(0.1)
    ratio = exponential.learning_rate_at(51) / exponential.learning_rate_at(50)
    assert ratio == pytest.approx(exponential.learning_rate_at(2) / exponential.learning_rate_at(1))


def test_settings_are_checked_and_made_plain_wherever_they_come_from():
    config = TrainingConfig(
        batch=np.int64(32),
        network=NetworkConfig(encoder_widths=np.full(6, 16)),
        loss=LossConfig(importance=np.bool_(True)),
        optimizer=OptimizerConfig(clip=np.float32(0.5)),
    )
    assert [type(config.batch), type(config.optimizer.clip)] == [int, float]
    assert config.network.encoder_widths == (16,) * 6
    assert config.loss.importance is True
    assert TrainingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("record", "key", "value"),
    [
        (TrainingConfig, "batch", "32"),
        (TrainingConfig, "batch", np.float32(32.5)),
        (TrainingConfig, "data", {}),
        (LossConfig, "importance", "no"),
        (NetworkConfig, "encoder_widths", 16),
    ],
)
def test_a_setting_of_another_type_is_named(record, key, value):
    with pytest.raises(InputError, match=f"^configuration: {key}: expected .*, got "):
        record(**{key: value})
