"""python -m benchmarks.training.average CHECKPOINT OTHER -o FILE: the mean of two networks' weights.

CHECKPOINT went on from OTHER, a checkpoint or weights. The mean of the two is often better than either,
because what the longer training forgot counts for half (Wortsman et al., "Robust fine-tuning of zero-shot
models", 2022). FILE is CHECKPOINT with that mean as its averaged weights, for `twodasl weights export`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from twodasl.errors import InputError
from twodasl.training.trained import load_regressor


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training.average", description=__doc__.splitlines()[0]
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("other", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.5, help="of CHECKPOINT (default: 0.5)")
    arguments = parser.parse_args()
    (first, whitening, _), (second, other, _) = map(load_regressor, (arguments.checkpoint, arguments.other))
    if not (torch.equal(whitening.mean, other.mean) and torch.equal(whitening.std, other.std)):
        raise InputError(f"{arguments.other}: expected the whitening of {arguments.checkpoint}")
    states = first.state_dict(), second.state_dict()
    mean = {
        name: torch.lerp(states[1][name], value, arguments.share) if value.is_floating_point() else value
        for name, value in states[0].items()
    }
    contents = torch.load(arguments.checkpoint, weights_only=True)
    torch.save({**contents, "average": mean}, arguments.output)
    print(f"wrote {arguments.output}")


if __name__ == "__main__":
    main()
