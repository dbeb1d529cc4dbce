"""`twodasl train`: train a network on synthetic faces and on photos."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .arguments import add_device, add_model, add_output_folder, add_settings, positive_int
from .messages import detail, note, quiet

if TYPE_CHECKING:
    import torch

    from ..training import TrainingConfig

DESCRIPTION = """\
Train a network on synthetic faces of a face model, or on photos (--set data.photo_source=KIND:FOLDER and
data.face_source, see `twodasl data check --help`). DIR/checkpoint.pt is replaced as training goes on, and is
what `twodasl reconstruct` and `twodasl evaluate` read.
"""
EPILOG = """\
The configuration is a preset, changed by --ablation, --config, --model and --set, in this order. --dry-run
prints it as a file for --config, with a comment on each setting. With --resume it is that of the run in DIR.
Several processes train as one under torchrun:
`torchrun --nproc-per-node 4 -m twodasl train --device cuda -o DIR`. See docs/training.md.
"""


def register(subparsers: Any) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "train",
        help="train a network",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_output_folder(parser, "checkpoint.pt and metrics.jsonl")
    preset = parser.add_argument(
        "--preset",
        metavar="NAME",
        help="paper, paper-stage1, paper-stage2, small (the default), base-start, base, research or demo",
    )
    ablation = parser.add_argument(
        "--ablation",
        action="append",
        default=[],
        metavar="NAME",
        help="change the preset: base, cyc, sc or cyc+sc, each also as in base-no-mask; faces-25, -50, -75;"
        " photos-0, -25, -50, -75; may be repeated",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="TOML file of settings to change")
    add_model(parser, "default: the configuration's")
    add_settings(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the run in DIR")
    parser.add_argument(
        "--tensorboard",
        action="store_true",
        help="write curves and pictures of some faces to DIR/tensorboard (needs the extra `log`)",
    )
    parser.add_argument(
        "--pictures-every",
        type=positive_int,
        default=500,
        metavar="N",
        help="with --tensorboard: steps between pictures (default: 500)",
    )
    add_device(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="print the configuration, with comments, and stop"
    )
    parser.set_defaults(run=run)
    # For the shell's completion.
    preset.completer = lambda **_: _names("PRESETS")
    ablation.completer = lambda **_: _names("ABLATIONS")


def _names(table: str) -> list[str]:
    from ..training import presets

    return list(getattr(presets, table))


def run(options: argparse.Namespace) -> int:
    """Train as the options say."""
    from ..devices import usable_device
    from ..distributed import ToldElsewhere, device_here, joined, restarted
    from ..training.presets import STAGE_2, to_toml

    # A process that torchrun starts again goes on where the last checkpoint was made.
    options.resume = options.resume or restarted()
    config = _configuration(options)
    if options.dry_run:
        print(to_toml(config), end="")
        return 0
    if options.output is None:
        raise InputError("--output: expected a folder for the checkpoints, got none; give -o DIR")
    if config.preset.startswith(STAGE_2) and not config.network.start:
        raise InputError(
            f"network.start: {STAGE_2} goes on from a first stage; give --set network.start=DIR/checkpoint.pt"
        )
    device = usable_device(device_here(options.device), "--device")
    with joined(device.type == "cuda") as ranks:
        try:
            return _train(config, options, device, ranks.leads)
        except ToldElsewhere:
            return 2


def _train(config: TrainingConfig, options: argparse.Namespace, device: torch.device, leads: bool) -> int:
    from ..training import train

    if leads:
        detail(f"{config.steps:,} steps of the preset {config.preset!r} on {device}, to {options.output}")
    result = train(
        config,
        output=options.output,
        resume=options.resume,
        device=device,
        progress=not quiet(),
        pictures_every=options.pictures_every if options.tensorboard else 0,
        stop_on_signals=True,
    )
    if not leads:
        return 0
    if result.stopped_by and result.step < result.config.steps:
        print(
            f"stopped by {result.stopped_by} after step {result.step} of {result.config.steps}; go on with"
            f" --resume (wrote {result.checkpoint})"
        )
        return 0
    if result.history:
        last = result.history[-1]
        terms = ", ".join(f"{name} {value:.4g}" for name, value in last.items() if name != "step")
        print(f"step {last['step']:.0f}: {terms}")
    note(f"wrote {result.checkpoint}")
    return 0


def _configuration(options: argparse.Namespace) -> TrainingConfig:
    from ..training import TrainingConfig, load_checkpoint, preset
    from ..training.presets import read_toml
    from ..training.state import CHECKPOINT

    config = preset(options.preset or "small", options.ablation)
    if options.resume and options.output is not None and (options.output / CHECKPOINT).exists():
        path = options.output / CHECKPOINT
        began = TrainingConfig.from_dict(load_checkpoint(path)["config"], where=str(path))
        # What the user gives again must agree; `train` compares.
        config = began if options.preset is None and not options.ablation else config
    if options.config is not None:
        config = config.updated(read_toml(options.config), where=str(options.config))
    if options.model is not None:
        config = config.updated({"data": {"model": options.model}}, where="--model")
    return config.with_settings(options.set)
