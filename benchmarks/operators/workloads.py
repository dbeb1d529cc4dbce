"""What is measured: named workloads, and the least work that each could be done with."""

from __future__ import annotations

from dataclasses import dataclass, replace

FORWARD, BOTH = "forward", "forward+backward"


@dataclass(frozen=True)
class Workload:
    """One operator at one size. The floor is that of the cheapest formula known."""

    operator: str
    direction: str = FORWARD
    vertices: int = 53215
    modes: int = 50
    landmarks: int = 68
    batch: int = 32
    storage: str = "float32"
    pixels: int = 0
    iterations: int = 8
    """Of a fit."""
    joints: int = 0
    """Of a mesh that is skinned."""
    shared: int = 0
    """Coefficients that all faces of a fit have in common."""
    preallocated: bool = False
    """The result goes into memory that the caller keeps (`out=`)."""

    @property
    def name(self) -> str:
        """Operator, direction and sizes, as a table's row reads."""
        sizes = f"B={self.batch} N={self.vertices} K={self.modes}"
        if self.operator == "rasterize":
            sizes = f"B={self.batch} N={self.vertices} {self.pixels}x{self.pixels}"
        elif self.sparse:
            sizes = f"B={self.batch} L={self.landmarks} K={self.modes}"
        if self.operator == "skin":
            sizes = f"B={self.batch} N={self.vertices} J={self.joints}"
        sizes += f" shared={self.shared}" if self.shared else ""
        storage = "" if self.storage == "float32" else f" {self.storage}"
        return f"{self.operator} {self.direction} {sizes}{storage}{' out=' if self.preallocated else ''}"

    @property
    def sparse(self) -> bool:
        """Whether only the landmarks are synthesized."""
        return self.operator in ("landmarks", "importance_weights", "fit_landmarks")

    @property
    def rows(self) -> int:
        """Vertices that are synthesized."""
        return self.landmarks if self.sparse else self.vertices

    @property
    def floor_operations(self) -> float:
        """Floating-point operations of the formula, a multiply-add counting two."""
        synthesis = 6.0 * self.rows * self.modes * self.batch
        pose = 18.0 * self.rows * self.batch
        passes = 1 if self.direction == FORWARD else 2
        if self.operator == "rasterize":
            return 0.0
        if self.operator == "skin":  # backward: R^T g, and g v^T | g; one joint at least moves a vertex
            return (24.0 if self.direction == FORWARD else 66.0) * self.rows * self.batch
        if self.operator == "fit_landmarks":
            return self._fit_operations
        if (
            self.operator == "importance_weights"
        ):  # the shape and its columns' norms; 3x3 moments of the modes
            return synthesis + (6.0 * self.rows + 18.0 * self.modes) * self.batch
        if self.operator == "vertex_distance_cost":  # three rows of features through a triangular factor
            return passes * 3.0 * (3 * self.modes + 4) ** 2 * self.batch
        # Three products with 3x3 matrices: the pose, its transpose on the gradient, the pose's own gradient.
        return synthesis + pose if self.direction == FORWARD else 2 * synthesis + 3 * pose

    @property
    def _fit_operations(self) -> float:
        """Normal equations and a Cholesky factor for every step, and for the deviations at the end."""
        unknowns, rows = 7 + self.modes, 2.0 * self.landmarks
        step = rows * unknowns * (unknowns + 1) + 6.0 * rows * self.modes + unknowns**3 / 3.0
        return (self.iterations + 1) * step * self.batch

    @property
    def floor_bytes(self) -> float:
        """Bytes that must come from or go to memory once in each pass."""
        parameters = 4.0 * self.batch * (12 + self.modes)
        passes = 1 if self.direction == FORWARD else 2
        if self.operator == "rasterize":
            per_pixel = 8 + 12 + 4  # index, barycentrics, depth
            return self.batch * (self.pixels**2 * per_pixel + self.vertices * 12) + self.vertices * 2 * 24
        if (
            self.operator == "vertex_distance_cost"
        ):  # half of a square factor, small enough to stay in a cache
            return 2.0 * (3 * self.modes + 4) ** 2 + (1 + passes) * parameters
        if self.operator == "skin":  # vertices and result; gradient, vertices and theirs; the weights twice
            moved = 24.0 if self.direction == FORWARD else 60.0
            return self.rows * (moved * self.batch + passes * 4.0 * self.joints)
        width = 4 if self.storage == "float32" else 2
        basis = 3.0 * self.rows * (self.modes * width + 4)
        if self.operator == "importance_weights":
            return basis + 3 * parameters
        if self.operator == "fit_landmarks":  # points, sigma and residuals; parameters twice
            return basis + 20.0 * self.rows * self.batch + 2 * parameters
        faces = 12.0 * self.rows * self.batch
        return passes * (basis + faces + parameters)


