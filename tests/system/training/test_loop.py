"""The training loop: it learns, it stops and goes on bit for bit, it survives SIGKILL."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel, split_parameters
from twodasl.training import StageConfig, load_checkpoint, train
from twodasl.training.feed import prepare
from twodasl.training.model import regressor_terms, term_weights
from twodasl.training.setup import begin, estimate_whitening
from twodasl.training.streams import LandmarksOnly, Order, stack

import twodasl_ext

from .. import tiny_runs
from ..tiny_runs import Dots, Stop, assert_same_state, tiny_config, tiny_run


def test_same_seed_same_bits_and_another_seed_others(ball_model, tmp_path):
    first = tiny_run(ball_model, tiny_config())
    torch.rand(3)  # the state of torch's generator before a run does not matter
    pooled = tiny_run(ball_model, tiny_config(data={"pool": True}))
    other = tiny_run(ball_model, tiny_config(seed=1))
    assert first.history == pooled.history
    assert_same_state(first.regressor.state_dict(), pooled.regressor.state_dict())
    assert not torch.equal(first.regressor.output.weight, other.regressor.output.weight)


_whole_runs = {}


def whole_run(model, config, tmp_path_factory):
    """The last checkpoint of a run that nothing stopped; made once a configuration."""
    if config not in _whole_runs:
        folder = tmp_path_factory.mktemp("whole")
        tiny_run(model, config, output=folder)
        _whole_runs[config] = load_checkpoint(folder / "checkpoint.pt")
    return _whole_runs[config]


@pytest.mark.parametrize(("stop", "optimizer"), [(1, "adam"), (3, "sgd"), (5, "adam"), (7, "adam")])
def test_a_stopped_run_goes_on_bit_for_bit(ball_model, tmp_path, tmp_path_factory, stop, optimizer):
    def interrupt(progress):
        if progress.step == stop:
            raise Stop

    config = tiny_config(optimizer={"name": optimizer})
    whole = whole_run(ball_model, config, tmp_path_factory)
    with pytest.raises(Stop):
        tiny_run(ball_model, config, output=tmp_path / "parts", callback=interrupt)
    resumed = []
    tiny_run(
        ball_model,
        config,
        output=tmp_path / "parts",
        resume=True,
        callback=lambda progress: resumed.append(progress.step),
    )
    # Checkpoints follow steps 2, 4, 6; what was done after the last of them is done again.
    assert resumed[0] == (stop - 1) // 2 * 2 + 1
    assert resumed[-1] == config.steps
    assert_same_state(whole, load_checkpoint(tmp_path / "parts" / "checkpoint.pt"))
    assert whole["step"] == 7
    assert whole["epoch"] == 7 * 6 // 40


def test_a_finished_run_resumes_to_itself(ball_model, tmp_path):
    first = tiny_run(ball_model, tiny_config(), output=tmp_path)
    again = tiny_run(ball_model, tiny_config(), output=tmp_path, resume=True)
    assert again.history == first.history
    assert_same_state(again.regressor.state_dict(), first.regressor.state_dict())
    assert not again.regressor.training


KILLED = """
import importlib.util, sys, torch
from twodasl.morphable import MorphableModel
spec = importlib.util.spec_from_file_location("tiny_runs", sys.argv[1])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
torch.set_num_threads(int(sys.argv[4]))
config = tests.tiny_config(checkpoint_every=3, stage1={"steps": 400})
print("ready", flush=True)
tests.tiny_run(MorphableModel.load(sys.argv[2]), config, output=sys.argv[3], resume=True)
"""


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_sigkill_loses_at_most_the_steps_since_the_last_checkpoint(ball_path, tmp_path, kills):
    """Killed at random moments, some while a checkpoint is written; then the same bits as a whole run."""
    threads = torch.get_num_threads()
    steps = []
    command = [
        sys.executable,
        "-c",
        KILLED,
        tiny_runs.__file__,
        str(ball_path),
        str(tmp_path / "run"),
        str(threads),
    ]
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    rng = np.random.default_rng(0)
    for _ in range(kills):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout.readline() == b"ready\n"
            before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
            deadline = time.monotonic() + 60
            while not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before:
                assert process.poll() is None
                assert time.monotonic() < deadline, "no checkpoint in a minute"
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.15))
            os.kill(process.pid, signal.SIGKILL)
        steps.append(load_checkpoint(checkpoint)["step"])
    assert steps == sorted(steps)
    assert all(step % 3 == 0 for step in steps)
    assert steps[-1] < 403
    assert len(set(steps)) == kills

    # Go on for a few steps, and compare with a run that nobody killed.
    def interrupt(progress):
        if progress.step == steps[-1] + 3:
            raise Stop

    config = tiny_config(checkpoint_every=3, stage1={"steps": 400})
    model = MorphableModel.load(ball_path)
    with pytest.raises(Stop):
        tiny_run(model, config, output=tmp_path / "run", resume=True, callback=interrupt)
    with pytest.raises(Stop):
        tiny_run(model, config, output=tmp_path / "whole", callback=interrupt)
    killed, whole = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("run", "whole"))
    assert killed["step"] == whole["step"]
    assert_same_state(killed, whole)
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"checkpoint.pt", "metrics.jsonl"}


def test_kept_checkpoints(ball_model, tmp_path):
    tiny_run(ball_model, tiny_config(keep_every=3), output=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-0000003.pt", "checkpoint-0000006.pt", "checkpoint.pt", "metrics.jsonl"]
    assert load_checkpoint(tmp_path / "checkpoint-0000003.pt")["step"] == 3


def test_resume_refuses_what_does_not_fit(ball_model, other_model, tmp_path):
    tiny_run(ball_model, tiny_config(), output=tmp_path)
    with pytest.raises(InputError, match="a run is there already"):
        tiny_run(ball_model, tiny_config(), output=tmp_path)
    with pytest.raises(InputError, match=r"stage2\.steps \(3 and 30\)"):
        tiny_run(ball_model, tiny_config(stage2={"steps": 30}), output=tmp_path, resume=True)
    other = MorphableModel.load(other_model)
    with pytest.raises(InputError) as error:
        tiny_run(other, tiny_config(), output=tmp_path, resume=True)
    assert ball_model.identity[:12] in str(error.value)
    assert other.identity[:12] in str(error.value)
    with pytest.raises(InputError, match=r"began with \[40, 20\] faces and photos, got \[41, 0\]"):
        train(
            tiny_config(),
            model=ball_model,
            faces=Dots(ball_model, 41),
            photos=Dots(ball_model, 0),
            output=tmp_path,
            resume=True,
            progress=False,
        )
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        tiny_run(ball_model, tiny_config(), output=tmp_path / "file")
    with pytest.raises(InputError, match="expected the output folder"):
        tiny_run(ball_model, tiny_config(), resume=True)


def test_resume_without_a_checkpoint_begins(ball_model, tmp_path):
    result = tiny_run(ball_model, tiny_config(), output=tmp_path / "new", resume=True)
    assert result.history[-1]["step"] == 7


def test_a_loss_that_is_not_finite_stops_the_run(ball_model, tmp_path):
    """The checkpoint of the last good step stays, and a file names the faces of the bad one."""

    class Broken(Dots):
        def name(self, index):
            return f"folder/face-{index}.jpg"

        def __getitem__(self, index):
            sample = super().__getitem__(index)
            if self.broken:
                sample["parameters"][20 % len(sample["parameters"])] = torch.nan
            return sample

    faces = Broken(ball_model, 40)
    faces.broken = False

    def break_after(progress):
        faces.broken = progress.step >= 3

    with pytest.raises(InputError, match=r"step 4: .* no longer finite \(total nan, parameters nan") as error:
        train(
            tiny_config(),
            model=ball_model,
            faces=faces,
            photos=LandmarksOnly(Dots(ball_model, 20)),
            output=tmp_path,
            callback=break_after,
            progress=False,
        )
    assert "checkpoint.pt holds the last good state" in str(error.value)
    assert f"{tmp_path / 'batch-0000004.txt'} names the step's faces" in str(error.value)
    names = (tmp_path / "batch-0000004.txt").read_text().splitlines()
    expected = Order(40, 6, (0, 0)).indices(3), Order(20, 4, (0, 1)).indices(3)
    assert names == [f"folder/face-{i}.jpg" for i in expected[0]] + [f"face {i}" for i in expected[1]]
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved["step"] == 2
    assert all(torch.isfinite(value).all() for value in saved["regressor"].values())


def test_terms_follow_stage_and_second_pass(ball_model):
    seen = []
    tiny_run(ball_model, tiny_config(), callback=lambda progress: seen.append(set(progress.terms)))
    always = {"total", "landmarks_2d", "self_critic", "critic"}
    second = {"landmarks_3d", "cycle"}
    for step, terms in enumerate(seen):
        expected = always | {"parameters" if step < 4 else "vertices"} | (second if step % 2 == 0 else set())
        assert terms == expected


def test_terms_without_weight_are_left_out(ball_model):
    seen = []
    config = tiny_config(
        loss={"landmarks_2d": 0.0, "landmarks_3d": 0.0, "cycle": 0.0, "self_critic": 0.0}, photo_batch=0
    )
    tiny_run(ball_model, config, callback=lambda progress: seen.append(set(progress.terms)))
    assert seen == [{"total", "parameters"}] * 4 + [{"total", "vertices"}] * 3


def test_every_term_reaches_the_regressor(ball_model):
    """Each term alone moves the regressor; none but the critic's own moves the critic's weights."""
    config = tiny_config(network={"points": 68}, loss={"pose_free": 1.0, "gaps": 1.0})
    faces = Dots(ball_model, 40)
    run = begin(config, "ball", ball_model, faces, faces, torch.device("cpu"))
    photos = stack([LandmarksOnly(faces)[i] for i in range(4)])
    batch = prepare([stack([faces[i] for i in range(6)]), photos], config, 0)
    weights = term_weights(config.loss, StageConfig(parameters=1.0, vertices=1.0))
    terms, _ = regressor_terms(run.networks, batch, config, weights, second_pass=True)
    assert set(terms) == set(weights)
    for name, term in terms.items():
        gradients = torch.autograd.grad(
            term, list(run.networks.regressor.parameters()), retain_graph=True, allow_unused=True
        )
        assert all(g is not None and torch.isfinite(g).all() for g in gradients), name
        assert sum(g.abs().sum() for g in gradients) > 0, name


def test_the_regressor_learns_from_the_critic_and_not_the_reverse(ball_model):
    """Its step leaves no gradient in the critic's weights; what reaches it is that of the critic itself."""
    faces = Dots(ball_model, 4)
    networks = begin(tiny_config(), "ball", ball_model, faces, None, torch.device("cpu")).networks
    code, whitened = torch.randn(3, 4), torch.randn(3, 15, requires_grad=True)
    logits = networks.judge(code, whitened)
    assert torch.equal(logits, networks.critic(code, whitened))
    logits.sum().backward()
    assert all(weight.grad is None for weight in networks.critic.parameters())
    (expected,) = torch.autograd.grad(networks.critic(code, whitened).sum(), whitened)
    assert torch.equal(whitened.grad, expected)


