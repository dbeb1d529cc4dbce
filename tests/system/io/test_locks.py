"""One process at a time writes into an output folder."""

import os
import signal
import subprocess
import sys

import pytest
from twodasl.errors import InputError
from twodasl.io.locks import LOCK, own_folder

from ..tiny_runs import tiny_config, tiny_run

HOLD = """
import sys
from pathlib import Path
from twodasl.io.locks import own_folder
with own_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has tmp_path / "run"."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.mark.parametrize("resume", [False, True])
def test_a_run_beside_a_live_one_is_refused(ball_model, tmp_path, holder, resume):
    """Nothing of the live run is touched, its temporary file least of all."""
    live = tmp_path / "run" / ".checkpoint.abcd1234.pt"
    live.write_bytes(b"half")
    with pytest.raises(InputError) as error:
        tiny_run(ball_model, tiny_config(), output=tmp_path / "run", resume=resume)
    assert str(error.value).startswith(f"{tmp_path / 'run'}: in use by process {holder.pid} on ")
    assert live.read_bytes() == b"half"


def test_a_killed_process_has_nothing_any_more(ball_model, tmp_path, holder):
    """The next run goes on, and what the killed one left is gone; what is somebody else's stays."""
    folder = tmp_path / "run"
    for name in (".twodasl-abcd1234.pt", ".twodasl-x_y01234.jsonl"):
        (folder / name).write_bytes(b"half")
    (folder / ".checkpoint.mine.pt").write_bytes(b"kept")
    holder.send_signal(signal.SIGKILL)
    holder.wait(30)
    assert (folder / LOCK).exists()
    tiny_run(ball_model, tiny_config(), output=folder)
    assert sorted(os.listdir(folder)) == [".checkpoint.mine.pt", "checkpoint.pt", "metrics.jsonl"]


def test_the_same_thread_has_it_already_and_nothing_is_left(tmp_path):
    folder = tmp_path / "a" / "b"
    with own_folder(folder), own_folder(folder):
        assert (folder / LOCK).read_text().startswith(f"{os.getpid()} ")
    assert list(tmp_path.iterdir()) == []
    with own_folder(folder):
        (folder / "kept").touch()
    assert os.listdir(folder) == ["kept"]


def test_a_file_system_without_locks_is_named_and_used(tmp_path, monkeypatch, capsys):
    def unsupported(handle, operation):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("twodasl.io.locks.fcntl.flock", unsupported)
    with own_folder(tmp_path):
        assert capsys.readouterr().err.count("\n") == 1


def test_damaged_words_on_the_owner_are_not_repeated(tmp_path, holder):
    (tmp_path / "run" / LOCK).write_bytes(b"1 \x1b[31m\n")
    with pytest.raises(InputError, match="in use by another process; wait"), own_folder(tmp_path / "run"):
        raise AssertionError
