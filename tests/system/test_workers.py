"""Worker processes: the same batches, and an end, whatever happens."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from twodasl.errors import InputError
from twodasl.workers import made_ahead

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def square(number):
    """What workers make in these tests; some numbers are mishaps."""
    if number == -1:
        raise InputError("photo.jpg: was deleted")
    if number == -2:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == -3:
        raise MemoryError
    if number == -4:
        raise ZeroDivisionError("a bug")
    if number == -5:
        time.sleep(3600)
    return {"square": torch.tensor([number**2])}


def test_batches_come_in_order_and_every_mishap_is_an_exception():
    made = made_ahead(square, [3, 1, 2, 5], 2, "workers")
    assert [batch["square"].item() for batch in made] == [9, 1, 4, 25]
    mishaps = {
        -1: (InputError, "^photo.jpg: was deleted$"),
        -2: (InputError, "workers: a worker process ended unexpectedly .SIGKILL."),
        -3: (InputError, "workers: a worker process ran out of memory"),
        -4: (ZeroDivisionError, "a bug"),
    }
    for number, (kind, text) in mishaps.items():
        with pytest.raises(kind, match=text):
            list(made_ahead(square, [1, number], 1, "workers"))


def test_closing_ends_a_worker_that_is_busy():
    made = made_ahead(square, [1, -5, 2, 3], 1, "workers")
    assert next(made)["square"].item() == 1
    began = time.monotonic()
    made.close()
    assert time.monotonic() - began < 20


def test_what_cannot_be_sent_is_said():
    with pytest.raises(InputError, match="workers: the faces cannot be sent to worker processes"):
        next(made_ahead(lambda key: {}, [1], 1, "workers"))


GUARD = 'if __name__ == "__main__":'
SCRIPT = """
import os, signal, sys
from twodasl.workers import made_ahead
from tests.system.test_workers import square
{guard}
    made = made_ahead(square, range(1000), 2, "workers")
    next(made)
    {then}
"""


@pytest.mark.parametrize(
    ("guard", "then", "code", "text"),
    [
        ("if True:", "pass", 1, 'put `if __name__ == "__main__":` before what it does'),
        (GUARD, "raise OSError(28, 'No space left on device')", 1, "No space left on device"),
        (GUARD, "made.throw(KeyboardInterrupt)", -signal.SIGINT, "KeyboardInterrupt"),
        (GUARD, "keep = sys.modules; keep['made'] = made", 0, ""),
        (GUARD, "os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
    ],
)
def test_a_script_ends(tmp_path, guard, then, code, text):
    """Its workers too: they hold the pipe that is read here to its end."""
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT).format(guard=guard, then=then))
    environment = {**os.environ, "PYTHONPATH": ROOT}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, env=environment
    )
    assert done.returncode == code, done.stderr
    assert text in done.stderr
