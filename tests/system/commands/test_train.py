"""`twodasl train`: a short run, resume, --dry-run, and one-line errors."""

import pytest
from twodasl.cli import main
from twodasl.training import TrainingConfig, check_model, load_checkpoint, load_regressor, preset
from twodasl.training.presets import read_toml

SHORT = [
    *("data.faces=12", "data.photos=6", "data.workers=0", "batch=4", "photo_batch=2", "checkpoint_every=2"),
    *("stage1.steps=2", "stage2.steps=1", "network.encoder_widths=2,2,2,2,2,4", "network.precision=float32"),
]


def settings(*more):
    return [word for setting in (*SHORT, *more) for word in ("--set", setting)]


def test_a_run_resumes_and_is_read_back(ball_model, ball_path, tmp_path, capsys):
    folder = tmp_path / "run"
    command = ["train", "-o", str(folder), "--model", str(ball_path)]
    assert main([*command, *settings()]) == 0
    assert "step 3: " in capsys.readouterr().out
    regressor, whitening, info = load_regressor(folder / "checkpoint.pt")
    check_model("checkpoint", info, ball_model)
    assert regressor.output.out_features == len(whitening.mean) == 15
    assert info["model_name"] == str(ball_path)
    assert info["config"]["preset"] == "small"

    assert main(["train", "-o", str(folder), "--resume"]) == 0
    assert load_checkpoint(folder / "checkpoint.pt")["step"] == 3

    capsys.readouterr()
    assert main([*command, *settings()]) == 2
    assert "a run is there already; go on with --resume" in capsys.readouterr().err
    assert main(["train", "-o", str(folder), "--resume", "--set", "seed=4"]) == 2
    assert "another configuration: seed (0 and 4)" in capsys.readouterr().err


def test_dry_run_prints_a_configuration_file(tmp_path, capsys):
    assert main(["train", "--preset", "paper", "--set", "seed=7", "--dry-run"]) == 0
    file = tmp_path / "paper.toml"
    file.write_text(capsys.readouterr().out)
    expected = preset("paper").updated({"seed": 7})
    assert TrainingConfig.from_dict(read_toml(file)) == expected
    assert main(["train", "--preset", "paper", "--ablation", "base", "--dry-run"]) == 0
    assert "self_critic = 0.0" in capsys.readouterr().out
    assert main(["train", "--config", str(file), "--model", "x.npz", "--dry-run"]) == 0
    file.write_text(capsys.readouterr().out)
    assert TrainingConfig.from_dict(read_toml(file)) == expected.updated({"data": {"model": "x.npz"}})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "huge"], "small, base-start, base, research, demo, got 'huge'"),
        (["--ablation", "all"], "ablation: expected one of base, cyc, sc, cyc+sc, base-no-mask,"),
        (["--preset", "paper-stage2"], "paper-stage2 goes on from a first stage; give --set network.start="),
        (["--set", "stage1.stepz=3"], "unknown key stage1.stepz"),
        (["--config", "none.toml"], "none.toml: cannot be read"),
        (["--model", "none.npz"], "none.npz: no such face model"),
        (["--device", "tpu"], "--device: expected cpu"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "-o", "run", *settings(), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("twodasl: error: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_output_is_needed(capsys):
    assert main(["train"]) == 2
    assert "--output: expected a folder" in capsys.readouterr().err


def test_resume_of_a_damaged_checkpoint_is_refused(tmp_path, capsys):
    (tmp_path / "checkpoint.pt").write_bytes(b"PK\x03\x04 cut off")
    assert main(["train", "-o", str(tmp_path), "--resume"]) == 2
    assert "is not a twodasl checkpoint, or is damaged" in capsys.readouterr().err
