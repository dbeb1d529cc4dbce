"""`twodasl models`: look at a face model, convert it to one `.npz`, or compute the embedded one again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .arguments import MODEL, add_output_file, add_seed, non_negative_int
from .messages import note


def register(subparsers: Any) -> None:
    """Describe `models show`, `models convert`, `models arkit` and `models head`."""
    parser = subparsers.add_parser("models", help="show and convert face models")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser(
        "show",
        help="draw a contact sheet of a face model",
        description="Draw the mean from five sides, every mode at -3 and +3 sigma, and random faces.",
    )
    show.add_argument("model", metavar="MODEL", help=MODEL)
    add_output_file(show, "the sheet (.png, .jpg)", default=Path("model-sheet.png"))
    add_seed(show)
    show.set_defaults(run=run_show)
    convert = actions.add_parser("convert", help="write a face model as one .npz")
    convert.add_argument("model", metavar="MODEL", help=MODEL)
    convert.add_argument("file", nargs="?", metavar="FILE", type=Path, help="the same as --output")
    add_output_file(convert, "the model (.npz)")
    for kind in ("shape", "expression"):
        convert.add_argument(
            f"--{kind}-modes",
            type=non_negative_int,
            metavar="N",
            help=f"keep the first N {kind} modes (default: all)",
        )
    convert.set_defaults(run=run_convert)
    arkit = actions.add_parser(
        "arkit",
        help="draw ARKit's 52 blend shapes on a face model",
        description="Draw each of ARKit's 52 blend shapes at weight 1 on the mean face.",
    )
    arkit.add_argument("model", metavar="MODEL", nargs="?", default="procedural", help=MODEL)
    add_output_file(arkit, "the sheet (.png, .jpg)", default=Path("arkit-sheet.png"))
    arkit.set_defaults(run=run_arkit)
    head = actions.add_parser(
        "head",
        help="compute the embedded head from its code",
        description="Compute the embedded face model from its code, write it, and compare it with the shipped"
        " one. Nothing else computes it: 'procedural' is the shipped file.",
    )
    add_output_file(head, "the model (.npz)", required=True)
    head.add_argument(
        "--arkit", metavar="FILE", type=Path, help="also compute its 52 ARKit blend shapes, into FILE (.npz)"
    )
    head.set_defaults(run=run_head)


def run_show(args: argparse.Namespace) -> int:
    """Print what the model is made of and write its sheet."""
    from ..io.images import check_image_name, write_image
    from ..morphable import load_model
    from ..pictures.model_sheet import model_sheet

    check_image_name(args.output)
    model = load_model(args.model)
    _describe(model)
    sheet = model_sheet(model, seed=args.seed)
    write_image(args.output, sheet)
    note(f"wrote {args.output} ({sheet.shape[1]} x {sheet.shape[0]})")
    return 0


def run_convert(args: argparse.Namespace) -> int:
    """Write the model as a `.npz`, with fewer modes if asked."""
    from ..errors import InputError
    from ..io.files import check_targets
    from ..morphable import load_model

    if (args.file is None) == (args.output is None):
        raise InputError("--output: expected one file for the model; give -o FILE")
    output: Path = args.output or args.file
    check_targets([output], inputs=[args.model], remedy="choose another output")
    model = load_model(args.model)
    kept = []
    for kind, there in zip(("shape", "expression"), model.counts[1:], strict=True):
        wanted = getattr(args, f"{kind}_modes")
        if wanted is not None and wanted > there:
            raise InputError(f"--{kind}-modes: expected 0 to {there}, got {wanted}")
        kept.append(there if wanted is None else wanted)
    if tuple(kept) != model.counts[1:]:
        model = model.truncated(*kept)
    model.save(output)
    _describe(model)
    note(f"wrote {output} ({output.stat().st_size / 2**20:.1f} MiB)")
    return 0


def run_arkit(args: argparse.Namespace) -> int:
    """Write the sheet of the 52 blend shapes."""
    from ..io.images import check_image_name, write_image
    from ..morphable import load_model
    from ..pictures.arkit_sheet import arkit_sheet

    check_image_name(args.output)
    sheet = arkit_sheet(load_model(args.model))
    write_image(args.output, sheet)
    note(f"wrote {args.output} ({sheet.shape[1]} x {sheet.shape[0]})")
    return 0


def run_head(args: argparse.Namespace) -> int:
    """Write the head that the code makes, and say how it differs from the shipped one."""
    from ..io.files import check_targets
    from ..morphable import procedural_model
    from ..morphable.procedural.build import STEP, build_head, largest_difference

    targets = [args.output] + ([] if args.arkit is None else [args.arkit])
    check_targets(targets)
    head = build_head()
    head.save(args.output)
    _describe(head)
    apart = largest_difference(head, procedural_model())
    if apart == 0:
        print("the same as the shipped head, bit for bit")
    elif apart <= STEP:
        print(f"the shipped head but for rounding, {apart:.1g} mm")
    else:
        print("NOT the shipped head: its code has changed, and checkpoints belong to the shipped one")
    note(f"wrote {args.output} ({args.output.stat().st_size / 2**20:.1f} MiB)")
    if args.arkit is not None:
        _write_shapes(args.arkit)
    return 0


def _write_shapes(path: Path) -> None:
    from ..morphable import procedural_model
    from ..morphable.procedural.blendshapes.build import build_shapes
    from ..morphable.procedural.blendshapes.stored import SHIPPED, STEP, StoredShapes
    from ..morphable.procedural.head import mean_head

    shapes = build_shapes(mean_head(), procedural_model())
    shapes.save(path)
    apart = shapes.largest_difference(StoredShapes.load(SHIPPED))
    if apart == 0:
        print("ARKit shapes: the same as the shipped ones")
    elif apart <= STEP:
        print(f"ARKit shapes: the shipped ones but for rounding, {apart:.1g} mm")
    else:
        print(f"ARKit shapes: NOT the shipped ones, {apart:.1g} mm apart: their code has changed")
    note(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB)")


def _describe(model: Any) -> None:
    count, shapes, expressions = model.counts
    tones = 0 if model.albedo_std is None else len(model.albedo_std)
    colors = "no colors" if model.albedo_mean is None else f"colors with {tones} modes"
    parts = (
        f"{count} vertices, {len(model.triangles)} triangles, {shapes} shape modes, {expressions} expressions"
    )
    print(f"{model.name}: {parts}, {colors}")
    print(f"identity {model.identity}")
