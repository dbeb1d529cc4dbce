"""FLAME's pickles and archives in miniature, among them pickles as Python 2 and chumpy wrote them."""

import pickle
import zipfile

import numpy as np
import pytest
import scipy.sparse
import torch
from twodasl.errors import InputError
from twodasl.morphable import PosedHead, load_model

from ..python2_pickles import Pickled, call, chumpy, instance, write_object


@pytest.fixture(scope="module")
def arrays(face_parts):
    rng = np.random.default_rng(11)
    return {
        "v_template": face_parts.mean / 1000,
        "shapedirs": rng.normal(size=(len(face_parts.mean), 3, 400)) / 1000,
        "f": face_parts.triangles.astype(np.uint32),
    }


def joint_arrays(count):
    """Joints of so many vertices: a vertex follows two of the five, a joint is the mean of twenty."""
    rng = np.random.default_rng(12)
    weights = np.zeros((count, 5))
    first, share = rng.integers(0, 4, count), rng.uniform(0, 1, count)
    weights[np.arange(count), first], weights[np.arange(count), first + 1] = share, 1 - share
    regressor = np.zeros((5, count))
    for joint in range(5):
        regressor[joint, rng.choice(count, 20, replace=False)] = 1 / 20
    tree = np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], np.uint32)
    return {
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": tree,
        "posedirs": rng.normal(size=(count, 3, 36)) / 1000,
    }


