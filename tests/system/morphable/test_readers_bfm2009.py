"""BFM 2009 and the models made from it: face3d's and Deep3DFaceRecon's `.mat`, in miniature."""

import struct

import numpy as np
import pytest
import scipy.io
from twodasl.errors import InputError
from twodasl.io.matlab import read_mat
from twodasl.morphable import load_model

DROPPED = 30  # vertices without expressions, first in the file


def save(path, variables, **options):
    scipy.io.savemat(path, variables, **options)
    return path


def columns(parts, part, unit=1e3):
    """PC and EV of a part in the files' units; the bases of the parts are unit columns."""
    return parts.bases[part], unit * parts.sigma[part].reshape(-1, 1)


@pytest.fixture
def variables(face_parts):
    """Of BFM 2009: the parts' vertices after some that its expressions do not cover."""
    spare = np.linspace(-1, 1, 3 * DROPPED).reshape(-1, 3)
    widen = {
        part: np.concatenate([np.full((3 * DROPPED, len(basis[0])), 0.25), basis])
        for part, basis in face_parts.bases.items()
    }
    around = np.array([[0, 1, DROPPED + 5], [0, 1, 2]])
    return {
        "shapeMU": 1e3 * np.concatenate([spare, face_parts.mean]).reshape(-1, 1),
        "shapePC": widen["shape"],
        "shapeEV": columns(face_parts, "shape")[1],
        "texMU": 255 * np.concatenate([spare * 0 + 0.5, face_parts.colors]).reshape(-1, 1),
        "texPC": widen["color"],
        "texEV": columns(face_parts, "color", 255)[1],
        "tl": np.concatenate([around, face_parts.triangles + DROPPED]) + 1.0,
    }


@pytest.fixture
def basel(face_parts, variables, tmp_path):
    """`01_MorphableModel.mat` with Deep3DFaceRecon's files next to it."""
    count = len(face_parts.mean)
    basis, sigma = columns(face_parts, "expression")
    rows = np.concatenate([np.full((1, 3 * count), 5e3), basis.T]).astype("<f4")
    (tmp_path / "Exp_Pca.bin").write_bytes(struct.pack("<i", len(basis[0])) + rows.tobytes())
    (tmp_path / "std_exp.txt").write_text(" ".join(f"{value:.6e}" for value in [*sigma.ravel(), 1.0]))
    save(tmp_path / "BFM_exp_idx.mat", {"trimIndex": np.arange(count)[:, None] + DROPPED + 1})
    front = np.random.default_rng(2).permutation(count)
    save(tmp_path / "BFM_front_idx.mat", {"idx": front[:, None] + 1})
    marks = np.argsort(front)[face_parts.landmarks]
    save(tmp_path / "facemodel_info.mat", {"keypoints": marks[None] + 1, "tri": np.ones((4, 3))})
    return save(tmp_path / "01_MorphableModel.mat", variables, do_compression=True)


def check_colors(model, parts):
    np.testing.assert_allclose(model.albedo_mean, parts.colors, atol=1e-6)
    np.testing.assert_allclose(model.albedo_modes, parts.modes("color"), rtol=1e-5, atol=1e-7)
    assert (model.albedo_std == 1).all()


def test_with_expressions(basel, face_parts):
    model = load_model(basel)
    face_parts.check(model)
    check_colors(model, face_parts)
    assert model.name == "bfm-2009"
    assert load_model(basel.parent).identity == model.identity


def test_landmarks_as_3ddfa_has_them(basel, face_parts):
    basel.with_name("facemodel_info.mat").unlink()
    np.save(basel.with_name("keypoints_sim.npy"), face_parts.places)
    face_parts.check(load_model(basel))


def test_landmarks_of_ones_own_go_first(basel, face_parts):
    own = face_parts.landmarks.copy()
    own[0] += 1
    np.savetxt(basel.with_name("01_MorphableModel.landmarks68.txt"), own, fmt="%d")
    assert (load_model(basel).landmarks == own).all()


