"""Writing meshes that any viewer opens: Wavefront OBJ with MTL, and binary PLY, with optional colors."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..arguments import on_host, shown
from ..errors import InputError
from ..io.files import atomic_path

_MATERIAL = "face"
_ROWS = 16_384  # rows formatted at once
_KEPT = 200_000  # triangles whose text is kept for the next mesh
_SHADES = [f"{shade / 255:.4f}" for shade in range(256)]
_last_faces: tuple[NDArray[np.int64], str] = np.empty((0, 3), np.int64), ""


@dataclass(frozen=True, eq=False)
class ObjTexture:
    """What an OBJ file needs for a texture.

    coordinates: (M, 2) in [0, 1], u to the right and v up. corners: (T, 3) integers, 0-based: the coordinates
    of each triangle's corners. material: name of the MTL file, in the same folder, see `write_mtl`.
    """

    coordinates: ArrayLike
    corners: ArrayLike
    material: str


def write_obj(
    path: str | os.PathLike[str],
    vertices: ArrayLike,
    triangles: ArrayLike,
    colors: ArrayLike | None = None,
    texture: ObjTexture | None = None,
) -> None:
    """Write a Wavefront OBJ; colors follow the coordinates (`v x y z r g b`), as MeshLab and Blender read
    them.

    Args:
        path: the file; written atomically.
        vertices: (N, 3) floats, written unchanged: y up is the caller's business.
        triangles: (T, 3) integers, 0-based.
        colors: (N, 3) RGB, floats in [0, 1] or uint8; or None.
        texture: coordinates and material; or None.

    Raises:
        ValueError: a wrong shape or an index outside the vertices. InputError: the file cannot be written.
    """
    points, faces, rgb = checked_arrays(vertices, triangles, colors)
    places, corners = (None, None) if texture is None else _checked_texture(texture, len(faces))
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as stream:
        if texture is not None:
            stream.write(f"mtllib {_one_line(texture.material)}\n")
        if rgb is None:
            _write_rows(stream, "v %.6g %.6g %.6g\n", points)
        else:
            _write_colored(stream, points, rgb)
        if places is None or corners is None:
            _write_faces(stream, faces)
            return
        _write_rows(stream, "vt %.6f %.6f\n", places)
        stream.write(f"usemtl {_MATERIAL}\n")
        pairs = np.stack([faces + 1, corners + 1], axis=2).reshape(len(faces), 6)
        _write_rows(stream, "f %d/%d %d/%d %d/%d\n", pairs)


def write_mtl(path: str | os.PathLike[str], picture: str) -> None:
    """Write the material of a textured OBJ: the picture's colors, neither shaded nor shiny.

    Args:
        path: the file; written atomically.
        picture: name of the texture's file, in the same folder.

    Raises:
        InputError: the file cannot be written, or the picture's name has line breaks.
    """
    text = f"newmtl {_MATERIAL}\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {_one_line(picture)}\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_ply(
    path: str | os.PathLike[str], vertices: ArrayLike, triangles: ArrayLike, colors: ArrayLike | None = None
) -> None:
    """Write a binary little-endian PLY: float32 x y z, and uchar red green blue if there are colors.

    Arguments and errors as for `write_obj`.
    """
    points, faces, rgb = checked_arrays(vertices, triangles, colors)
    fields = [(axis, "<f4") for axis in "xyz"]
    if rgb is not None:
        fields += [(channel, "u1") for channel in ("red", "green", "blue")]
    table = np.empty(len(points), fields)
    for axis, column in zip("xyz", points.T, strict=True):
        table[axis] = column
    if rgb is not None:
        for channel, column in zip(("red", "green", "blue"), rgb.T, strict=True):
            table[channel] = column
    polygons = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    polygons["count"], polygons["corners"] = 3, faces
    kinds = {"<f4": "float", "u1": "uchar"}
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(points)}",
        *(f"property {kinds[kind]} {name}" for name, kind in fields),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write(("\n".join(header) + "\n").encode("ascii"))
        stream.write(table.tobytes())
        stream.write(polygons.tobytes())


def _write_colored(stream: TextIO, points: NDArray[np.float64], rgb: NDArray[np.uint8]) -> None:
    form = "v %.6g %.6g %.6g %s %s %s\n"
    for start in range(0, len(points), _ROWS):
        part = points[start : start + _ROWS]
        cells: list[float | str] = [""] * (6 * len(part))
        for axis in range(3):
            cells[axis::6] = part[:, axis].tolist()
            shades = rgb[start : start + _ROWS, axis].tolist()
            cells[3 + axis :: 6] = [_SHADES[shade] for shade in shades]
        stream.write(form * len(part) % tuple(cells))


def _write_faces(stream: TextIO, faces: NDArray[np.int64]) -> None:
    """The lines of the triangles, which are those of the mesh before where photos share their face model."""
    global _last_faces
    known, text = _last_faces
    if not np.array_equal(known, faces):
        if len(faces) > _KEPT:
            _write_rows(stream, "f %d %d %d\n", faces + 1)
            return
        text = "f %d %d %d\n" * len(faces) % tuple((faces + 1).ravel().tolist())
        _last_faces = faces.copy(), text  # both at once: other threads write meshes too
    stream.write(text)


def _write_rows(stream: TextIO, form: str, table: NDArray) -> None:
    # Same output as np.savetxt, three times as fast; in chunks, so that a mesh of a million rows needs little
    # memory.
    for start in range(0, len(table), _ROWS):
        part = table[start : start + _ROWS]
        stream.write(form * len(part) % tuple(part.ravel().tolist()))


def _one_line(name: str) -> str:
    """A file's name in a line of OBJ or MTL, which end with the line."""
    if len(name.splitlines()) != 1 or not name.isprintable():
        raise InputError(f"{name!r}: an OBJ file cannot refer to a file of that name; rename the photo")
    return name


