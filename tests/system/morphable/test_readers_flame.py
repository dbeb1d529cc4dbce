"""FLAME's pickles and archives in miniature, among them pickles as Python 2 and chumpy wrote them."""

import pickle
import zipfile

import numpy as np
import pytest
import scipy.sparse
from twodasl.morphable import load_model

from ..python2_pickles import Pickled, call, chumpy, instance, write_object


@pytest.fixture(scope="module")
def arrays(face_parts):
    rng = np.random.default_rng(11)
    return {
        "v_template": face_parts.mean / 1000,
        "shapedirs": rng.normal(size=(len(face_parts.mean), 3, 400)) / 1000,
        "f": face_parts.triangles.astype(np.uint32),
    }


def as_flame(arrays):
    """All that FLAME's dict holds; what is not read is as it comes."""
    sparse = scipy.sparse.csc_matrix(np.eye(5, 8))
    regressor = {
        "format": "csc",
        "_shape": (5, 8),
        "maxprint": 50,
        "indices": sparse.indices,
        "indptr": sparse.indptr,
        "data": sparse.data,
    }
    return {
        "f": arrays["f"],
        "J_regressor": instance("scipy.sparse.csc", "csc_matrix", regressor),
        "kintree_table": np.zeros((2, 5), np.uint32),
        "v_template": chumpy(arrays["v_template"]),
        "weights": np.ones((8, 5)),
        "posedirs": chumpy(np.ones((8, 3, 36))),
        "shapedirs": chumpy(arrays["shapedirs"]),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def embedding(parts, rows):
    """Triangles and weights whose strongest corners are the landmarks of the given rows."""
    faces, weights = [], []
    for vertex in parts.landmarks[rows]:
        face, corner = np.argwhere(parts.triangles == vertex)[-1]
        faces.append(face)
        weights.append(np.where(np.arange(3) == corner, 0.5, 0.25))
    return np.array(faces), np.array(weights)


@pytest.fixture
def path(arrays, face_parts, tmp_path):
    """generic_model.pkl with DECA's landmark_embedding.npy, whose dynamic part is a tensor."""
    (tmp_path / "generic_model.pkl").write_bytes(Pickled(as_flame(arrays)).content)
    faces, weights = embedding(face_parts, slice(None))
    storage = call("torch.storage", "_load_from_bytes", (b"\x80\x02anything",))
    hooks = call("collections", "OrderedDict", ())
    tensor = call("torch._utils", "_rebuild_tensor_v2", (storage, 0, (79, 17), (17, 1), False, hooks))
    write_object(
        tmp_path / "landmark_embedding.npy",
        {
            "full_lmk_faces_idx": faces[None],
            "full_lmk_bary_coords": weights[None],
            "dynamic_lmk_faces_idx": tensor,
        },
    )
    return tmp_path / "generic_model.pkl"


def check(model, arrays, parts):
    assert model.name == "flame"
    assert model.counts == (len(parts.mean), 300, 100)
    np.testing.assert_allclose(model.mean, parts.mean, atol=2e-5)
    wanted = 1000 * np.moveaxis(arrays["shapedirs"], 2, 0)
    np.testing.assert_allclose(model.modes, wanted, rtol=1e-6)
    assert (model.coefficient_std == 1).all()
    np.testing.assert_array_equal(model.triangles, parts.triangles[:, ::-1])
    np.testing.assert_array_equal(model.landmarks, parts.landmarks)


def test_a_pickle_of_python_2_and_chumpy(path, arrays, face_parts):
    check(load_model(path), arrays, face_parts)
    assert load_model(path.parent).identity == load_model(path).identity


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_of_plain_arrays(path, arrays, face_parts, protocol):
    content = {**arrays, "J_regressor": scipy.sparse.csc_matrix(np.eye(5, 8)), "bs_style": "lbs"}
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    check(load_model(path), arrays, face_parts)


def test_a_selection_of_chumpy(path, arrays, face_parts):
    """chumpy.reordering.Select, as slices of a chumpy array are pickled."""
    whole = np.concatenate([arrays["v_template"], np.ones((4, 3))])
    chosen = {
        "a": chumpy(whole),
        "idxs": np.arange(face_parts.mean.size),
        "preferred_shape": face_parts.mean.shape,
    }
    select = instance("chumpy.reordering", "Select", chosen)
    path.write_bytes(Pickled({**as_flame(arrays), "v_template": select}).content)
    check(load_model(path), arrays, face_parts)


def test_an_archive(path, arrays, face_parts):
    archive = path.with_name("FLAME_NEUTRAL.npz")
    np.savez(archive, **arrays, J_regressor=np.array({"not": "read"}, dtype=object))
    check(load_model(archive), arrays, face_parts)


def test_landmarks_of_68_in_one_embedding(path, arrays, face_parts):
    path.with_name("landmark_embedding.npy").unlink()
    faces, weights = embedding(face_parts, slice(None))
    content = {"lmk_face_idx": faces.astype(np.uint32), "lmk_b_coords": weights}
    static = path.with_name("flame_static_embedding_68.pkl")
    static.write_bytes(Pickled(content).content)
    check(load_model(path), arrays, face_parts)
    static.unlink()
    np.savez(path.with_name("flame_static_embedding_68_v4.npz"), **content)
    check(load_model(path), arrays, face_parts)


def test_landmarks_of_51_and_a_moving_jaw_line(path, arrays, face_parts, refuses):
    path.with_name("landmark_embedding.npy").unlink()
    faces, weights = embedding(face_parts, slice(17, None))
    static = Pickled({"lmk_face_idx": faces, "lmk_b_coords": weights}).content
    path.with_name("flame_static_embedding.pkl").write_bytes(static)
    refuses(path, r"has no landmarks .* put a file generic_model\.landmarks68\.txt")
    faces, weights = embedding(face_parts, slice(17))
    turned = np.zeros((78, 17), int), np.ones((78, 17, 3))
    rows = {
        "lmk_face_idx": np.concatenate([faces[None], turned[0]]),
        "lmk_b_coords": np.concatenate([weights[None], turned[1]]),
    }
    np.save(path.with_name("flame_dynamic_embedding.npy"), np.array(rows, dtype=object), allow_pickle=True)
    check(load_model(path), arrays, face_parts)


def test_landmarks_by_vertex_go_first(path, face_parts):
    own = face_parts.landmarks + np.arange(68) % 2
    np.save(path.with_name("generic_model.landmarks68.npy"), own)
    np.testing.assert_array_equal(load_model(path).landmarks, own)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"shapedirs": np.ones((1002, 3, 150))},
            r"expected \(1002, 3, 400\), got \(1002, 3, 150\)",
        ),
        ({"v_template": np.ones(7)}, "v_template: expected .* interleaved"),
        ({"f": np.full((4, 3), 1002)}, r"f: expected vertices 0\.\.1001, got 1002"),
        ({"f": None}, "got no f"),
        ({"f": np.ones((4, 3)) / 2}, "f: expected whole numbers"),
    ],
)
def test_parts_that_do_not_fit(path, arrays, refuses, changes, message):
    path.write_bytes(pickle.dumps({**arrays, **changes}, protocol=2))
    refuses(path, message)


