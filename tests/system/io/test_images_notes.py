"""Photos with damaged or odd notes beside their pixels, and with more than 8 bits a sample."""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
from PIL import Image, PngImagePlugin, features
from twodasl.errors import InputError
from twodasl.io.images import read_image
from twodasl.io.photo_bytes import orientation


@pytest.fixture
def colors():
    """(48, 64, 3) RGB uint8, smooth, no two corners alike."""
    row, column = np.mgrid[0:48, 0:64]
    return np.stack([column * 4, row * 5, 255 - column * 2 - row], axis=2).astype(np.uint8)


def _exif(kind: int = 3, unit: bytes = struct.pack("<HHII", 296, 5, 1, 38)) -> bytes:
    """EXIF with Orientation 6 of a number type, and a ResolutionUnit written as a RATIONAL, far away."""
    turn = struct.pack("<HHII", 274, kind, 1, 6)
    return b"Exif\0\0II*\0\x08\0\0\0\x02\0" + turn + unit + bytes(4) + struct.pack("<II", 2, 1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("damage", [b"", b"\xff" * 12, struct.pack("<HHII", 296, 9, 1 << 31, 1 << 31)])
def test_only_the_orientation_is_read(tmp_path, colors, kind, damage):
    exif = _exif(unit=damage) if damage else _exif()
    Image.fromarray(colors).save(
        tmp_path / "photo", kind, exif=exif, quality=95, lossless=True, subsampling=0
    )
    expected = np.rot90(colors, -1)[:, :, ::-1]
    assert np.abs(read_image(tmp_path / "photo").astype(int) - expected).mean() < 4
    assert read_image(tmp_path / "photo", upright=False).shape == colors.shape


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_a_damaged_block_in_avif_is_not_read(tmp_path, colors):
    exif, content = Image.Exif(), io.BytesIO()
    exif[274], exif[296] = 6, 2
    Image.fromarray(colors).save(content, "AVIF", exif=exif, quality=95)
    order = ">" if b"MM\0*" in content.getvalue() else "<"
    whole, odd = (struct.pack(order + "HHI", 296, kind, 1) for kind in (3, 5))
    assert whole in content.getvalue()
    (tmp_path / "photo").write_bytes(content.getvalue().replace(whole, odd))
    expected = np.rot90(colors, -1)[:, :, ::-1]
    assert np.abs(read_image(tmp_path / "photo").astype(int) - expected).mean() < 6


def _chunk(kind: bytes, body: bytes, length: int | None = None, check: int | None = None) -> bytes:
    """A chunk of a PNG; `length` and `check` as they are claimed."""
    check = zlib.crc32(kind + body) if check is None else check
    return struct.pack(">I", len(body) if length is None else length) + kind + body + struct.pack(">I", check)


BAD_CHUNKS = {
    "too short": _chunk(b"tRNS", b"\0"),
    "cut": _chunk(b"tRNS", b"\0\1", length=6),
    "beyond the file": _chunk(b"tRNS", b"\0\1", length=1 << 30),
    "too long": _chunk(b"tRNS", bytes(300)),
    "wrong checksum": _chunk(b"tRNS", b"\0\1\0\2\0\3", check=7),
    "a palette of true colors": _chunk(b"PLTE", bytes(5)),
    "a cut text": _chunk(b"tEXt", b"Comment\0x", length=90),
    "a time": _chunk(b"tIME", b"\1", length=7),
    "a physical size": _chunk(b"pHYs", b"\0" * 3, check=1),
    "gamma": _chunk(b"gAMA", b""),
    "an unknown one": _chunk(b"zzZz", b"1234", length=4000),
}


@pytest.mark.parametrize("damage", BAD_CHUNKS)
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_no_damaged_note_of_a_png_is_in_the_way(tmp_path, colors, damage, mode):
    if mode == "P" and damage in ("too short", "a palette of true colors"):
        return  # the one is right there, the other is the colors
    content, picture = io.BytesIO(), Image.fromarray(colors).convert(mode)
    picture.save(content, "PNG")
    expected = np.asarray(picture.convert("RGB"))[:, :, ::-1]
    data = content.getvalue()
    start = data.index(b"IDAT") - 4
    (tmp_path / "photo.png").write_bytes(data[:start] + BAD_CHUNKS[damage] + data[start:])
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), expected)


