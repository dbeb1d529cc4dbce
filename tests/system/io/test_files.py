"""Files read and written: only regular ones, whole or not at all, and nothing left behind by the killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from twodasl.errors import InputError, reading
from twodasl.io import files
from twodasl.io.files import atomic_path, atomic_paths, check_targets, regular_file, write_together


@pytest.fixture(autouse=True)
def unswept(monkeypatch):
    monkeypatch.setattr(files, "_swept", set())


def test_only_regular_files_are_read(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # a socket's name is short
        server.bind("socket")
    cases = {"pipe": "a pipe", "socket": "a socket", "/dev/zero": "a device", ".": "a folder"}
    for name, kind in cases.items():
        with pytest.raises(InputError, match=f"is {kind}, not a regular file; expected a model"):
            regular_file(tmp_path / name, "a model")
    for name in ("absent", "x" * 300, "a\0b"):
        with pytest.raises(InputError, match="cannot be read"):
            regular_file(tmp_path / name)
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    assert regular_file(tmp_path / "link") == tmp_path / "link"


_KILLED = """
import sys, time
from pathlib import Path
from twodasl.io.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    Path(temporary).write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_what_a_killed_process_leaves_goes_and_what_a_living_one_writes_stays(tmp_path):
    def start() -> subprocess.Popen:
        command = [sys.executable, "-c", _KILLED, str(tmp_path / "result.txt")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        return process

    killed, living = start(), start()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (tmp_path / ".hidden").write_text("another program's")
    assert len(list(tmp_path.glob(".twodasl-*"))) == 2
    write_together({tmp_path / "other.txt": "whole"})
    assert len(list(tmp_path.glob(".twodasl-*"))) == 1
    living.kill()
    living.communicate()
    files._swept.clear()
    write_together({tmp_path / "other.txt": "whole"})
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "other.txt"]


def test_names_as_long_as_names_can_be(tmp_path):
    write_together({tmp_path / ("x" * 251 + ".png"): b"1", tmp_path / ("レ" * 83 + ".json"): "2"})
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(InputError, match="File name too long"):
        write_together({tmp_path / "whole": "1", tmp_path / ("x" * 256): "2"})
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_names_the_file_and_leaves_all_as_it_was(tmp_path, monkeypatch):
    (tmp_path / "first").write_text("old")

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(
            InputError, match=r"first: cannot be written \(No space left on device\); make room"
        ):
            write_together({tmp_path / "first": "new", tmp_path / "second": "new"})
    with (
        pytest.raises(InputError, match=r"first: cannot be written \(No space"),
        atomic_path(tmp_path / "first"),
        open("/dev/full", "wb", buffering=0) as stream,
    ):
        stream.write(b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["first"]
    assert (tmp_path / "first").read_text() == "old"


def test_errors_of_other_files_stay_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_paths([tmp_path / "a", tmp_path / "b"]):
        Path(tmp_path / "missing").read_text()
    assert not list(tmp_path.iterdir())


def test_neither_devices_nor_inputs_are_replaced(tmp_path):
    with pytest.raises(InputError, match="is not a regular file and is not replaced"):
        write_together({Path("/dev/null"): "text"})
    (tmp_path / "report.json").write_text("{}")
    (tmp_path / "link.json").symlink_to("report.json")
    with pytest.raises(InputError, match="is an input and"):
        check_targets([tmp_path / "report.json"], inputs=[tmp_path / "link.json"])


def test_texts_that_quote_names_of_other_bytes(tmp_path):
    write_together({tmp_path / "a.json": '"\udcff"'})
    assert (tmp_path / "a.json").read_text() == '"\\udcff"'


RAISED = [
    (KeyError("x"), ("a mesh",), "is not a mesh, or is damaged \\(KeyError: 'x'\\); copy it again"),
    (RecursionError(), ("weights", "give others"), "is not weights, or is damaged .*Error\\); give others"),
    (FileNotFoundError(2, "No such file"), ("a mesh",), "cannot be read \\(No such file\\); expected a mesh"),
    (MemoryError(), ("a mesh",), "does not fit into memory; close other programs"),
]


@pytest.mark.parametrize(("raised", "arguments", "message"), RAISED)
def test_whatever_a_reader_raises_is_its_files(raised, arguments, message):
    with pytest.raises(InputError, match=f"^a.obj: {message}$"), reading("a.obj", *arguments):
        raise raised
    with pytest.raises(KeyboardInterrupt), reading("a.obj", *arguments):
        raise KeyboardInterrupt


def test_an_inner_block_writes_the_outer_ones_file(tmp_path):
    with atomic_path(tmp_path / "a") as outer, atomic_path(outer) as inner:
        assert inner == outer
        inner.write_text("text")
    assert (tmp_path / "a").read_text() == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
