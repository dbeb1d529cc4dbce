"""Tensors that begin in the middle of 16 bytes, as views into one buffer do: the bits of aligned ones.

DataParallel broadcasts a module's buffers as such views. In the emulator the same tests run the CUDA kernels,
whose wide loads UBSan watches; `tests/cuda/test_vertices.py` runs them on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import twodasl_ext as te

from .cases import Case, make

ops = torch.ops.twodasl
FACE = Case("offset", 130, 13, 20, 5)
STORAGES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
Results = tuple[Tensor, ...]


def offset(tensor: Tensor) -> Tensor:
    """The same numbers as a dense view that begins a number of its own past a multiple of 16 bytes."""
    memory = torch.empty(tensor.numel() + 32, dtype=tensor.dtype, device=tensor.device)
    start = -(memory.data_ptr() // tensor.element_size()) % (16 // tensor.element_size()) + 1
    view = memory[start : start + tensor.numel()].view(tensor.shape).copy_(tensor)
    assert view.is_contiguous()
    assert view.data_ptr() % 16 == tensor.element_size()
    return view


def same_bits(call: Callable[..., Results], *tensors: Tensor) -> None:
    """Whether a call gives the same for tensors that begin anywhere, and changes none of them."""
    moved = [offset(t) for t in tensors]
    for found, expected in zip(call(*moved), call(*tensors), strict=True):
        assert torch.equal(found, expected)
    for view, tensor in zip(moved, tensors, strict=True):
        assert torch.equal(view, tensor)


def calls(device: torch.device, storage: torch.dtype) -> dict[str, Callable[[], None]]:
    """Every operator that reads a packed basis or its factor, by name: a check of it."""
    dtype = torch.float64 if storage == torch.float64 else torch.float32
    inputs = make(FACE).to(dtype)
    inputs = type(inputs)(**{name: tensor.to(device) for name, tensor in vars(inputs).items()})
    basis = inputs.basis(storage)
    packed, count = basis.packed(), FACE.vertices
    face = inputs.coefficients, inputs.pose
    posed = ops.vertices(*packed, count, *face)

    def vertices(mean: Tensor, modes: Tensor, c: Tensor, pose: Tensor) -> Results:
        return (ops.vertices(mean, modes, count, c, pose),)

    def backward(posed: Tensor, *given: Tensor) -> Results:
        known = ops.vertices_backward(*given, posed, True, True)
        return (*known, *ops.vertices_backward(*given, None, True, True))

    def basis_backward(c: Tensor, pose: Tensor, grad: Tensor) -> Results:
        return ops.vertices_backward_basis(grad, c, pose, True, True)

    found = {
        "vertices": lambda: same_bits(vertices, *packed, *face),
        "vertices_backward": lambda: same_bits(backward, posed, inputs.grad, *packed, *face),
        "vertices_backward_basis": lambda: same_bits(basis_backward, *face, inputs.grad),
    }
    if storage != dtype:
        return found
    mean, modes, landmarks = basis.packed_landmarks()
    parameters = inputs.predicted, inputs.target
    factor = basis.packed_distance_factor()
    cost, residual = ops.vertex_distance_cost(factor, *parameters, False)

    def weights(mean: Tensor, modes: Tensor, p: Tensor, t: Tensor) -> Results:
        return (ops.importance_weights(mean, modes, landmarks, p, t, False, False),)

    def distance(factor: Tensor, p: Tensor, t: Tensor) -> Results:
        return ops.vertex_distance_cost(factor, p, t, False)

    def distance_backward(grad: Tensor, factor: Tensor, residual: Tensor, p: Tensor, t: Tensor) -> Results:
        return ops.vertex_distance_cost_backward(grad, factor, residual, p, t, False)

    return found | {
        "importance_weights": lambda: same_bits(weights, mean, modes, *parameters),
        "vertex_distance_cost": lambda: same_bits(distance, factor, *parameters),
        "vertex_distance_cost_backward": lambda: same_bits(
            distance_backward, torch.ones_like(cost), factor, residual, *parameters
        ),
    }


def check_all(device: torch.device, storage: torch.dtype) -> None:
    """Every operator, and a basis all of whose buffers begin anywhere."""
    for check in calls(device, storage).values():
        check()
    dtype = torch.float64 if storage == torch.float64 else torch.float32
    inputs = make(FACE).to(dtype)
    inputs = type(inputs)(**{name: tensor.to(device) for name, tensor in vars(inputs).items()})
    basis, moved = inputs.basis(storage), inputs.basis(storage)
    for name, buffer in moved._buffers.items():
        assert buffer is not None
        moved._buffers[name] = offset(buffer)
    given = inputs.coefficients.requires_grad_(), inputs.pose.requires_grad_()
    for operator in (te.vertices, te.landmarks):
        found, expected = operator(moved, *given), operator(basis, *given)
        assert torch.equal(found, expected)
        gradients = [torch.autograd.grad(v.square().sum(), given) for v in (found, expected)]
        for a, b in zip(*gradients, strict=True):
            assert torch.equal(a, b)
    for cost in (te.importance_weights, te.vertex_distance_cost):
        assert torch.equal(
            cost(moved, inputs.predicted, inputs.target), cost(basis, inputs.predicted, inputs.target)
        )


@pytest.mark.parametrize("storage", STORAGES, ids=str)
def test_a_basis_may_begin_anywhere(storage):
    check_all(torch.device("cpu"), storage)


def test_trees_of_points_may_begin_anywhere():
    generator = torch.Generator().manual_seed(2)
    query, points = (torch.randn(2, n, 3, generator=generator) for n in (90, 400))
    expected = te.nearest_neighbors(query, te.PointIndex(points))
    index = te.PointIndex(points)
    for name, buffer in index._buffers.items():
        if buffer is not None:
            index._buffers[name] = offset(buffer)
    for a, b in zip(te.nearest_neighbors(query, index), expected, strict=True):
        assert torch.equal(a, b)
