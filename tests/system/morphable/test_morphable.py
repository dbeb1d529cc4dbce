"""The face model container: checks, identity, and the .npz it travels in."""

import dataclasses
import io
import os
import tracemalloc
import zipfile

import numpy as np
import pytest
from twodasl.errors import InputError
from twodasl.io.arrays import read_array
from twodasl.morphable import MorphableModel, load_model


def small_model(**changes) -> MorphableModel:
    rng = np.random.default_rng(3)
    count = 80
    fields = {
        "name": "small",
        "mean": rng.normal(size=(count, 3)),
        "shape_modes": rng.normal(size=(4, count, 3)),
        "expression_modes": rng.normal(size=(2, count, 3)),
        "coefficient_std": np.arange(1, 7, dtype=np.float32),
        "triangles": rng.integers(0, count, (100, 3)),
        "landmarks": np.arange(68),
        "named_landmarks": {"ear_left": 70, "ear_right": 71, "chin": 8},
        "albedo_mean": rng.random((count, 3)),
        "albedo_modes": rng.normal(size=(3, count, 3)),
        "albedo_std": np.ones(3),
        "mode_names": tuple("abcdef"),
        "albedo_names": ("x", "y", "z"),
        "basel_landmarks": np.arange(10, 78),
    }
    return MorphableModel(**(fields | changes))


def equal(first: MorphableModel, second: MorphableModel) -> bool:
    for field in dataclasses.fields(MorphableModel):
        a, b = getattr(first, field.name), getattr(second, field.name)
        same = np.array_equal(a, b) and a.dtype == b.dtype if isinstance(a, np.ndarray) else a == b
        if not same:
            return False
    return True


def test_round_trip(tmp_path):
    model = small_model()
    model.save(tmp_path / "m.npz")
    again = load_model(tmp_path / "m.npz")
    assert equal(model, again)
    assert again.identity == model.identity


def test_round_trip_without_colors_and_names(tmp_path):
    bare = small_model(
        albedo_mean=None,
        albedo_modes=None,
        albedo_std=None,
        mode_names=None,
        albedo_names=None,
        basel_landmarks=None,
        named_landmarks={},
    )
    bare.save(tmp_path / "m.npz")
    assert equal(bare, MorphableModel.load(tmp_path / "m.npz"))


def test_types_are_brought_to_float32_and_int64():
    model = small_model(triangles=np.zeros((5, 3), np.int32))
    assert model.mean.dtype == np.float32
    assert model.triangles.dtype == np.int64
    assert model.modes.shape == (6, 80, 3)
    assert model.counts == (80, 4, 2)


@pytest.mark.parametrize("field", ["mean", "shape_modes", "expression_modes", "triangles", "landmarks"])
def test_identity_follows_the_geometry(field):
    model = small_model()
    changed = getattr(model, field).copy()
    changed.flat[5] += 1
    assert dataclasses.replace(model, **{field: changed}).identity != model.identity


def test_identity_ignores_names_and_colors():
    model = small_model()
    other = small_model(name="else", albedo_mean=np.zeros((80, 3)), mode_names=None)
    assert other.identity == model.identity


BROKEN = {
    "mean": np.zeros((80, 2)),
    "shape_modes": np.zeros((4, 79, 3)),
    "expression_modes": np.zeros((2, 80)),
    "coefficient_std": np.ones(5),
    "triangles": np.zeros((9, 4), np.int64),
    "landmarks": np.zeros(67, np.int64),
    "albedo_mean": np.zeros((79, 3)),
    "albedo_modes": np.zeros((3, 79, 3)),
    "albedo_std": np.ones(2),
    "mode_names": np.array(["a"]),
    "albedo_names": np.array(["a"]),
}


def rewritten(path, **changes):
    """The same archive with some arrays replaced (None: left out)."""
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files} | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize("field", BROKEN)
def test_a_wrong_shape_names_file_and_field(tmp_path, field):
    path = tmp_path / "bad.npz"
    small_model().save(path)
    rewritten(path, **{field: BROKEN[field]})
    with pytest.raises(InputError, match=rf"bad\.npz: {field}: expected .* got"):
        MorphableModel.load(path)


NEEDED = """format version name units mean shape_modes expression_modes coefficient_std triangles landmarks
named_landmarks_keys named_landmarks_indices"""


