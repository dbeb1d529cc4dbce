"""Reading photographs: what strange files become, and what is said of files that are none."""

from __future__ import annotations

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from twodasl.errors import InputError
from twodasl.io.images import MAX_PIXELS, MIN_SIDE, check_image, read_image


@pytest.fixture
def colors():
    """(48, 64, 3) RGB uint8, smooth, no two corners alike."""
    row, column = np.mgrid[0:48, 0:64]
    return np.stack([column * 4, row * 5, 255 - column * 2 - row], axis=2).astype(np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "ppm", "webp"])
def test_lossless_formats_give_bgr(tmp_path, colors, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(colors).save(path, **({"lossless": True} if suffix == "webp" else {}))
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, colors[:, :, ::-1])


def test_content_decides_and_not_the_name(tmp_path, colors):
    path = tmp_path / "photo.jpg"
    Image.fromarray(colors).save(path, format="png")
    np.testing.assert_array_equal(read_image(path), colors[:, :, ::-1])


def test_gray_becomes_three_channels(tmp_path, colors):
    Image.fromarray(colors[:, :, 0]).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png"), np.repeat(colors[:, :, :1], 3, axis=2))


def test_sixteen_bits_keep_their_upper_byte(tmp_path, colors):
    wide = colors[:, :, 0].astype(np.uint16) * 257
    Image.fromarray(wide).save(tmp_path / "wide.png")
    np.testing.assert_array_equal(read_image(tmp_path / "wide.png"), np.repeat(colors[:, :, :1], 3, axis=2))


def test_sixteen_bit_color_keeps_its_upper_byte(tmp_path, colors):
    import cv2

    cv2.imwrite(str(tmp_path / "wide.png"), colors[:, :, ::-1].astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_image(tmp_path / "wide.png"), colors[:, :, ::-1])


def test_transparent_parts_are_white(tmp_path, colors):
    alpha = np.full(colors.shape[:2], 255, np.uint8)
    alpha[:10] = 0
    Image.fromarray(np.dstack([colors, alpha])).save(tmp_path / "clear.png")
    image = read_image(tmp_path / "clear.png")
    assert (image[:10] == 255).all()
    np.testing.assert_array_equal(image[10:], colors[10:, :, ::-1])


def test_palette_and_cmyk(tmp_path, colors):
    Image.fromarray(colors).quantize(64).save(tmp_path / "palette.gif")
    Image.fromarray(colors).convert("CMYK").save(tmp_path / "print.jpg", quality=98, subsampling=0)
    for name in ("palette.gif", "print.jpg"):
        error = np.abs(read_image(tmp_path / name).astype(int) - colors[:, :, ::-1])
        assert np.median(error) < 12, name  # 64 colors, or JPEG in another color space


def test_exif_orientation_is_applied(tmp_path, colors):
    turned = Image.fromarray(colors)
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "turned.png"), np.rot90(colors, -1)[:, :, ::-1])


def _png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


BROKEN = {
    "text": (b"this is not an image\n" * 20, "is not an image"),
    "empty": (b"", "is empty"),
    "bomb": (_png_claiming(60_000, 60_000), "pixels"),
    "large": (_png_claiming(16_000, 10_000), "16000x10000"),
    "one pixel": (_png_claiming(1, 1), "is 1x1 pixels"),
    "long": (_png_claiming(1, 100_000), "is 1x100000 pixels"),
    "no pixels": (_png_claiming(64, 64), "damaged or cut off"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_named(tmp_path, kind):
    content, expected = BROKEN[kind]
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "gif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_cut_off_file_is_an_error(tmp_path, suffix, share):
    path = tmp_path / f"photo.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"photo\.") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "gif", "bmp"])
def test_damaged_bytes_never_crash(tmp_path, colors, suffix):
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(colors).save(path)
    whole = bytearray(path.read_bytes())
    generator = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole)
        for place in generator.integers(0, len(whole), 6):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            image = read_image(path)
        except InputError:
            continue
        check_image(image)


def test_no_file_a_folder_and_a_pipe(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_image(tmp_path / "absent.png")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(InputError, match="not a regular file"):
        read_image(tmp_path / "pipe.png")


@pytest.mark.parametrize(
    "image",
    [np.zeros((64, 64), np.uint8), np.zeros((64, 64, 3)), np.zeros((64, 64, 4), np.uint8), "photo", None],
)
def test_check_image_says_what_it_got(image):
    with pytest.raises(InputError, match=r"expected \(H, W, 3\) uint8 BGR, got"):
        check_image(image)


def test_limits_are_far_from_photographs():
    assert MIN_SIDE < 120  # the network's own crops
    assert MAX_PIXELS > 108_000_000  # telephones


def test_a_picture_of_nothing_but_nan_is_refused(tmp_path):
    file = tmp_path / "nan.tif"
    Image.fromarray(np.full((40, 40), np.nan, np.float32)).save(file)
    with pytest.raises(InputError, match=r"nan\.tif.*all NaN or infinity"):
        read_image(file)