def test_a_whole_transparency_of_a_png_counts(tmp_path, colors):
    colors[:9, :9] = 1, 2, 3
    content = io.BytesIO()
    Image.fromarray(colors).save(content, "PNG")
    data = content.getvalue()
    clear, text = _chunk(b"tRNS", b"\0\1\0\2\0\3"), _chunk(b"tEXt", b"Comment\0tRNS and IDAT")
    (tmp_path / "photo.png").write_bytes(data[:33] + text + clear + _chunk(b"tRNS", bytes(6)) + data[33:])
    found = read_image(tmp_path / "photo.png")
    assert (found[:9, :9] == 255).all()
    np.testing.assert_array_equal(found[9:], colors[9:, :, ::-1])


def test_looking_for_the_pixels_of_a_damaged_png_ends(tmp_path, colors):
    content = io.BytesIO()
    Image.fromarray(colors).save(content, "PNG")
    traps = b"".join(struct.pack(">I4s", (1 << 22) - 8 * i, b"IDAT") for i in range(1 << 18))
    notes = _chunk(b"tEXt", b"x", length=1 << 21) * (1 << 18)
    for middle in (traps, notes, _chunk(b"tEXt", b"", length=9) + traps):
        (tmp_path / "photo.png").write_bytes(content.getvalue()[:33] + middle * 2)
        begun = time.perf_counter()
        with pytest.raises(InputError, match=r"photo\.png: "):
            read_image(tmp_path / "photo.png")
        assert time.perf_counter() - begun < 5


def test_decoders_print_nothing(tmp_path, colors, capfd):
    refused = 0
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        content = io.BytesIO()
        Image.fromarray(colors).save(content, "TIFF", compression=compression)
        for place in range(40, len(content.getvalue()), 40):
            data = bytearray(content.getvalue())
            data[place : place + 20] = bytes(20)
            (tmp_path / "photo.tif").write_bytes(data)
            try:
                read_image(tmp_path / "photo.tif")
            except InputError:
                refused += 1
    assert refused
    found = capfd.readouterr()
    assert (found.out, found.err) == ("", "")


def test_a_tiffs_odd_tags_are_not_read(tmp_path, colors):
    content = io.BytesIO()
    tags = {274: 6, 282: 72.0, 296: 3, 305: "program"}
    Image.fromarray(colors).save(content, "TIFF", tiffinfo=tags, compression="tiff_lzw")
    data = content.getvalue()
    # The resolution as text, which cannot be multiplied.
    data = data.replace(struct.pack("<HHI", 282, 5, 1), struct.pack("<HHI", 282, 2, 8))
    (tmp_path / "photo.tif").write_bytes(data)
    expected = np.rot90(colors, -1)[:, :, ::-1]
    np.testing.assert_array_equal(read_image(tmp_path / "photo.tif"), expected)
    stored = read_image(tmp_path / "photo.tif", upright=False)
    np.testing.assert_array_equal(stored, colors[:, :, ::-1])


def test_orientation_of_other_places(tmp_path, colors):
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    assert orientation(b"", xmp) == 8
    assert orientation(b"", b"<tiff:Orientation>3</tiff:Orientation>") == 3
    assert orientation(_exif(4), xmp) == 6  # written as a LONG; EXIF comes first
    assert orientation(b"II*\0\xff\xff\xff\xff") == orientation(b"MM") == orientation(b"", b"nonsense") == 1
    raw = "\nexif\n" + f"{len(_exif()):8}\n" + _exif().hex()
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", raw, zip=True)
    Image.fromarray(colors).save(tmp_path / "magick.png", pnginfo=text)
    assert read_image(tmp_path / "magick.png").shape == (64, 48, 3)


def test_large_text_and_a_damaged_profile_do_not_hide_the_pixels(tmp_path, colors):
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * (3 << 20), zip=True)
    content = io.BytesIO()
    Image.fromarray(colors).save(content, "PNG", pnginfo=text, icc_profile=b"none")
    profile = b"p\0\x07" + zlib.compress(bytes(2 << 20))  # an unknown compression, and too long
    chunk = struct.pack(">I", len(profile)) + b"iCCP" + profile + b"bad!"
    data = content.getvalue()
    (tmp_path / "photo.png").write_bytes(data[:33] + chunk + data[33:])
    np.testing.assert_array_equal(read_image(tmp_path / "photo.png"), colors[:, :, ::-1])


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_values_of_any_depth_are_as_bright_as_they_should_be(tmp_path, colors, bits, suffix, channels):
    colors[0, 0] = 255
    wide = np.dstack([colors[:, :, ::-1], np.full(colors.shape[:2], 255)]).astype(np.uint16) << (bits - 8)
    stored = wide[..., 1] if channels == 1 else wide[..., :channels]
    (tmp_path / "wide").write_bytes(cv2.imencode(suffix, stored)[1].tobytes())
    expected = colors[:, :, [1, 1, 1]] if channels == 1 else colors[:, :, ::-1]
    np.testing.assert_array_equal(read_image(tmp_path / "wide"), expected)