def test_the_presets_name_does_not_keep_a_run_from_going_on(ball_model, tmp_path):
    """It is a note, and presets are renamed."""
    tiny_run(ball_model, tiny_config(preset="small-cpu"), output=tmp_path)
    again = tiny_run(ball_model, tiny_config(preset="small"), output=tmp_path, resume=True)
    assert again.config == tiny_config(preset="small-cpu")


def test_hooks_are_left_however_a_run_ends(ball_model, tmp_path):
    """A callback that fails: the signals' handlers are what they were, and the folder is free."""
    before = signal.getsignal(signal.SIGTERM)

    def fail(progress):
        assert signal.getsignal(signal.SIGTERM) is not before
        raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            tiny_run(ball_model, tiny_config(), output=tmp_path, callback=fail, stop_on_signals=True)
        assert signal.getsignal(signal.SIGTERM) is before


def test_whitening_is_estimated_from_the_faces(ball_model):
    faces = Dots(ball_model, 300)
    vectors = torch.stack([faces.parameters(i) for i in range(300)]).double()
    whitening = estimate_whitening(faces)
    torch.testing.assert_close(whitening.mean, vectors.mean(0).float())
    torch.testing.assert_close(whitening.std, vectors.std(0).float())


@pytest.mark.slow
def test_it_learns(ball_model):
    """Both stages bring the landmarks of faces it has not seen to a small part of the untrained error."""
    config = tiny_config(
        batch=24,
        photo_batch=8,
        landmarks={"jitter": 0.3, "affine": 0.0, "shift": 0.0, "map_dropout": 0.1},
        stage1={"steps": 150, "warmup": 10},
        stage2={"steps": 150, "learning_rate": 1e-3},
        data={"pool": True},
    )
    held_out = stack([Dots(ball_model, 64, seed=9)[i] for i in range(64)])

    def error(regressor, whitening):
        batch = prepare([held_out], config.updated({"augment": {"shift": 0.0, "rotation": 0.0}}), 0)
        with torch.no_grad():
            predicted = whitening.unwhiten(regressor.eval()(batch.inputs))
        pose, coefficients = split_parameters(predicted)
        pose_true, coefficients_true = split_parameters(batch.parameters)
        basis = ball_model.basis()
        found = twodasl_ext.landmarks(basis, coefficients, pose)
        true = twodasl_ext.landmarks(basis, coefficients_true, pose_true)
        return (found - true)[..., :2].norm(dim=-1).mean().item()

    faces = Dots(ball_model, 1500)
    untrained = begin(config, "ball", ball_model, faces, None, torch.device("cpu"))
    before = error(untrained.networks.regressor, untrained.networks.whitening)
    photos = LandmarksOnly(Dots(ball_model, 300, seed=1))
    result = train(config, model=ball_model, faces=faces, photos=photos, progress=False)
    after = error(result.regressor, result.whitening)
    assert after < before / 5
