"""Several processes that train as one: one process's result to rounding, and again after a crash."""

import copy
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from twodasl.cli import main
from twodasl.distributed import Ranks, SharedBatchNorm2d, shared_statistics
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel
from twodasl.training import load_checkpoint
from twodasl.training.augment import PartOfGenerator
from twodasl.training.streams import Order

from ..fitted_sets import write_fitted
from ..tiny_runs import assert_same_state

# SGD, for Adam divides by the gradient's size: rounding decides where a gradient is nearly zero.
SETTINGS = [
    *("data.faces=66", "data.photos=10", "batch=6", "photo_batch=4", "augment.flip=0.5"),
    *("checkpoint_every=2", "keep_every=1", "stage1.steps=1", "stage2.steps=3"),
    *("stage1.learning_rate=1e-4", "stage1.warmup=0", "stage2.learning_rate=1e-4"),
    *("network.encoder_widths=2,2,2,2,2,4", "optimizer.name=sgd", "optimizer.ema=0.5"),
    *("network.points=68", "fitted_batch=2"),
    *("loss.second_pass_every=1", "loss.self_critic=0.5", "loss.landmarks_3d=0.05"),
]
# The command; on the first attempt the second process is killed in step 4.
CRASHING = """
import os, signal, sys
from twodasl.cli import main
from twodasl.training import loop
inner = loop.training_step
def step(run, *rest):
    if run.step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(run, *rest)
if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    loop.training_step = step
sys.exit(main(sys.argv[1:]))
"""


# The command; each process writes down its number.
TELLING = """
import os, sys
from pathlib import Path
from twodasl.cli import main
Path(__file__).with_name("rank" + os.environ["RANK"]).write_text(str(os.getpid()))
sys.exit(main(sys.argv[1:]))
"""


def command(folder, ball_path, *more):
    store = ball_path.parent / "fitted"
    if not store.exists():
        write_fitted(store, MorphableModel.load(ball_path))
    source = f"data.fitted_source=fitted:{store}"  # before the batch, which needs it
    settings = [word for setting in (source, *SETTINGS, *more) for word in ("--set", setting)]
    return ["train", "-o", str(folder), "--model", str(ball_path), *settings]