def as_flame(arrays):
    """All that FLAME's dict holds; what is not read is as it comes."""
    joints = joint_arrays(len(arrays["v_template"]))
    sparse = scipy.sparse.csc_matrix(joints["J_regressor"])
    regressor = {
        "format": "csc",
        "_shape": sparse.shape,
        "maxprint": 50,
        "indices": sparse.indices,
        "indptr": sparse.indptr,
        "data": sparse.data,
    }
    return {
        "f": arrays["f"],
        "J_regressor": instance("scipy.sparse.csc", "csc_matrix", regressor),
        "kintree_table": joints["kintree_table"],
        "v_template": chumpy(arrays["v_template"]),
        "weights": joints["weights"],
        "posedirs": chumpy(joints["posedirs"]),
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


def rodrigues(turn):
    """The rotation matrix of axis times angle."""
    angle = np.linalg.norm(turn)
    x, y, z = turn / angle if angle else turn
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def posed(arrays, joints, coefficients, turns):
    """FLAME's definition, matrix by matrix, in double precision and meters: vertices and joints."""
    shape = arrays["v_template"] + arrays["shapedirs"] @ coefficients
    places = joints["J_regressor"] @ shape
    rotations = [rodrigues(turn) for turn in turns]
    feature = np.concatenate([(r - np.eye(3)).ravel() for r in rotations[1:]])
    shape = shape + joints["posedirs"] @ feature
    world = []
    for joint, parent in enumerate(joints["kintree_table"][0].astype(np.int32)):
        local = np.eye(4)
        local[:3, :3] = rotations[joint]
        local[:3, 3] = places[joint] - (places[parent] if parent >= 0 else 0)
        world.append(world[parent] @ local if parent >= 0 else local)
    back = np.tile(np.eye(4), (5, 1, 1))
    back[:, :3, 3] = -places
    moved = np.array(world) @ back
    homogeneous = np.concatenate([shape, np.ones((len(shape), 1))], axis=1)
    each = np.einsum("nj,jrc,nc->nr", joints["weights"], moved, homogeneous)
    return each[:, :3], np.array(world)[:, :3, 3]


def test_neck_jaw_and_eyes_turn(path, arrays, tmp_path):
    model = load_model(path)
    joints = joint_arrays(len(arrays["v_template"]))
    assert model.skinning.names == ("root", "neck", "jaw", "left_eye", "right_eye")
    assert model.skinning.parents.tolist() == [-1, 0, 1, 1, 1]
    rng = np.random.default_rng(13)
    coefficients, turns = rng.normal(size=(3, 400)), rng.normal(size=(3, 5, 3))
    turns[1] = 0
    shift = torch.from_numpy(rng.normal(size=(3, 3)) * 50).float()
    head = PosedHead(model)
    given = torch.from_numpy(coefficients).float(), torch.from_numpy(turns).float()
    vertices, places = head(*given, shift)
    for b in range(3):
        expected = posed(arrays, joints, coefficients[b], turns[b])
        for result, wanted in zip((vertices[b], places[b]), expected, strict=True):
            # Single precision's rounding of hundreds of millimeters, summed over 400 modes.
            np.testing.assert_allclose(result - shift[b], 1000 * wanted, rtol=0, atol=2e-3)
    named = {name: given[1][:, joint] for joint, name in enumerate(head.names) if name != "root"}
    still = torch.cat((torch.zeros(3, 1, 3), given[1][:, 1:]), dim=1)
    for ours, other in zip(head(given[0], named), head(given[0], still), strict=True):
        assert torch.equal(ours, other)
    rest, _ = head(given[0])
    np.testing.assert_allclose(rest[0], model.shape(coefficients[0]), rtol=0, atol=2e-3)
    model.save(tmp_path / "saved.npz")
    again, _ = PosedHead(load_model(tmp_path / "saved.npz"))(*given, shift)
    assert torch.equal(again, vertices)
    assert load_model(tmp_path / "saved.npz").identity == model.identity
    small = model.truncated(10, 4)
    chosen = [*range(10), *range(300, 304)]
    zeros = torch.zeros(3, 400)
    zeros[:, chosen] = given[0][:, chosen]
    fewer, _ = PosedHead(small)(given[0][:, chosen], given[1], shift)
    torch.testing.assert_close(fewer, head(zeros, given[1], shift)[0], rtol=0, atol=2e-3)


def test_gradients_of_a_posed_head(path):
    head = PosedHead(load_model(path).truncated(4, 2)).double()
    head.basis.to(torch.float64)
    rng = torch.Generator().manual_seed(0)
    leaves = [torch.randn(2, *size, generator=rng, dtype=torch.float64) for size in ((6,), (5, 3), (3,))]
    leaves[1][0] = 0  # where axis and angle are not defined
    look = torch.randn(2, 1002, 3, generator=rng, dtype=torch.float64)
    leaves = [leaf.requires_grad_() for leaf in leaves]
    assert torch.autograd.gradcheck(lambda *a: (head(*a)[0] * look).sum(), leaves, atol=1e-3, rtol=1e-4)


def test_wrong_turns(path, face_parts):
    head = PosedHead(load_model(path))
    zeros = torch.zeros(2, 400)
    for message, arguments in (
        (r"^coefficients: expected \(B, 400\), got \(2, 7\)$", (torch.zeros(2, 7),)),
        (r"^turns: expected \(2, 5, 3\), got \(2, 15\)$", (zeros, torch.zeros(2, 15))),
        (r"^turns: expected some of root, neck, jaw, .*, got 'chin'$", (zeros, {"chin": torch.zeros(2, 3)})),
        (r"^turns\['jaw'\]: expected \(2, 3\), got \(3,\)$", (zeros, {"jaw": torch.zeros(3)})),
        (r"^translation: expected \(2, 3\), got \(3,\)$", (zeros, None, torch.zeros(3))),
    ):
        with pytest.raises(InputError, match=message):
            head(*arguments)
    with pytest.raises(
        InputError, match=r"model: 'procedural.*' has no joints; expected a FLAME or GNM head"
    ):
        PosedHead(load_model("procedural"))


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


def test_a_regressor_that_is_no_matrix(path, arrays, refuses):
    whole = as_flame(arrays)
    sparse = scipy.sparse.csc_matrix(joint_arrays(len(arrays["v_template"]))["J_regressor"])
    good = {"_shape": sparse.shape, "data": sparse.data, "indices": sparse.indices, "indptr": sparse.indptr}
    for changes, message in (
        ({"_shape": (5, 10**9)}, "too large"),
        ({"_shape": (4, 1002)}, "entry outside of its rows"),
        ({"_shape": (5, 1001)}, "columns do not fit its shape"),
        ({"data": sparse.data[:-1]}, "columns do not fit its numbers"),
        ({"indices": sparse.indices - 1}, "entry outside of its rows"),
        ({"data": None}, "without its numbers"),
    ):
        whole["J_regressor"] = instance("scipy.sparse.csc", "csc_matrix", {**good, **changes})
        path.write_bytes(Pickled(whole).content)
        refuses(path, message)


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
        ({"weights": np.ones((1002, 24))}, r"weights: expected \(1002, 5\), got \(1002, 24\)"),
        ({"weights": np.ones((1002, 5))}, "weights: expected rows that sum to 1"),
        ({"kintree_table": np.full((2, 5), 4)}, r"parents: expected -1, then for 5 joints one before each"),
        ({"J_regressor": np.ones((5, 8))}, r"J_regressor: expected \(5, 1002\), got \(5, 8\)"),
        ({"posedirs": np.full((1002, 3, 36), 1e38)}, "correctives: expected finite numbers"),
    ],
)
def test_parts_that_do_not_fit(path, arrays, refuses, changes, message):
    whole = {**arrays, **joint_arrays(len(arrays["v_template"])), **changes}
    path.write_bytes(pickle.dumps(whole, protocol=2))
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
