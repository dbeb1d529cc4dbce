"""`twodasl data turn`: profiles from photos, by turning their fitted heads in depth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..arguments import add_model, add_output_folder, add_seed, positive_int
from ..messages import note, quiet
from .check import refuse_inside

DESCRIPTION = """\
Turn the heads of a folder that `twodasl data annotate` wrote in depth, so that they are spread evenly over
yaws of 30 to 90 degrees, and write the new photos and their parameters to a folder of the same form, which
training reads as fitted:DIR.
"""


def register(actions: Any) -> None:
    """Describe the command's arguments."""
    parser = actions.add_parser(
        "turn",
        help="make profiles from annotated photos",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "store", metavar="DIR", type=Path, help="the folder that `twodasl data annotate` wrote"
    )
    add_output_folder(parser, "the turned faces, new or empty,", required=True)
    parser.add_argument(
        "-n", "--count", metavar="N", type=positive_int, default=1, help="new photos a photo (default: 1)"
    )
    add_seed(parser)
    add_model(parser, "the one of the folder", default="procedural")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Turn the heads, write the folder, print how many there are."""
    from ...datasets.photos.fitted import FittedPhotos
    from ...datasets.photos.fitted_store import read_store, refuse_used, write_store
    from ...datasets.photos.turned import plan_turns, turned_crops
    from ...errors import InputError
    from ...io.locks import own_folder
    from ...morphable import load_model
    from ...synthetic.turn import FaceTurner

    show = not quiet()
    refuse_inside(args.store, args.output)
    refuse_used(args.output)
    model = load_model(args.model)
    FittedPhotos(args.store, model)  # refuses faces of another model
    store = read_store(args.store)
    turner = FaceTurner(model)
    plan = plan_turns(store, turner, count=args.count, seed=args.seed, progress=show)
    if not plan.rows:
        raise InputError(
            f"{args.store}: expected heads that can be turned further, got profiles only; give photos of"
            " faces nearer to frontal"
        )
    facts = {
        key: value
        for key, value in store.note.items()
        if key not in ("format", "version", "kept", "left_out", "turned")
    }
    facts["turned"] = {"folder": str(args.store), "count": args.count, "seed": args.seed}
    with own_folder(args.output):
        refuse_used(args.output)
        write_store(args.output, plan.faces, turned_crops(store, turner, plan, show), facts, plan.report)
    print("\n".join(plan.report.lines()))
    note(f"wrote {args.output}")
    return 0