def torchrun(*arguments, processes=2):
    """Run to the end; what it did."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*launch, *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def two(ball_path, tmp_path_factory):
    """The folder of a run of two processes."""
    folder = tmp_path_factory.mktemp("two") / "run"
    done = torchrun("-m", "twodasl", *command(folder, ball_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("step 4: ") == 1  # only one prints
    assert done.stderr.count("images/s") == 1
    return folder


def test_two_processes_do_what_one_does(two, ball_path, tmp_path):
    """Same order of faces, same augmentation, batch statistics and losses of the whole batch.

    Compared are two steps, one of each stage. Later ones go apart: landmarks are drawn into the second pass's
    map at whole pixels, and a difference of rounding makes one of them jump.
    """
    assert main(command(tmp_path, ball_path)) == 0
    begun, one = (load_checkpoint(tmp_path / f"checkpoint-000000{step}.pt") for step in (1, 2))
    both = load_checkpoint(two / "checkpoint-0000002.pt")
    assert_same_state(one["whitening"], both["whitening"])
    for network in ("regressor", "average", "encoder", "critic"):
        moved, apart = [], []
        for name, value in one[network].items():
            moved.append((value - begun[network][name]).double().norm())
            # Weights near 1 round at 1e-7 when a step is added.
            rounding = 4e-7 * value.double().norm()
            apart.append(((value - both[network][name]).double().norm() - rounding).clamp_min(0))
            assert moved[-1] > 0
            # Float32 sums in another order tip a ReLU here and there: one of the 160 of a channel's last map.
            assert apart[-1] < 0.1 * moved[-1], f"{network} {name}"
        assert torch.stack(apart).norm() < 0.01 * torch.stack(moved).norm(), network
    assert both["history"][0] == pytest.approx(one["history"][0], rel=1e-5)
    assert both["step"] == 2
    assert [json.loads(line)["step"] for line in (two / "metrics.jsonl").read_text().splitlines()] == [2, 4]


@pytest.mark.slow
def test_a_process_that_dies_is_replaced(two, ball_path, tmp_path):
    """torchrun starts all again, they go on from the last checkpoint: the bits of an undisturbed run."""
    script = tmp_path / "crashing.py"
    script.write_text(CRASHING)
    done = torchrun("--max-restarts=1", str(script), *command(tmp_path / "run", ball_path))
    assert done.returncode == 0, done.stderr
    assert_same_state(
        load_checkpoint(two / "checkpoint.pt"), load_checkpoint(tmp_path / "run" / "checkpoint.pt")
    )


@pytest.mark.slow
def test_an_error_is_told_once(two, ball_path):
    done = torchrun("-m", "twodasl", *command(two, ball_path))
    assert done.returncode != 0
    assert done.stderr.count("a run is there already; go on with --resume") == 1


@pytest.mark.slow
def test_a_signal_to_one_process_ends_all(ball_path, tmp_path):
    words = command(
        tmp_path / "run", ball_path, "stage1.steps=100000", "checkpoint_every=100000", "keep_every=0"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    script = tmp_path / "script.py"
    script.write_text(TELLING)
    with subprocess.Popen(
        [*launch, str(script), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stderr:
            if line.startswith("step "):
                break
        os.kill(int((tmp_path / "rank1").read_text()), signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    step = load_checkpoint(tmp_path / "run" / "checkpoint.pt")["step"]
    assert output.count(f"stopped by SIGTERM after step {step} of 100003") == 1


def test_shared_statistics_keep_weights_and_names():
    """An optimizer made before still moves them; alone, normalization is torch's own."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Sequential(torch.nn.BatchNorm2d(2)))
    plain, weights = copy.deepcopy(network), list(network.parameters())
    shared = shared_statistics(network, Ranks(0, 2))
    assert type(shared[1][0]) is SharedBatchNorm2d
    assert [id(weight) for weight in shared.parameters()] == [id(weight) for weight in weights]
    x = torch.randn(4, 1, 5, 5)
    for mode in (True, False):
        assert torch.equal(shared.train(mode)(x), plain.train(mode)(x))
    assert_same_state(dict(shared.state_dict()), dict(plain.state_dict()))


def test_batches_must_divide():
    ranks = Ranks(1, 3)
    assert list(ranks.share(range(6), "batch")) == [2, 3]
    with pytest.raises(InputError, match=r"photo_batch: expected a multiple of 3, .* got 8"):
        Order(20, 8, (0,), ranks, "photo_batch")
    whole = Order(20, 6, (0,))
    parts = [Order(20, 6, (0,), Ranks(rank, 3)) for rank in range(3)]
    for step in (0, 5):
        assert [index for part in parts for index in part.indices(step)] == whole.indices(step)
        assert parts[1].whole(step) == whole.indices(step)


def test_random_numbers_of_a_part_are_those_of_the_whole():
    def draws(rng, count):
        return [rng.standard_normal(count), rng.random((count, 3)), rng.standard_normal((count, 1, 2))]

    whole = draws(np.random.default_rng(3), 6)
    parts = [draws(PartOfGenerator(np.random.default_rng(3), part, 3), 2) for part in range(3)]
    for drawn, *pieces in zip(whole, *parts, strict=True):
        assert np.array_equal(drawn, np.concatenate(pieces))


def test_alone_nothing_is_exchanged():
    ranks = Ranks.here()
    assert (ranks.rank, ranks.count, ranks.leads) == (0, 1, True)
    assert ranks.signal_of_any("SIGINT") == "SIGINT"
    assert ranks.from_leader(lambda: 3) == 3
    assert ranks.means({"a": torch.tensor(2.5)}) == {"a": 2.5}
