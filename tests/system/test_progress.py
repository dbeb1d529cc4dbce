"""Progress bars: on terminals only; in a log file one line, and only for work that takes long."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
from twodasl.progress import hidden_bars, progress_bar


def test_no_bar_where_there_is_no_terminal(capsys):
    assert list(progress_bar([1, 2], description="reading", unit="file")) == [1, 2]
    assert capsys.readouterr() == ("", "")
    with progress_bar(total=2000, description="preparing faces", unit="face", announce_from=500) as bar:
        bar.update(2000)
    list(progress_bar([1, 2], description="reading", unit="file", announce_from=2))
    assert capsys.readouterr() == ("", "preparing faces: 2,000 faces\nreading: 2 files\n")
    with hidden_bars(True):
        list(progress_bar([1, 2], description="reading", unit="file", announce_from=2))
    list(progress_bar([1, 2], description="reading", unit="file", announce_from=2, show=False))
    list(progress_bar([1, 2], description="reading", unit="file", announce_from=3))
    assert capsys.readouterr() == ("", "")


_BAR = """
from twodasl.progress import hidden_bars, progress_bar
import sys
with hidden_bars(len(sys.argv) > 1):
    list(progress_bar(range(3), description="reading", unit="file", announce_from=1))
"""


@pytest.mark.parametrize("words", [[], ["hide"]])
def test_a_bar_on_a_terminal(words):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    done = subprocess.run([sys.executable, "-c", _BAR, *words], stderr=theirs, timeout=60, check=True)
    os.close(theirs)
    os.set_blocking(ours, False)
    try:
        shown = os.read(ours, 10_000).decode()
    except OSError:  # nothing was written
        shown = ""
    os.close(ours)
    assert done.returncode == 0
    assert ("reading: 100%" in shown) == (not words)
    assert "reading: 3 files" not in shown
