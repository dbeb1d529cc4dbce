"""Images written: whole or not at all, in the format that their name says, and read back as they were."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from twodasl.errors import InputError
from twodasl.io.images import check_image_name, encode_image, read_image, read_image_size, write_image


@pytest.fixture
def colors():
    return np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)


def test_what_is_written_is_read(tmp_path, colors):
    write_image(tmp_path / "deep" / "a.png", colors)
    np.testing.assert_array_equal(read_image(tmp_path / "deep" / "a.png"), colors)
    assert (tmp_path / "deep" / "a.png").read_bytes() == encode_image(tmp_path / "b.PNG", colors)
    write_image(tmp_path / "a.jpg", colors)
    assert (tmp_path / "a.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_an_image_that_jpeg_cannot_hold(tmp_path):
    wide = np.zeros((2, 70_000, 3), np.uint8)
    for write in (encode_image, write_image):
        with pytest.raises(InputError, match=r"wide\.jpg: .*70000x2 pixels cannot .* name ending in \.png"):
            write(tmp_path / "wide.jpg", wide)
    with pytest.raises(InputError, match=r"wide: an image of 70000x2 pixels cannot be written so"):
        write_image(tmp_path / "wide", wide)
    assert list(tmp_path.iterdir()) == []
    assert encode_image(tmp_path / "wide.png", wide)[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", ["sheet", "sheet.pdf", "png"])
def test_a_name_says_which_kind(tmp_path, name):
    check_image_name(tmp_path / "sheet.JPEG")
    with pytest.raises(InputError, match=r"is written as \.png or \.jpg"):
        check_image_name(tmp_path / name)


def test_the_size_is_that_of_the_stored_pixels(tmp_path, colors):
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(colors).save(tmp_path / "turned.jpg", exif=turned)
    assert read_image(tmp_path / "turned.jpg").shape == (64, 40, 3)
    assert read_image_size(tmp_path / "turned.jpg") == (64, 40)


def test_the_size_needs_the_head_alone(tmp_path, colors):
    Image.fromarray(np.tile(colors, (8, 8, 1))).save(tmp_path / "cut.png")
    whole = (tmp_path / "cut.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert read_image_size(tmp_path / "cut.png") == (512, 320)
    with pytest.raises(InputError, match="damaged or cut off"):
        read_image(tmp_path / "cut.png")


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"no image", "is not an image"), (None, "No such file")]
)
def test_what_has_no_size(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_image_size(tmp_path / "a.jpg")
