"""MorphableBasis: a mean shape, its linear modes and a list of landmark vertices, in the kernels' layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._checks import check_indices, shape_text
from ._devices import check_place
from ._distance_factor import check_weights, lasting, moment_factor, pack_factor
from ._packing import gather_modes, in_large_pages, pack_mean, pack_modes, unpack_modes

_STORAGES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_HALVES = (torch.bfloat16, torch.float16)
_FACTORS = ("_distance_factor", "_packed_factor")
_CACHES = ("_packed_mean", "_packed_modes", "_landmark_mean", "_landmark_modes", *_FACTORS)


def _as_tensor(value: object, name: str) -> Tensor:
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a torch.Tensor or numpy array, got {type(value).__name__}")
    return value


class MorphableBasis(nn.Module):
    """A linear shape basis: shape = mean + sum_k c_k modes_k.

    Args:
        mean: (N, 3), the mean shape, any unit.
        modes: (K, N, 3), displacement per unit of each coefficient; K may be 0.
        landmarks: (L,) integer vertex indices that `landmarks` and `importance_weights` use, or None.
        storage: how the modes are kept: float32 (default), float64 (everything then runs in double
            precision), or bfloat16/float16, which halve the memory traffic of `vertices`. With the last two
            the arithmetic and the mean stay float32: only the displacements are rounded.

    A mean or modes that require a gradient are kept as they are (an `nn.Parameter` becomes a parameter of
    this module) and packed in every call, so that a basis can be fine-tuned; anything else is copied and
    packed once, here. `state_dict()` holds `mean`, `modes` and `landmarks` in their plain layout, and the
    distance factor once it was built. `to()` moves the basis or changes its precision; half precision reaches
    the storage of the modes only.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.
    """

    mean: Tensor
    landmarks: Tensor | None
    _trained_modes: Tensor | None
    _packed_mean: Tensor | None
    _packed_modes: Tensor | None
    _landmark_mean: Tensor | None
    _landmark_modes: Tensor | None
    _distance_factor: Tensor | None
    _packed_factor: Tensor | None

    def __init__(
        self,
        mean: Tensor | np.ndarray,
        modes: Tensor | np.ndarray,
        landmarks: Tensor | np.ndarray | None = None,
        *,
        storage: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        mean, modes = _as_tensor(mean, "mean"), _as_tensor(modes, "modes")
        _check_shapes(mean, modes)
        if storage not in _STORAGES:
            raise TypeError(f"storage: expected one of {', '.join(map(str, _STORAGES))}, got {storage}")
        if modes.requires_grad and storage in _HALVES:
            raise TypeError(f"storage: expected float32 or float64 for modes that are trained, got {storage}")
        check_place(mean.device, "basis")
        compute = torch.float64 if storage == torch.float64 else torch.float32
        self._keep("mean", mean, compute)
        if modes.requires_grad:
            self._keep("_trained_modes", modes, compute)
        else:
            self.register_buffer("_trained_modes", None)
        indices = None
        if landmarks is not None:
            indices = check_indices(_as_tensor(landmarks, "landmarks"), len(mean), "landmarks")
            indices = indices.to(mean.device, copy=True)
        self.register_buffer("landmarks", indices)
        self._pack(modes.detach().to(storage))

    def _keep(self, name: str, tensor: Tensor, dtype: torch.dtype) -> None:
        if isinstance(tensor, nn.Parameter) and tensor.requires_grad and tensor.dtype == dtype:
            self.register_parameter(name, tensor)
        elif tensor.requires_grad:
            self.register_buffer(name, tensor.to(dtype))
        else:
            self.register_buffer(name, tensor.detach().to(dtype, copy=True).contiguous())

    def _pack(self, modes: Tensor) -> None:
        """Fills the caches of whatever is not trained. `modes` (K, N, 3) has the storage's dtype."""
        caches: dict[str, Tensor | None] = dict.fromkeys(_CACHES)
        with torch.no_grad():
            if not self.mean.requires_grad:
                caches["_packed_mean"] = pack_mean(self.mean)
                if self.landmarks is not None:
                    caches["_landmark_mean"] = pack_mean(self.mean[self.landmarks])
            if self._trained_modes is None:
                caches["_packed_modes"] = in_large_pages(pack_modes(modes))
                if self.landmarks is not None:
                    # So few vertices gain nothing from half precision; their values are those of `vertices`.
                    rows = modes[:, self.landmarks].to(self.mean.dtype)
                    caches["_landmark_modes"] = pack_modes(rows)
        for name, tensor in caches.items():
            self.register_buffer(name, tensor, persistent=False)

    # ---- what it is --------------------------------------------------------------------------------------

    # Buffers are read out of their dictionary: nn.Module's search costs a microsecond, six times in a call.
    # Nothing is cached beside it, so whatever replaces a buffer (to, load_state_dict, replicas) is seen.

    def _read(self, name: str) -> Any:
        buffers = self._buffers  # a mean or modes may be a parameter instead
        return buffers[name] if name in buffers else getattr(self, name)

    @property
    def vertex_count(self) -> int:
        """N."""
        return self._read("mean").shape[0]

    @property
    def mode_count(self) -> int:
        """K."""
        packed = self._buffers["_packed_modes"]
        return self._kept_modes().shape[0] if packed is None else packed.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The arithmetic's dtype, which coefficients and poses must have: float32 or float64."""
        return self._read("mean").dtype

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self._read("mean").device

    @property
    def storage(self) -> torch.dtype:
        """The dtype in which the modes are kept."""
        packed = self._packed_modes
        return self._kept_modes().dtype if packed is None else packed.dtype

    @property
    def trained(self) -> bool:
        """Whether the mean or the modes require a gradient."""
        return self.mean.requires_grad or self._trained_modes is not None

    @property
    def modes(self) -> Tensor:
        """(K, N, 3): the trained tensor itself, otherwise a fresh copy out of the packed layout."""
        packed = self._packed_modes
        return self._kept_modes() if packed is None else unpack_modes(packed, self.vertex_count)

    def _kept_modes(self) -> Tensor:
        assert self._trained_modes is not None
        return self._trained_modes

    def extra_repr(self) -> str:
        """Sizes for repr()."""
        count = 0 if self.landmarks is None else len(self.landmarks)
        sizes = f"vertices={self.vertex_count}, modes={self.mode_count}, landmarks={count}"
        return f"{sizes}, storage={self.storage}"

    # ---- what the operators read -------------------------------------------------------------------------

    def packed(self) -> tuple[Tensor, Tensor]:
        """Mean (blocks, 3, 16) and modes (blocks, K, 3, 16) of all vertices."""
        buffers, plain_mean = self._buffers, self._read("mean")
        mean, modes = buffers["_packed_mean"], buffers["_packed_modes"]
        if mean is None or plain_mean.requires_grad:
            mean = pack_mean(plain_mean)
        return mean, pack_modes(self._kept_modes()) if modes is None else modes

    def packed_landmarks(self) -> tuple[Tensor, Tensor, int]:
        """The same of the landmark vertices alone, and their number."""
        buffers = self._buffers
        indices = buffers["landmarks"]
        if indices is None:
            raise ValueError("basis: has no landmarks; make it with landmarks=, or pass indices")
        mean, modes = buffers["_landmark_mean"], buffers["_landmark_modes"]
        if mean is None or modes is None or self._read("mean").requires_grad:
            mean, modes = self.packed_rows(indices)
        return mean, modes, indices.shape[0]

    def packed_rows(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The same of any list of vertices (L,), gathered now."""
        packed = self._packed_modes
        if packed is None:
            modes = self._kept_modes()[:, indices]
        else:
            modes = gather_modes(packed, indices).to(self.mean.dtype)
        return pack_mean(self.mean[indices]), pack_modes(modes)

    def distance_factor(self, weights: Tensor | np.ndarray | None = None) -> Tensor:
        """R with R^T R = sum_n w_n f_n f_n^T / sum_n w_n, f_n = (mean_n, modes_n, 1): the second moments.

        Args:
            weights: (N,), not negative, any real dtype or bool: how much each vertex counts; a 0/1 mask
                chooses some of them. None counts all alike.

        Returns:
            (min(N, F), F) with F = 3 (K + 1) + 1, upper triangular, of the basis's dtype. It comes from a QR
            decomposition in double precision. The one of equal weights is built at the first call, compiled
            or not, and then kept; an exported program in which it was not built yet builds it in every call.
            One of other weights is the caller's to keep, and goes to `vertex_distance_cost(..., factor=)`.

        Raises:
            ValueError, TypeError: naming the argument, what was expected and what came; ValueError for a
                basis that is being trained, which has no constant factor.
        """
        if self.trained:
            raise ValueError("basis: one that is being trained has no constant distance factor")
        if weights is not None:
            weights = check_weights(_as_tensor(weights, "weights"), self.vertex_count, self.device)
            return moment_factor(self.mean, self.modes, weights, self.dtype)
        if self._distance_factor is not None:
            return self._distance_factor
        factor = moment_factor(self.mean, self.modes, None, self.dtype)
        if lasting(factor):
            self._distance_factor = factor
        return factor

    def packed_distance_factor(self) -> Tensor:
        """The same in the kernels' layout, (2, width, width); kept beside it, but not saved."""
        packed = self._buffers["_packed_factor"]
        if packed is None or self.trained:
            packed = pack_factor(self.distance_factor())
            if lasting(packed):
                self._packed_factor = packed
        return packed

    # ---- nn.Module -----------------------------------------------------------------------------------------

    def _apply(self, fn: Any, recurse: bool = True) -> MorphableBasis:
        before, stored = self.dtype, self.storage
        full = {name: t.detach() for name, t in self._tensors().items() if name != "_packed_modes"}
        check_place(fn(self._read("mean")[:0]).device, "basis")  # at the move, not at the first use
        super()._apply(fn, recurse)
        if self.dtype in _HALVES:
            # half() and bfloat16() reach every floating tensor; only the packed modes may be narrow.
            for name, tensor in full.items():
                self._tensors()[name].data = tensor.to(self.device)
        if self.storage != stored and self._landmark_modes is not None:
            # Landmarks are vertices to the last bit, so they are rounded as those now are.
            rows = gather_modes(self._read("_packed_modes"), self._read("landmarks"))
            self._landmark_modes = pack_modes(rows.to(self.dtype))
        if self.dtype != before or self.storage != stored:
            self._distance_factor = self._packed_factor = None
        return self

    def _tensors(self) -> dict[str, Tensor]:
        both = {**self._parameters, **self._buffers}
        return {name: t for name, t in both.items() if t is not None and t.is_floating_point()}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        plain = {"mean": self.mean, "modes": self.modes, "landmarks": self.landmarks}
        for name, tensor in {**plain, "distance_factor": self._distance_factor}.items():
            if tensor is not None:
                destination[prefix + name] = tensor if keep_vars else tensor.detach()

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
        expected: dict[str, tuple[int, ...]] = {
            "mean": tuple(self.mean.shape),
            "modes": (self.mode_count, self.vertex_count, 3),
        }
        if self.landmarks is not None:
            expected["landmarks"] = tuple(self.landmarks.shape)
        wrong = []
        for name, shape in expected.items():
            tensor = state_dict.get(prefix + name)
            if tensor is None:
                missing_keys.append(prefix + name)
            elif tuple(tensor.shape) != shape:
                wrong.append(f"{prefix}{name}: expected {shape}, got {shape_text(tensor)}")
        if strict:
            known = {prefix + name for name in (*expected, "distance_factor")}
            unexpected_keys.extend(k for k in state_dict if k.startswith(prefix) and k not in known)
        error_msgs.extend(wrong)
        if wrong or any(state_dict.get(prefix + name) is None for name in expected):
            return
        storage = self.storage
        with torch.no_grad():
            self.mean.copy_(state_dict[prefix + "mean"])
            if self.landmarks is not None:
                indices = check_indices(state_dict[prefix + "landmarks"], self.vertex_count, "landmarks")
                self.landmarks.copy_(indices)
            modes = state_dict[prefix + "modes"].to(self.device)
            if self._trained_modes is not None:
                self._trained_modes.copy_(modes)
            self._pack(modes.to(storage))
            factor = state_dict.get(prefix + "distance_factor")
            if factor is not None and not self.trained:
                self._distance_factor = factor.to(self.device, self.dtype, copy=True)


def _check_shapes(mean: Tensor, modes: Tensor) -> None:
    if mean.dim() != 2 or mean.shape[1] != 3 or mean.shape[0] == 0:
        raise ValueError(f"mean: expected (N, 3) with at least one vertex, got {shape_text(mean)}")
    if modes.dim() != 3 or modes.shape[1:] != mean.shape:
        count = mean.shape[0]
        raise ValueError(
            f"modes: expected (K, {count}, 3) for a mean of {count} vertices, got {shape_text(modes)}"
        )
    for tensor, name in ((mean, "mean"), (modes, "modes")):
        if not tensor.is_floating_point():
            raise TypeError(f"{name}: expected a floating-point tensor, got {tensor.dtype}")
    if modes.device != mean.device:
        raise ValueError(f"modes: expected device {mean.device} like mean, got {modes.device}")
