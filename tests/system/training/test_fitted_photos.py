"""Training with photos that were annotated by a fit."""

from contextlib import closing
from dataclasses import fields, replace

import pytest
import torch
from twodasl.datasets.photos.sources import open_source
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel
from twodasl.training import datasets, load_checkpoint, train
from twodasl.training.datasets import configured_fitted
from twodasl.training.feed import Feed
from twodasl.training.model import StepBatch
from twodasl.training.streams import LandmarksOnly

from ..fitted_sets import write_fitted
from ..photo_sets import write_aflw
from ..tiny_runs import Dots, Stop, assert_same_state, tiny_config, tiny_run

STILL = {"rotation": 0.0, "scale": 0.0, "shift": 0.0, "gain": 0.0}


@pytest.fixture
def store(tmp_path, ball_model):
    write_fitted(tmp_path / "store", ball_model)
    return tmp_path / "store"


@pytest.mark.parametrize("pool", [True, False])
def test_a_run_with_fitted_photos_goes_on_to_the_same_bits(tmp_path, ball_model, store, pool):
    settings = {
        "data": {"fitted_source": f"fitted:{store}", "pool": pool},
        "fitted_batch": 2,
        "photo_batch": 0,
    }
    config = tiny_config(**settings)

    def run(folder, **more):
        return train(
            config, model=ball_model, faces=Dots(ball_model, 40), output=folder, progress=False, **more
        )

    def stop(progress):
        if progress.step == 4:
            raise Stop

    run(tmp_path / "whole")
    with pytest.raises(Stop):
        run(tmp_path / "parts", callback=stop)
    run(tmp_path / "parts", resume=True)
    whole, parts = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    assert whole["lengths"] == [40, 0, 8]
    for key in ("regressor", "optimizers"):
        assert_same_state(whole[key], parts[key], key)


def test_they_can_be_all_faces_or_those_with_landmarks_alone(ball_model, store):
    source = f"fitted:{store}"
    config = tiny_config(data={"face_source": source, "photo_source": source})
    result = train(config, model=ball_model, progress=False)
    assert result.history[-1]["landmarks_2d"] > 0
    assert result.history[-1]["vertices"] > 0
    truth = torch.stack([Dots(ball_model, 8).parameters(index) for index in range(8)])
    torch.testing.assert_close(result.whitening.mean, truth.mean(0), rtol=1e-5, atol=1e-6)


def test_another_face_model_is_refused(ball_model, other_model, store):
    config = tiny_config(data={"fitted_source": f"fitted:{store}"}, fitted_batch=2, photo_batch=0)
    other = MorphableModel.load(other_model)
    with pytest.raises(InputError, match="its faces are of the face model 'ball'"):
        train(config, model=other, faces=Dots(other, 12), progress=False)


@pytest.fixture
def turned(tmp_path, ball_model):
    write_fitted(tmp_path / "turned", ball_model, 5)
    return tmp_path / "turned"


def several(store, turned, **settings):
    source = f"fitted:{store},fitted:{turned}"
    return tiny_config(**{"data": {"fitted_source": source}, "fitted_batch": 4, "photo_batch": 0, **settings})


def test_several_sources_are_one_set_in_their_order(ball_model, store, turned):
    config = several(store, turned)
    assert config.data.fitted_sources == [f"fitted:{store}", f"fitted:{turned}"]
    joined = configured_fitted(config, ball_model, progress=False)
    parts = [open_source(source, model=ball_model) for source in config.data.fitted_sources]
    samples = [part[index] for part in parts for index in range(len(part))]
    assert len(joined) == len(samples) == 13
    for index, sample in enumerate(samples):
        found = joined[index]
        assert found.keys() == sample.keys()
        assert all(torch.equal(torch.as_tensor(found[key]), torch.as_tensor(sample[key])) for key in sample)
    names = [part.name(index) for part in parts for index in range(len(part))]
    assert [joined.name(index) for index in range(13)] == names
    one = configured_fitted(
        config.updated({"data": {"fitted_source": f"fitted:{turned}"}}), ball_model, False
    )
    assert len(one) == 5
    assert configured_fitted(config.updated({"fitted_batch": 0}), ball_model, False) is None


@pytest.mark.parametrize("pool", [True, False])
def test_a_run_with_several_sources_goes_on_to_the_same_bits(tmp_path, ball_model, store, turned, pool):
    config = several(store, turned, photo_batch=2).updated({"data": {"pool": pool}})
    given = {
        "model": ball_model,
        "faces": Dots(ball_model, 40),
        "photos": LandmarksOnly(Dots(ball_model, 20)),
    }

    def stop(progress):
        if progress.step == 4:
            raise Stop

    train(config, output=tmp_path / "whole", progress=False, **given)
    with pytest.raises(Stop):
        train(config, output=tmp_path / "parts", progress=False, callback=stop, **given)
    train(config, output=tmp_path / "parts", progress=False, resume=True, **given)
    whole, parts = (load_checkpoint(tmp_path / name / "checkpoint.pt") for name in ("whole", "parts"))
    assert whole["lengths"] == [40, 20, 13]
    assert_same_state(whole, parts)
    # With other data there is another run.
    fewer = config.updated({"data": {"fitted_source": f"fitted:{store}"}})
    with pytest.raises(InputError):
        train(fewer, output=tmp_path / "parts", progress=False, resume=True, **given)
    shorter = {**given, "fitted": Dots(ball_model, 12)}
    with pytest.raises(
        InputError, match=r"the run began with \[40, 20, 13\] faces and photos, got \[40, 20, 12\]"
    ):
        train(config, output=tmp_path / "parts", progress=False, resume=True, **shorter)


