"""PointIndex: the search structure of a cloud; and the checks of clouds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ._arguments import INTEGERS, as_indices
from ._checks import check_device, check_float, check_tensor, shape_text
from ._dispatch import plain, refuse_script, refuse_trace
from ._operator import operator
from ._packing import BLOCK, block_count
from ._vmap import fold

_LEVELS = 7
Tree = tuple[Tensor, Tensor, Tensor, Tensor]


class PointIndex(nn.Module):
    """The search structure of points that `nearest_neighbors` searches more than once.

    Args:
        points: (B, P, 3) or (P, 3), float32 or float64 (half precision is promoted to float32). They are
            copied.
        lengths: (B,) integers: only the first `lengths[b]` points of element b are real.

    Attributes: `points` (B, P, 3) and `lengths` (B,) int64 or None, in the order given. Read-only.

    A module of buffers: `to()` moves it, a change between float32 and float64 rebuilds it. It is derived from
    its points, so `state_dict()` is empty. It is a constant for autograd: pass `nearest_neighbors` the tensor
    where the points need a gradient.

    The points are sorted along a space-filling curve and cut into leaves of 16 under a tree of 16-wide boxes;
    a crowd in one cell of the curve's grid is sorted again by a grid of its own, so that outliers and
    clusters cost nothing. About 30 bytes a point in float32, the points' copy included.
    On CUDA there is one grid, though a finer one: a crowd within 1/65536 of the cloud's extent (of more where
    there are many elements) stays unsorted, and a search in it is slower.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came; also for coordinates that
        are not finite. On CUDA values are not checked: see `nearest_neighbors`.
    """

    points: Tensor
    lengths: Tensor | None
    _leaves: Tensor
    _ids: Tensor
    _boxes: Tensor
    _lowest: Tensor

    def __init__(self, points: Tensor, lengths: Tensor | None = None) -> None:
        super().__init__()
        checked = cloud(points, "points")
        if checked.requires_grad:
            raise ValueError("points: a constant in a PointIndex, got points that require a gradient; detach")
        self.batched = checked.dim() == 3
        if not self.batched:
            checked = checked[None]
        checked = checked.clone(memory_format=torch.contiguous_format)
        sizes = lengths_of(lengths, "lengths", checked.shape[0], checked.device, not self.batched)
        self.register_buffer("points", checked, persistent=False)
        self.register_buffer("lengths", sizes, persistent=False)
        self._build()

    def _build(self) -> None:
        tree = build(self.points, self.lengths, tight=True)
        for name, tensor in zip(("_leaves", "_ids", "_boxes", "_lowest"), tree, strict=True):
            self.register_buffer(name, tensor, persistent=False)

    @property
    def tree(self) -> Tree:
        """The tensors that the operator takes besides the points."""
        return self._leaves, self._ids, self._boxes, self._lowest

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PointIndex:
        dtype = fn(self.points[:0]).dtype
        if dtype == self.points.dtype:
            return super()._apply(fn, recurse)  # type: ignore[no-any-return]
        if dtype not in (torch.float32, torch.float64):
            raise TypeError(f"PointIndex: expected float32 or float64, got {dtype}")
        self.points = fn(self.points)
        if self.lengths is not None:
            self.lengths = fn(self.lengths)
        self._build()
        return self

    def __prepare_scriptable__(self) -> PointIndex:
        """torch.jit.script asks for what it should compile."""
        refuse_script("PointIndex")
        return self

    def extra_repr(self) -> str:
        """Shape and dtype."""
        return f"points={shape_text(self.points)}, dtype={self.points.dtype}"


def cloud(value: object, name: str, dim: int | None = None) -> Tensor:
    """(B, N, 3) or (N, 3) of float32 or float64."""
    tensor = check_tensor(value, name)
    if tensor.dim() not in ((2, 3) if dim is None else (dim,)) or tensor.shape[-1] != 3:
        expected = {None: "(B, N, 3) or (N, 3)", 2: "(N, 3)", 3: "(B, N, 3)"}[dim]
        raise ValueError(f"{name}: expected {expected}, got {shape_text(tensor)}")
    if tensor.dtype in (torch.float16, torch.bfloat16):
        tensor = tensor.to(torch.float32)
    check_float(tensor, name)
    check_device(tensor, name)
    return tensor


def lengths_of(
    value: object, name: str, batch: int, device: torch.device, single: bool = False
) -> Tensor | None:
    """(B,) int64 or None. The kernels check the values."""
    if value is None:
        return None
    tensor = check_tensor(as_indices(value, name, device), name)
    if tensor.dtype not in INTEGERS:
        raise TypeError(f"{name}: expected integers, got {tensor.dtype}")
    if single:
        raise ValueError(f"{name}: expected None for a single cloud (N, 3), got {shape_text(tensor)}")
    if tuple(tensor.shape) != (batch,):
        raise ValueError(f"{name}: expected ({batch},), got {shape_text(tensor)}")
    if tensor.device != device:
        raise ValueError(f"{name}: expected device {device} like the clouds, got {tensor.device}")
    return tensor.to(torch.int64)


def asked(
    query: Tensor, points: Tensor | PointIndex, lengths: Tensor | None
) -> tuple[Tensor, Tensor, Tree | None, Tensor | None, bool]:
    """The arguments that every search has, checked: query and points with a batch, the tree, lengths, and
    whether there was no batch.

    The tree is None for points that have none yet; their lengths are then as they were given. Raises as
    `nearest_neighbors`.
    """
    tree: Tree | None
    if isinstance(points, PointIndex):
        if lengths is not None:
            raise ValueError("lengths: expected None with a PointIndex, which has its own")
        single = not points.batched
        query = cloud(query, "query", 2 if single else 3)
        known, lengths, tree = points.points, points.lengths, points.tree
    else:
        query = cloud(query, "query")
        single = query.dim() == 2
        known = cloud(points, "points", query.dim())
        tree = None
    if known.dtype != query.dtype:
        raise TypeError(f"points: expected {query.dtype} like query, got {known.dtype}")
    if known.device != query.device:
        raise ValueError(f"points: expected device {query.device} like query, got {known.device}")
    if single:
        query, known = query[None], known if tree is not None else known[None]
    batch = query.shape[0]
    if known.shape[0] != batch:
        raise ValueError(f"points: expected ({batch}, P, 3) for a query of {batch}, got {shape_text(known)}")
    return query, known, tree, lengths, single


def build(
    points: Tensor, lengths: Tensor | None, tight: bool = False, name: str = "nearest_neighbors"
) -> Tree:
    """The tree of (B, P, 3) points. A tight tree takes longer to build and less time to search."""
    refuse_trace(name)
    points = points.detach()
    try:
        return _run(points, lengths, tight)
    except RuntimeError:
        if plain():
            explain_points(points, lengths, "points", "lengths")
        raise


def explain_points(points: Tensor, sizes: Tensor | None, name: str, sizes_name: str) -> None:
    """ValueError for lengths outside of [0, N] and for coordinates that are not finite."""
    count = points.shape[1]
    for b in range(len(points)):
        size = count if sizes is None else int(sizes[b])
        if not 0 <= size <= count:
            raise ValueError(f"{sizes_name}: expected numbers in [0, {count}], got {size} for element {b}")
        wrong = ~torch.isfinite(points[b, :size]).all(dim=1)
        if wrong.any():
            n = int(wrong.nonzero()[0])
            raise ValueError(
                f"{name}: expected finite numbers, got {points[b, n].tolist()} at {n} of element {b}"
            )


@operator("neighbor_tree", vmap=fold(faces=(0, 1)))
def _run(points: Tensor, lengths: Tensor | None, tight: bool) -> Tree:
    batch = points.shape[0]
    leaves = level = block_count(points.shape[1])
    nodes = 0
    for _ in range(_LEVELS):
        level = block_count(level)
        nodes = nodes + level
    return (
        points.new_empty((batch, leaves, 3, BLOCK)),
        points.new_empty((batch, leaves, BLOCK), dtype=torch.int32),
        points.new_empty((batch, nodes, 6, BLOCK)),
        points.new_empty((batch, nodes, BLOCK), dtype=torch.int32),
    )
