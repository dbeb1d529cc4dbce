"""python -m benchmarks.experiments.looks ROOT: what several looks at a face are worth, and which.

The network looks at the crops of AFLW2000-3D's images, or those of its development folder, without landmarks:
once, in the mirror too, and at other sizes, each in the mirror too. NME in percent at the 68 points, each
ground truth at the vertices it means, of the faces fitted to the network's own points; and the time of the
network, least of 40 calls for one face on one thread.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from unittest.mock import patch

import torch
from twodasl.datasets.benchmarks.aflw2000 import read_aflw2000
from twodasl.evaluation.network import network_landmarks
from twodasl.evaluation.nme import normalized_mean_error
from twodasl.evaluation.report import format_table, summarize
from twodasl.reconstruction.face_network import FaceNetwork
from twodasl.reconstruction.reconstructor import FaceReconstructor

SIZES = ((1.0,), (0.95, 1.05), (0.92, 1.06), (0.93, 1.0, 1.07))


def milliseconds(network: FaceNetwork) -> float:
    """Least time of what the network says of one crop."""
    image, marks = torch.zeros(1, 120, 120, 3, dtype=torch.uint8), torch.full((1, 18, 2), torch.nan)
    times = []
    with torch.inference_mode():
        for _ in range(40):
            began = time.perf_counter()
            network.crops(image, marks)
            times.append(time.perf_counter() - began)
    return 1e3 * min(times)


def main() -> None:
    """Prints a table for each ground truth."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.experiments.looks", description=__doc__.splitlines()[0]
    )
    parser.add_argument("root", type=Path)
    parser.add_argument("-c", "--checkpoint", default="base", help="checkpoint or weights (default: base)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    truths = {name: read_aflw2000(arguments.root, name) for name in ("original", "reannotated")}
    print(f"{len(truths['original'])} images; checkpoint {arguments.checkpoint}")
    tables: dict[str, dict] = {name: {} for name in truths}
    for sizes in (None, *SIZES):
        reconstructor = FaceReconstructor(arguments.checkpoint, once=sizes is None)
        label = "once" if sizes is None else f"{2 * len(sizes)} at " + ", ".join(map(str, sizes))
        with patch("twodasl.reconstruction.several_looks.SIZES", sizes or (1.0,)):
            print(f"{label}: {milliseconds(reconstructor.network):.1f} ms")
            for name, data in truths.items():
                basel = reconstructor.model.basel_landmarks if name == "original" else None
                indices = reconstructor.model.landmarks if basel is None else basel
                points = network_landmarks(reconstructor, data, None, boxes=data.boxes, indices=indices)
                errors = normalized_mean_error(points[..., :2], data.truth)
                tables[name][label] = summarize(errors, data.yaw_degrees)
    for name, table in tables.items():
        print(f"\n{name} ground truth")
        print(format_table(table))


if __name__ == "__main__":
    main()