@pytest.mark.parametrize("field", NEEDED.split())
def test_a_missing_field_is_named(tmp_path, field):
    path = tmp_path / "bad.npz"
    small_model().save(path)
    rewritten(path, **{field: None})
    with pytest.raises(InputError, match=rf"bad\.npz: {field}: is missing"):
        MorphableModel.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mean", np.full((80, 3), np.nan)),
        ("mean", np.full((80, 3), 1e300)),
        ("mean", np.array([["x"] * 3] * 80)),
        ("triangles", np.full((5, 3), 80)),
        ("triangles", np.full((5, 3), -1)),
        ("triangles", np.zeros((5, 3))),
        ("landmarks", np.full(68, 80)),
        ("coefficient_std", np.zeros(6)),
        ("albedo_mean", np.full((80, 3), 1.5)),
        ("albedo_std", np.array([1, -1, 1.0])),
        ("named_landmarks_indices", np.array([1, 2])),
        ("basel_landmarks", np.arange(67)),
        ("basel_landmarks", np.full(68, 10**6)),
        ("named_landmarks_keys", np.array([1, 2, 3])),
        ("format", "something else"),
        ("version", 2),
        ("version", "one"),
        ("units", "cm"),
        ("name", np.array(3)),
    ],
)
def test_a_wrong_value_names_file_and_field(tmp_path, field, value):
    path = tmp_path / "bad.npz"
    small_model().save(path)
    rewritten(path, **{field: value})
    with pytest.raises(
        InputError, match=r"bad\.npz: " + field.removesuffix("_indices").removesuffix("_keys")
    ):
        MorphableModel.load(path)


def test_pickled_objects_are_never_loaded(tmp_path):
    path = tmp_path / "bad.npz"
    small_model().save(path)
    rewritten(path, mean=np.array([{"code": 1}], dtype=object))
    with pytest.raises(InputError, match=r"bad\.npz"):
        MorphableModel.load(path)


def test_no_file_of_that_kind(tmp_path):
    with pytest.raises(InputError, match="no such face model"):
        load_model(tmp_path / "absent.npz")
    with pytest.raises(InputError, match="absent"):
        MorphableModel.load(tmp_path / "absent.npz")
    for content in (b"", b"not a zip", b"PK\x03\x04 half"):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(InputError, match=r"bad\.npz: is not a \.npz"):
            MorphableModel.load(tmp_path / "bad.npz")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match=r"zip\.npz"):
        MorphableModel.load(tmp_path / "zip.npz")
    with pytest.raises(InputError, match="not a face model folder"):
        load_model(tmp_path)


def test_every_truncation_and_every_flipped_block_is_an_input_error(tmp_path):
    whole = tmp_path / "whole.npz"
    small_model().save(whole)
    content = whole.read_bytes()
    bad = tmp_path / "bad.npz"
    for cut in range(0, len(content), len(content) // 25):
        bad.write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"bad\.npz"):
            MorphableModel.load(bad)
    identity = MorphableModel.load(whole).identity
    for start in range(0, len(content), len(content) // 40):
        damaged = bytearray(content)
        for position in range(start, min(start + 16, len(content))):
            damaged[position] ^= 0x5A
        bad.write_bytes(damaged)
        try:  # bytes that no reader looks at may change; nothing else may
            assert MorphableModel.load(bad).identity == identity
        except InputError:
            continue


def _npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


MEMBERS = {
    "no array": b"plain bytes",
    "a header of other text": _npy(np.zeros(3)).replace(b"{'descr'", b"\t{((('d("),
    "a header that claims more": _npy(np.zeros((80, 3), np.float32)).replace(b"(80, 3)", b"(8**9,)"),
    "sizes below zero": _npy(np.zeros((80, 3), np.float32)).replace(b"(80, 3)", b"(80,-3)"),
    "absurd sizes of nothing": _npy(np.zeros((0, 30000, 9))).replace(b"(0, 30000, 9)", b"(0, 9**99, 9)"),
    "a record": _npy(np.zeros(3, [("a", np.float32)])),
    "numbers that are no letters": _npy(np.array("ab")).replace(b"a\0\0\0", b"\xff\xff\xff\x7f"),
    "half of a letter": _npy(np.array("\ud800")),
}


@pytest.mark.parametrize("field", ["mean", "name", "mode_names", "named_landmarks_keys"])
@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
def test_a_member_that_is_no_array_of_its_kind(tmp_path, member, field):
    path = tmp_path / "bad.npz"
    small_model().save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()} | {f"{field}.npy": member}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(InputError, match=r"bad\.npz: "):
        load_model(path)


