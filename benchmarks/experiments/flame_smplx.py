"""python -m benchmarks.experiments.flame_smplx: a FLAME file posed by `PosedHead` and by smplx's own lbs().

The file has random joints, modes and correctives on the shipped head: no FLAME is needed, only smplx.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.sparse
import torch
from smplx.lbs import lbs
from twodasl.morphable import PosedHead, load_model

from ..measure import interleaved

BATCH = 4


def make_file(folder: Path) -> dict[str, np.ndarray]:
    """Writes `generic_model.pkl` and its landmarks; returns its arrays, of which lengths are in meters."""
    head = load_model("procedural")
    count, rng = head.vertex_count, np.random.default_rng(0)
    weights = rng.uniform(0, 1, (count, 5)) * (rng.uniform(0, 1, (count, 5)) < 0.4)
    weights[:, 1] += 0.1
    regressor = np.zeros((5, count))
    for joint in range(5):
        regressor[joint, rng.choice(count, 30, replace=False)] = 1 / 30
    arrays = {
        "v_template": head.mean.astype(np.float64) / 1000,
        "shapedirs": rng.normal(size=(count, 3, 400)) / 2000,
        "posedirs": rng.normal(size=(count, 3, 36)) / 1000,
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "J_regressor": regressor,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], range(5)], np.uint32),
        "f": head.triangles.astype(np.uint32),
    }
    content = {**arrays, "J_regressor": scipy.sparse.csc_matrix(regressor)}
    (folder / "generic_model.pkl").write_bytes(pickle.dumps(content, protocol=2))
    np.savetxt(folder / "generic_model.landmarks68.txt", head.landmarks, fmt="%d")
    return arrays


def main() -> None:
    """Prints the largest differences of vertices and joints, and the times of both."""
    with tempfile.TemporaryDirectory() as folder:
        arrays = make_file(Path(folder))
        head = PosedHead(load_model(Path(folder) / "generic_model.pkl"))
    generator = torch.Generator().manual_seed(1)
    coefficients = torch.randn(BATCH, 400, generator=generator)
    turns = 0.7 * torch.randn(BATCH, 5, 3, generator=generator)

    def theirs(dtype: torch.dtype) -> Callable[[], tuple[torch.Tensor, torch.Tensor]]:
        a = {key: torch.from_numpy(value.astype(np.float64)).to(dtype) for key, value in arrays.items()}
        posedirs, parents = a["posedirs"].flatten(0, 1).T, torch.tensor([-1, 0, 1, 1, 1])
        pose, betas = turns.to(dtype).flatten(1), coefficients.to(dtype)
        template = a["v_template"][None].expand(BATCH, -1, -1)
        inputs = (betas, pose, template, a["shapedirs"], posedirs, a["J_regressor"], parents, a["weights"])
        return lambda: lbs(*inputs)

    with torch.no_grad():
        found = head(coefficients, turns)
        for name, ours, exact in zip(("vertices", "joints"), found, theirs(torch.float64)(), strict=True):
            away = (ours.double() - 1000 * exact).abs().max().item()
            print(f"{name}: largest difference {away:.2g} mm of {1000 * exact.abs().max().item():.0f} mm")
        runs = {"PosedHead": lambda: head(coefficients, turns), "smplx": theirs(torch.float32)}
        times = interleaved(runs, 2.0)
    for name, timing in times.items():
        print(f"{name}: {timing.median:.2f} ms, least {timing.minimum:.2f} ms, float32, batch {BATCH}")


if __name__ == "__main__":
    main()
