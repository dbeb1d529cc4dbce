"""What the shell is told when it asks for completions, as argcomplete's shell function asks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

has_argcomplete = importlib.util.find_spec("argcomplete") is not None
needs_argcomplete = pytest.mark.skipif(not has_argcomplete, reason="the extra [completion] is not installed")


def ask(line: str, answer: str, *flags: str) -> subprocess.CompletedProcess:
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": answer,
    }
    code = "import sys; sys.argv = ['twodasl']; from twodasl.cli import main; sys.exit(main())"
    command = [sys.executable, *flags, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)


@needs_argcomplete
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("twodasl rec", {"reconstruct"}),
        ("twodasl evaluate afl", {"aflw", "aflw-lfpa", "aflw2000"}),
        ("twodasl reconstruct --check", {"--checkpoint"}),
        ("twodasl reconstruct --detector ", {"auto", "cascade", "mediapipe", "retinaface"}),
        ("twodasl train --preset paper-", {"paper-stage1", "paper-stage2"}),
    ],
)
def test_words_that_may_follow(tmp_path, line, expected):
    done = ask(line, str(tmp_path / "answer"))
    assert done.stdout == "", done.stderr
    assert set((tmp_path / "answer").read_text().split("\013")) == expected


def test_without_the_package_nothing_is_offered(tmp_path):
    """A shell that still asks after the package is gone gets no answer, and the command does not run."""
    (tmp_path / "argcomplete.py").write_text("raise ImportError")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['twodasl', 'doctor'];"
    code += "from twodasl.cli import main; main()"
    environment = {**os.environ, "_ARGCOMPLETE": "1", "COMP_LINE": "twodasl ", "COMP_POINT": "8"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