def test_without_expressions_every_vertex_stays(basel, face_parts):
    basel.with_name("Exp_Pca.bin").unlink()
    model = load_model(basel)
    assert model.counts == (len(face_parts.mean) + DROPPED, 5, 0)
    np.testing.assert_array_equal(model.landmarks, face_parts.landmarks + DROPPED)
    assert len(model.triangles) == len(face_parts.triangles) + 2
    np.testing.assert_allclose(
        model.shape_modes[:, DROPPED:], face_parts.modes("shape"), rtol=2e-6, atol=1e-6
    )


def test_pieces_that_are_missing(basel, refuses):
    for name, message in (
        ("std_exp.txt", r"Exp_Pca\.bin: has modes without their standard deviations; put std_exp\.txt"),
        ("facemodel_info.mat", r"has no landmarks; put a file 01_MorphableModel\.landmarks68\.txt"),
        ("BFM_exp_idx.mat", r"Exp_Pca\.bin: covers only a part of .*; put BFM_exp_idx\.mat"),
    ):
        content = basel.with_name(name).read_bytes()
        basel.with_name(name).unlink()
        refuses(basel, message, named=basel.parent.name)
        basel.with_name(name).write_bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"expected 4 \+ 12024 x \(1 \+ modes\) bytes"),
        (struct.pack("<i", 2**31 - 1) + bytes(100), "2147483647 modes"),
        (struct.pack("<i", -1) + bytes(0), "-1 modes"),
        (struct.pack("<i", 3) + bytes(12024 * 4 - 1), "got 48099 bytes and 3 modes"),
        (struct.pack("<i", 3) + np.full(4 * 3006, np.nan, "<f4").tobytes(), "finite"),
    ],
)
def test_an_expression_file_that_does_not_fit(basel, refuses, content, message):
    basel.with_name("Exp_Pca.bin").write_bytes(content)
    refuses(basel, message, named=basel.parent.name)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shapePC", np.ones((9, 5)), r"shapePC: expected \(3096, >= 5\), got \(9, 5\)"),
        ("shapeEV", np.ones((4, 1)), "shapeEV: expected 5 positive standard deviations"),
        ("shapeEV", np.array([1, 1, 1, 1, 0]), "shapeEV: expected 5 positive standard deviations"),
        ("shapeMU", np.full((3096, 1), np.nan), "shapeMU: expected finite numbers"),
        ("shapeMU", np.full((3096, 1), 1e300), "finite|mm apart"),
        ("shapeMU", np.ones((3095, 1)), "shapeMU: expected .* interleaved"),
        ("shapeMU", "text", "shapeMU: expected real numbers, got 'text'"),
        ("shapePC", {"x": 1}, "shapePC: expected real numbers, got dict"),
        ("tl", np.full((2, 3), 1033), r"tl: expected vertices 1\.\.1032, got 1033"),
        ("tl", np.full((2, 3), 1.5), "tl: expected whole numbers"),
        ("tl", np.ones((2, 4)), r"tl: expected \(T, 3\)"),
        ("texMU", np.ones((3, 1)), "texMU: expected"),
    ],
)
def test_variables_that_do_not_fit(basel, variables, refuses, name, value, message):
    save(basel, {**variables, name: value})
    refuses(basel, message)


def test_a_missing_variable_is_named(basel, variables, refuses):
    del variables["tl"]
    save(basel, variables)
    refuses(basel, "got no tl")


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.5, 0.95, 0.9999])
@pytest.mark.parametrize("name", ["01_MorphableModel.mat", "BFM_exp_idx.mat"])
def test_a_cut_off_file_is_named(basel, refuses, name, share):
    file = basel.with_name(name)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    refuses(basel, ".", named=name)


def test_damaged_bytes_never_get_through_as_another_error(basel, refuses):
    good = basel.with_name("BFM_exp_idx.mat").read_bytes()
    rng = np.random.default_rng(5)
    for at in rng.integers(124, len(good), 25):
        bad = bytearray(good)
        bad[at : at + 4] = rng.integers(0, 256, 4, np.uint8).tobytes()
        basel.with_name("BFM_exp_idx.mat").write_bytes(bad)
        try:
            load_model(basel)
        except Exception:
            refuses(basel, ".", named=basel.parent.name)


