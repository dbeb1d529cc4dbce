"""A call of minutes runs Python's signal handlers, and ends with the exception that one of them raises."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

START = """
import signal, torch
import twodasl_ext as te

def handler(number, frame):
    global seen
    seen += 1
    print("seen", flush=True)
    if seen == 2:
        raise InterruptedError("enough")

seen = 0
signal.signal(signal.SIGINT, handler)  # a shell's background jobs ignore it
torch.set_num_threads(2)
generator = torch.Generator().manual_seed(1)
"""
END = """
print("ready", flush=True)
try:
    call()
except InterruptedError as error:
    print(error, flush=True)
"""
# From the center of a sphere all points are equally near, except for rounding.
SPHERE = """
points = torch.nn.functional.normalize(torch.randn(400_000, 3, generator=generator), dim=1)
query = torch.randn(400_000, 3, generator=generator) * 1e-7
"""
CALLS = {
    "nearest_neighbors": SPHERE + "call = lambda: te.nearest_neighbors(query, points)",
    "k_nearest_neighbors": SPHERE + "call = lambda: te.k_nearest_neighbors(query, points, 8)",
    "closest_point_on_mesh": SPHERE
    + "call = lambda: te.closest_point_on_mesh(query, points, torch.arange(399_999).reshape(-1, 3))",
    "iterative_closest_point": SPHERE + "call = lambda: te.iterative_closest_point(query, points)",
    "rasterize": """
corners = torch.tensor([[-9e3, -9e3], [9e3, -9e3], [0, 9e3]]).repeat(60_000, 1)
depth = torch.arange(60_000.).repeat_interleave(3)[:, None]  # each before the last one
vertices = torch.cat((corners, depth), dim=1)[None]
call = lambda: te.rasterize(vertices, torch.arange(180_000).reshape(-1, 3), 2000)
""",
}


@pytest.mark.parametrize("name", CALLS)
def test_a_signal_ends_a_long_call(name):
    program = START + CALLS[name] + END
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            began = time.monotonic()
            for _ in range(2):  # the first handler only records the signal, and the call goes on
                time.sleep(0.5)
                process.send_signal(signal.SIGINT)
                assert process.stdout.readline() == "seen\n"
            assert process.stdout.readline() == "enough\n"
            assert process.wait() == 0
            assert time.monotonic() - began < 20
        finally:
            process.kill()
