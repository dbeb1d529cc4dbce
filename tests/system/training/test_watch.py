"""Watching a run: the file of its numbers, where the time goes, TensorBoard, being told to stop."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.training import load_checkpoint, train
from twodasl.training.board import face_pictures
from twodasl.training.feed import Feed
from twodasl.training.journal import speed_line
from twodasl.training.model import StepBatch
from twodasl.training.setup import begin
from twodasl.training.signals import StopSignals
from twodasl.training.streams import LandmarksOnly
from twodasl.training.watch import Metrics, Stopwatch

from ..tiny_runs import Dots, Stop, assert_same_state, tiny_config, tiny_run

SPEED = {"images_per_second", "data_share"}


def entries(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_speed(folder):
    return [{key: value for key, value in entry.items() if key not in SPEED} for entry in entries(folder)]


def test_the_file_of_numbers_goes_on_after_a_resume(ball_model, tmp_path):
    """One line an entry of the history, with the speed; what is done again is not there twice."""

    def interrupt(progress):
        if progress.step == 5:
            raise Stop

    whole = tiny_run(ball_model, tiny_config(), output=tmp_path / "whole")
    assert without_speed(tmp_path / "whole") == whole.history
    assert [entry["step"] for entry in entries(tmp_path / "whole")] == [2, 4, 6, 7]
    for entry in entries(tmp_path / "whole"):
        assert set(entry) > SPEED
        assert entry["images_per_second"] > 0
        assert 0 < entry["data_share"] < 1

    with pytest.raises(Stop):
        tiny_run(ball_model, tiny_config(checkpoint_every=4), output=tmp_path / "parts", callback=interrupt)
    with open(tmp_path / "parts" / "metrics.jsonl", "a") as file:
        file.write(
            '{"step": 5, "total": 1.0}\n{"step": 6, "tot'
        )  # written after the last checkpoint; cut off
    first = (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()[0]
    resumed = tiny_run(ball_model, tiny_config(checkpoint_every=4), output=tmp_path / "parts", resume=True)
    assert without_speed(tmp_path / "parts") == resumed.history
    assert [entry["step"] for entry in entries(tmp_path / "parts")] == [4, 7]
    assert (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()[0] == first


def test_lost_lines_are_written_again(tmp_path):
    history = [{"step": 2, "total": 1.5}, {"step": 4, "total": 0.5}]
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 4, "total": 0.5, "images_per_second": 9.0}\nnonsense\n[1]\n')
    Metrics(path, history).append({"step": 6, "total": 0.25})
    assert entries(tmp_path) == [
        {"step": 2, "total": 1.5},
        {"step": 4, "total": 0.5, "images_per_second": 9.0},
        {"step": 6, "total": 0.25},
    ]


def test_where_the_time_goes():
    """Two steps of 0.1 s, each after 0.05 s of waiting for its batch; two processes share each."""
    batch = StepBatch(torch.zeros(5, 4, 2, 2), torch.zeros(5, 18, 2), torch.zeros(5, 18), torch.zeros(4, 15))

    def batches():
        for _ in range(2):
            time.sleep(0.05)
            yield batch

    watch = Stopwatch(torch.device("cpu"), processes=2)
    for given in watch.timed(batches()):
        assert given is batch
        time.sleep(0.1)
    speed = watch.read()
    # A busy machine sleeps longer than it is told.
    assert speed["data_share"] == pytest.approx(0.1 / 0.3, abs=0.15)
    assert 20 / 0.3 / 2 < speed["images_per_second"] < 20 / 0.3
    again = watch.read()
    assert set(again) == SPEED
    assert again["images_per_second"] == again["data_share"] == 0
    line = speed_line({"step": 20, "total": 1.25, **speed, "data_share": 0.21}, 600)
    assert line.startswith("step 20 of 600: total 1.25, ")
    assert line.endswith(" images/s, 21% of the time waiting for data")


def test_logs_have_a_line_now_and_then(ball_model, capfd):
    train(tiny_config(), model=ball_model, faces=Dots(ball_model, 40))
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("step ")]
    assert len(lines) == 1  # the next one half a minute later
    assert "images/s" in lines[0]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_finishes_the_step_and_saves(ball_model, tmp_path, name):
    """Then the run goes on bit for bit, history and all, though no checkpoint was due."""
    before = signal.getsignal(getattr(signal, name))

    def kill(progress):
        if progress.step == 3:
            os.kill(os.getpid(), getattr(signal, name))

    config = tiny_config(checkpoint_every=100)
    tiny_run(ball_model, config, output=tmp_path / "whole")
    stopped = tiny_run(ball_model, config, output=tmp_path / "parts", callback=kill, stop_on_signals=True)
    assert (stopped.stopped_by, stopped.step) == (name, 3)
    assert signal.getsignal(getattr(signal, name)) is before
    assert load_checkpoint(tmp_path / "parts" / "checkpoint.pt")["step"] == 3
    resumed = tiny_run(ball_model, config, output=tmp_path / "parts", resume=True)
    assert (resumed.stopped_by, resumed.step) == ("", 7)
    whole, parts = (load_checkpoint(tmp_path / part / "checkpoint.pt") for part in ("whole", "parts"))
    assert_same_state(whole, parts)
    assert without_speed(tmp_path / "whole") == without_speed(tmp_path / "parts")


def test_the_second_signal_acts_as_usual():
    # A shell's background jobs ignore SIGINT, and so would these tests in one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopSignals() as stop:
            signal.raise_signal(signal.SIGINT)
            assert stop.received == "SIGINT"
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_command_ends_well_when_it_is_told_to_stop(ball_path, tmp_path):
    settings = ["data.faces=12", "data.photos=6", "batch=4", "photo_batch=2"]
    settings += ["stage1.steps=100000", "stage2.steps=3000"]
    command = [sys.executable, "-m", "twodasl", "train", "-o", str(tmp_path), "--model", str(ball_path)]
    command += [word for setting in settings for word in ("--set", setting)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("step "):
                break
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    step = load_checkpoint(tmp_path / "checkpoint.pt")["step"]
    assert step >= 20
    assert f"stopped by SIGTERM after step {step} of 103000; go on with --resume" in output


def test_the_board(ball_model, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def interrupt(progress):
        if progress.step == 5:
            raise Stop

    config = tiny_config()
    with pytest.raises(Stop):
        tiny_run(ball_model, config, output=tmp_path, callback=interrupt, pictures_every=3)
    result = tiny_run(ball_model, config, output=tmp_path, resume=True, pictures_every=3)
    assert_same_state(result.regressor.state_dict(), tiny_run(ball_model, config).regressor.state_dict())
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    totals = {event.step: event.value for event in found.Scalars("loss/total")}
    assert totals == pytest.approx({entry["step"]: entry["total"] for entry in result.history})
    assert {"rate/learning_rate", "speed/images_per_second", "loss/vertices"} <= set(found.Tags()["scalars"])
    for tag in ("faces/landmarks", "faces/mesh"):
        assert [event.step for event in found.Images(tag)] == [3, 6]
        picture = np.frombuffer(found.Images(tag)[0].encoded_image_string, np.uint8)
        # Four faces and four photos of 360 pixels, in rows of four.
        assert cv2.imdecode(picture, cv2.IMREAD_COLOR).shape == (2 * 366 + 6, 4 * 366 + 6, 3)


def test_without_tensorboard_the_extra_is_named(ball_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"tensorboard: .* pip install '\.\[log\]' in the source folder"):
        tiny_run(ball_model, tiny_config(), output=tmp_path, pictures_every=3)


def test_pictures_show_the_faces_where_they_are(ball_model):
    """A network that knows the answer: its landmarks cover the dots, its mesh the middle of them."""
    config = tiny_config(augment={"gain": 0.0})
    dots = Dots(ball_model, 10)
    run = begin(config, "ball", ball_model, dots, None, torch.device("cpu"))
    faces = Feed(config, dots, LandmarksOnly(dots), progress=False).first(2, 0)

    class Knowing(torch.nn.Module):
        def forward(self, inputs):
            assert not self.training
            return run.networks.whitening.whiten(faces.parameters)

    network = Knowing().train()
    landmarks, mesh = face_pictures(network, run.networks, ball_model, faces)
    assert network.training
    assert landmarks.shape == mesh.shape == (366 + 6, 2 * 366 + 6, 3)
    assert landmarks.dtype == mesh.dtype == np.uint8
    for index in range(2):
        points = faces.observed[index].numpy() * 3 + 1
        points = points[(points > 5).all(1) & (points < 355).all(1)]
        corner = np.array([6 + 366 * index, 6])
        at = (points + corner).round().astype(int)
        # Green of the annotated points, which lie on the predicted ones.
        assert (landmarks[at[:, 1], at[:, 0]] == [60, 220, 60]).all(1).mean() > 0.9
        center = at.mean(0).astype(int)
        assert mesh[center[1], center[0]].mean() > 90 > landmarks[6:366, 6:366].min()
