"""The method's switches: averaged weights, the mask, ablations, stages one at a time, float16."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from twodasl.errors import InputError
from twodasl.geometry.crops import flip_y
from twodasl.landmarks import (
    EIGHTEEN_WEIGHTS,
    TWENTY_ONE_WEIGHTS,
    eighteen_from_21,
    landmark_map,
    twenty_one_from_68,
)
from twodasl.morphable import Whitening, split_parameters
from twodasl.reconstruction.reconstructor import FaceReconstructor
from twodasl.training import (
    ABLATIONS,
    load_checkpoint,
    load_regressor,
    losses,
    preset,
    save_checkpoint,
    train,
)
from twodasl.training.ema import WeightAverage
from twodasl.training.feed import Feed
from twodasl.training.model import regressor_terms, term_weights
from twodasl.training.setup import begin
from twodasl.training.streams import Subset

import twodasl_ext

from ..tiny_runs import Dots, Stop, assert_same_state, tiny_config, tiny_run


def test_the_average_of_a_network():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    average = WeightAverage(network, 0.5)
    assert not average.network.training
    expected = copy.deepcopy(network.state_dict())
    for step in range(12):
        network(torch.randn(4, 1, 5, 5)).square().sum().backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        assert decay == 0.5 or step < 8
        for name, value in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                expected[name] = value
            else:
                expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value, expected[name], msg=name)
    assert average.network.state_dict()["1.num_batches_tracked"] == 12


def test_averaged_weights_are_what_is_kept_and_resume_bit_for_bit(ball_model, tmp_path):
    def interrupt(progress):
        if progress.step == 3:
            raise Stop

    config = tiny_config(optimizer={"ema": 0.9})
    whole = tiny_run(ball_model, config, output=tmp_path / "whole")
    with pytest.raises(Stop):
        tiny_run(ball_model, config, output=tmp_path / "parts", callback=interrupt)
    tiny_run(ball_model, config, output=tmp_path / "parts", resume=True)
    saved, parts = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    assert_same_state(saved, parts)
    regressor, _, _ = load_regressor(tmp_path / "whole" / "checkpoint.pt")
    assert_same_state(regressor.state_dict(), saved["average"])
    assert_same_state(whole.regressor.state_dict(), saved["average"])
    assert not torch.equal(saved["average"]["output.weight"], saved["regressor"]["output.weight"])
    # Averaging watches: the weights are those of a run without.
    assert_same_state(tiny_run(ball_model, tiny_config()).regressor.state_dict(), saved["regressor"])

    del saved["average"]
    save_checkpoint(tmp_path / "parts" / "checkpoint.pt", saved)
    with pytest.raises(InputError, match="does not hold a whole training run"):
        tiny_run(ball_model, config, output=tmp_path / "parts", resume=True)


@pytest.mark.parametrize(("space", "counted"), [("3d", 14), ("2d", 11)])
@pytest.mark.parametrize("normalize", ["sum", "max"])
def test_without_importance_all_parameters_count_alike(ball_model, space, counted, normalize):
    generator = torch.Generator().manual_seed(0)
    predicted, target = torch.randn(2, 5, 15, generator=generator)
    std = torch.rand(15, generator=generator) + 0.5
    found = losses.parameter_loss(
        ball_model.basis(),
        Whitening(torch.zeros(15), std),
        predicted,
        target,
        space=space,
        normalize=normalize,
        importance=False,
    )
    squares = ((predicted - target) / std).square().numpy()
    columns = [i for i in range(15) if i not in (range(8, 12) if space == "2d" else [11])]
    assert len(columns) == counted
    expected = squares[:, columns].sum(1).mean() / (counted if normalize == "sum" else 1)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ratio", [EIGHTEEN_WEIGHTS, TWENTY_ONE_WEIGHTS], ids=["18", "21"])
def test_equal_landmark_weights_have_the_same_sum(ratio):
    weights = losses.equal_weights(torch.zeros(2, len(ratio), 3))
    assert weights.shape == ratio.shape
    assert weights.sum().item() == pytest.approx(ratio.sum().item())
    assert (weights == weights[0]).all()


class EaredDots(Dots):
    """Dots with AFLW's 21 points alone."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        pose, coefficients = split_parameters(sample.pop("parameters")[None])
        ears = torch.tensor([self.model.named_landmarks[f"ear_{side}"] for side in ("left", "right")])
        ears = twodasl_ext.landmarks(self.basis, coefficients, pose, ears)[0]
        ears[:, 1] = flip_y(ears[:, 1])
        points = twenty_one_from_68(sample["landmarks"][:, :2], ears=ears[:, :2])
        return {**sample, "landmarks": points, "visible": torch.ones(21, dtype=torch.bool)}


