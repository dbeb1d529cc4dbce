"""Reading photographs that strangers made.

A photo may come as gray, with a palette, transparent, with 16 bits a channel, in CMYK, turned on its side
with a note in its EXIF data, cut off in the middle, or as a few bytes that claim a gigapixel. What leaves
this module is always (H, W, 3) uint8 BGR, upright, or one InputError that names the file.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError

MIN_SIDE = 32
"""Shorter side, in pixels, below which no face can be made out."""

MAX_PIXELS = 150_000_000
"""Pixels above which a file is refused before its pixels are decoded."""

# Photographs and what scanners make. Not every format that Pillow knows: some start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000", "AVIF")

_READABLE = "a JPEG, PNG, WebP, TIFF or BMP photo"


def read_image(path: str | os.PathLike[str], *, upright: bool = True) -> NDArray[np.uint8]:
    """The photo in a file.

    Args:
        path: a regular file in one of `FORMATS`.
        upright: turn it as its EXIF data say; False: the pixels as they are stored, which is what the
            landmarks of published data sets refer to.

    Returns:
        (H, W, 3) uint8 BGR; both sides at least `MIN_SIDE`. Transparent
        parts are laid over white, 16-bit channels keep their upper 8 bits, of an animation the first frame is
        taken.

    Raises:
        InputError: no such file, a folder, an empty file, not an image, cut off, smaller than `MIN_SIDE` or
            larger than `MAX_PIXELS`.
    """
    from PIL import Image, ImageOps

    path = Path(path)
    _check_file(path)
    Image.init()
    known = [name for name in FORMATS if name in Image.OPEN]  # older versions of Pillow lack AVIF
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images and odd metadata; sizes are checked here
            with Image.open(path, formats=known) as image:
                _check_size(path, *image.size)
                image.load()
                return _bgr(ImageOps.exif_transpose(image) if upright else image)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{path}: more than {MAX_PIXELS:,} pixels; scale the photo down") from error
    except Image.UnidentifiedImageError as error:
        raise InputError(f"{path}: is not an image that can be read; expected {_READABLE}") from error
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read (permission denied)") from error
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError) as error:
        # Decoders report damage in many ways; none of them is more use to a reader than this.
        raise InputError(f"{path}: the image is damaged or cut off ({_reason(error)})") from error


def check_image(image: NDArray[np.uint8], name: str = "image") -> None:
    """Raise InputError unless `image` is (H, W, 3) uint8 with both sides at least `MIN_SIDE`."""
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        found = f"{image.shape} {image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"{name}: expected (H, W, 3) uint8 BGR, got {found}")
    _check_size(name, image.shape[1], image.shape[0])


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name the photos in it")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_file():
        raise InputError(f"{path}: is not a regular file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: is empty (0 bytes)")


def _check_size(name: object, width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise InputError(
            f"{name}: is {width}x{height} pixels; a face needs a photo of at least {MIN_SIDE}x{MIN_SIDE}"
        )
    if width * height > MAX_PIXELS:
        raise InputError(
            f"{name}: is {width}x{height} pixels, more than {MAX_PIXELS:,} in all; scale the photo down"
        )


def _bgr(image: Any) -> NDArray[np.uint8]:
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit gray, which `convert` would clip instead of scale
        wide = np.asarray(image).astype(np.int64)
        gray = (wide >> 8).clip(0, 255).astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode == "F":
        raise ValueError("floating-point pixels")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if 0 < len(text) <= 100 else type(error).__name__