def test_a_file_that_grows_beyond_memory_is_refused(fields, tmp_path):
    """A struct's shape says nothing of its fields: what is compressed is counted before it is loaded."""
    path = save(tmp_path / "BFM.mat", {"model": {**fields, "segbin": np.zeros(1 << 18)}}, do_compression=True)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(InputError, match=r"BFM\.mat: expected variables of at most 1 MiB together"):
        read_mat(path, ("model",), 1 << 20)


def test_matlab_7_3(tmp_path, refuses):
    path = tmp_path / "BFM.mat"
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + struct.pack("<HH", 0x0200, 0x4D49) + bytes(400))
    refuses(path, "version 7.3; save it with '-v7'")


@pytest.fixture
def fields(face_parts):
    shape, expression = columns(face_parts, "shape"), columns(face_parts, "expression")
    color = columns(face_parts, "color", 255)
    half = 500 * face_parts.mean.reshape(-1, 1)
    return {
        "shapeMU": half,
        "shapePC": shape[0],
        "shapeEV": shape[1],
        "expMU": half,
        "expPC": expression[0],
        "expEV": expression[1],
        "texMU": 255 * face_parts.colors.reshape(-1, 1),
        "texPC": color[0],
        "texEV": color[1],
        "tri": face_parts.triangles.T + 1,
        "tri_mouth": np.ones((3, 114)),
        "kpt_ind": face_parts.landmarks[None] + 1,
    }


def test_face3d(fields, face_parts, tmp_path):
    model = load_model(save(tmp_path / "BFM.mat", {"model": fields}))
    face_parts.check(model)
    check_colors(model, face_parts)
    assert model.name == "face3d"


def test_face3d_with_parts_missing(fields, tmp_path, refuses):
    path = tmp_path / "BFM.mat"
    for name in ("expEV", "kpt_ind"):
        less = {key: value for key, value in fields.items() if key != name}
        refuses(save(path, {"model": less}), f"got no {name}")
    refuses(save(path, {"model": {**fields, "kpt_ind": np.arange(1, 68)}}), "kpt_ind: expected 68 vertices")
    refuses(save(path, {"model": {**fields, "shapePC": np.ones(3)}}), "shapePC: expected")
    refuses(save(path, {"model": np.ones(3)}), "model: expected one struct")
    refuses(save(path, {"other": np.ones(3)}), "contains other, not a known face model; expected twodasl's")


@pytest.fixture
def front(face_parts):
    tenth = {part: basis * face_parts.sigma[part] / 100 for part, basis in face_parts.bases.items()}
    return {
        "meanshape": face_parts.mean.reshape(1, -1) / 100,
        "meantex": 255 * face_parts.colors.reshape(1, -1),
        "idBase": tenth["shape"],
        "exBase": tenth["expression"],
        "texBase": 255 * 100 * tenth["color"],
        "tri": face_parts.triangles + 1,
        "keypoints": face_parts.landmarks[None] + 1,
        "skinmask": np.ones((1, 9)),
    }


def test_deep3d(front, face_parts, tmp_path):
    model = load_model(save(tmp_path / "BFM_model_front.mat", front))
    face_parts.check(model)
    check_colors(model, face_parts)
    assert model.name == "deep3d-front"


def test_deep3d_with_parts_missing(front, tmp_path, refuses):
    path = tmp_path / "BFM_model_front.mat"
    refuses(save(path, {**front, "keypoints": np.ones((1, 67))}), "keypoints: expected 68 vertices, got 67")
    refuses(save(path, {**front, "exBase": np.ones((8, 2))}), r"exBase: expected \(3006, K\), got \(8, 2\)")
    del front["meanshape"]
    refuses(save(path, front), "got no meanshape")