def test_ears_and_chin_count_with_21_points(ball_model):
    """The loss of a prediction is that of its 21 points against the photo's; the map keeps to the 18."""
    model = replace(ball_model, named_landmarks={"ear_left": 400, "ear_right": 420})
    faces, photos = Dots(model, 6), EaredDots(model, 4)
    config = tiny_config(loss={"points": 21, "second_pass_every": 1})
    run = begin(config, "ball", model, faces, photos, torch.device("cpu"))
    given = Feed(config, faces, photos).first()
    assert given.observed.shape == (10, 21, 2)
    ears = [12, 16]
    assert not given.visible[:6, ears].any()  # of 3D-annotated faces the parameters tell where they are
    assert given.visible[:6].sum() == 6 * 19
    weights = dict.fromkeys(term_weights(config.loss, config.stage1), 0.0)
    weights["landmarks_2d"] = 1.0

    def loss(observed):
        changed = replace(given, observed=observed)
        return regressor_terms(run.networks, changed, config, weights, True)[0]["landmarks_2d"].item()

    run.networks.regressor.eval()
    with torch.no_grad():
        mean, std = run.networks.image_frame()
        points = run.networks.project(torch.addcmul(mean, run.networks.regress(given.inputs).whitened, std))
        assert points.shape == (10, 21, 3)
        photo = points[6:, :, :2]
        assert loss(points[..., :2]) == 0
        for place, weight in ((12, 1), (16, 1), (20, 1), (14, 4)):
            moved = points[..., :2].clone()
            moved[6:, place] += torch.tensor([3.0, 4.0])
            counted = given.visible[6:, place].sum().item()  # those that augmentation left in the crop
            assert counted >= 2
            assert loss(moved) == pytest.approx(weight * 25 * counted / (10 * 21), rel=1e-5)
        redrawn = run.networks.redraw(points)
        assert torch.equal(redrawn[6:], landmark_map(eighteen_from_21(photo)))


def test_21_points_train_and_need_a_model_with_ears(ball_model):
    config = tiny_config(loss={"points": 21})
    with pytest.raises(InputError, match=r"'ball' lacks ear_left, ear_right; set loss\.points=18"):
        tiny_run(ball_model, config)
    model = replace(ball_model, named_landmarks={"ear_left": 400, "ear_right": 420})
    history = train(
        config, model=model, faces=Dots(model, 40), photos=EaredDots(model, 20), progress=False
    ).history
    assert all(np.isfinite(list(entry.values())).all() for entry in history)
    with pytest.raises(InputError, match=r"loss\.points: expected 18 or 21, got 20"):
        tiny_config(loss={"points": 20})


SELF_SUPERVISION = {"landmarks_2d", "landmarks_3d", "cycle"}
CRITIC = {"self_critic", "critic"}


@pytest.mark.parametrize(
    ("ablation", "terms"),
    [
        ("base", set()),
        ("cyc", SELF_SUPERVISION),
        ("sc", CRITIC),
        ("cyc+sc", SELF_SUPERVISION | CRITIC),
    ],
)
def test_ablations_train_with_their_terms_alone(ball_model, ablation, terms):
    seen = []

    def look(progress):
        seen.append(progress.terms)
        raise Stop

    with pytest.raises(Stop):
        tiny_run(ball_model, tiny_config(**ABLATIONS[ablation]), callback=look)
    with pytest.raises(Stop):
        tiny_run(ball_model, tiny_config(**ABLATIONS[f"{ablation}-no-mask"]), callback=look)
    assert set(seen[0]) == set(seen[1]) == {"total", "parameters"} | terms
    # The mask changes the terms it weighs, and no other: nothing has been learned yet.
    changed = {name for name in terms | {"parameters"} if seen[0][name] != seen[1][name]}
    assert changed == {"parameters"} | (terms & {"landmarks_2d"})


def test_ablations_change_presets():
    config = preset("small", ["sc-no-mask", "photos-25"])
    assert config.preset == "small sc-no-mask photos-25"
    assert config.landmarks.map_dropout == 1
    assert not config.loss.importance
    assert not config.loss.landmark_weights
    assert (config.loss.cycle, config.loss.self_critic) == (0, 0.005)
    assert config.data.photo_share == 0.25
    assert preset("demo", ["cyc+sc"]).loss.self_critic == 0.005
    for name in ABLATIONS:
        assert preset("paper", [name]) != preset("paper")
    with pytest.raises(InputError, match=r"ablation: expected one of base, cyc, .*, got 'cyc-sc'"):
        preset("paper", ["cyc-sc"])


