"""What is measured: named workloads, their inputs, and the least work that each could be done with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

FORWARD, BOTH = "forward", "forward+backward"
STORAGES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Workload:
    """One operator at one size. `floor_operations` and `floor_bytes` are what no implementation can avoid."""

    operator: str
    direction: str = FORWARD
    vertices: int = 53215
    modes: int = 50
    landmarks: int = 68
    batch: int = 32
    storage: str = "float32"
    pixels: int = 0
    device: str = "cpu"

    @property
    def name(self) -> str:
        """Operator, direction and sizes, as a table's row reads."""
        sizes = f"B={self.batch} N={self.vertices} K={self.modes}"
        if self.operator == "rasterize":
            sizes = f"B={self.batch} N={self.vertices} {self.pixels}x{self.pixels}"
        elif self.operator in ("landmarks", "importance_weights"):
            sizes = f"B={self.batch} L={self.landmarks} K={self.modes}"
        storage = "" if self.storage == "float32" else f" {self.storage}"
        return f"{self.operator} {self.direction} {sizes}{storage}"

    @property
    def rows(self) -> int:
        """Vertices that are synthesised."""
        return self.landmarks if self.operator in ("landmarks", "importance_weights") else self.vertices

    @property
    def floor_operations(self) -> float:
        """Floating-point operations of the formula, a multiply-add counting two."""
        synthesis = 6.0 * self.rows * self.modes * self.batch
        pose = 18.0 * self.rows * self.batch
        if self.operator == "rasterize":
            return 0.0
        if self.operator == "importance_weights":  # the shape, and every mode turned and squared
            return synthesis + 24.0 * self.rows * self.modes * self.batch
        if self.operator == "vertex_distance_cost":  # three rows of features through a triangular factor
            return 3.0 * (3 * self.modes + 4) ** 2 * self.batch
        return synthesis + pose if self.direction == FORWARD else 2 * synthesis + 4 * pose

    @property
    def floor_bytes(self) -> float:
        """Bytes that must come from or go to memory once."""
        if self.operator == "rasterize":
            per_pixel = 8 + 12 + 4  # index, barycentrics, depth
            return self.batch * (self.pixels**2 * per_pixel + self.vertices * 12) + self.vertices * 2 * 24
        if self.operator == "vertex_distance_cost":
            return 4.0 * ((3 * self.modes + 4) ** 2 + 2 * self.batch * (12 + self.modes))
        width = 4 if self.storage == "float32" else 2
        basis = 3.0 * self.rows * (self.modes * width + 4)
        faces = 12.0 * self.rows * self.batch
        if self.operator == "importance_weights":
            return basis + 12.0 * self.batch * (12 + self.modes)
        return basis + faces if self.direction == FORWARD else 2 * basis + 2 * faces


def vertices_workloads() -> list[Workload]:
    """The paper's face (BFM without neck), and two other sizes."""
    base = Workload("vertices")
    found = [replace(base, batch=b, direction=d) for b in (1, 8, 32, 128) for d in (FORWARD, BOTH)]
    found += [replace(base, batch=b, storage="bfloat16") for b in (1, 32)]
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


def rasterize_workloads() -> list[Workload]:
    """Network crops, and one large picture."""
    small = [Workload("rasterize", vertices=n, batch=b, pixels=120) for n in (12800, 25088) for b in (1, 16)]
    return [*small, Workload("rasterize", vertices=25088, batch=1, pixels=1000)]


@dataclass
class Inputs:
    """Random numbers of a face's sizes, float32."""

    mean: Tensor
    modes: Tensor
    landmarks: Tensor
    coefficients: Tensor
    pose: Tensor
    predicted: Tensor
    target: Tensor
    grad: Tensor


def make_inputs(workload: Workload) -> Inputs:
    """Inputs of every operator but rasterize."""
    generator = torch.Generator().manual_seed(0)
    count, modes, batch = workload.vertices, workload.modes, workload.batch

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    pose = normal(batch, 3, 4)
    coefficients = normal(batch, modes)
    target = torch.cat((pose.flatten(1), coefficients), dim=1)
    return Inputs(
        mean=normal(count, 3) * 60,
        modes=normal(modes, count, 3),
        landmarks=torch.randint(0, count, (workload.landmarks,), generator=generator),
        coefficients=coefficients,
        pose=pose,
        predicted=target * (1 + 0.1 * normal(*target.shape)),
        target=target,
        grad=normal(batch, workload.rows, 3),
    )


def make_scene(workload: Workload) -> tuple[Tensor, Tensor]:
    """A turned ellipsoid that fills two thirds of the image: (B, N, 3) and (T, 3), two triangles a vertex."""
    rings = round((workload.vertices / 2) ** 0.5)
    assert 2 * rings * rings == workload.vertices, "a scene has 2 n^2 vertices"
    polar = torch.linspace(0, torch.pi, rings)
    round_ = torch.linspace(0, 2 * torch.pi, 2 * rings + 1)[:-1]
    p, r = torch.meshgrid(polar, round_, indexing="ij")
    points = torch.stack((p.sin() * r.cos() * 0.33, p.cos() * 0.42, p.sin() * r.sin() * 0.38), dim=-1)
    generator = torch.Generator().manual_seed(0)
    turns = torch.linalg.qr(torch.randn(workload.batch, 3, 3, generator=generator)).Q
    vertices = (points.reshape(1, -1, 3) @ turns + torch.tensor([0.5, 0.5, 0.0])) * workload.pixels
    row = torch.arange(rings - 1)[:, None] * 2 * rings
    here, there = row + torch.arange(2 * rings), row + (torch.arange(2 * rings) + 1) % (2 * rings)
    upper = torch.stack((here, there, here + 2 * rings), dim=-1).reshape(-1, 3)
    lower = torch.stack((there, there + 2 * rings, here + 2 * rings), dim=-1).reshape(-1, 3)
    return vertices.contiguous(), torch.cat((upper, lower))
