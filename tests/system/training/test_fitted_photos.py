"""Training with photos that were annotated by a fit."""

import pytest
import torch
from twodasl.errors import InputError
from twodasl.morphable import MorphableModel
from twodasl.training import load_checkpoint, train

from ..fitted_sets import write_fitted
from ..tiny_runs import Dots, Stop, assert_same_state, tiny_config


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
