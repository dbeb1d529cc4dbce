"""Camera and processing effects: tone, blur, noise, resizing, JPEG, black margins."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry.crops import SIZE
from .filters import blurred, clipped, resized
from .noise import noise_bank
from .options import SyntheticOptions

Floats = NDArray[np.float32]


def develop(rng: np.random.Generator, image: Floats, options: SyntheticOptions) -> NDArray[np.uint8]:
    """Turn a rendered picture (SIZE, SIZE, 3) BGR, display values about [0, 1], into a uint8 photo."""
    image = _tone(rng, image, options.grayscale)
    strength = options.degradation
    if strength > 0:
        image = _soften(rng, image, strength)
        image = _grain(rng, image, strength)
    picture = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)
    if strength > 0 and rng.random() < 0.6 * min(strength, 1):
        quality = int(np.clip(rng.uniform(28, 96) / max(strength, 0.5), 10, 96))
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    if rng.random() < options.black_borders:
        picture = _black_border(rng, picture)
    return np.ascontiguousarray(picture)


def _tone(rng: np.random.Generator, image: Floats, grayscale: float) -> Floats:
    """White balance, contrast, gamma, saturation, haze, vignette."""
    gains = np.exp(rng.normal(0, 0.07, 3)).astype(np.float32)
    image = image * gains
    gray = np.einsum("hwc,c->hw", image, np.array([0.114, 0.587, 0.299], np.float32))
    if rng.random() < grayscale:
        image = np.repeat(gray[..., None], 3, axis=2)
        if rng.random() < 0.3:  # sepia and other toned prints
            image = image * (
                np.array([0.82, 0.95, 1.05], np.float32) + rng.normal(0, 0.05, 3).astype(np.float32)
            )
    else:
        saturation = np.float32(np.exp(rng.normal(0, 0.3)))
        image = gray[..., None] + saturation * (image - gray[..., None])
    if rng.random() < 0.5:
        # Contrast around middle gray; a strong S-curve is typical of high-key and low-key portraits.
        contrast = np.float32(np.exp(rng.normal(0.12, 0.28)))
        image = 0.5 + contrast * (image - 0.5)
    image = clipped(image)
    if rng.random() < 0.5:
        image = np.asarray(cv2.pow(image, float(np.exp(rng.normal(0, 0.22)))), np.float32)
    if rng.random() < 0.2:
        haze = rng.uniform(0, 0.25)
        image = clipped(image * np.float32(1 - haze) + np.float32(haze * rng.uniform(0.2, 1.0)))
    if rng.random() < 0.2:
        axis = np.linspace(-1, 1, SIZE, dtype=np.float32)
        corners = (axis[:, None] ** 2 + axis**2)[..., None] / 2
        image = clipped(image * (1 - np.float32(rng.uniform(0.1, 0.45)) * corners))
    return image.astype(np.float32, copy=False)


def _soften(rng: np.random.Generator, image: Floats, strength: float) -> Floats:
    """Defocus, motion, or upscaling from a small face; or sharpening."""
    kind = rng.random()
    if kind < 0.3:
        return blurred(image, rng.uniform(0.3, 1.0 + 0.8 * strength))
    if kind < 0.36:
        length = int(rng.integers(3, 5 + int(5 * strength)))
        kernel = np.zeros((length, length), np.float32)
        angle = rng.uniform(0, np.pi)
        reach = (length - 1) / 2 * np.array([np.cos(angle), np.sin(angle)])
        middle = (length - 1) / 2
        start, end = (tuple(round(float(v)) for v in middle + sign * reach) for sign in (-1, 1))
        cv2.line(kernel, start, end, 1.0)
        return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.float32)
    if kind < 0.62:
        small = int(np.clip(SIZE * rng.uniform(0.55 - 0.25 * min(strength, 1.5), 0.9), 24, SIZE))
        down = int(rng.choice([cv2.INTER_AREA, cv2.INTER_LINEAR]))
        up = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
        return resized(resized(image, small, small, down), SIZE, SIZE, up)
    if kind < 0.74:
        return image + np.float32(rng.uniform(0.2, 0.9)) * (image - blurred(image, 1.0))
    return image


def _grain(rng: np.random.Generator, image: Floats, strength: float) -> Floats:
    """Sensor noise: stronger in bright areas, sometimes in patches, as left by denoisers and film."""
    if rng.random() < 0.3:
        return image
    sigma = strength * 0.004 * float(np.exp(rng.uniform(0, 2.3)))
    noise = noise_bank().grain(rng, SIZE)
    if rng.random() < 0.4:  # in brightness only
        noise = noise[..., :1]
    if rng.random() < 0.25:
        noise = blurred(np.ascontiguousarray(noise), 0.8).reshape(noise.shape) * np.float32(2)
    return image + np.float32(sigma) * noise * (0.5 + clipped(image))


def _black_border(rng: np.random.Generator, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The crop extends beyond the photo on one or two sides."""
    for side in rng.choice(4, size=int(rng.integers(1, 3)), replace=False):
        width = int(min(rng.exponential(9) + 1, 35))
        part = (slice(None, width), slice(-width, None))[side % 2]
        if side < 2:
            picture[part] = 0
        else:
            picture[:, part] = 0
    return picture
