"""`twodasl fit`: a face model fitted to a 3D scan."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..io.terminal import visible
from ..progress import progress_bar
from .arguments import add_device, add_model, add_output_folder
from .messages import detail, note
from .startup import lasting_imports

if TYPE_CHECKING:
    from ..scans import ScanFit

DESCRIPTION = """\
Fit a face model to a 3D scan: triangles or points alone, in any unit and orientation. The head is found in
the scan, or laid on it by the landmarks of --landmarks; then position, size and coefficients are fitted, and
what is not the head (hair, collar, stray points) is left out.
"""
EPILOG = """\
Scans: .ply, .obj, .npy, .mat. -o writes DIR/NAME.fitted.ply and .obj, the fitted model in the scan's space;
DIR/NAME.json, numbers; DIR/NAME.heat-map.png and DIR/NAME.curve.png.
"""
UNSURE = 1.2
"""A second-best way that is worse by less than this factor deserves a warning."""


def register(subparsers: Any) -> None:
    """Describe the command's arguments."""
    parser = subparsers.add_parser(
        "fit",
        help="fit a face model to a 3D scan",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scan", metavar="SCAN", type=Path, help="the scan: .ply, .obj, .npy or .mat")
    add_model(parser, default="procedural")
    add_output_folder(parser, "the results", required=True)
    parser.add_argument(
        "-l",
        "--landmarks",
        metavar="FILE",
        type=Path,
        help="points in the scan's space: 68 lines x y z (nan where not placed), or lines name,x,y,z; .csv,"
        " .txt, .npy, .pts, or MeshLab's .pp; three are enough",
    )
    add_device(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit, write, and print how well and how surely."""
    from ..io.files import check_targets
    from ..meshes import read_mesh

    with lasting_imports():
        from ..devices import usable_device
        from ..landmarks.space_files import read_space_landmarks
        from ..morphable import load_model
        from ..scans import fit_scan
        from ..scans.fit import rounds
        from ..scans.write import targets, write_fit

    device = usable_device(args.device, "--device")
    inputs = [path for path in (args.scan, args.landmarks, args.model) if path is not None]
    check_targets(targets(args.output, args.scan.stem), inputs=inputs)
    scan = read_mesh(args.scan)
    landmarks = None if args.landmarks is None else read_space_landmarks(args.landmarks)
    model = load_model(args.model)
    bar = progress_bar(total=rounds(), description="fit", unit="round", leave=False)
    try:
        with bar:
            fit = fit_scan(
                model, scan.vertices, scan.triangles, landmarks=landmarks, device=device, progress=bar.update
            )
    except InputError as error:
        raise InputError(_named(str(error), args)) from error
    source = {"scan": str(args.scan), "points": len(scan.vertices)}
    if args.landmarks is not None:
        source["landmarks"] = str(args.landmarks)
    files = write_fit(args.output, args.scan.stem, fit, model, scan.vertices, scan.triangles, source)
    detail(f"{len(fit.history)} rounds, converged: {fit.converged}")
    print(report(fit, str(args.scan)))
    for file in files:
        note(visible(f"wrote {file}", keep=""))
    return 0


def report(fit: ScanFit, name: str) -> str:
    """What the command prints of a fit."""
    errors, scale = fit.errors, fit.scale
    unit = fit.unit or "scan units"

    def both(value: float) -> str:
        model = "" if fit.unit == "mm" else f" ({value / scale:.3g} mm of the model)"
        return f"{value:.4g} {unit}{model}"

    lines = [
        visible(
            f"{name}: {len(fit.residuals):,} points, {100 * errors['inlier_share']:.1f} % inliers", keep=""
        ),
        f"  distance to the surface: median {both(errors['median'])}, mean {errors['mean']:.4g},"
        f" 90 % within {errors['percentile_90']:.4g}",
        f"  noise of the scan: {both(fit.noise)}",
        f"  size: {scale:.6g} scan units for a millimeter of the model"
        + (f", so the scan is in {fit.unit}" if fit.unit else ", which is no usual unit"),
        f"  position: {_sureness(fit)}",
    ]
    if not fit.converged:
        lines.append("  The surface still moved in the last round.")
    return "\n".join(lines)


def _sureness(fit: ScanFit) -> str:
    if fit.sureness != fit.sureness:
        return "from the landmarks"
    if fit.sureness == float("inf"):
        return "sure, no other one was found"
    words = f"the second-best one is {fit.sureness:.1f} times as far off"
    return words if fit.sureness >= UNSURE else f"UNSURE, {words}; give --landmarks"


def _named(message: str, args: argparse.Namespace) -> str:
    """The message of `fit_scan` with files and options instead of arguments."""
    files = {"landmarks: ": args.landmarks, "vertices: ": args.scan, "the scan: ": args.scan}
    for argument, file in files.items():
        if message.startswith(argument):
            return f"{file}: {message.removeprefix(argument)}"
    return message