def vertices_workloads() -> list[Workload]:
    """The paper's face (BFM without neck), half storage, a kept result, and another face's sizes."""
    base = Workload("vertices")
    found = [replace(base, batch=b, direction=d) for b in (1, 8, 32, 128) for d in (FORWARD, BOTH)]
    found += [replace(base, batch=b, storage="bfloat16") for b in (1, 32)]
    found += [replace(base, batch=b, preallocated=True) for b in (32, 128)]
    found += [replace(base, batch=8, vertices=35709, modes=80, direction=d) for d in (FORWARD, BOTH)]
    return found


def landmarks_workloads() -> list[Workload]:
    """The 68 landmarks."""
    return [Workload("landmarks", direction=d, batch=b) for b in (1, 32, 128) for d in (FORWARD, BOTH)]


def importance_workloads() -> list[Workload]:
    """Weights over the 68 landmarks."""
    return [Workload("importance_weights", batch=b) for b in (1, 32, 128)]


def distance_workloads() -> list[Workload]:
    """The dense cost of a batch."""
    return [Workload("vertex_distance_cost", direction=d, batch=32) for d in (FORWARD, BOTH)]


def fit_workloads() -> list[Workload]:
    """A detector's 68 points, a dense detector's 478, and a video of one person."""
    fit = Workload("fit_landmarks")
    found = [replace(fit, batch=b) for b in (1, 32, 256)]
    return [*found, replace(fit, landmarks=478), replace(fit, batch=300, shared=40)]


def skin_workloads() -> list[Workload]:
    """FLAME's head and SMPL-X's body."""
    sizes = [{"vertices": 5023, "joints": 5}, {"vertices": 10475, "joints": 55}]
    return [
        Workload("skin", direction=d, batch=b, modes=0, **size)
        for size in sizes
        for b in (1, 32)
        for d in (FORWARD, BOTH)
    ]


def rasterize_workloads() -> list[Workload]:
    """Network crops, and one large picture."""
    small = [Workload("rasterize", vertices=n, batch=b, pixels=120) for n in (12800, 25088) for b in (1, 16)]
    return [*small, Workload("rasterize", vertices=25088, batch=1, pixels=1000)]


def default_workloads() -> list[Workload]:
    """The table: every operator at the sizes that people use."""
    return [
        *vertices_workloads(),
        *landmarks_workloads(),
        *importance_workloads(),
        *distance_workloads(),
        *fit_workloads(),
        *skin_workloads(),
        *rasterize_workloads(),
    ]


BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)
COUNTS = (1_000, 2_000, 5_000, 10_000, 20_000, 53_215, 100_000, 200_000)

SWEEPS: dict[str, list[Workload]] = {
    "batch": [Workload("vertices", d, batch=b) for b in BATCHES for d in (FORWARD, BOTH)],
    "vertices": [Workload("vertices", d, vertices=n, batch=8) for n in COUNTS for d in (FORWARD, BOTH)],
}
"""The charts: what one size does to the time while the others stay."""
