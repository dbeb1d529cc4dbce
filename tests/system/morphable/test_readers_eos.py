"""eos's binary models in miniature, written as cereal's binary archive writes them."""

import struct

import numpy as np
import pytest
from twodasl.morphable import load_model
from twodasl.morphable.readers.ict_facekit import EXPRESSION_SPREAD


def matrix(array):
    array = np.asarray(array, "<f4")
    array = array.reshape(len(array), -1)
    return struct.pack("<ii", *array.shape) + array.tobytes(order="F")


def components(mean, basis, variances, triangles):
    faces = struct.pack("<Q", len(triangles)) + np.asarray(triangles, "<i4").tobytes()
    return matrix(mean) + matrix(basis) + matrix(variances) + faces


NOTHING = struct.pack("<ii", 0, 0) * 2 + struct.pack("<ii", 0, 0) + struct.pack("<Q", 0)


def blendshapes(shapes):
    parts = [struct.pack("<Q", len(shapes))]
    for name, shape in shapes.items():
        parts += [struct.pack("<Q", len(name)), name.encode(), matrix(shape)]
    return b"".join(parts)


def part(parts, name, mean, unit=1.0):
    return components(
        unit * mean.ravel(), parts.bases[name], (unit * parts.sigma[name]) ** 2, parts.triangles
    )


@pytest.fixture
def path(face_parts, tmp_path):
    """Where a model goes, with landmarks next to it."""
    np.save(tmp_path / "sfm_shape_3448.landmarks68.npy", face_parts.landmarks)
    return tmp_path / "sfm_shape_3448.bin"


def test_a_shape_model_alone(path, face_parts):
    content = struct.pack("<I", 1) + part(face_parts, "shape", face_parts.mean) + NOTHING
    path.write_bytes(content + struct.pack("<Q", 0))
    model = load_model(path)
    face_parts.check(model, expression=None)
    assert model.name == "sfm_shape_3448"
    assert model.albedo_mean is None
    assert load_model(path.parent).identity == model.identity


def test_blendshapes_in_a_file_of_their_own(path, face_parts):
    path.write_bytes(struct.pack("<I", 1) + part(face_parts, "shape", face_parts.mean) + NOTHING)
    shapes = {"anger": face_parts.modes("expression")[0].ravel(), "joy": face_parts.mean.ravel()}
    path.with_name("expression_blendshapes_3448.bin").write_bytes(blendshapes(shapes))
    model = load_model(path)
    assert model.counts == (len(face_parts.mean), 5, 2)
    wanted = EXPRESSION_SPREAD * np.stack([*shapes.values()]).reshape(2, -1, 3)
    np.testing.assert_allclose(model.expression_modes, wanted, rtol=1e-5, atol=1e-6)
    assert model.mode_names == ("shape000", "shape001", "shape002", "shape003", "shape004", "anger", "joy")


@pytest.mark.parametrize("version", [2, 3, 4])
@pytest.mark.parametrize("unit", [1.0, 0.1, 0.001])
def test_expressions_of_components_and_colors_in_every_unit(path, face_parts, version, unit):
    """Millimeters, centimeters and meters; colors from 0 to 1."""
    content = [
        struct.pack("<I", version),
        part(face_parts, "shape", face_parts.mean - 1, unit),
        part(face_parts, "color", face_parts.colors),
        struct.pack("<Bi", 0, 0),
        part(face_parts, "expression", np.ones_like(face_parts.mean), unit),
        b"\x01" * (version - 2),
    ]
    path.write_bytes(b"".join(content))
    model = load_model(path)
    face_parts.check(model)
    np.testing.assert_allclose(model.albedo_mean, face_parts.colors, atol=1e-6)
    np.testing.assert_allclose(model.albedo_modes, face_parts.modes("color"), rtol=1e-5, atol=1e-7)


def test_blendshapes_within_the_model_and_none(path, face_parts):
    head = struct.pack("<I", 2) + part(face_parts, "shape", face_parts.mean) + NOTHING
    path.write_bytes(head + struct.pack("<Bi", 0, 1) + blendshapes({"smile": face_parts.mean.ravel()}))
    assert load_model(path).counts == (len(face_parts.mean), 5, 1)
    path.write_bytes(head + b"\x01" + struct.pack("<Q", 0))
    assert load_model(path).counts == (len(face_parts.mean), 5, 0)


def test_it_needs_landmarks(path, refuses, face_parts):
    path.write_bytes(struct.pack("<I", 1) + part(face_parts, "shape", face_parts.mean) + NOTHING)
    path.with_name("sfm_shape_3448.landmarks68.npy").unlink()
    refuses(path, r"has no 68 landmarks; put a file sfm_shape_3448\.landmarks68\.txt next to it")


def test_parts_that_do_not_fit(path, refuses, face_parts):
    mean, basis, variances = (
        face_parts.mean.ravel(),
        face_parts.bases["shape"],
        face_parts.sigma["shape"] ** 2,
    )
    for broken, message in (
        (components(mean, basis[:-3], variances, face_parts.triangles), r"basis: expected \(3006, >= 5\)"),
        (components(mean, basis, variances[:-1], face_parts.triangles), "eigenvalues: expected 5 positive"),
        (components(mean, basis, -variances, face_parts.triangles), "eigenvalues: expected 5 positive"),
        (components(mean, basis, variances, face_parts.triangles + 2), r"0\.\.1001, got 1003"),
        (components(mean, basis, variances, face_parts.triangles[:0]), "triangles: expected real numbers"),
        (components(50 * mean, basis, variances, face_parts.triangles), "no face in any of millimeter"),
        (components(mean * np.nan, basis, variances, face_parts.triangles), "finite"),
    ):
        path.write_bytes(struct.pack("<I", 1) + broken + NOTHING)
        refuses(path, message)


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<I", 1),
        struct.pack("<Iii", 1, 2**31 - 1, 1),
        struct.pack("<Iii", 1, -3, -1),
        struct.pack("<Iii", 1, 3, 1) + bytes(12) + struct.pack("<ii", 2**31 - 1, 2**31 - 1),
        struct.pack("<Iii", 1, 3, 1) + bytes(12) + struct.pack("<iiiiQ", 0, 0, 0, 0, 2**64 - 1),
        struct.pack("<I", 0) + bytes(100),
        struct.pack("<I", 5) + bytes(100),
        b"text that is no model at all",
        b"",
    ],
)
def test_what_is_no_model_of_eos(path, refuses, content):
    path.write_bytes(content)
    refuses(path, "is not an eos model, or is cut off|expected a model of eos of version 1 to 4|is empty")


def test_cut_off_everywhere(path, refuses, face_parts):
    whole = struct.pack("<I", 2) + part(face_parts, "shape", face_parts.mean) + NOTHING + b"\x00"
    whole += struct.pack("<i", 1) + blendshapes({"smile": face_parts.mean.ravel()})
    for share in (1e-5, 0.1, 0.7, 0.95, 0.99999):
        path.write_bytes(whole[: int(share * len(whole))])
        refuses(path, "cut off|empty")
