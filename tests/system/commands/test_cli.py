"""The command's frame: help, versions, errors as one line, exit codes."""

from __future__ import annotations

import platform
import subprocess
import sys
import types

import pytest
import torch
import twodasl
from twodasl import cli
from twodasl.errors import InputError

import twodasl_ext


def _python(*words: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, **options)


@pytest.fixture
def command(monkeypatch):
    """Replace the command `doctor` by a function; returns how to run it."""

    def install(function):
        module = types.ModuleType("twodasl.commands.doctor")

        def register(subparsers):
            parser = subparsers.add_parser("doctor")
            parser.add_argument("--number", type=int)
            parser.set_defaults(run=function)

        module.register = register
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return lambda *words: cli.main(["doctor", *words])

    return install


def _raise(error: BaseException):
    def function(args):
        raise error

    return function


def test_help_lists_every_command(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    for name, description in cli.COMMANDS.items():
        assert name in text
        assert description.split()[0] in text


def test_help_and_errors_do_not_import_torch():
    given = ["x.png", "-c", "c.pt", "-o", "out"]
    for words in (
        ["--help"],
        ["--version"],
        ["nonsense"],
        ["reconstruct"],
        ["reconstruct", *given, "--refinements", "-1"],
        *([name, "--help"] for name in cli.COMMANDS),
    ):
        code = f"import sys; from twodasl.cli import main; main({words!r}); sys.exit('torch' in sys.modules)"
        assert _python("-c", code).returncode == 0, words


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_describes_itself(name, capsys):
    assert cli.main([name, "--help"]) == 0
    assert f"usage: twodasl {name}" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"twodasl {twodasl.__version__} (twodasl_ext {twodasl_ext.__version__}, torch ")
    assert shown.endswith(f"torch {torch.__version__}, Python {platform.python_version()})\n")


def test_python_m_is_the_command():
    done = _python("-m", "twodasl", "--version")
    assert (done.returncode, done.stdout) == (0, cli.versions() + "\n")


@pytest.mark.parametrize("words", [[], ["nonsense"], ["doctor", "--nonsense"], ["reconstruct"]])
def test_wrong_usage_is_exit_code_2(words, capsys):
    assert cli.main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("twodasl: error: ")
    assert shown.err.count("\n") == 1
    assert "; see `twodasl" in shown.err


def test_input_errors_are_one_line(command, capsys):
    assert command(_raise(InputError("photo.jpg: is\nempty")))() == 2
    shown = capsys.readouterr()
    assert shown.err == "twodasl: error: photo.jpg: is empty\n"
    assert shown.out == ""


def test_system_errors_name_their_file(command, capsys):
    assert command(_raise(PermissionError(13, "Permission denied", "out/face.obj")))() == 2
    assert capsys.readouterr().err == "twodasl: error: out/face.obj: Permission denied\n"
    assert command(_raise(OSError(28, "No space left on device")))() == 2
    assert capsys.readouterr().err == "twodasl: error: No space left on device\n"


def test_missing_operators_are_one_line(command, capsys):
    assert command(_raise(ImportError("twodasl_ext: not built; run `pip install .`")))() == 1
    assert capsys.readouterr().err == "twodasl: error: twodasl_ext: not built; run `pip install .`\n"


def test_mistakes_in_the_program_keep_their_traceback(command):
    with pytest.raises(ZeroDivisionError):
        command(_raise(ZeroDivisionError()))()
    with pytest.raises(ImportError):
        command(_raise(ImportError("no module named antigravity")))()


def test_interruption(command, capsys):
    assert command(_raise(KeyboardInterrupt()))() == 130
    assert capsys.readouterr().err == "\ntwodasl: interrupted\n"


def test_exit_codes_pass_through(command):
    assert command(lambda args: args.number)("--number", "1") == 1
    assert command(lambda args: None)() == 0


def test_a_reader_that_goes_away_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "twodasl", "doctor"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    _, errors = process.communicate(timeout=60)
    assert errors == b""
    assert process.returncode == cli.BROKEN_PIPE


def test_doctor_finds_nothing_to_repair(capsys):
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    for name in ("python", "torch", "opencv", "operators", "processor", "retinaface, ", "nothing to repair"):
        assert name in text


def test_doctor_says_how_to_repair(monkeypatch, capsys):
    from twodasl.commands import doctor

    monkeypatch.setitem(doctor.REQUIRED, "numpy", (99, 0))
    monkeypatch.setitem(doctor.REQUIRED, "no-such-package", (1, 0))
    assert cli.main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "pip install 'numpy>=99.0'" in text
    assert "no-such-package is not installed" in text
    assert "2 to repair" in text