@pytest.mark.parametrize("change", ["claims", "lies", "bzip2", "encrypted", "twice"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive_that_would_fill_the_memory(tmp_path, change):
    path = tmp_path / "bad.npz"
    kind = zipfile.ZIP_BZIP2 if change == "bzip2" else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("format.npy", _npy(np.array("twodasl-morphable-model")))
        archive.writestr("mean.npy", bytes(1 << 20))
        info = archive.getinfo("mean.npy")
        if change == "twice":
            archive.writestr("mean.npy", b"")
        info.file_size = {"claims": 1 << 30, "lies": 100}.get(change, info.file_size)
        info.flag_bits |= change == "encrypted"
    tracemalloc.start()
    with pytest.raises(
        InputError, match=r"bad\.npz: (is not a .npz file, or is d|expected arrays of at most)"
    ):
        MorphableModel.load(path)
    assert tracemalloc.get_traced_memory()[1] < 8 << 20
    tracemalloc.stop()


def test_pipes_and_names_that_no_system_has_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", "/dev/zero", "a\0b", "x" * 5000):
        with pytest.raises(InputError):
            load_model(path)
        with pytest.raises(InputError, match=r"cannot be read|not a regular file"):
            read_array(path)


def test_a_failed_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.npz"
    small_model().save(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"\.npz"):
        small_model().save(tmp_path / "m.bin")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        small_model().save(tmp_path / "file" / "m.npz")
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "m.npz"]
    assert np.load(io.BytesIO(before))["name"] == "small"


def test_shape_and_albedo_are_linear():
    model = small_model()
    coefficients = np.array([1, 0, -2, 0, 0, 3.0])
    expected = model.mean + model.modes[0] - 2 * model.modes[2] + 3 * model.modes[5]
    np.testing.assert_allclose(model.shape(coefficients), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="coefficients"):
        model.shape(np.zeros(5))
    assert model.albedo(np.full(3, 9.0)).max() <= 1
    with pytest.raises(ValueError, match="no colors"):
        dataclasses.replace(
            model, albedo_mean=None, albedo_modes=None, albedo_std=None, albedo_names=None
        ).albedo()


def test_basis_hands_the_operators_everything():
    twodasl_ext = pytest.importorskip("twodasl_ext")
    if not hasattr(twodasl_ext, "MorphableBasis"):
        pytest.skip("the operators are not built")
    import torch

    model = small_model()
    coefficients = torch.randn(2, 6)
    pose = torch.eye(3, 4).expand(2, 3, 4).contiguous()
    points = twodasl_ext.vertices(model.basis(), coefficients, pose)
    np.testing.assert_allclose(points[1].numpy(), model.shape(coefficients[1].numpy()), atol=1e-4)


@pytest.mark.parametrize("counts", [(10**9, 0), (0, 10**9), (-1, 0)])
def test_more_modes_than_there_are_are_refused_at_once(ball_model, counts):
    with pytest.raises(ValueError, match=r"_modes: expected a whole number from 0 to "):
        ball_model.truncated(*counts)


@pytest.mark.parametrize("wrong", [1.5, "x", True, None, [1], 1 << 70])
def test_numbers_of_modes_of_the_wrong_kind_are_named(ball_model, wrong):
    with pytest.raises(InputError, match=r"^shape_modes: expected a whole number from 0 to \d+, got "):
        ball_model.truncated(wrong, 0)
    with pytest.raises(InputError, match=r"^expression_modes: expected a whole number from 0 to \d+, got "):
        ball_model.truncated(0, wrong)
    assert ball_model.truncated(np.int64(1), np.uint8(0)).counts[1:] == (1, 0)


WRONG_COEFFICIENTS = ([0] * 30, "x", ["a"] * 3, [[1, 2], [3]], None, [1j] * 3, [np.nan] * 3, [1e39] * 3)


@pytest.mark.parametrize("wrong", WRONG_COEFFICIENTS, ids=str)
def test_coefficients_of_the_wrong_kind_are_named(wrong):
    model = small_model()
    with pytest.raises(InputError, match=r"^coefficients: expected \(6,\) finite numbers, got "):
        model.shape(wrong)
    if wrong is not None:
        with pytest.raises(InputError, match=r"^coefficients: expected \(3,\) finite numbers, got "):
            model.albedo(wrong)
    assert np.array_equal(model.albedo([0, 0, 0]), np.clip(model.albedo_mean, 0, 1))
