"""Pickled arrays of the field: read in every protocol, and never run."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from twodasl.data.pickles import read_array_pickle
from twodasl.errors import InputError
from twodasl.evaluation.sparse_basis import read_whitening


class Harmful:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"param_mean": Harmful(tmp_path / "touched")}))
    with pytest.raises(InputError, match="NumPy arrays alone, got the name"):
        read_whitening(tmp_path / "bad.pkl")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("protocol", [0, 2, 3, 4, 5])
def test_pickled_arrays_are_read_in_every_protocol(tmp_path, protocol):
    value = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b": [np.arange(3, dtype=">i4"), (np.asfortranarray(np.eye(3) * [1, 2, 3]), "text", 1.5)],
        "c": np.array(3.0),
    }
    (tmp_path / "good.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    loaded = read_array_pickle(tmp_path / "good.pkl")
    np.testing.assert_array_equal(loaded["a"], value["a"])
    np.testing.assert_array_equal(loaded["b"][0], [0, 1, 2])
    np.testing.assert_array_equal(loaded["b"][1][0], np.diag([1, 2, 3]))
    assert loaded["b"][1][1:] == ("text", 1.5)
    assert loaded["c"] == 3


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], "expected a pickled dict with the arrays"),
        ({"param_mean": np.zeros(20), "param_std": None}, "expected a pickled dict with the arrays"),
        ({"param_mean": np.zeros(20), "param_std": np.zeros(20)}, "positive standard deviations"),
        ({"param_mean": np.zeros(20), "param_std": np.ones(19)}, "two vectors of one length"),
        (
            {"param_mean": np.array([{}] * 20), "param_std": np.ones(20)},
            "without plain bytes|not of real numbers",
        ),
    ],
)
def test_a_whitening_that_does_not_fit(tmp_path, value, message):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(value, protocol=3))
    with pytest.raises(InputError, match=message) as caught:
        read_whitening(tmp_path / "w.pkl")
    assert str(tmp_path / "w.pkl") in str(caught.value)


def test_a_cut_off_pickle(tmp_path):
    good = pickle.dumps({"param_mean": np.zeros(20), "param_std": np.ones(20)})
    for size in (0, 1, 30, len(good) // 2, len(good) - 1):
        (tmp_path / "cut.pkl").write_bytes(good[:size])
        with pytest.raises(InputError, match=r"cut\.pkl"):
            read_whitening(tmp_path / "cut.pkl")