def _checked_texture(texture: ObjTexture, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    places, corners = np.asarray(texture.coordinates, np.float64), np.asarray(texture.corners)
    if places.ndim != 2 or places.shape[1] != 2 or not np.isfinite(places).all():
        raise ValueError(f"coordinates: expected (M, 2) finite numbers, got {places.shape}")
    if corners.shape != (count, 3) or corners.dtype.kind not in "iu":
        raise ValueError(f"corners: expected ({count}, 3) integers, got {corners.dtype} {corners.shape}")
    if corners.size and (corners.min() < 0 or corners.max() >= len(places)):
        raise ValueError(
            f"corners: expected indices 0..{len(places) - 1}, got {corners.min()}..{corners.max()}"
        )
    return places, corners.astype(np.int64)


def checked_arrays(
    vertices: ArrayLike, triangles: ArrayLike, colors: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.uint8] | None]:
    """Vertices, triangles and colors (uint8) as the writers want them. Raises ValueError."""
    try:
        points, faces = np.asarray(on_host(vertices), np.float64), np.asarray(on_host(triangles))
    except (TypeError, ValueError, RuntimeError) as error:
        kinds = f"{shown(vertices)} and {shown(triangles)}"
        raise ValueError(
            f"vertices and triangles: expected numbers (N, 3) and integers (T, 3), got {kinds}"
        ) from error
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise ValueError(f"vertices: expected (N, 3) finite numbers, got {points.shape}")
    if faces.ndim != 2 or faces.shape[1] != 3 or faces.dtype.kind not in "iu":
        raise ValueError(f"triangles: expected (T, 3) integers, got {faces.dtype} {faces.shape}")
    if faces.size and (faces.min() < 0 or faces.max() >= len(points)):
        raise ValueError(
            f"triangles: expected indices 0..{len(points) - 1}, got {faces.min()}..{faces.max()}"
        )
    if colors is None:
        return points, faces.astype(np.int64), None
    rgb = np.asarray(on_host(colors))
    if rgb.shape != points.shape:
        raise ValueError(f"colors: expected {points.shape}, got {rgb.shape}")
    if rgb.dtype != np.uint8:
        if rgb.dtype.kind not in "fiu":
            raise ValueError(f"colors: expected numbers, got {rgb.dtype}")
        if not np.isfinite(rgb).all():
            raise ValueError("colors: expected finite numbers, got NaN or infinity")
        rgb = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8)
    return points, faces.astype(np.int64), rgb
