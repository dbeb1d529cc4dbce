"""`twodasl evaluate realy`: the REALY benchmark, four regions of scans against predicted meshes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...errors import InputError
from . import tables

DESCRIPTION = """\
The REALY benchmark: nose, mouth, forehead and cheek of each scan against the predicted mesh, which is aligned
for each region alone; the region is then deformed onto the mesh to find what corresponds. Errors are mean
distances in millimeters.
"""
EPILOG = """\
ROOT holds REALY_HIFI3D_keypoints/ID.obj, REALY_scan_region/ID/nose.obj (and mouth, forehead, cheek) and
metrical_scale.txt. --predicted holds ID.obj or ID_ANYTHING.obj, all of one topology; --keypoints is the file
of the 85 keypoints of that topology, a JSON list of [triangle, weight, weight].
"""
_ITEMS = "meshes"
_BROKEN = 0.5


def register(sets: Any) -> None:
    """Describe the command's arguments."""
    parser = sets.add_parser(
        "realy",
        help="the REALY benchmark: regions of scans against predicted meshes",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", required=True, metavar="ROOT", type=Path, help="folder of the data set")
    parser.add_argument(
        "--predicted", required=True, type=Path, metavar="DIR", help="folder of predicted meshes"
    )
    parser.add_argument(
        "--keypoints", required=True, type=Path, metavar="FILE", help="the 85 keypoints of their topology"
    )
    tables.add_files(parser, _ITEMS)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, print the table and write the files asked for."""
    import numpy as np

    from ...datasets.benchmarks import realy as reading
    from ...evaluation.measurement import Column, Measurement
    from ...evaluation.realy import region_errors
    from ...meshes import read_mesh
    from ...progress import progress_bar

    tables.check_files(options, _ITEMS)
    on_mesh = reading.read_mesh_keypoints(options.keypoints)
    faces = reading.read_realy(options.root, options.predicted)
    items: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    for face in progress_bar(faces, description="measuring", unit="mesh"):
        true, regions = reading.read_true_keypoints(face), reading.read_regions(face)
        try:
            mesh = read_mesh(face.predicted)
            if mesh.triangles is None:
                raise InputError(f"{face.predicted}: expected a mesh with triangles, got points only")
            marks = on_mesh.places(mesh.vertices, mesh.triangles)
            errors = region_errors(mesh.vertices, mesh, marks, regions, true)
        except InputError as problem:
            left_out[face.name] = f"{face.name}: {problem}"
            continue
        own = {name: face.scale * error.mean for name, error in errors.items()}
        items.append({"mesh": face.name, "person": face.person, **own, "all": sum(own.values()) / len(own)})
    if len(left_out) > _BROKEN * len(faces):
        reason = next(iter(left_out.values()))
        raise InputError(
            f"{len(left_out)} of {len(faces)} meshes could not be measured, too many to go on: {reason}"
        )
    names = (*reading.REGIONS, "all")
    values = {name: np.array([item[name] for item in items]) for name in names}
    rows: dict[str, dict[str, Any]] = {
        "mean": {"meshes": len(items), **{name: float(found.mean()) for name, found in values.items()}}
    }
    if len(items) > 1:
        rows["std"] = {name: float(values[name].std(ddof=1)) for name in names}
    settings = {
        "data": f"{options.root}, {len({face.person for face in faces})} people",
        "predictions": f"{options.predicted}, {len(faces)} meshes",
        "keypoints": str(options.keypoints),
        "alignment": "size and place by seven keypoints; then each region's by its vertices and keypoints",
        "metric": "mean distance of a region's vertices to their counterparts, which a deformation"
        " finds; millimeters",
    }
    columns = (Column("meshes", "meshes"), *(Column(name, name) for name in names))
    units = dict.fromkeys(names, "millimeters")
    measured = Measurement("REALY", settings, columns, rows, units, "mesh", items, left_out)
    return tables.finish(options, measured)
