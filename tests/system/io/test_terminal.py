"""Printing in odd encodings, names that steer terminals, readers that go away, and being told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from twodasl import cli
from twodasl.io.terminal import safe_streams, visible


def test_what_steers_a_terminal_is_shown():
    assert visible("a\x1b[31mb\x07\x9b\u202e\r\n\tc") == "a\\x1b[31mb\\x07\\x9b\\u202e\\r\n\tc"
    assert visible("a\nb\tc", keep="") == "a\\nb\\tc"
    assert visible("レナ é") == "レナ é"


def test_streams_are_put_back_and_bars_still_move(capsys):
    before = sys.stdout, sys.stderr
    with safe_streams() as output:
        print("\x1b[2Jname")
        sys.stderr.write("\r 50% \x1b[2J")
        sys.stderr.write("\x1b[A")
        assert output.finish() is None
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("\\x1b[2Jname\n", "\r 50% \\x1b[2J\x1b[A")


# A command that prints before it leaves its result.
_COMMAND = """
import signal, sys, types, time
from contextlib import ExitStack
from twodasl import cli
from pathlib import Path
# Jobs in the background and under nohup ignore these, and the command would sleep its minute.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
module = types.ModuleType("twodasl.commands.doctor")
def run(args):
    print("レナ.jpg \\udcff", flush=True)
    Path(sys.argv[1]).write_text("done")
def wait(args):
    from twodasl.io.files import atomic_path
    from twodasl.io.locks import own_folder
    with ExitStack() as stack:
        stack.enter_context(atomic_path(sys.argv[1]))
        if sys.argv[2:] == ["wait", "long"]:
            stack.enter_context(own_folder(Path(sys.argv[1]).parent))
        try:
            print("ready", flush=True)
            time.sleep(60)
        finally:
            if sys.argv[2:] == ["wait", "long"]:  # what is put away takes its time
                print("ended", flush=True)
                time.sleep(60)
def register(subparsers):
    subparsers.add_parser("doctor").set_defaults(run=wait if sys.argv[2:] else run)
module.register = register
sys.modules[module.__name__] = module
sys.exit(cli.main(["doctor"]))
"""


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("cp1252", b"\\u30ec\\u30ca.jpg \\udcff\n"),
        ("utf-8", "レナ.jpg \\udcff\n".encode()),
        ("ascii", b"\\u30ec"),
    ],
)
def test_any_encoding(tmp_path, encoding, shown):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-c", _COMMAND, str(tmp_path / "result")]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(shown)


@pytest.mark.parametrize(
    ("place", "code", "words"),
    [(">&-", 0, ""), ("> /dev/full", 2, "standard output: cannot be written (No space left on device)")],
)
def test_an_output_that_is_no_use(tmp_path, place, code, words):
    line = f'exec "$0" -c "$1" "$2" {place}'
    command = ["sh", "-c", line, sys.executable, _COMMAND, str(tmp_path / "result")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code
    assert done.stderr == (f"twodasl: error: {words}\n" if words else "")
    assert (tmp_path / "result").read_text() == "done"


def test_results_are_written_though_the_reader_is_gone(tmp_path):
    command = [sys.executable, "-c", _COMMAND, str(tmp_path / "result")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == cli.BROKEN_PIPE
    assert (tmp_path / "result").read_text() == "done"


def test_a_command_that_is_terminated_removes_its_temporary_files(tmp_path):
    command = [sys.executable, "-c", _COMMAND, str(tmp_path / "result"), "wait"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    assert len(list(tmp_path.iterdir())) == 1
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_leaves_nothing_either(tmp_path, first, second):
    command = [sys.executable, "-c", _COMMAND, str(tmp_path / "result"), "wait", "long"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(first)
    assert process.stdout.readline() == b"ended\n"
    assert len(list(tmp_path.iterdir())) == 2  # the temporary file, and the folder's lock
    process.send_signal(second)
    assert process.communicate(timeout=60)[1] == b""
    assert process.returncode == 128 + second
    assert not list(tmp_path.iterdir())


def test_an_interrupted_command_says_so(tmp_path):
    command = [sys.executable, "-c", _COMMAND, str(tmp_path / "result"), "wait"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == b"\ntwodasl: interrupted\n"
    assert process.returncode == cli.INTERRUPTED == 130
    assert not list(tmp_path.iterdir())


def test_signals_are_put_back_for_whoever_calls_the_command():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert cli.main(["nonsense"]) == 2
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
