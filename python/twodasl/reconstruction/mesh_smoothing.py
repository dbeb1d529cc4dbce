"""Smooth values on a mesh from values that some of its vertices have: one sparse system a face, solved fast.

The system is (diag(w) + L) x = b with the mesh's graph Laplacian L, which all faces share, and weights w,
which they do not: a factorization would have to be made anew for every face. Instead conjugate gradients run
until the answer is exact to what eight bits can show, with one cycle of a multigrid method as preconditioner:
smoothed aggregation (Vanek, Mandel and Brezina, 1996) over aggregates around vertices that are more than two
edges apart (Bell, Dalton and Olson, 2012). What depends on the mesh alone is made once, and several faces are
solved side by side: a product of L with 24 columns takes the time of one with 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from torch import Tensor

_COARSEST = 150  # vertices of a level that is solved as a dense system
_JACOBI = 2 / 3  # of Jacobi's step in the prolongation
# Jacobi's two steps before and after a coarser level: Chebyshev's for the upper part of the spectrum of a
# graph's Laplacian over its diagonal, from 0.5 to its end, 2.
_STEPS = tuple(1 / (1.25 + 0.75 * cosine) for cosine in (-math.sqrt(0.5), math.sqrt(0.5)))
_ENOUGH = 1e-5  # of the error, in the energy norm as the preconditioner sees it, relative to the first
_MOST = 100
_SIDE_BY_SIDE = 8  # faces


class MeshSmoothing:
    """The systems (diag(w) + L) x = b of one mesh.

    Args:
        triangles: (T, 3) indices below `count`.
        count: of vertices, N.
    """

    def __init__(self, triangles: NDArray[np.int64], count: int) -> None:
        matrix = laplacian(triangles, count)
        self._laplacians, self._up, self._down = [_Matrix(matrix)], [], []
        while matrix.shape[0] > _COARSEST:
            up = _prolongation(matrix)
            if up.shape[1] > 0.8 * up.shape[0]:  # hardly an edge is left: the diagonal solves this level
                break
            down = up.T.tocsr()
            matrix = (down @ matrix @ up).tocsr()
            self._laplacians.append(_Matrix(matrix))
            self._up.append(_Matrix(up))
            self._down.append(_Matrix(down))
        self._dense = None
        if matrix.shape[0] <= _COARSEST:
            self._dense = torch.from_numpy(matrix.toarray())

    @torch.inference_mode()
    def __call__(
        self, weights: Sequence[NDArray[np.floating]], targets: Sequence[NDArray[np.floating]]
    ) -> list[NDArray[np.float32]]:
        """x (N, 3) of (diag(weight) + L) x = target for some faces, computed in float32.

        weights: (N,) each, positive. targets: (N, 3) each. A face's answer is that which it gets alone.
        """
        found: list[NDArray[np.float32]] = []
        for start in range(0, len(weights), _SIDE_BY_SIDE):
            some = slice(start, start + _SIDE_BY_SIDE)
            columns = np.concatenate([np.asarray(target, np.float32) for target in targets[some]], axis=1)
            weight = np.stack([np.asarray(row, np.float32) for row in weights[some]], axis=1)
            answer = self._solved(torch.from_numpy(weight), torch.from_numpy(columns)).numpy()
            found += [np.ascontiguousarray(part) for part in np.split(answer, weight.shape[1], axis=1)]
        return found

    def _solved(self, weight: Tensor, residual: Tensor) -> Tensor:
        """For weights (N, F) and right-hand sides (N, 3F)."""
        cycle = _Cycle(self._laplacians, self._up, self._down, self._dense, weight)
        found, direction = torch.zeros_like(residual), torch.zeros_like(residual)
        first = before = None
        for _ in range(_MOST):
            better = cycle(residual)
            product = _dots(residual, better)
            first = product if first is None else first
            going = product > _ENOUGH**2 * first
            if not bool(going.any()):
                break
            if before is not None:
                direction *= _over(product, before, going)
            direction += better
            before = product
            image = cycle.product(direction)
            # What is done stays as it is, however long the others take.
            step = _over(product, _dots(direction, image), going)
            found += step * direction
            residual = residual - step * image
        return found


class _Matrix:
    """A sparse matrix whose products with many columns are as fast as the processor reads it.

    That is what the sum of a bag of a table's rows is.
    """

    def __init__(self, matrix: csr_matrix) -> None:
        self.diagonal = torch.from_numpy(matrix.diagonal().astype(np.float32))
        self._columns = torch.from_numpy(matrix.indices.astype(np.int32))
        self._starts = torch.from_numpy(matrix.indptr.astype(np.int32))
        self._values = torch.from_numpy(matrix.data.astype(np.float32))

    def __matmul__(self, columns: Tensor) -> Tensor:
        """(A, N) @ (N, C)."""
        return F.embedding_bag(
            self._columns,
            columns,
            self._starts,
            mode="sum",
            per_sample_weights=self._values,
            include_last_offset=True,
        )


class _Cycle:
    """One V cycle for the weights (N, F) of some faces: approximate inverses, symmetric and positive."""

    def __init__(
        self,
        laplacians: list[_Matrix],
        up: list[_Matrix],
        down: list[_Matrix],
        dense: Tensor | None,
        weight: Tensor,
    ) -> None:
        self._laplacians, self._up, self._down = laplacians, up, down
        weights = [weight]
        for restrict in down:
            weights.append(restrict @ weights[-1])  # lumped: the exact product would not be a diagonal
        self._weights = [rows.repeat_interleave(3, dim=1) for rows in weights]
        self._inverses = [
            1 / (matrix.diagonal[:, None] + rows)
            for matrix, rows in zip(laplacians, self._weights, strict=True)
        ]
        self._last = None
        if dense is not None:
            self._last = torch.linalg.cholesky(dense + torch.diag_embed(weights[-1].T.double()))

    def product(self, columns: Tensor, level: int = 0) -> Tensor:
        """(diag(w) + L) @ (N, 3F)."""
        return (self._laplacians[level] @ columns).addcmul_(self._weights[level], columns)

    def __call__(self, residual: Tensor, level: int = 0) -> Tensor:
        inverse = self._inverses[level]
        if level == len(self._up):
            return inverse * residual if self._last is None else _dense_solved(self._last, residual)
        first, second = _STEPS
        found = first * inverse * residual
        found.addcmul_(inverse, residual - self.product(found, level), value=second)
        rest = self._down[level] @ (residual - self.product(found, level))
        found += self._up[level] @ self(rest, level + 1)
        # The same in reverse: a cycle must be symmetric.
        found.addcmul_(inverse, residual - self.product(found, level), value=second)
        return found.addcmul_(inverse, residual - self.product(found, level), value=first)


def _dense_solved(factors: Tensor, residual: Tensor) -> Tensor:
    """The systems with Cholesky factors (F, N, N) solved for (N, 3F)."""
    count = len(residual)
    columns = residual.double().view(count, -1, 3).transpose(0, 1)
    return torch.cholesky_solve(columns, factors).transpose(0, 1).reshape(count, -1).float()


def _dots(first: Tensor, second: Tensor) -> Tensor:
    """Of the columns (N, C) of two arrays, (C,); in float64, where the order of the sum does not matter."""
    return (first * second).sum(0, dtype=torch.float64).float()


def _over(above: Tensor, below: Tensor, going: Tensor) -> Tensor:
    """A quotient where the column still goes on, 0 elsewhere."""
    return torch.where(going & (below > 0), above / below, 0.0)


def laplacian(triangles: NDArray[np.int64], count: int) -> csr_matrix:
    """The mesh's graph Laplacian (N, N): degree on the diagonal, -1 for each edge."""
    ends = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    low, high = np.divmod(np.unique(ends.min(axis=1) * count + ends.max(axis=1)), count)
    low, high = low[low != high], high[low != high]
    first, second = np.concatenate([low, high]), np.concatenate([high, low])
    adjacency = csr_matrix((np.ones(len(first)), (first, second)), shape=(count, count))
    return (diags(np.asarray(adjacency.sum(axis=1)).ravel()) - adjacency).tocsr()


