"""Losses as compiled graphs: what they give, how many kernels they are, and where they cannot be made."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from twodasl.errors import InputError
from twodasl.landmarks import landmark_map
from twodasl.training import compiled, load_checkpoint, objective
from twodasl.training.config import LossConfig, StageConfig, TrainingConfig
from twodasl.training.model import regressor_objective, term_weights
from twodasl.training.plan import resumed_config

from benchmarks.training import launches

from ..tiny_runs import Stop, assert_same_state, tiny_config, tiny_run
from .test_launches import doubled, small_step

STAGE = StageConfig(parameters=1.0, vertices=1.0)
CPU = torch.device("cpu")


@pytest.fixture
def traced(monkeypatch):
    """The graphs that a compiler gets, run operator by operator: what they compute, without its code."""
    monkeypatch.setattr(compiled, "_BACKEND", "aot_eager")


def evaluated(step, loss, second_pass=True):
    step.rewind()
    weights = term_weights(loss, STAGE)
    total, terms, _ = regressor_objective(
        step.networks, step.faces, TrainingConfig(loss=loss), weights, second_pass
    )
    return total, terms, torch.autograd.grad(total, step.leaves, allow_unused=True)


def assert_same_objective(step, loss, second_pass, tolerance):
    wanted = evaluated(step, replace(loss, compile="off"), second_pass)
    found = evaluated(step, replace(loss, compile="on"), second_pass)
    assert found[1].keys() == wanted[1].keys()
    for name, term in wanted[1].items():
        assert found[1][name].item() == pytest.approx(term.item(), rel=tolerance), name
    assert found[0].item() == pytest.approx(wanted[0].item(), rel=tolerance)
    for gradient, value in zip(found[2], wanted[2], strict=True):
        assert (gradient is None) == (value is None)
        if value is not None:
            assert (gradient - value).norm() <= tolerance * value.norm()


@pytest.mark.parametrize(
    ("loss", "points", "second_pass"),
    [
        (LossConfig(pose_free=0.5, gaps=0.25), 18, True),
        (LossConfig(landmark_weights=False, adversarial="non-saturating"), 21, True),
        (LossConfig(importance=False, normalize="max", space="2d", cycle=0.0), 18, False),
    ],
)
def test_graphs_give_what_the_losses_give(traced, loss, points, second_pass):
    """To rounding in float64; in float32 to that of a few hundred summands in another order."""
    step = small_step(points)
    assert_same_objective(doubled(step), loss, second_pass, 1e-11)
    assert_same_objective(step, loss, second_pass, 2e-5)


def test_another_number_of_annotated_faces_is_another_graph(traced):
    """As many as all of them, too: then no face is marked in a photo only, and nothing is judged."""
    loss = LossConfig()
    for count in (6, 3, 8):
        step = doubled(small_step())
        step.faces.parameters = step.target.double()[:count]
        step.networks.critic.outputs = (step.fake.new_zeros(8 - count).requires_grad_(),)
        assert_same_objective(step, loss, True, 1e-11)


def test_maps_are_those_of_landmark_map(traced):
    generator = torch.Generator().manual_seed(0)
    points = 60 + 50 * torch.randn(16, 18, 3, generator=generator)
    points[0, :8, 0] = torch.tensor([0.0, -0.0, -1e-6, 119.99, 120.0, torch.nan, torch.inf, -torch.inf])
    inputs = torch.randn(16, 4, 120, 120, generator=generator)
    found = compiled.drawn(points, inputs)
    assert torch.equal(found[:, :3], inputs[:, :3])
    assert torch.equal(found[:, 3:], landmark_map(points[..., :2]))
    assert torch.equal(objective.drawn(points, inputs), found)


def test_a_run_goes_on_with_the_same_bits(traced, ball_model, tmp_path):
    config = tiny_config(loss={"compile": "on"}, network={"points": 68})
    whole = tiny_run(ball_model, config, output=tmp_path / "whole")

    def stop(progress):
        if progress.step == 4:
            raise Stop

    with pytest.raises(Stop):
        tiny_run(ball_model, config, output=tmp_path / "parts", callback=stop)
    again = tiny_run(ball_model, config, output=tmp_path / "parts", resume=True)
    assert again.history == whole.history
    assert_same_state(again.regressor.state_dict(), whole.regressor.state_dict())


@pytest.mark.slow
def test_a_processor_compiles_them():
    """The code that is made for it, in float32 as above."""
    assert_same_objective(small_step(), LossConfig(), True, 2e-5)


@pytest.mark.slow
def test_at_most_25_launches():
    """As docs/training.md says; counted in the code for a GPU, which need not be there."""
    pytest.importorskip("triton", reason="torch's compiler asks Triton how to write arguments")
    rows = launches.compiled(32, vertices=300)
    assert rows["all terms"].total <= 25
    waiting = ("copy_", "nonzero", "item")
    assert not any(word in name for row in rows.values() for name in row.of for word in waiting)


def test_what_is_missing_is_said_before_the_run_begins(monkeypatch):
    on, auto = (TrainingConfig(loss=LossConfig(compile=choice)) for choice in ("on", "auto"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        InputError, match=r"^loss\.compile: .*no-such-compiler is not there; set loss.compile=off$"
    ):
        compiled.decided(on, CPU)
    assert compiled.decided(auto, CPU).loss.compile == "off"
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^loss\.compile: .*Triton, which is not installed"):
        compiled.decided(on, torch.device("cuda"))
    assert compiled.decided(auto, torch.device("cuda")).loss.compile == "off"
    monkeypatch.setattr(compiled.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    with pytest.raises(InputError, match=r"^loss\.compile: .*7\.0 or later, got 6\.1"):
        compiled.decided(on, torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert compiled.decided(auto, torch.device("cuda")).loss.compile == "on"


def test_the_choice_is_part_of_a_run(ball_model, tmp_path):
    """It is recorded as decided, and a run that began before there was one was not compiled."""
    begun = tiny_run(ball_model, tiny_config(loss={"compile": "auto"}), output=tmp_path)
    assert begun.config.loss.compile == "off"
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved["config"]["loss"]["compile"] == "off"
    del saved["config"]["loss"]["compile"]
    for asked in ("auto", "off"):
        config = resumed_config(tmp_path, saved, tiny_config(loss={"compile": asked}), ball_model)
        assert config.loss.compile == "off"
    with pytest.raises(InputError, match=r"another configuration: loss\.compile \('off' and 'on'\)"):
        resumed_config(tmp_path, saved, tiny_config(loss={"compile": "on"}), ball_model)


def test_what_torch_cannot_compile_is_one_sentence(traced, monkeypatch):
    def broken(*_):
        torch._dynamo.graph_break()

    monkeypatch.setattr(objective, "drawn", broken)
    with pytest.raises(
        InputError, match=r"^loss\.compile: torch\.compile failed \(.*\); set loss\.compile=off$"
    ):
        compiled.drawn(torch.zeros(1, 18, 3), torch.zeros(1, 4, 120, 120))
