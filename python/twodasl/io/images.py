"""Reading untrusted image files, and writing images.

A photo may be gray, paletted, transparent, 16-bit, CMYK, rotated by its EXIF orientation, truncated, or a few
bytes that claim a gigapixel. This module returns either (H, W, 3) uint8 BGR, upright, or an InputError that
names the file.
"""

from __future__ import annotations

import ctypes
import io
import os
import sys
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arguments import flag
from ..errors import InputError
from .files import regular_file, write_together
from .photo_bytes import orientation, without_notes

MIN_SIDE = 32
"""Minimum length of the shorter side, in pixels; below it no face can be made out."""

MAX_PIXELS = 150_000_000
"""Images with more pixels are rejected before they are decoded."""

MAX_BYTES = 2 << 30
"""Files with more bytes are rejected before they are read."""

# Formats of cameras and scanners. Pillow knows more formats, some of which start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")

_READABLE = "a JPEG, PNG, WebP, TIFF or BMP photo"


def read_image(path: str | os.PathLike[str], *, upright: bool = True) -> NDArray[np.uint8]:
    """Read the photo in a file.

    Args:
        path: a regular file in one of `FORMATS`.
        upright: rotate it according to its EXIF orientation; False keeps the stored pixels, which is what the
            landmarks of published data sets refer to.

    Returns:
        (H, W, 3) uint8 BGR; both sides at least `MIN_SIDE`. Transparent parts are composited over white; the
        first frame of an animation is used. Pixels with more than 8 bits (16- and 32-bit integers, floating
        point) keep the 8 highest bits in use: white is the smallest power of two above the photo's largest
        value, so that 12-bit values in a 16-bit file come out as bright as they should.

    Raises:
        InputError: the file does not exist, is a folder, is empty, is not an image, is truncated, or is
            smaller than `MIN_SIDE` or larger than `MAX_PIXELS`. Any exception of a decoder becomes an
            InputError.
    """
    path, upright = _image_file(path), flag(upright, "upright")
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        image, turn = _decoded(path, stored)
        return _turned(image, turn) if upright else image
    except InputError:
        raise
    except Exception as error:  # decoders report damage in too many ways to list
        if isinstance(error, MemoryError):
            raise InputError(f"{path}: does not fit into memory; scale the photo down") from error
        raise InputError(f"{path}: the image is damaged or cut off ({_reason(error)})") from error


def read_image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of the pixels as they are stored, from the file's head where that is enough.

    Raises InputError as `read_image` does.
    """
    from PIL import Image

    file = _image_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=_known_formats()) as image:
                _check_size(file, *image.size)
                return image.size
    except InputError:
        raise
    except Exception:  # a damaged note in the head, for one; the reader knows how to skip it
        height, width = read_image(file, upright=False).shape[:2]
        return width, height


def _image_file(path: str | os.PathLike[str]) -> Path:
    """The path, once it is known to lead to a regular file of a size that can be a photo's."""
    file = regular_file(path, _READABLE)
    size = file.stat().st_size
    if size == 0:
        raise InputError(f"{file}: is empty (0 bytes)")
    if size > MAX_BYTES:
        raise InputError(f"{file}: is larger than {MAX_BYTES >> 30} GiB; expected {_READABLE}")
    return file


def _known_formats() -> list[str]:
    from PIL import Image

    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]  # older versions of Pillow lack AVIF


def _decoded(path: Path, stored: bytes) -> tuple[NDArray[np.uint8], int]:
    """The stored pixels, BGR, and the EXIF orientation, 1 to 8."""
    from PIL import Image

    data, turn = without_notes(stored)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about large images and odd metadata; sizes are checked below
        try:
            with Image.open(io.BytesIO(data), formats=_known_formats()) as image:
                _check_size(path, *image.size)
                if turn == 1:
                    turn = orientation(*(_bytes(image.info.get(key)) for key in ("exif", "xmp")))
                if image.format == "TIFF":
                    _silence_libtiff()
                rawmode = _rawmode(image)
                image.load()
                if ";16" in rawmode and image.mode in ("RGB", "RGBA", "LA"):
                    image = _brightened(image, data, rawmode)
                return _bgr(image), turn
        except Image.DecompressionBombError as error:
            raise InputError(f"{path}: more than {MAX_PIXELS:,} pixels; scale the photo down") from error
        except Image.UnidentifiedImageError as error:
            raise InputError(f"{path}: is not an image that can be read; expected {_READABLE}") from error


@cache
def _silence_libtiff() -> None:
    """Once, for all threads: libtiff prints what it dislikes, and Pillow, which raises it, leaves that on.

    A Pillow that hides its libtiff goes on to print.
    """
    from PIL import _imaging

    with suppress(OSError, AttributeError):
        set_handler = ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler
        set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
        set_handler(None)


