"""MorphableBasis: a mean shape, its linear modes and a list of landmark vertices, in the kernels' layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._checks import shape_text
from ._packing import gather_modes, pack_mean, pack_modes, unpack_modes

_STORAGES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


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
        storage: how the modes are kept: float32 (default), float64 (everything then runs in double precision), or
            bfloat16/float16, which halve the memory traffic of `vertices`. Arithmetic is float32 for the last two
            and the mean stays float32: only the displacements are rounded.

    A mean or modes that require a gradient are kept as they are (an `nn.Parameter` becomes a parameter of this
    module) and packed in every call, so that a basis can be fine-tuned; everything else is packed once, here.
    `state_dict()` holds `mean`, `modes` and `landmarks` in their plain layout. `to()` moves it; `half()` and
    `bfloat16()` change the storage of the modes only.

    Raises:
        ValueError, TypeError: naming the argument, what was expected and what came.
    """

    _buffers_names = ("mean", "modes", "landmarks")

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
        if storage not in _STORAGES:
            expected = ", ".join(str(s) for s in _STORAGES)
            raise TypeError(f"storage: expected one of {expected}, got {storage}")
        if mean.dim() != 2 or mean.shape[1] != 3 or mean.shape[0] == 0:
            raise ValueError(f"mean: expected (N, 3) with at least one vertex, got {shape_text(mean)}")
        if modes.dim() != 3 or modes.shape[1:] != mean.shape:
            raise ValueError(
                f"modes: expected (K, {mean.shape[0]}, 3) for a mean of {mean.shape[0]} vertices, "
                f"got {shape_text(modes)}"
            )
        for tensor, name in ((mean, "mean"), (modes, "modes")):
            if not tensor.is_floating_point():
                raise TypeError(f"{name}: expected a floating-point tensor, got {tensor.dtype}")
        if modes.device != mean.device:
            raise ValueError(f"modes: expected device {mean.device} like mean, got {modes.device}")
        compute = torch.float64 if storage == torch.float64 else torch.float32
        self._register("mean", mean, compute)
        if modes.requires_grad:
            if storage not in (torch.float32, torch.float64):
                raise TypeError(f"modes: a basis that is trained needs storage float32 or float64, got {storage}")
            self._register("trained_modes", modes, compute)
        self._register_landmarks(landmarks, mean)
        self._pack(modes, storage)

    def _register(self, name: str, tensor: Tensor, dtype: torch.dtype) -> None:
        if isinstance(tensor, nn.Parameter) and tensor.dtype == dtype:
            self.register_parameter(name, tensor)
        elif tensor.requires_grad:
            self.register_buffer(name, tensor.to(dtype))
        else:
            self.register_buffer(name, tensor.detach().to(dtype).clone(memory_format=torch.contiguous_format))

    def _register_landmarks(self, landmarks: Tensor | np.ndarray | None, mean: Tensor) -> None:
        self.landmarks: Tensor | None
        if landmarks is None:
            self.register_buffer("landmarks", None)
            return
        indices = _as_tensor(landmarks, "landmarks")
        self.register_buffer("landmarks", check_indices(indices, mean.shape[0], "landmarks").to(mean.device).clone())

    def _pack(self, modes: Tensor, storage: torch.dtype) -> None:
        """Fills the packed buffers of whatever is not trained."""
        with torch.no_grad():
            trained_mean, trained_modes = self.mean.requires_grad, hasattr(self, "trained_modes")
            stored = None if trained_modes else modes.detach().to(storage)
            self._set("packed_mean", None if trained_mean else pack_mean(self.mean))
            self._set("packed_modes", None if stored is None else pack_modes(stored))
            self._set("landmark_mean", None)
            self._set("landmark_modes", None)
            self._set("_distance_factor", None)
            if self.landmarks is not None:
                if not trained_mean:
                    self._set("landmark_mean", pack_mean(self.mean[self.landmarks]))
                if stored is not None:
                    # So few vertices gain nothing from half precision; their values are those of `vertices`.
                    self._set("landmark_modes", pack_modes(stored[:, self.landmarks].to(self.mean.dtype)))

    def _set(self, name: str, tensor: Tensor | None) -> None:
        self.register_buffer(name, tensor, persistent=False)

    # ---- what the operators use ------------------------------------------------------------------------------

    @property
    def vertex_count(self) -> int:
        """N."""
        return int(self.mean.shape[0])

    @property
    def mode_count(self) -> int:
        """K."""
        modes = self.packed_modes if self.packed_modes is not None else self.trained_modes.transpose(0, 1)
        return int(modes.shape[1])

    @property
    def dtype(self) -> torch.dtype:
        """The arithmetic's dtype, which coefficients and poses must have: float32 or float64."""
        return self.mean.dtype

    @property
    def device(self) -> torch.device:
        return self.mean.device

    @property
    def storage(self) -> torch.dtype:
        """The dtype in which the modes are kept."""
        return self.packed_modes.dtype if self.packed_modes is not None else self.trained_modes.dtype

    @property
    def trained(self) -> bool:
        """Whether the mean or the modes require a gradient."""
        return self.packed_mean is None or self.packed_modes is None

    @property
    def modes(self) -> Tensor:
        """(K, N, 3): the trained tensor itself, otherwise a fresh copy out of the packed layout."""
        if self.packed_modes is None:
            return self.trained_modes
        return unpack_modes(self.packed_modes, self.vertex_count)

    def packed(self) -> tuple[Tensor, Tensor]:
        """Mean (blocks, 3, 16) and modes (blocks, K, 3, 16) of all vertices."""
        mean = self.packed_mean if self.packed_mean is not None else pack_mean(self.mean)
        modes = self.packed_modes if self.packed_modes is not None else pack_modes(self.trained_modes)
        return mean, modes

    def packed_landmarks(self) -> tuple[Tensor, Tensor]:
        """The same of the landmark vertices alone."""
        if self.landmarks is None:
            raise ValueError("basis: has no landmarks; give MorphableBasis(..., landmarks=...) or pass indices")
        if self.landmark_mean is not None and self.landmark_modes is not None:
            return self.landmark_mean, self.landmark_modes
        return self.packed_rows(self.landmarks)

    def packed_rows(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """The same of any list of vertices (L,), gathered now."""
        if self.packed_modes is None:
            modes = self.trained_modes[:, indices]
        else:
            modes = gather_modes(self.packed_modes, indices).to(self.mean.dtype)
        return pack_mean(self.mean[indices]), pack_modes(modes)

    def distance_factor(self) -> Tensor:
        """R with R^T R = (1/N) sum_n f_n f_n^T, f = (mean, modes, 1) of a vertex: the basis's second moments.

        (min(N, F), F) with F = 3 (K + 1) + 1, upper triangular, of the basis's dtype. Found by a QR decomposition in
        double precision rather than from the moments themselves, whose condition is its square. Built at the first
        call, then kept.
        """
        if self.trained:
            raise ValueError("basis: a basis that is trained has no constant distance factor")
        if self._distance_factor is None or self._distance_factor.device != self.device:
            with torch.no_grad():
                mean = self.mean.to(torch.float64)
                rows = torch.cat((mean[None], self.modes.to(torch.float64)))
                features = torch.cat((rows.transpose(0, 1).flatten(1), mean.new_ones(len(mean), 1)), dim=1)
                factor = torch.linalg.qr(features, mode="r").R / len(mean) ** 0.5
                self._set("_distance_factor", factor.to(self.dtype))
        return self._distance_factor

    def extra_repr(self) -> str:
        count = 0 if self.landmarks is None else len(self.landmarks)
        return f"vertices={self.vertex_count}, modes={self.mode_count}, landmarks={count}, storage={self.storage}"

    # ---- nn.Module ---------------------------------------------------------------------------------------------

    def _apply(self, fn: Any, recurse: bool = True) -> MorphableBasis:
        super()._apply(fn, recurse)
        # half() and bfloat16() reach every floating buffer. Arithmetic stays float32: only modes may be narrow.
        for name in ("mean", "packed_mean", "landmark_mean", "landmark_modes", "trained_modes"):
            tensor = getattr(self, name, None)
            if tensor is not None and tensor.dtype in (torch.float16, torch.bfloat16):
                raise TypeError("a MorphableBasis cannot be converted as a whole; give storage= when it is made")
        return self

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        for name in self._buffers_names:
            tensor = getattr(self, name)
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
        found = {name: state_dict.get(prefix + name) for name in self._buffers_names}
        expected = {"mean": self.mean.shape, "modes": torch.Size((self.mode_count, self.vertex_count, 3))}
        if self.landmarks is not None:
            expected["landmarks"] = self.landmarks.shape
        for name, shape in expected.items():
            tensor = found[name]
            if tensor is None:
                missing_keys.append(prefix + name)
            elif tensor.shape != shape:
                error_msgs.append(f"{prefix}{name}: expected {tuple(shape)}, got {tuple(tensor.shape)}")
        if strict:
            known = {prefix + name for name in expected}
            unexpected_keys.extend(k for k in state_dict if k.startswith(prefix) and k not in known)
        if error_msgs or missing_keys:
            return
        with torch.no_grad():
            self.mean.copy_(found["mean"])
            if self.landmarks is not None:
                self.landmarks.copy_(check_indices(found["landmarks"], self.vertex_count, "landmarks"))
            modes = found["modes"].to(self.device)
            if self.packed_modes is None:
                self.trained_modes.copy_(modes)
            self._pack(modes, self.storage)


def check_indices(indices: Tensor, vertices: int, name: str) -> Tensor:
    """(L,) vertex indices as int64. ValueError outside [0, vertices), TypeError unless integers."""
    if indices.dtype not in (torch.int64, torch.int32, torch.int16, torch.uint8):
        raise TypeError(f"{name}: expected integer vertex indices, got {indices.dtype}")
    if indices.dim() != 1:
        raise ValueError(f"{name}: expected (L,), got {shape_text(indices)}")
    indices = indices.to(torch.int64)
    if indices.numel() and not torch.compiler.is_compiling():
        low, high = int(indices.min()), int(indices.max())
        if low < 0 or high >= vertices:
            wrong = low if low < 0 else high
            raise ValueError(f"{name}: expected vertex indices in [0, {vertices}), got {wrong}")
    return indices
