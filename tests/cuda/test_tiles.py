"""The kernels of `vertices` that a large GPU chooses: all of them, and with the same bits as the smallest.

Which kernel and tile a launch takes depends on the number of multiprocessors; `multiprocessors` sets it, on a
GPU and in the emulator. With one, few vertices reach every kernel; with more than any GPU has, all go to the
kernel for one face.
"""

from __future__ import annotations

import pytest
import torch

import twodasl_ext as te

from ..ext.cases import EPSILON, Case, assert_close, make
from .operators import on

ops = torch.ops.twodasl
STORAGES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
NONE_FILLS = 10**8
"""Multiprocessors for which no number of faces is enough."""

BATCHES = (3, 5, 9, 17, 33, 64, 96, 128)
"""One for every kernel and pairing of tiles."""

ON_TENSOR_CORES = [True, False]


def kernel(batch: int, storage: str, tensor: bool) -> tuple[int, int, int]:
    """(faces of a tile, threads, vertices of a tile) where there are vertices enough."""
    if tensor and storage != "float64":
        if batch <= 16:
            return (8 if batch <= 8 else 16), 32, 32
        warps = -(-batch // 32)
        warps = -(-warps // -(-warps // 4))
        return 32 * warps, 32 * warps, 32
    if storage == "float64":
        return (4 if batch >= 4 else 1), 32, 64
    if batch > 16:
        warps = 2 if -(-batch // 32) % 2 == 0 else 1
        return 32 * warps, 64 * warps, 64
    most = 8 if storage != "float32" else 16
    return next((faces for faces in (16, 8, 4, 2) if faces <= most and batch > faces // 2), 1), 32, 64


def roundings(modes: int, tensor: bool) -> int:
    """How many unit roundoffs of the magnitude a vertex may lose, the pose's four included.

    On tensor cores see csrc/cuda/vertices_tensor.h.
    """
    return 33 + -(-modes // 8) + 5 if tensor else modes + 6


def grid(vertices: int, faces: int, threads: int, of_tile: int, batch: int) -> tuple[int, int, int]:
    """The launch of that kernel: blocks in x and y, threads."""
    tiles, face_tiles = -(-vertices // of_tile), -(-batch // faces)
    in_one_row = of_tile == 32 or threads > 32 or faces == 32
    return (tiles * face_tiles, 1, threads) if in_one_row else (tiles, face_tiles, threads)


def compared(
    device,
    multiprocessors,
    launched,
    tensor_cores,
    many: int,
    sizes: tuple[int, int, int],
    storage: str,
    tensor,
) -> None:
    """The kernel that `many` multiprocessors choose against that for one face: bits, and values of one."""
    tensor_cores(tensor)
    vertices, modes, batch = sizes
    dtype = torch.float64 if storage == "float64" else torch.float32
    exact = make(Case("tiles", vertices, modes, 4, batch))
    inputs = on(exact.to(dtype), device)
    basis = inputs.basis(STORAGES[storage])
    multiprocessors(many)
    found = te.vertices(basis, inputs.coefficients, inputs.pose)
    if launched is not None:
        assert launched() == grid(vertices, *kernel(batch, storage, tensor), batch)
    multiprocessors(NONE_FILLS)
    some = sorted({0, batch // 2, batch - 1})
    single = te.vertices(basis, inputs.coefficients[some], inputs.pose[some])
    if launched is not None:
        one = (-(-vertices // 64), len(some), 32)
        assert launched() == ((-(-vertices // 32), 1, 32) if tensor and storage != "float64" else one)
    assert torch.equal(found[some], single)
    rounded = exact.modes.to(STORAGES[storage]).to(torch.float64)
    face = some[-1]
    shape = exact.mean + torch.einsum("k,knc->nc", exact.coefficients[face], rounded)
    magnitude = exact.mean.abs() + torch.einsum("k,knc->nc", exact.coefficients[face].abs(), rounded.abs())
    pose = exact.pose[face]
    expected = shape @ pose[:, :3].T + pose[:, 3]
    scale = magnitude @ pose[:, :3].abs().T + pose[:, 3].abs()
    assert_close(
        found[face].cpu(), expected, scale, roundings(modes, tensor and storage != "float64") * EPSILON[dtype]
    )


@pytest.mark.parametrize("tensor", ON_TENSOR_CORES)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("batch", BATCHES)
def test_every_kernel_over_few_vertices(
    device, multiprocessors, launched, tensor_cores, batch, storage, tensor
):
    compared(device, multiprocessors, launched, tensor_cores, 1, (340, 17, batch), storage, tensor)


SHORT = [(3, "float16"), (9, "float32"), (9, "bfloat16"), (17, "float32"), (33, "bfloat16"), (5, "float64")]
"""Every kind of kernel once."""


@pytest.mark.parametrize(
    ("batch", "storage"),
    [
        pytest.param(b, s, marks=[] if (b, s) in SHORT else [pytest.mark.slow])
        for b in BATCHES
        for s in STORAGES
    ],
)
@pytest.mark.parametrize("tensor", ON_TENSOR_CORES)
def test_a_face_of_full_size_on_132_multiprocessors(
    device, multiprocessors, launched, tensor_cores, batch, storage, tensor
):
    compared(device, multiprocessors, launched, tensor_cores, 132, (53215, 2, batch), storage, tensor)


@pytest.mark.slow
@pytest.mark.parametrize("tensor", ON_TENSOR_CORES)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("batch", BATCHES)
def test_a_face_of_full_size_with_all_modes(
    device, multiprocessors, launched, tensor_cores, batch, storage, tensor
):
    compared(device, multiprocessors, launched, tensor_cores, 132, (53215, 50, batch), storage, tensor)


def gradients_compared(
    device, multiprocessors, tensor_cores, many: int, sizes: tuple[int, int, int], storage: str, tensor: bool
) -> None:
    """Gradients in the tiles that `many` multiprocessors choose against those for few faces."""
    tensor_cores(tensor)
    vertices, modes, batch = sizes
    dtype = torch.float64 if storage == "float64" else torch.float32
    inputs = on(make(Case("tiles", vertices, modes, 4, batch)).to(dtype), device)
    packed = inputs.basis(STORAGES[storage]).packed()
    posed = ops.vertices(*packed, vertices, inputs.coefficients, inputs.pose)
    multiprocessors(many)
    given = inputs.grad, *packed, inputs.coefficients, inputs.pose, posed, True, True
    found = ops.vertices_backward(*given)
    multiprocessors(NONE_FILLS)
    for a, b in zip(found, ops.vertices_backward(*given), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("tensor", ON_TENSOR_CORES)
@pytest.mark.parametrize("storage", STORAGES)
def test_gradients_in_both_tiles(device, multiprocessors, tensor_cores, storage, tensor):
    gradients_compared(device, multiprocessors, tensor_cores, 1, (340, 45, 33), storage, tensor)


@pytest.mark.slow
@pytest.mark.parametrize("tensor", ON_TENSOR_CORES)
@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("batch", [17, 64])
def test_gradients_of_a_face_of_full_size(device, multiprocessors, tensor_cores, batch, storage, tensor):
    gradients_compared(device, multiprocessors, tensor_cores, 132, (53215, 50, batch), storage, tensor)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_other_operators_in_both_tiles(device, multiprocessors, dtype):
    """Distances in tiles of several faces, gradients of the basis in narrow and wide columns."""
    inputs = on(make(Case("tiles", 200, 40, 4, 7)).to(dtype), device)
    factor = inputs.basis(dtype).packed_distance_factor()
    results = []
    for many in (1, NONE_FILLS):
        multiprocessors(many)
        cost, residual = ops.vertex_distance_cost(factor, inputs.predicted, inputs.target, True)
        gradients = ops.vertex_distance_cost_backward(
            torch.ones_like(cost), factor, residual, inputs.predicted, inputs.target, True
        )
        basis = ops.vertices_backward_basis(inputs.grad, inputs.coefficients, inputs.pose, True, True)
        results.append((cost, *gradients, *basis))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)