def test_shares_of_the_data(ball_model):
    faces = Dots(ball_model, 40)
    half, all_but_one = Subset(faces, 0.5, (0, 3)), Subset(faces, 39 / 40, (0, 3))
    assert len(half) == 20
    assert set(half.rows) < set(all_but_one.rows)
    assert set(half.rows) != set(Subset(faces, 0.5, (1, 3)).rows)
    row = int(half.rows[7])
    assert_same_state(half[7], faces[row])
    assert_same_state(half.batch([7, 0]), [faces[row], faces[int(half.rows[0])]])
    assert torch.equal(half.parameters(7), faces.parameters(row))
    only = tiny_run(ball_model, tiny_config(data={"face_share": 0.5, "photo_share": 0.0}))
    assert only.history
    with pytest.raises(InputError, match=r"data\.face_share: expected a number above 0"):
        tiny_config(data={"face_share": 0.0})


def test_the_second_stage_starts_from_the_first(ball_model, tmp_path):
    """Networks and whitening are the first stage's; other networks are refused."""
    first = tiny_config(stage2={"steps": 0})
    tiny_run(ball_model, first, output=tmp_path / "first")
    saved = load_checkpoint(tmp_path / "first" / "checkpoint.pt")
    start = {"network": {"start": str(tmp_path / "first" / "checkpoint.pt")}, "stage1": {"steps": 0}}
    unmoved = tiny_config(
        **start,
        stage2={"learning_rate": 1e-30, "final_learning_rate": 1e-30},
        optimizer={"critic_learning_rate": 1e-30},
    )
    # Other faces, whose whitening would be another.
    faces = Dots(ball_model, 30, seed=5)
    train(unmoved, model=ball_model, faces=faces, output=tmp_path / "second", progress=False)
    second = load_checkpoint(tmp_path / "second" / "checkpoint.pt")
    assert_same_state(second["whitening"], saved["whitening"])
    for name, value in second["regressor"].items():
        if "running" not in name and "tracked" not in name:
            assert torch.equal(value, saved["regressor"][name]), name
    assert_same_state(second["critic"], saved["critic"])
    with pytest.raises(InputError, match="other networks than 'small' and the encoder asked for"):
        tiny_run(ball_model, unmoved.updated({"network": {"encoder_widths": [2, 2, 2, 2, 2, 5]}}))


def test_start_weights_of_other_networks_are_refused(ball_model, tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"are for network\.regressor=resnet50, got 'small'"):
        tiny_run(ball_model, tiny_config(network={"start": str(tmp_path / "weights.pth")}))
    with pytest.raises(InputError, match="No such file"):
        tiny_run(ball_model, tiny_config(network={"start": str(tmp_path / "none.pth")}))


# A CPU's float16 is slow: few faces.
HALF = {"batch": 2, "photo_batch": 2, "stage1": {"steps": 2}, "stage2": {"steps": 1}}


def test_float16_is_close_to_float32_and_not_the_same(ball_model, tmp_path):
    half = tiny_run(ball_model, tiny_config(**HALF, network={"precision": "float16"}), output=tmp_path)
    single = tiny_run(ball_model, tiny_config(**HALF))
    assert half.history[0]["parameters"] == pytest.approx(single.history[0]["parameters"], rel=0.05)
    assert half.history[0]["parameters"] != single.history[0]["parameters"]
    saved = load_checkpoint(tmp_path / "checkpoint.pt")
    assert saved["scaler"]["scale"] > 1
    assert all(torch.isfinite(value).all() for value in saved["regressor"].values())


@pytest.mark.slow
def test_float16_resumes_bit_for_bit(ball_model, tmp_path):
    def interrupt(progress):
        if progress.step == 2:
            raise Stop

    config = tiny_config(**HALF, network={"precision": "float16"}, checkpoint_every=1)
    tiny_run(ball_model, config, output=tmp_path / "whole")
    with pytest.raises(Stop):
        tiny_run(ball_model, config, output=tmp_path / "parts", callback=interrupt)
    tiny_run(ball_model, config, output=tmp_path / "parts", resume=True)
    assert_same_state(*(load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts")))


def test_a_network_without_landmarks_is_shown_none(ball_model, lively_checkpoint, photo68, tmp_path):
    """A map would be noise to a network that was trained on blank ones."""
    saved = load_checkpoint(lively_checkpoint)
    saved["config"]["landmarks"]["map_dropout"] = 1.0
    save_checkpoint(tmp_path / "blind.pt", saved)
    image = np.full((512, 512, 3), 100, np.uint8)
    other = photo68 + np.linspace(-4, 4, 68)[:, None] * [1, 0]
    box = (150, 50, 330, 230)
    blind, seeing = (
        FaceReconstructor(path, fit=False) for path in (tmp_path / "blind.pt", lively_checkpoint)
    )
    pairs = [
        [reconstructor(image, points, box).parameters for points in (photo68, other)]
        for reconstructor in (blind, seeing)
    ]
    assert np.array_equal(*pairs[0])
    assert not np.array_equal(*pairs[1])
