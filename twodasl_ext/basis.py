"""MorphableBasis: a mean shape, its linear modes and a list of landmark vertices, in the kernels' layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.compiler import is_dynamo_compiling

from ._arguments import as_indices, as_tensor
from ._basis_parts import HALVES, STORAGES, Watched, check_parts, check_shapes, wrong_entries
from ._checks import check_indices
from ._devices import check_move, check_place
from ._dispatch import is_tracing, refuse_script, refuse_trace, traced
from ._distance_factor import check_weights, factor_and_layout, moment_factor
from ._kept import constant, fits, keep, lasting, make_constant
from ._packing import huge_modes, pack_mean, pack_rows
from ._whole import basis_factor

_PLACES = ("_kept_mean", "_kept_modes", "_kept_rows", "_kept_factors")
"""The attributes in which a basis keeps what it derives from its tensors."""


class MorphableBasis(nn.Module):
    """A linear shape basis: shape = mean + sum_k c_k modes_k.

    Args:
        mean: (N, 3), the mean shape, any unit.
        modes: (K, N, 3), displacement per unit of each coefficient; K may be 0.
        landmarks: (L,) integer vertex indices that `landmarks` and `importance_weights` use, or None.
        storage: how the modes are stored: float32 (default), float64 (everything then runs in double
            precision), or bfloat16/float16, which halve the memory traffic of `vertices`. With the last two
            the arithmetic and the mean stay float32: only the displacements are rounded.

    A mean or modes that require a gradient are kept as they are (an `nn.Parameter` becomes a parameter of
    this module), so that a basis can be fine-tuned; anything else is copied. `mean`, `modes` and `landmarks`
    are ordinary parameters or buffers: `state_dict()` holds them and nothing else, and they may be replaced
    or changed in place. What the kernels read (the reordered modes and the distance factor) is derived from
    them at the first use and again after a change; it is not part of the module's state. For parameters, even
    frozen ones, it is derived in every call, because parameters are there to be changed. A write to a buffer
    that torch does not count, through `basis.mean.data` or `.numpy()`, goes unnoticed until
    `torch.autograd.graph.increment_version(basis.mean)` reports it.

    `to()` moves the basis or changes its precision; half precision reaches only modes that are not trained.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.
    """

    mean: Tensor
    modes: Tensor
    landmarks: Tensor | None
    _kept_rows: Any

    def __init__(
        self,
        mean: Tensor | np.ndarray,
        modes: Tensor | np.ndarray,
        landmarks: Tensor | np.ndarray | Sequence[int] | None = None,
        *,
        storage: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        mean, modes = as_tensor(mean, "mean"), as_tensor(modes, "modes")
        check_shapes(mean, modes)
        if storage not in STORAGES:
            raise TypeError(f"storage: expected one of {', '.join(map(str, STORAGES))}, got {storage}")
        if modes.requires_grad and storage in HALVES:
            raise TypeError(f"storage: expected float32 or float64 for modes that are trained, got {storage}")
        check_place(mean.device, "basis")
        indices = None
        with torch.inference_mode(False):  # tensors whose changes can be seen
            self._keep("mean", mean, torch.float64 if storage == torch.float64 else torch.float32)
            self._keep("modes", modes, storage)
            if landmarks is not None:
                indices = check_indices(as_indices(landmarks, "landmarks"), len(mean), "landmarks")
                indices = indices.to(mean.device, copy=True)
        self.register_buffer("landmarks", indices)
        self._watched = Watched()
        self._watch()
        self._forget()

    def _keep(self, name: str, tensor: Tensor, dtype: torch.dtype) -> None:
        if isinstance(tensor, nn.Parameter) and tensor.requires_grad and tensor.dtype == dtype:
            self.register_parameter(name, tensor)
        elif tensor.requires_grad:
            self.register_buffer(name, tensor.to(dtype))
        else:
            self.register_buffer(name, tensor.detach().to(dtype, copy=True).contiguous())

    # ---- properties --------------------------------------------------------------------------------------

    # Buffers are read from their dictionary: nn.Module's lookup costs a microsecond, six times per call.

    def _read(self, name: str) -> Any:
        if is_dynamo_compiling():  # guards are placed where a tensor is first seen
            _ = self._watched.mean.requires_grad, self._watched.modes.requires_grad
        buffers = self._buffers  # a mean or modes may be a parameter instead
        return buffers[name] if name in buffers else getattr(self, name)

    @property
    def vertex_count(self) -> int:
        """N, the number of vertices."""
        return self._read("mean").shape[0]

    @property
    def mode_count(self) -> int:
        """K, the number of modes."""
        return self._read("modes").shape[0]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the arithmetic, of coefficients and of poses: float32 or float64."""
        return self._read("mean").dtype

    @property
    def device(self) -> torch.device:
        """The device of the mean and the modes."""
        return self._read("mean").device

    @property
    def storage(self) -> torch.dtype:
        """The dtype in which the modes are stored."""
        return self._read("modes").dtype

    @property
    def trained(self) -> bool:
        """Whether the mean or the modes require a gradient."""
        return self._read("mean").requires_grad or self._read("modes").requires_grad

    @property
    def changing(self) -> bool:
        """Whether the mean or the modes are trained or parameters: nothing derived from them is kept."""
        parts = (self._read("mean"), self._read("modes"))
        return self.trained or any(isinstance(part, nn.Parameter) for part in parts)

    def extra_repr(self) -> str:
        """Sizes for repr()."""
        count = 0 if self.landmarks is None else len(self.landmarks)
        sizes = f"vertices={self.vertex_count}, modes={self.mode_count}, landmarks={count}"
        return f"{sizes}, storage={self.storage}"

    # ---- what the operators read -------------------------------------------------------------------------

    def packed(self) -> tuple[Tensor, Tensor]:
        """Mean (blocks, 3, 16) and modes (blocks, K, 3, 16) of all vertices."""
        mean, modes = self._read("mean"), self._read("modes")
        return self._made("_kept_mean", pack_mean, mean), self._made("_kept_modes", huge_modes, modes)

    def packed_landmarks(self) -> tuple[Tensor, Tensor, int]:
        """The same for the landmark vertices alone, and their number."""
        buffers = self._buffers
        indices, kept = buffers["landmarks"], self._kept_rows
        # A few landmarks take no longer than a dozen lines of Python, so the usual case is short.
        if (
            not is_dynamo_compiling()
            and not is_tracing()
            and fits(kept, buffers.get("mean"), buffers.get("modes"), indices)
        ):
            return kept[0]
        if indices is None:
            raise ValueError("basis: has no landmarks; make it with landmarks=, or pass indices")
        return self._made("_kept_rows", pack_rows, self._read("mean"), self._read("modes"), indices)

    def packed_rows(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The same for any list of vertices (L,), gathered at each call."""
        mean, modes = self.plain()
        return pack_rows(mean, modes, indices)[:2]

    def plain(self) -> tuple[Tensor, Tensor]:
        """Mean (N, 3) and modes (K, N, 3), checked, for callers that derive what they need themselves."""
        refuse_trace("MorphableBasis")
        self._check()
        return self._read("mean"), self._read("modes")

    def distance_factor(self, weights: Tensor | np.ndarray | Sequence[float] | None = None) -> Tensor:
        """R with R^T R = sum_n w_n f_n f_n^T / sum_n w_n, f_n = (mean_n, modes_n, 1): the second moments.

        Args:
            weights: (N,), nonnegative, any real dtype or bool: how much each vertex counts; a 0/1 mask
                selects some of them. None weights all equally.

        Returns:
            (min(N, F), F) with F = 3 (K + 1) + 1, upper triangular, of the basis's dtype. It comes from a QR
            decomposition in double precision. The factor for equal weights is computed at the first call and
            kept until the mean or the modes change. A factor for other weights is not kept: pass it to
            `vertex_distance_cost(..., factor=)`.

        Raises:
            ValueError, TypeError: naming the argument, what was expected and what came; ValueError for a
                basis that is being trained, which has no constant factor.
        """
        if self.trained:
            raise ValueError("basis: one that is being trained has no constant distance factor")
        mean, modes = self._read("mean"), self._read("modes")
        if weights is not None:
            refuse_trace("MorphableBasis")
            self._check()
            weights = check_weights(as_tensor(weights, "weights"), self.vertex_count, self.device)
            return moment_factor(mean, modes, weights, self.dtype)
        return self._factors()[0]

    def packed_distance_factor(self) -> Tensor:
        """The same in the kernels' layout, (2, width, width); kept beside it."""
        return self._factors()[1]

    def _factors(self) -> tuple[Tensor, Tensor]:
        mean, modes = self._read("mean"), self._read("modes")
        refuse_trace("MorphableBasis")
        if traced():
            self._check()
            return basis_factor(mean, modes)
        return self._made("_kept_factors", factor_and_layout, mean, modes)

    def _made(self, place: str, make: Callable[..., Any], *tensors: Tensor) -> Any:
        """`make(*tensors)`, kept in the attribute `place` until they change."""
        if torch.compiler.is_compiling():
            self._check()
            return make(*tensors)
        if is_tracing():  # asked first here: the other question takes ten times as long, in every call
            refuse_trace("MorphableBasis")
        kept = self.__dict__[place]
        if fits(kept, *tensors):
            return kept[0]
        self._check()
        if not constant(*tensors):
            return make(*tensors)
        value = make_constant(make, *tensors)
        if lasting(value):
            self.__dict__[place] = keep(value, *tensors)
        return value

    def _check(self) -> None:
        """ValueError or TypeError unless mean, modes and landmarks, as they are now, make a basis."""
        mean, modes, indices = self._read("mean"), self._read("modes"), self._read("landmarks")
        if not torch.compiler.is_compiling():
            self._watch()
        check_parts(mean, modes, indices)

    def _watch(self) -> None:
        self._watched.mean, self._watched.modes = self._read("mean"), self._read("modes")

    def _forget(self) -> None:
        self.__dict__.update(dict.fromkeys(_PLACES))

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles leave out what is derived from the tensors."""
        return {**self.__dict__, **dict.fromkeys(_PLACES)}

    # ---- nn.Module -----------------------------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MorphableBasis:
        modes = self._read("modes")
        check_move(fn, self._read("mean"), "basis")  # fail at the move, not at the first use

        def gently(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if moved.dtype not in HALVES or (tensor is modes and type(tensor) is Tensor):
                return moved
            # half() and bfloat16() reach every floating tensor; only modes that are constant may be narrow.
            return tensor.to(moved.device, tensor.dtype if self.changing else torch.float32)

        with torch.inference_mode(False):  # tensors whose changes can be seen
            super()._apply(gently, recurse)
        self._watch()
        return self

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        # All or nothing; an entry that earlier versions saved is ignored.
        state = {k: v for k, v in state_dict.items() if k != prefix + "distance_factor"}
        here = {name: self._read(name) for name in ("mean", "modes", "landmarks")}
        wrong = wrong_entries(here, state, prefix)
        error_msgs.extend(wrong)
        if not wrong:
            super()._load_from_state_dict(
                state, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
            )
            self._watch()

    def __prepare_scriptable__(self) -> MorphableBasis:
        """torch.jit.script asks for what it should compile."""
        refuse_script("MorphableBasis")
        return self
