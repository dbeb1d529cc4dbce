"""Photos with a mesh and five points: which of the two counts, and the crop of five points alone."""

import numpy as np
import pytest
from twodasl.datasets.photos.sources import open_photos
from twodasl.errors import InputError
from twodasl.geometry.crops import crop_from_landmarks
from twodasl.landmarks import EIGHTEEN_NAMES, FLIPS, eighteen_from_68
from twodasl.landmarks.five_points import crop_from_five
from twodasl.landmarks.mesh478 import (
    JAW_LINE,
    OTHER_JAW_LINE,
    SIXTY_EIGHT_OF_478,
    sixty_eight_from_478,
)

from ..photo_sets import face_points, write_picture

# The mesh's vertices on the right half of the face, and their twins.
MIRRORED = (
    *zip((70, 63, 105, 66, 107), (300, 293, 334, 296, 336), strict=True),
    *zip(
        (33, 246, 161, 160, 159, 158, 157, 173, 133),
        (263, 466, 388, 387, 386, 385, 384, 398, 362),
        strict=True,
    ),
    *zip((155, 154, 153, 145, 144, 163, 7), (382, 381, 380, 374, 373, 390, 249), strict=True),
    *zip((61, 185, 40, 39, 37), (291, 409, 270, 269, 267), strict=True),
    *zip((146, 91, 181, 84), (375, 321, 405, 314), strict=True),
    *zip((78, 191, 80, 81, 82), (308, 415, 310, 311, 312), strict=True),
    *zip((95, 88, 178, 87), (324, 318, 402, 317), strict=True),
    *zip(JAW_LINE[:-1], OTHER_JAW_LINE[:-1], strict=True),
    *zip((75, 97), (305, 326), strict=True),
)
FIVE = [
    EIGHTEEN_NAMES.index(n)
    for n in ("eye_left_center", "eye_right_center", "nose_tip", "mouth_left", "mouth_right")
]


def mesh_through(marks):
    """Meshes (n, 478, 3) float16 whose 68 points are `marks` (n, 68, 2); the rest is noise."""
    weights = np.zeros((68, 478))
    for row, (first, second, share) in enumerate(SIXTY_EIGHT_OF_478):
        weights[row, first] += 1 - share
        weights[row, second] += share
    mesh = np.random.default_rng(0).uniform(0, 200, (len(marks), 478, 3))
    used = weights.any(axis=0)
    mesh[:, used, :2] = np.linalg.pinv(weights[:, used]) @ marks
    return mesh.astype(np.float16)


def write_set(root, photo68, change=lambda mesh, five: None):
    """Three faces; returns their 68 points (3, 68, 2)."""
    marks = np.array([face_points(photo68, index) for index in range(3)])
    mesh = mesh_through(marks)
    five = np.array([eighteen_from_68(each)[FIVE] for each in marks], np.float32)
    change(mesh, five)
    for index, each in enumerate(marks):
        write_picture(root / "images" / f"{index:05d}.png", each)
    (root / "faces.csv").write_text("image,set\n" + "".join(f"{i:05d}.png,here\n" for i in range(3)))
    np.save(root / "mesh478.npy", mesh)
    np.save(root / "points5.npy", five)
    return marks


def open_set(root, cache):
    return open_photos("mesh478", root, cache=cache, progress=False)


def test_the_mesh_counts_where_both_agree(tmp_path, photo68):
    marks = write_set(tmp_path / "set", photo68)
    photos = open_set(tmp_path / "set", tmp_path / "cache")
    assert len(photos) == 3
    for sample, points in zip(photos, marks, strict=True):
        crop = crop_from_landmarks(points)
        assert sample["visible"].all()
        np.testing.assert_allclose(sample["landmarks"], crop.to_crop(eighteen_from_68(points)), atol=0.2)
    for again in (photos, open_set(tmp_path / "set", tmp_path / "cache")):
        for index, points in enumerate(marks):
            crop = crop_from_landmarks(points)
            np.testing.assert_allclose(again.fit_points(index), crop.to_crop(points), atol=0.2)


@pytest.mark.parametrize("wrong", ["no mesh", "mesh elsewhere"])
def test_five_points_alone_where_the_mesh_is_wrong(tmp_path, photo68, wrong):
    def change(mesh, five):
        mesh[1] = np.nan if wrong == "no mesh" else mesh[1] + 30

    marks = write_set(tmp_path / "set", photo68, change)
    sample = open_set(tmp_path / "set", tmp_path / "cache")[1]
    assert np.flatnonzero(sample["visible"]).tolist() == sorted(FIVE)
    assert np.flatnonzero(np.isfinite(sample["landmarks"].numpy()).all(-1)).tolist() == sorted(FIVE)
    photos = open_set(tmp_path / "set", tmp_path / "cache")
    np.testing.assert_array_equal(photos.fit_points(1), sample["landmarks"])
    assert photos.fit_points(0).shape == (68, 2)
    five = eighteen_from_68(marks[1])[FIVE]
    np.testing.assert_allclose(sample["landmarks"][FIVE], crop_from_five(five).to_crop(five), atol=0.05)


