"""--quiet and --verbose."""

from __future__ import annotations

import numpy as np
import pytest
from twodasl.cli import main
from twodasl.commands.messages import detail, note, verbosity


def test_what_is_said_when(capsys):
    for quiet, verbose in ((False, False), (True, False), (False, True)):
        with verbosity(quiet, verbose):
            note("wrote a")
            detail("took 1 s")
    assert capsys.readouterr() == ("wrote a\nwrote a\n", "twodasl: took 1 s\n")


def test_quiet_and_verbose_exclude_each_other(capsys):
    assert main(["doctor", "-q", "-v"]) == 2
    assert "not allowed with argument" in capsys.readouterr().err


def test_quiet_leaves_the_files(photo_path, ball_checkpoint, tmp_path, capsys, small_pictures):
    words = ["reconstruct", photo_path, "-c", ball_checkpoint, "--box", "140", "40", "320", "220"]
    assert main([*map(str, words), "-o", str(tmp_path), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert len(list(tmp_path.iterdir())) == 5


def test_quiet_keeps_a_report_and_an_error(tmp_path, ball_model, ball_path, capsys):
    assert main(["models", "convert", str(ball_path), "-o", str(tmp_path / "a.npz"), "-q"]) == 0
    output, errors = capsys.readouterr()
    assert output.startswith("ball: ")
    assert "wrote" not in output
    assert errors == ""
    assert main(["models", "convert", "none.npz", "-o", str(tmp_path / "b.npz"), "-q"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_verbose_shows_where_an_error_comes_from(tmp_path, capsys):
    words = ["models", "convert", str(tmp_path / "none.npz"), "-o", str(tmp_path / "b.npz")]
    assert main(words) == 2
    plain = capsys.readouterr().err
    assert main([*words, "-v"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert "torch " in lines[0]
    assert lines[1].startswith("Traceback")
    assert lines[-1] == plain.rstrip("\n")


def test_verbose_says_how_long_it_took(ball_path, tmp_path, capsys):
    assert main(["models", "convert", str(ball_path), "-o", str(tmp_path / "a.npz"), "-v"]) == 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("twodasl: models took ")


def test_one_output_is_needed(ball_path, tmp_path, capsys):
    file = str(tmp_path / "a.npz")
    assert main(["models", "convert", str(ball_path), file]) == 0
    assert main(["models", "convert", str(ball_path)]) == 2
    assert main(["models", "convert", str(ball_path), file, "-o", file]) == 2
    assert capsys.readouterr().err.count("--output: expected one file for the model") == 2


@pytest.mark.parametrize("words", [[], ["--quiet"]])
def test_measuring_into_a_log_file_draws_no_bar(tmp_path, ball_model, capsys, words):
    for folder, scale in (("truth", 1.0), ("predicted", 1.01)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "face.npy", ball_model.mean * scale)
    given = ["--predicted", str(tmp_path / "predicted"), "--truth", str(tmp_path / "truth")]
    assert main(["evaluate", "reconstruction", *given, *words]) == 0
    output, errors = capsys.readouterr()
    assert "NME" in output
    assert errors == ""
