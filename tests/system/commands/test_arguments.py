"""Arguments mean the same, and are described alike, in every command; misspelled words get advice."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest
from twodasl import cli
from twodasl.commands.arguments import non_negative_int, positive_int
from twodasl.commands.parser import leaves

LEAVES = {leaf.prog: leaf for name in cli.COMMANDS for leaf in leaves(cli._parser([name]))}


def options() -> Iterator[tuple[str, argparse.Action]]:
    for name, leaf in LEAVES.items():
        for action in leaf._actions:
            yield name, action


def test_all_commands_are_looked_at():
    assert {name.split()[1] for name in LEAVES} == set(cli.COMMANDS)
    assert "twodasl evaluate aflw-lfpa" in LEAVES


@pytest.mark.parametrize(
    ("short", "long", "metavars", "words"),
    [
        ("-o", "--output", {"DIR", "FILE"}, " to write "),
        ("-m", "--model", {"MODEL"}, "face model: 'procedural' (the embedded one), a .npz"),
        ("-c", "--checkpoint", {"NAME|FILE"}, "the trained network: a checkpoint, as `twodasl train`"),
        ("-q", "--quiet", {None}, "print reports, warnings and errors only"),
        ("-v", "--verbose", {None}, "also print versions, times, and the traceback"),
    ],
)
def test_a_letter_means_one_thing(short, long, metavars, words):
    found = [action for _, action in options() if {short, long} & set(action.option_strings)]
    assert len(found) > 1
    for action in found:
        assert action.option_strings[:2] == [short, long]
        assert action.metavar in metavars
        assert words in action.help


def test_every_name_is_described_and_every_value_has_a_name():
    for command, action in options():
        assert action.help, (command, action.dest)
        takes_value = action.nargs != 0 and action.choices is None
        if takes_value and action.option_strings:
            assert action.metavar is not None, (command, action.dest)
            assert action.metavar not in ("M", "C", "OUT", "X"), (command, action.dest)


def test_files_and_folders_are_called_so():
    for command, action in options():
        if getattr(action.type, "__name__", "") == "Path":
            assert action.metavar in ("FILE", "NAME|FILE", "DIR", "PHOTO", "ROOT", "VIDEO", "SCAN"), (
                command,
                action.dest,
            )


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "", "²", "٣", " 1"])
def test_whole_numbers(text):
    assert (non_negative_int("0"), positive_int("12")) == (0, 12)
    for kind in (non_negative_int, positive_int):
        with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from"):
            kind(text)
    with pytest.raises(argparse.ArgumentTypeError, match="from 1, got '0'"):
        positive_int("0")


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        ("recnstruct", "got 'recnstruct' (did you mean 'reconstruct'?)"),
        ("models shwo", "got 'shwo' (did you mean 'show'?)"),
        ("evaluate aflw200 --root x", "(did you mean 'aflw2000'?)"),
        ("doctor --quite", "unrecognized arguments: --quite; did you mean --quiet instead of --quite?"),
        ("reconstruct a.png --chekpoint c -o d", "did you mean --checkpoint instead of --chekpoint?"),
        (
            "reconstruct a.png -c c -o d --box=1 --detectr=auto",
            "did you mean --detector instead of --detectr?",
        ),
        ("reconstruct a.png -c c -o d --detector cascad", "got 'cascad' (did you mean 'cascade'?)"),
        ("train --preset smal --dry-run", "got 'smal' (did you mean 'small'?)"),
        ("train --ablation cyc+cs --dry-run", "got 'cyc+cs' (did you mean 'cyc+sc'?)"),
        ("train --set stage1.stepz=3", "unknown key stage1.stepz (did you mean 'stage1.steps'?); known here"),
        ("train --set optimiser.clip=3", "unknown key optimiser (did you mean 'optimizer.clip'?)"),
        ("train --set steps=3", "unknown key steps (did you mean 'stage1.steps' or 'stage2.steps'?)"),
        ("demo --train --set sed=3", "unknown key sed (did you mean 'seed'?)"),
    ],
)
def test_misspelled_words_get_advice(words, advice, capsys):
    assert cli.main(words.split()) == 2
    error = capsys.readouterr().err
    assert advice in error
    assert error.startswith("twodasl: error: ")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        "zzz",
        "doctor --zzz",
        "train --preset zzz --dry-run",
        "train --set zzz=1",
        "reconstruct --dev x -- --zz",
    ],
)
def test_words_like_nothing_get_none(words, capsys):
    assert cli.main(words.split()) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_a_misspelled_key_of_a_file_gets_advice(tmp_path, capsys):
    (tmp_path / "a.toml").write_text("[stage1]\nlearning_rat = 1e-3\n")
    assert cli.main(["train", "--config", str(tmp_path / "a.toml"), "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "a.toml: unknown key stage1.learning_rat (did you mean 'stage1.learning_rate'?)" in error
