"""Every setting has a comment, and the printed configuration carries it."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import get_type_hints

import pytest
from twodasl.training.comments import comments
from twodasl.training.config import DataConfig, TrainingConfig
from twodasl.training.presets import PRESETS, read_toml, to_toml

RECORDS = [TrainingConfig, *(kind for kind in get_type_hints(TrainingConfig).values() if is_dataclass(kind))]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_every_setting_is_explained(record):
    explained = comments(record)
    assert set(explained) == {field.name for field in fields(record)}
    for text in explained.values():
        assert text.endswith(".")
        assert "\n" not in text


def test_the_text_is_that_of_the_class():
    assert (
        comments(DataConfig)["cache"] == "The folder that keeps the lists of photos; empty: the user's cache."
    )


def test_comments_stand_above_their_settings():
    lines = to_toml(PRESETS["paper"]).splitlines()
    place = lines.index("time_limit = 0.0")
    assert lines[place - 1].startswith("# ")
    assert "# Weight of the vertex distance cost." in lines
    assert lines[lines.index("[data]") - 1] == "# Which faces."
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("name", PRESETS)
def test_comments_change_nothing(tmp_path, name):
    (tmp_path / "a.toml").write_text(to_toml(PRESETS[name]))
    assert TrainingConfig.from_dict(read_toml(tmp_path / "a.toml")) == PRESETS[name]