def test_the_crop_of_five_points_is_about_that_of_68(photo68):
    """Turned, mirrored and scaled with the points; within a tenth of the side on a frontal face."""
    five = eighteen_from_68(photo68)[FIVE]
    crop, whole = crop_from_five(five), crop_from_landmarks(photo68)
    side = whole.x1 - whole.x0
    np.testing.assert_allclose(crop.box, whole.box, atol=0.1 * side)
    larger = crop_from_five(five * 3)
    np.testing.assert_allclose(larger.box, np.multiply(crop.box, 3))
    mirrored = crop_from_five((five * [-1, 1])[[1, 0, 2, 4, 3]])
    np.testing.assert_allclose(mirrored.box, (-crop.x1, crop.y0, -crop.x0, crop.y1))
    turned = crop_from_five(five @ np.array([[0, 1], [-1, 0]]))  # (x, y) -> (-y, x)
    np.testing.assert_allclose(turned.box, (-crop.y1, crop.x0, -crop.y0, crop.x1))


def test_what_does_not_fit_is_named(tmp_path, photo68):
    root, cache = tmp_path / "set", tmp_path / "cache"
    write_set(root, photo68)
    for name, broken, message in (
        (
            "points5.npy",
            np.zeros((3, 4, 2), np.float32),
            r"points5\.npy: expected shape \(3, 5, 2\)",
        ),
        (
            "mesh478.npy",
            np.zeros((3, 478, 3), np.int64),
            r"mesh478\.npy: expected floating",
        ),
        ("mesh478.npy", np.zeros((2, 478, 3)), r"mesh478\.npy: expected shape .*got \(2, 478, 3\)"),
    ):
        kept = (root / name).read_bytes()
        np.save(root / name, broken)
        with pytest.raises(InputError, match=message):
            open_set(root, cache)
        (root / name).write_bytes(kept)
    (root / "faces.csv").write_text("picture\n1.png\n")
    with pytest.raises(InputError, match=r"faces\.csv: expected a header with the column image"):
        open_set(root, cache)
    (root / "faces.csv").write_text('image,set\n"0.png,here\n1.png,here\n2.png,here\n')
    with pytest.raises(InputError, match=r"faces\.csv: is no table of comma-separated values"):
        open_set(root, cache)
    with pytest.raises(InputError, match="eyes and mouth in one place"):
        crop_from_five(np.zeros((5, 2)))


def test_a_line_separator_in_a_field_is_part_of_it(tmp_path, photo68):
    write_set(tmp_path, photo68)
    table = (tmp_path / "faces.csv").read_text(encoding="utf-8")
    (tmp_path / "faces.csv").write_text(
        table.replace("00001.png,here", '00001.png,"he\u2028re\x0b\nagain"'), encoding="utf-8"
    )
    assert len(open_set(tmp_path, tmp_path / "cache")) == 3


def test_faces_whose_five_points_are_missing_are_left_out(tmp_path, photo68):
    def change(mesh, five):
        five[2] = np.nan

    write_set(tmp_path / "set", photo68, change)
    assert len(open_set(tmp_path / "set", tmp_path / "cache")) == 2


def test_the_68_of_a_mesh():
    mesh = np.arange(478 * 3, dtype=np.float32).reshape(1, 478, 3)
    found = sixty_eight_from_478(mesh)
    assert found.shape == (1, 68, 3)
    assert found.dtype == np.float32
    assert found[0, 30, 0] == 4 * 3  # the tip of the nose is the mesh's vertex 4
    assert len(set(SIXTY_EIGHT_OF_478)) == 68


def test_the_68_are_spaced_alike_on_both_sides():
    """A mesh that is its own mirror image: so are its 68 points."""
    line = np.linspace(0, 1, 478)
    mesh = np.stack([line, line**2], axis=1)
    for first, second in MIRRORED:
        mesh[second] = [-mesh[first, 0], mesh[first, 1]]
    for middle in (4, 5, 197, 168, 2, 152, 0, 17, 13, 14):
        mesh[middle, 0] = 0
    points = sixty_eight_from_478(mesh)
    np.testing.assert_allclose(points[list(FLIPS[68])], points * [-1, 1], atol=1e-12)