def test_the_pool_makes_no_difference(ball_model, store, turned):
    config, faces = several(store, turned), Dots(ball_model, 40)
    one, other = (
        train(config.updated({"data": {"pool": pool}}), model=ball_model, faces=faces, progress=False)
        for pool in (True, False)
    )
    assert one.history == other.history


def test_a_set_given_by_hand_is_that_of_the_source(ball_model, store):
    config = tiny_config(data={"fitted_source": f"fitted:{store}"}, fitted_batch=2, photo_batch=0)
    faces, fitted = Dots(ball_model, 40), open_source(f"fitted:{store}", model=ball_model)
    one = train(config, model=ball_model, faces=faces, progress=False)
    other = train(config, model=ball_model, faces=faces, fitted=fitted, progress=False)
    assert one.history == other.history


def test_batches_hold_faces_fitted_photos_and_photos_in_this_order(ball_model):
    config = tiny_config(data={"fitted_source": "fitted:x"}, fitted_batch=3, augment=STILL)
    sets = [Dots(ball_model, 9, seed) for seed in range(3)]
    feed = Feed(config, sets[0], LandmarksOnly(sets[2]), progress=False, fitted=sets[1])
    with closing(feed.steps(0, 8)) as steps:
        batches = list(steps)
    known = [[part.parameters(index) for index in range(9)] for part in sets[:2]]
    seen = set()
    for batch in batches:
        assert batch.inputs.shape[0] == 6 + 3 + 4
        assert batch.parameters.shape[0] == 6 + 3
        for row, vector in enumerate(batch.parameters):
            apart = [(vector - other).abs().max() for other in known[row >= 6]]
            assert min(apart) < 1e-4
            seen.add((row >= 6, int(torch.stack(apart).argmin())))
    # Nine photos, three a step: three steps are an epoch.
    assert {index for fitted, index in seen if fitted} == set(range(9))
    assert len(feed.names(0)) == 13
    # As many of the two usual kinds as asked for, and none of the third.
    assert len(feed.first(2, 1).inputs) == 3
    assert len(feed.first().inputs) == 13


def test_the_third_set_leaves_the_order_of_the_others_as_it_was(ball_model):
    plain = tiny_config(augment=STILL)
    third = plain.updated({"data": {"fitted_source": "fitted:x"}, "fitted_batch": 3})
    sets = [Dots(ball_model, 9, seed) for seed in range(3)]
    one = Feed(plain, sets[0], LandmarksOnly(sets[2]), progress=False)
    other = Feed(third, sets[0], LandmarksOnly(sets[2]), progress=False, fitted=sets[1])
    for step in range(5):
        names = other.names(step)
        assert one.names(step) == names[:6] + names[9:]


def test_what_is_known_of_photos_besides_their_landmarks_does_not_count(ball_model):
    """A set with parameters that is given as photos: no faces with 3D annotation come of it."""
    config, sets = tiny_config(), [Dots(ball_model, 9, seed) for seed in range(2)]
    one, other = (
        Feed(config, sets[0], photos, progress=False) for photos in (sets[1], LandmarksOnly(sets[1]))
    )
    for a, b in zip(one.steps(0, 3), other.steps(0, 3), strict=True):
        assert a.parameters.shape[0] == 6
        for field in fields(StepBatch):
            torch.testing.assert_close(getattr(a, field.name), getattr(b, field.name), rtol=0, atol=0)


@pytest.mark.parametrize(
    "source", ["fitted:a,", ",fitted:a", "fitted:a,b", "fitted:a,none:b", "fitted:a,,fitted:b"]
)
def test_a_wrong_source_among_several_is_named(source):
    with pytest.raises(InputError, match=r"fitted_source: expected KIND:FOLDER, as in aflw:/data/aflw, got "):
        tiny_config(data={"fitted_source": source})


def test_a_batch_needs_a_source(ball_model):
    with pytest.raises(InputError, match=r"data\.fitted_source: expected fitted:FOLDER for fitted_batch=2"):
        tiny_run(ball_model, tiny_config(fitted_batch=2))


def test_a_missing_or_another_source_among_several_is_named(tmp_path, ball_model, store, photo68):
    write_aflw(tmp_path / "aflw", photo68)
    data = {"cache": str(tmp_path / "cache")}
    for more, message in (
        (f"fitted:{tmp_path}/none", "none: "),
        (f"aflw:{tmp_path}/aflw", "data.fitted_source: faces with 3D annotation need parameters"),
    ):
        config = tiny_config(data={**data, "fitted_source": f"fitted:{store},{more}"}, fitted_batch=2)
        with pytest.raises(InputError, match=message):
            configured_fitted(config, ball_model, progress=False)


def test_sources_of_other_samples_do_not_make_one_batch(ball_model, store, turned, monkeypatch):
    """It was an error of torch's within the run."""
    inner = datasets._open

    def opened(config, source, *rest):
        photos = inner(config, source, *rest)
        if source.endswith("turned"):
            photos.faces = replace(photos.faces, visible=photos.faces.visible[:, :21])
        return photos

    monkeypatch.setattr(datasets, "_open", opened)
    with pytest.raises(InputError) as error:
        configured_fitted(several(store, turned), ball_model, progress=False)
    assert str(error.value) == (
        f"data.fitted_source: fitted:{store} and fitted:{turned} have samples of other kinds, which make no"
        " batch together; give one of them as data.face_source"
    )
