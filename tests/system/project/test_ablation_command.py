"""`python -m benchmarks.experiments.ablation`: its runs train, and its table adds up."""

import numpy as np
import pytest
from twodasl.cli import main
from twodasl.evaluation import Report
from twodasl.evaluation.report_files import json_text
from twodasl.training import TrainingConfig
from twodasl.training.presets import read_toml

from benchmarks.experiments import ablation


@pytest.mark.parametrize("method", list(ablation.METHODS))
def test_every_method_is_a_configuration_of_the_same_budget(method, tmp_path, capsys):
    assert main([*ablation.training(tmp_path, tmp_path / "out", method, 3), "--dry-run"]) == 0
    file = tmp_path / "config.toml"
    file.write_text(capsys.readouterr().out)
    config = TrainingConfig.from_dict(read_toml(file))
    assert (config.seed, config.steps, config.batch, config.time_limit) == (3, 1500, 32, 0)
    assert config.network.precision == "float32"
    assert config.photo_batch == (0 if method == "base" else 16)
    blind = method in ("base", "sc")
    assert (config.landmarks.map_dropout == 1) is blind
    assert config.loss.landmarks_2d == (0 if blind else 0.5)
    assert config.loss.self_critic == (0.005 if "sc" in method else 0)


def test_the_table_has_mean_and_extremes_over_the_seeds(tmp_path):
    for seed in (0, 1):
        for method, inputs in ablation.INPUTS.items():
            for landmarks in inputs:
                errors = np.array([0.01, 0.02, 0.03]) + 0.001 * seed
                report = Report("faces", {}, ["a", "b", "c"], np.array([0.0, 45, 80]), {"network": errors})
                (tmp_path / f"{method}-{seed}.{landmarks}.json").write_text(json_text(report))
    lines = ablation.table(tmp_path, [0, 1]).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == [
        "cyc, detected", "cyc+sc, detected", "base, none", "cyc, none", "sc, none", "cyc+sc, none",
    ]  # fmt: skip
    assert "1.050 (1.000-1.100)" in lines[1]
    assert lines[1].rstrip().endswith("2.050 (2.000-2.100)")