@pytest.mark.parametrize(
    "values",
    [
        lambda gray: gray.astype(np.int32) * 257,
        lambda gray: gray.astype(np.int32) << 20,
        lambda gray: gray / np.float32(255),
        lambda gray: gray.astype(np.float32),
        lambda gray: np.where(gray == 0, np.float32("nan"), gray * np.float32(4)),
    ],
    ids=["16 of 32 bits", "28 of 32 bits", "to 1", "to 255", "to 1020, with gaps"],
)
def test_integers_and_floats_of_32_bits_are_visible(tmp_path, colors, values):
    gray = colors[:, :, 1]
    gray[0, 0] = 255
    Image.fromarray(values(gray)).save(tmp_path / "wide.tif")
    error = np.abs(read_image(tmp_path / "wide.tif").astype(int) - gray[:, :, None])
    assert error.max() <= 1  # rounding


def test_black_stays_black(tmp_path):
    for kind in (np.uint8, np.uint16, np.int32, np.float32):
        Image.fromarray(np.zeros((40, 40), kind)).save(tmp_path / "black.tif")
        assert read_image(tmp_path / "black.tif").max() == 0


@pytest.mark.parametrize("mode", ["1", "LA", "PA", "RGBA", "P", "CMYK", "YCbCr", "LAB"])
def test_every_mode_becomes_bgr(tmp_path, colors, mode):
    suffix = {"PA": "png", "CMYK": "tif", "YCbCr": "tif", "LAB": "tif"}.get(mode, "png")
    if mode == "LAB":
        from PIL import ImageCms

        profiles = (ImageCms.createProfile(space) for space in ("sRGB", "LAB"))
        picture = ImageCms.profileToProfile(Image.fromarray(colors), *profiles, outputMode="LAB")
    elif mode == "PA":
        picture = Image.fromarray(colors).quantize(255)
        picture.info["transparency"] = 255
    else:
        picture = Image.fromarray(colors)
        picture = picture.quantize(64) if mode == "P" else picture.convert(mode)
    picture.save(tmp_path / f"photo.{suffix}")
    expected = np.asarray(Image.fromarray(colors).convert("L" if mode in ("1", "LA") else "RGB"))
    found = read_image(tmp_path / f"photo.{suffix}")[:, :, ::-1]
    if expected.ndim == 2:
        expected = np.repeat(expected[:, :, None], 3, axis=2)
    assert abs(found.mean() - expected.mean()) < 8
    if mode != "1":
        assert np.abs(found.astype(int) - expected).mean() < 12


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "MPO"])
def test_of_several_pictures_the_first(tmp_path, colors, kind):
    first, second = Image.fromarray(colors), Image.fromarray(255 - colors)
    if kind == "GIF":
        first, second = first.quantize(64), second.quantize(64)
    first.save(tmp_path / "photo", kind, save_all=True, append_images=[second], lossless=True)
    assert np.abs(read_image(tmp_path / "photo").astype(int) - colors[:, :, ::-1]).mean() < 15


@pytest.mark.parametrize(
    "error", [KeyError("x"), RecursionError(), MemoryError(), struct.error(), zlib.error()]
)
def test_whatever_a_decoder_raises_is_this_files_error(tmp_path, colors, monkeypatch, error):
    Image.fromarray(colors).save(tmp_path / "photo.png")

    def fail(*_):
        raise error

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", fail)
    with pytest.raises(InputError, match=r"photo\.png: "):
        read_image(tmp_path / "photo.png")


def test_random_damage_gives_a_picture_or_a_sentence(tmp_path, colors):
    generator = random.Random(5)
    whole = []
    kinds = ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "JPEG2000"] + ["AVIF"] * features.check("avif")
    for kind in kinds:
        content = io.BytesIO()
        picture = Image.fromarray(colors)
        exif = {"exif": _exif()} if kind in ("JPEG", "PNG", "WEBP") else {}
        picture.save(content, kind, **exif)
        whole.append(content.getvalue())
    for _ in range(800):
        damaged = bytearray(generator.choice(whole))
        end = generator.choice((len(damaged), min(300, len(damaged))))
        for _ in range(generator.choice((1, 3, 9))):
            damaged[generator.randrange(end)] = generator.choice((0, 1, 255, generator.randrange(256)))
        (tmp_path / "photo").write_bytes(damaged)
        with suppress(InputError):
            image = read_image(tmp_path / "photo")
            assert (image.dtype, image.shape[2]) == (np.uint8, 3)