def _prolongation(matrix: Any) -> Any:
    """(N, A): values of aggregates spread to the vertices by one step of Jacobi's method."""
    member = _aggregates(matrix)
    count = len(member)
    spread = csr_matrix((np.ones(count), (np.arange(count), member)), shape=(count, member.max() + 1))
    diagonal = np.maximum(matrix.diagonal(), 1e-12)
    return (spread - diags(_JACOBI / diagonal) @ (matrix @ spread)).tocsr()


def _aggregates(matrix: Any) -> NDArray[np.int64]:
    """For each vertex (N,) the number of its aggregate: that of a root within two edges."""
    count = matrix.shape[0]
    # A vertex of its own in each row, so that no row is empty.
    links = (abs(matrix) + diags(np.ones(count))).tocsr()
    starts, neighbors = links.indptr[:-1], links.indices
    # Any order that is not that of the mesh's strips will do; this one is the same everywhere.
    key = (np.arange(count, dtype=np.int64) * 2_654_435_761 % 4_294_967_296) * count + np.arange(count)
    state = key.copy()  # -1: beside a root; the largest number: a root
    root = np.iinfo(np.int64).max
    while (open_ := (state >= 0) & (state < root)).any():
        near = np.maximum.reduceat(state[neighbors], starts)
        near = np.maximum.reduceat(near[neighbors], starts)
        state[open_ & (near == root)] = -1
        state[open_ & (near == state)] = root
    member = np.where(state == root, np.cumsum(state == root) - 1, -1)
    for _ in range(2):  # the vertices beside the roots, then those beside them
        member = np.where(member >= 0, member, np.maximum.reduceat(member[neighbors], starts))
    return member
