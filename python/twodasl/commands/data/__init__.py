"""`twodasl data`: look at a data set of photos, annotate it, turn its heads, draw synthetic faces."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..arguments import add_model, add_output_file, add_seed, positive_int
from ..messages import note
from . import annotate, check, turn

_ENLARGED = 2
# On one sheet, 2 GB of pixels.
_MOST = 10_000


def register(subparsers: Any) -> None:
    """Describe `data check`, `data annotate`, `data turn` and `data synthetic`."""
    parser = subparsers.add_parser("data", help="look at data sets and synthetic faces")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    check.register(actions)
    annotate.register(actions)
    turn.register(actions)
    synthetic = actions.add_parser(
        "synthetic",
        help="draw synthetic faces",
        description="Draw random faces of a face model: a contact sheet with their landmarks (hidden ones "
        "red), and optionally the samples themselves.",
    )
    add_model(synthetic, default="procedural")
    synthetic.add_argument(
        "-n", "--count", metavar="N", type=positive_int, default=36, help="number of faces (default: 36)"
    )
    add_seed(synthetic)
    add_output_file(synthetic, "the sheet (.png, .jpg)", default=Path("synthetic-faces.png"))
    synthetic.add_argument("--plain", action="store_true", help="do not draw the landmarks")
    synthetic.add_argument(
        "--folder",
        metavar="DIR",
        type=Path,
        help="also write every face as a .png, and parameters, landmarks, visibility as .npy",
    )
    synthetic.set_defaults(run=run_synthetic)


def run_synthetic(args: argparse.Namespace) -> int:
    """Draw the faces, write the sheet and, where asked for, the samples."""

    from ...errors import InputError
    from ...io.images import check_image_name, write_image
    from ...io.locks import own_folder
    from ...morphable import load_model
    from ...pictures.render import contact_sheet
    from ...synthetic import SyntheticFaces

    check_image_name(args.output)
    if args.count > _MOST:
        raise InputError(f"--count: expected 1 to {_MOST:,} faces, got {args.count}")
    if args.seed >= 2**63:
        raise InputError(f"--seed: expected a whole number from 0 to 2^63 - 1, got {args.seed}")
    faces = SyntheticFaces(load_model(args.model), args.count, args.seed)
    samples = faces.batch(range(args.count))
    sheet = contact_sheet([_tile(sample, not args.plain) for sample in samples], min(9, args.count))
    write_image(args.output, sheet)
    note(f"wrote {args.output} ({sheet.shape[1]} x {sheet.shape[0]})")
    if args.folder is not None:
        with own_folder(args.folder):
            _write(args.folder, samples)
        note(f"wrote {args.count} faces to {args.folder}")
    return 0


def _tile(sample: dict[str, Any], marked: bool) -> Any:
    import cv2
    import numpy as np

    from ...pictures.render import draw_landmarks

    image = sample["image"].numpy()
    tile = cv2.resize(image, None, fx=_ENLARGED, fy=_ENLARGED, interpolation=cv2.INTER_CUBIC)
    if not marked:
        return tile
    points = (sample["landmarks"][:, :2].numpy() + 0.5) * _ENLARGED - 0.5
    tile = draw_landmarks(tile, points)
    for x, y in np.rint(points[~sample["visible"].numpy()] * 16).astype(int):
        cv2.circle(tile, (int(x), int(y)), 28, (40, 40, 255), -1, cv2.LINE_AA, 4)
    return tile


def _write(folder: Path, samples: list[dict[str, Any]]) -> None:
    import numpy as np

    from ...io.files import atomic_path
    from ...io.images import write_image

    for index, sample in enumerate(samples):
        write_image(folder / f"{index:06d}.png", sample["image"].numpy())
    for key in ("parameters", "landmarks", "visible"):
        with atomic_path(folder / f"{key}.npy") as temporary:
            np.save(temporary, np.stack([sample[key].numpy() for sample in samples]))
