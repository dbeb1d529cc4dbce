"""`twodasl evaluate reconstruction`: the error of predicted meshes against true ones."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import InputError
from ..arguments import add_output_folder
from ..messages import note

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...evaluation.heat_map import Face
    from ...evaluation.mesh_pairs import Measured, Pairs
    from ...meshes import Mesh

DESCRIPTION = """\
The error of predicted 3D faces. Each mesh in the folder --predicted is laid on the mesh of the same name in
the folder --truth; distances are given in percent of sqrt(w*h), the sides of the true mesh's box in x and y.

protocols:
  nearest         the paper's text: rigid iterative closest points, then the mean distance of every true
                  vertex to the nearest predicted one; vertices and triangles may differ
  authors-matlab  the authors' published program: each 50th vertex, rotation about the centroids until the
                  mean squared distance changes by at most 0.01, then the distance of vertices of one index
"""
EPILOG = """\
Meshes: .ply, .obj, .npy ((N, 3) or (3, N) vertices), .mat (variable vertices, vertex, pt3d, ...; up to v7).
Files that cannot be read are skipped and named; it is an error when more than half of the faces cannot be
measured. --output writes DIR/reconstruction.json, DIR/error-curve.png and, where there are triangles,
DIR/error-heat-map.png of the median and the worst face.
"""


def register(sets: Any) -> None:
    """Describe the command's arguments."""
    parser = sets.add_parser(
        "reconstruction",
        help="3D faces against true meshes",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--predicted", required=True, type=Path, metavar="DIR", help="folder of predicted meshes"
    )
    parser.add_argument("--truth", required=True, type=Path, metavar="DIR", help="folder of true meshes")
    parser.add_argument(
        "--protocol", choices=("nearest", "authors-matlab"), default="nearest", help="default: nearest"
    )
    parser.add_argument(
        "--scale",
        action="store_true",
        help="with nearest: also fit the prediction's size, which hides its error",
    )
    parser.add_argument(
        "--yaw",
        type=Path,
        metavar="FILE",
        help="yaw in degrees, for a table of yaw bins: .npy, a number for each true mesh in name order, or"
        " .csv with lines 'name,yaw'",
    )
    parser.add_argument(
        "--triangles", type=Path, metavar="FILE", help="triangles of true meshes whose files have none"
    )
    parser.add_argument(
        "--y-axis",
        choices=("auto", "up", "down"),
        default="auto",
        help="which way y grows in the meshes, for the heat-map (default: as their triangles say)",
    )
    add_output_folder(parser, "reconstruction.json and the pictures")
    parser.add_argument("--no-progress", action="store_true", help="show no progress bar, as --quiet does")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, print the report and write the files asked for."""
    from ...evaluation.mesh_misuse import mesh_warnings
    from ...evaluation.mesh_pairs import find_pairs, measure_pairs
    from ...evaluation.reconstruction_report import (
        ReconstructionReport,
        format_reconstruction,
        reconstruction_text,
    )
    from ...evaluation.yaw_files import read_yaw
    from ...io.images import encode_image
    from .outputs import publish

    if options.scale and options.protocol != "nearest":
        raise InputError(f"--scale: has a meaning only with --protocol nearest, not {options.protocol}")
    if options.output is not None and options.output.exists() and not options.output.is_dir():
        raise InputError(f"--output: expected a folder, but {options.output} is a file")
    found = find_pairs(options.predicted, options.truth)
    true_names = sorted({*(pair.name for pair in found.pairs), *found.without_prediction})
    yaw = None if options.yaw is None else dict(
        zip(true_names, read_yaw(options.yaw, true_names).tolist(), strict=True)
    )  # fmt: skip
    if options.triangles is not None:
        _check_triangles(options.triangles, found)
    measured = measure_pairs(
        found, protocol=options.protocol, scale=options.scale, progress=not options.no_progress
    )
    settings = {
        "predicted": str(options.predicted),
        "ground truth": str(options.truth),
        "size": "fitted (--scale)" if options.scale else "as predicted",
    }
    if options.yaw is not None:
        settings["yaw source"] = str(options.yaw)
    warnings = mesh_warnings(measured, protocol=options.protocol, scale=options.scale)
    report = ReconstructionReport(
        options.protocol, settings, measured, _of(measured, yaw), found.without_truth, warnings
    )
    pictures = {} if options.output is None else _pictures(options, measured)
    contents: dict[Path, str | bytes] = {}
    if options.output is not None:
        contents[options.output / "reconstruction.json"] = reconstruction_text(report)
        files = {options.output / name: picture for name, picture in pictures.items()}
        contents |= {path: encode_image(path, picture) for path, picture in files.items()}
    publish(format_reconstruction(report), contents)
    if contents and "error-heat-map.png" not in pictures:
        note("No heat-map: the true meshes have no triangles; give --triangles FILE.")
    return 0


def _of(measured: Measured, yaw: dict[str, float] | None) -> NDArray[np.float64] | None:
    import numpy as np

    return None if yaw is None else np.array([yaw[name] for name in measured.names])


def _pictures(options: argparse.Namespace, measured: Measured) -> dict[str, Any]:
    """File name -> picture (H, W, 3) uint8 BGR; all are drawn before anything is written."""
    from ...evaluation.error_curve import error_curve
    from ...evaluation.heat_map import heat_map

    count = len(measured.names)
    title = (
        f"3D reconstruction error of {count} face{'s' if count != 1 else ''}, protocol “{options.protocol}”"
    )
    curve = error_curve(
        100 * measured.nme, title, "NME: mean distance in percent of sqrt(w·h), the true mesh's size"
    )
    pictures = {"error-curve.png": curve}
    faces = _shown_faces(options, measured)
    if faces:
        to = (
            "nearest predicted vertex"
            if options.protocol == "nearest"
            else "predicted vertex of the same index"
        )
        label = f"distance to the {to}, % of sqrt(w·h)"
        pictures["error-heat-map.png"] = heat_map(faces, title, label, options.y_axis)
    return pictures


def _shown_faces(options: argparse.Namespace, measured: Measured) -> list[Face]:
    """The median and the worst face, or none where no triangles are known."""
    import numpy as np

    from ...evaluation.heat_map import Face
    from ...meshes import read_mesh

    order = np.argsort(measured.nme, kind="stable")
    shown = {"Median face": int(order[(len(order) - 1) // 2]), "Worst face": int(order[-1])}
    if len(order) == 1:
        shown = {"Face": 0}
    faces = []
    for kind, index in shown.items():
        pair, error = measured.pairs[index], measured.errors[index]
        truth, predicted = read_mesh(pair.truth), read_mesh(pair.predicted)
        triangles = _triangles(options, truth)
        if triangles is None:
            return []
        same = len(predicted.vertices) == len(truth.vertices)
        found = predicted.triangles if predicted.triangles is not None else triangles if same else None
        heading = f"{kind}: {pair.name}, NME {100 * error.nme:.3g} %"
        heading += f"  (mean distance {error.mean_distance:.3g} in the mesh's units)"
        faces.append(Face(heading, truth.vertices, triangles, predicted.vertices, found, error))
    return faces


def _triangles(options: argparse.Namespace, truth: Mesh) -> NDArray[np.int64] | None:
    from ...meshes import read_triangles

    if options.triangles is not None:
        return read_triangles(options.triangles, len(truth.vertices))
    return truth.triangles


def _check_triangles(path: Path, found: Pairs) -> None:
    """Complain of a file of triangles before the faces are measured, which may take long."""
    from ...meshes import read_mesh, read_triangles

    for pair in found.pairs:
        try:
            count = len(read_mesh(pair.truth).vertices)
        except InputError:
            continue  # named as skipped later
        read_triangles(path, count)
        return