@pytest.mark.parametrize("share", [0.0, 1e-6, 0.01, 0.5, 0.99999])
@pytest.mark.parametrize("name", ["generic_model.pkl", "landmark_embedding.npy"])
def test_a_cut_off_file_is_named(path, refuses, name, share):
    file = path.with_name(name)
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    refuses(path, ".", named=name)


def test_a_pickle_that_would_run_code_does_not_run(path, arrays, refuses):
    mark = path.with_name("touched")

    class Harmful:
        def __reduce__(self):
            return mark.touch.__func__, (mark,)

    path.write_bytes(pickle.dumps({**arrays, "bs_style": Harmful()}, protocol=2))
    assert len(load_model(path).triangles) == len(arrays["f"])  # nobody reads that entry
    path.write_bytes(pickle.dumps({**arrays, "f": Harmful()}, protocol=2))
    refuses(path, "got the name ")
    assert not mark.exists()


def test_an_archive_that_grows_beyond_memory_is_refused(path, arrays, refuses):
    archive = path.with_name("FLAME_NEUTRAL.npz")
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (90000000000, 3), }".ljust(117) + b"\n"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("v_template", "shapedirs", "f"):
            prefix = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
            file.writestr(f"{name}.npy", prefix + bytes(100))
    refuses(archive, "expected 100 bytes of numbers")
    content = bytearray(archive.read_bytes())
    at = content.rfind(b"PK\x01\x02")  # the last entry of the directory claims four gigabytes
    content[at + 24 : at + 28] = b"\xfe\xff\xff\xff"
    archive.write_bytes(content)
    refuses(archive, "arrays of at most 64 MiB in a file of its size")
    archive.write_bytes(content[: len(content) // 2])
    refuses(archive, r"is not a \.npz")
