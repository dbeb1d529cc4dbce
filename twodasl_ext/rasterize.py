"""rasterize: the nearest triangle at every pixel of a batch of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._arguments import INTEGERS, as_indices, shown, whole_number
from ._checks import check_device, check_float, check_tensor, shape_text
from ._dispatch import plain, refuse_trace
from ._operator import operator
from ._vmap import fold


def rasterize(
    vertices: Tensor, triangles: Tensor | np.ndarray | Sequence[Any], size: int | Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Draws triangles into a z-buffer; the nearest (largest z) wins.

    Args:
        vertices: (B, N, 3) float32 or float64 in image space: x = column, y = row (down), z grows toward the
            viewer.
        triangles: (T, 3) integer vertex indices, shared by the batch; both orientations are drawn.
        size: height and width of the images, or one number for both.

    Returns:
        triangle index (B, H, W) int64, -1 where nothing is;
        barycentric coordinates (B, H, W, 3) of the pixel in its triangle, zeros where nothing is;
        depth (B, H, W), -inf where nothing is.

    Pixel (row, column) is sampled at x = column, y = row. Triangles that share an edge share no pixel and
    leave no gap; of equal depths the lower triangle index wins. No gradient flows; to differentiate,
    interpolate vertex attributes with the returned indices and coordinates. The result has the
    same bits for any number of threads and on every device. On CUDA values are not checked first: an image
    with a vertex that is not finite gets index -1 and NaN everywhere, and so do all images where a triangle
    refers to a vertex that does not exist.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came; on the CPU also for
        vertices that are not finite and for triangles that refer to vertices that do not exist.
    """
    refuse_trace("rasterize")
    vertices = check_tensor(vertices, "vertices")
    triangles = check_tensor(as_indices(triangles, "triangles", vertices.device), "triangles")
    height, width = _check_size(size)
    if vertices.dim() != 3 or vertices.shape[2] != 3:
        raise ValueError(f"vertices: expected (B, N, 3), got {shape_text(vertices)}")
    if triangles.dim() != 2 or triangles.shape[1] != 3:
        raise ValueError(f"triangles: expected (T, 3), got {shape_text(triangles)}")
    check_float(vertices, "vertices")
    check_device(vertices, "vertices")
    if triangles.dtype not in INTEGERS:
        raise TypeError(f"triangles: expected integer vertex indices, got {triangles.dtype}")
    if triangles.device != vertices.device:
        raise ValueError(
            f"triangles: expected device {vertices.device} like vertices, got {triangles.device}"
        )
    vertices = vertices.detach()
    triangles = triangles.to(torch.int64)
    try:
        return _run(vertices, triangles, height, width)
    except RuntimeError:
        # The kernel checks the values at memory speed; only the message needs to know which one is wrong.
        if plain():  # under vmap the values of one sample cannot be read
            _explain_values(vertices, triangles)
        raise


def _check_size(size: Any) -> tuple[int, int]:
    expected = "a number or (height, width)"
    if isinstance(size, (np.ndarray, Tensor)):
        size = size.tolist()
    numbers = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(numbers) != 2:
        raise TypeError(f"size: expected {expected}, got {shown(size)}")
    try:
        height, width = (whole_number(number, "size", expected) for number in numbers)
    except TypeError:
        raise TypeError(f"size: expected {expected}, got {shown(size)}") from None
    if height < 1 or width < 1:
        raise ValueError(f"size: expected at least 1 x 1 pixels, got {height} x {width}")
    return height, width


def _explain_values(vertices: Tensor, triangles: Tensor) -> None:
    if triangles.numel():
        low, high = (int(v) for v in triangles.aminmax())
        if low < 0 or high >= vertices.shape[1]:
            wrong = low if low < 0 else high
            raise ValueError(f"triangles: expected vertex indices in [0, {vertices.shape[1]}), got {wrong}")
    if not bool(torch.isfinite(vertices).all()):
        face, vertex = torch.nonzero(~torch.isfinite(vertices).all(dim=2))[0].tolist()
        raise ValueError(
            f"vertices: expected finite numbers, got {vertices[face, vertex].tolist()} at vertex {vertex}"
        )


@operator("rasterize", vmap=fold(faces=(0,)))
def _run(vertices: Tensor, triangles: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    batch = vertices.shape[0]
    return (
        triangles.new_empty((batch, height, width)),
        vertices.new_empty((batch, height, width, 3)),
        vertices.new_empty((batch, height, width)),
    )
