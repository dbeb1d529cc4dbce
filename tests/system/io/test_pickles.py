"""Pickled arrays of the field: read in every protocol, and never run."""

import pickle
import struct
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from twodasl.datasets.sparse_basis import read_whitening
from twodasl.errors import InputError
from twodasl.io.pickles import read_array_pickle, read_model_pickle

from ..python2_pickles import Pickled, instance


class Harmful:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps({"param_mean": Harmful(tmp_path / "touched")}))
    with pytest.raises(InputError, match="NumPy arrays only, got the name"):
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


def every_entry(found) -> None:
    """Ask for all entries: one that cannot be read is an error then, and not before."""
    for key in found:
        found.get(key)


MALICIOUS = {
    "calls os.system": b"\x80\x02cos\nsystem\n(T\x04\x00\x00\x00true" + b"tR.",
    "calls builtins.eval": b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.",
    "calls numpy's own loader": b"\x80\x02cnumpy\nload\n(T\x03\x00\x00\x00abctR.",
    "reaches through chumpy": b"\x80\x02cchumpy.ch\nos.system\n(T\x03\x00\x00\x00abctR.",
    "rebuilds what is no class": b"\x80\x02ccopy_reg\n_reconstructor\n(c_codecs\nencode\nNNtR.",
    "gives a function a state": b"\x80\x02c_codecs\nencode\n}b.",
    "gives a class a state": b"\x80\x02cchumpy.ch\nCh\n}b.",
    "refers to outside": b"\x80\x02T\x03\x00\x00\x00abcQ.",
    "uses a number for a name": b"\x80\x02\x82\x01.",
    "chumpy without numbers": Pickled({"w_shp": instance("chumpy.ch", "Ch", {"y": None})}).content,
    "chumpy in itself": b"\x80\x02cchumpy.ch\nCh\n)\x81q\x00}(T\x01\x00\x00\x00xh\x00ub.",
    "a selection beyond its array": Pickled(
        {"w": instance("chumpy.reordering", "Select", {"a": np.ones(3), "idxs": np.array([9])})}
    ).content,
    "an array larger than its bytes": Pickled(np.ones((3, 7))).content.replace(
        struct.pack("<i", 7), struct.pack("<i", 1 << 30)
    ),
    "bytes larger than memory": b"\x80\x05\x96" + (1 << 45).to_bytes(8, "little") + b"x.",
    "a list in itself": b"\x80\x02]q\x00h\x00a.",
    "deep nesting": b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".",
    "no object": b"\x80\x02.",
    "text": b"(dp0\nthis is no pickle",
}


@pytest.mark.parametrize("kind", MALICIOUS)
@pytest.mark.parametrize("read", [read_array_pickle, read_model_pickle])
def test_what_is_no_honest_pickle_is_refused(tmp_path, kind, read):
    path = tmp_path / "model.pkl"
    path.write_bytes(MALICIOUS[kind])
    with pytest.raises(InputError, match=r"model\.pkl: expected a pickle of NumPy .* got .") as caught:
        every_entry(read(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_an_entry_that_nobody_reads_is_not_looked_at(tmp_path, protocol):
    others = {
        "code": Harmful(tmp_path / "touched"),
        "class": Harmful,
        "path": Path("/x"),
        "counts": Counter("abc"),
        "objects": [np.array([{}]), Fraction(1, 3)],
        "complex": np.ones(3, complex),
        "words": np.array(["a"]),
        "flags": np.ones(3, bool),
        "scalar": np.str_("a"),
    }
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({**others, "w": np.arange(3.0), "text": "x"}, protocol=protocol))
    for read in (read_array_pickle, read_model_pickle):
        found = read(path)
        np.testing.assert_array_equal(found["w"], [0, 1, 2])
        assert found.get("text") == "x"
        assert found.get("none") is None
        for name in sorted(set(others) - {"objects"}):
            with pytest.raises(
                InputError, match=r"model\.pkl: expected a pickle of NumPy arrays only, got ."
            ):
                found[name]
    assert not (tmp_path / "touched").exists()


def test_a_key_that_takes_for_ever_to_hash(tmp_path):
    path = tmp_path / "key.pkl"
    path.write_bytes(b"\x80\x02})" + b"2\x86" * 60 + b"Ns.")
    with pytest.raises(InputError, match="tuples in tuples"):
        read_array_pickle(path)


def test_shared_parts_are_walked_once(tmp_path):
    """Tuples of the tuple before, twice: 2**60 elements in some hundred bytes."""
    path = tmp_path / "shared.pkl"
    path.write_bytes(b"\x80\x02)" + b"2\x86" * 60 + b".")
    value = read_array_pickle(path)
    assert value[0] is value[1]


def test_a_memo_takes_no_memory_for_what_it_does_not_hold(tmp_path):
    """The unpickler in C would make room for four thousand million entries here."""
    path = tmp_path / "memo.pkl"
    path.write_bytes(b"\x80\x02Nr\xff\xff\xff\xff.")
    assert read_array_pickle(path) is None