def check_image(image: NDArray[np.uint8], name: str = "image") -> None:
    """Raise InputError unless `image` is (H, W, 3) uint8 with both sides at least `MIN_SIDE`."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        found = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{name}: expected (H, W, 3) uint8 BGR, got {found}")
    _check_size(name, image.shape[1], image.shape[0])


def _check_size(name: object, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{name}: is {width}x{height} pixels; a face needs a photo of at least {MIN_SIDE}x{MIN_SIDE}"
        )
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name}: is {width}x{height} pixels, more than {MAX_PIXELS:,} in total; scale the photo down"
        )


def _bgr(image: Any) -> NDArray[np.uint8]:
    from PIL import Image, ImageCms

    clear = image.info.get("transparency")
    if image.mode == "F" or image.mode.startswith("I"):  # `convert` would clip these instead of scaling them
        wide = np.asarray(image)
        if image.mode == "I" and getattr(image, "tag_v2", {}).get(339) == (1,):
            wide = wide.view(np.uint32)  # a TIFF of unsigned integers
        gray = _eight_bits(wide)
        if isinstance(clear, int):
            gray[wide == clear] = 255
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        image = ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
    elif image.mode != "RGBA" and ("A" in image.getbands() or clear is not None):
        image = image.convert("RGBA")
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _eight_bits(wide: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale values of any kind to 8 bits: the power of two above the largest (for integers, at least 256)
    maps to 256.

    Negative values and NaN become black. Raises ValueError where there is nothing but NaN and infinity.
    """
    if wide.dtype.kind == "f":
        if wide.size and not np.isfinite(wide).any():
            raise ValueError("its pixels are all NaN or infinity")
        known = np.where(np.isfinite(wide), wide, 0).clip(0).astype(np.float64)
        fraction, exponent = np.frexp(known.max())
        # 1.0 is white, not the first step above it
        white = 2.0 ** (exponent - (fraction == 0.5))
        return (known * (255 / white)).round().astype(np.uint8)
    whole = np.maximum(wide.astype(np.int64), 0)
    return np.asarray(whole >> max(0, int(whole.max()).bit_length() - 8), np.uint8)


def _rawmode(image: Any) -> str:
    """The sample layout that the decoder was given, such as `RGB;16B`; empty if Pillow does not say."""
    arguments = image.tile[0][3] if getattr(image, "tile", None) else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _brightened(image: Any, data: bytes, rawmode: str) -> Any:
    """Recover the 8 bits in use from 16-bit samples, of which Pillow keeps the upper 8.

    The lower 8 are what Pillow reads when it assumes the other byte order.
    """
    from PIL import Image

    upper = np.asarray(image).astype(np.uint16) << 8
    colors = 3 if image.mode.startswith("RGB") else 1
    if upper[..., :colors].max() >= 1 << 15:
        return image
    if colors == 3:  # Pillow reads no lower bytes for gray with transparency
        kind, _, order = rawmode.partition(";16")
        little = order == "L" or (order == "N" and sys.byteorder == "little")
        with Image.open(io.BytesIO(data)) as again:
            again.tile = [_with_rawmode(tile, f"{kind};16{'B' if little else 'L'}") for tile in again.tile]
            again.load()
            upper |= np.asarray(again)
    parts = [_eight_bits(samples) for samples in (upper[..., :colors], upper[..., colors:]) if samples.size]
    return Image.fromarray(np.concatenate(parts, axis=2))


def _with_rawmode(tile: Any, rawmode: str) -> Any:
    codec, extents, offset, arguments = tile
    changed = (rawmode, *arguments[1:]) if isinstance(arguments, tuple) else rawmode
    return type(tile)(codec, extents, offset, changed)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _turned(image: NDArray[np.uint8], turn: int) -> NDArray[np.uint8]:
    """Rotate the picture upright: EXIF orientations are four rotations, each also mirrored."""
    mirrored, quarters = ((0, 0), (1, 0), (0, 2), (1, 2), (1, 1), (0, 3), (1, 3), (0, 1))[turn - 1]
    turned = np.rot90(image[:, ::-1] if mirrored else image, quarters)
    return np.ascontiguousarray(turned)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if 0 < len(text) <= 100 else type(error).__name__


def check_image_name(path: Path) -> None:
    """Raise InputError unless the name ends in .png, .jpg or .jpeg, the kinds of image that are written."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{path}: an image is written as .png or .jpg; choose a name that ends so")


def encode_image(path: Path, image: NDArray[np.uint8]) -> bytes:
    """(H, W, 3) uint8 BGR in the format that the path's suffix names; nothing is written.

    Raises InputError when the format cannot hold it, which names `path`.
    """
    import cv2

    try:
        done, content = cv2.imencode(path.suffix.lower(), image)
    except cv2.error:
        done = False
    if not done:  # JPEG ends at 65,535 pixels a side
        height, width = image.shape[:2]
        advice = "write fewer pictures" if path.suffix.lower() == ".png" else "choose a name ending in .png"
        raise InputError(f"{path}: an image of {width}x{height} pixels cannot be written so; {advice}")
    return bytes(content.tobytes())


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) uint8 BGR in the format that the path's suffix names, whole or not at all.

    Raises InputError when it cannot be written.
    """
    write_together({path: encode_image(path, image)})
