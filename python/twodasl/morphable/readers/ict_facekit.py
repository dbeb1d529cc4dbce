"""ICT-FaceKit's own folder: `FaceXModel/*.obj` (MIT license, github.com/ICT-VGL/ICT-FaceKit).

The folder holds one neutral mesh, `identityNNN.obj` (principal components of scans, each one standard
deviation away from neutral) and one OBJ for each expression shape, all with one topology: 26,719 vertices,
quads.

Conversion:

* the first 40 identities are the shape modes, coefficient 1 = one standard deviation;
* the expression shapes become 10 orthogonal modes. Both sides of a shape are one action, the lids apart. The
  modes span the first principal directions of the actions' second moment about neutral (so that neutral stays
  the mean) over the skin of the face, where lids and brows count, not teeth and tongue. A face makes each
  action with a weight between 0 and 1. The weights' spread is taken as `EXPRESSION_SPREAD`, so that 3 sigma
  of a mode is about one action in full; it is larger for small movements and smaller for large ones, by the
  root of their size, because lids and brows move all the time and a jaw seldom opens in full. Left out are
  gaze (it turns the eyeballs, which no landmark shows), mouthClose (it only corrects an open jaw) and what
  people hardly do: jaw and mouth sideways or forward, lips rolled, shrugged or funnelled;
* quads become triangles. Eyelashes, tear fluid and the transparent shells in front of the eyes keep their
  vertices (the indices stay ICT's) and lose their faces: drawn as skin they would cover the eyes;
* units become millimeters. ICT's outer eye corners lie 8.9 units apart; adults' lie 80-100 mm apart (Farkas
  1994), so its unit is the centimeter. The reader makes this comparison on the file that it reads.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...arguments import flag, path_of, whole_number
from ...errors import InputError, reading
from ...io.files import regular_file
from ...io.text import reals, whole
from ...meshes.obj import obj_lines
from ...progress import progress_bar
from ..model import FARTHEST, MorphableModel
from .assemble import measured_unit

IDENTITY_MODES = 40
EXPRESSION_MODES = 10
EXPRESSION_SPREAD = 0.3
NEUTRAL = "generic_neutral_mesh.obj"
# AFLW's ear points (the lobes) of ICT's topology; its README does not list them.
FULL_TOPOLOGY = 26719
EARS = {"ear_left": 7462, "ear_right": 6735}
UNUSED = (
    r"(eyeLook|PupilDilate|mouthClose|(mouth|jaw)(Left|Right|Forward)\.|mouthRoll|mouthShrug|mouthFunnel)"
)
TRANSPARENT = ("lacrimal", "eyeblend", "eyeocclusion", "eyelash")
# "Multi-PIE 68 point facial landmarks indices" of ICT-FaceKit's README, for folders copied without it.
# fmt: off
LANDMARKS = (
    1225, 1888, 1052, 367, 1719, 1722, 2199, 1447, 966, 3661, 4390, 3927, 3924, 2608, 3272, 4088, 3443,
    268, 493, 1914, 2044, 1401, 3615, 4240, 4114, 2734, 2509, 978, 4527, 4942, 4857, 1140, 2075, 1147,
    4269, 3360, 1507, 1542, 1537, 1528, 1518, 1511, 3742, 3751, 3756, 3721, 3725, 3732, 5708, 5695,
    2081, 0, 4275, 6200, 6213, 6346, 6461, 5518, 5957, 5841, 5702, 5711, 5533, 6216, 6207, 6470, 5517,
    5966,
)
# fmt: on


def is_ict_facekit(folder: Path) -> bool:
    """Whether `folder` is ICT-FaceKit's root or its FaceXModel."""
    return _shapes_folder(folder) is not None


def read_ict_facekit(
    folder: Path,
    identity_modes: int = IDENTITY_MODES,
    expression_modes: int = EXPRESSION_MODES,
    progress: bool = True,
    blend_shapes: bool = False,
) -> MorphableModel:
    """Read an ICT-FaceKit folder.

    Args:
        folder: the repository's root or its `FaceXModel`.
        identity_modes, expression_modes: how many to keep, at most; 40 and 10 as in the paper.
        progress: whether to show how far it is (some hundred megabytes of text are parsed).
        blend_shapes: whether the expression modes are ICT's own shapes, each by its file's name (`jawOpen`,
            `mouthSmile_L`), in place of `expression_modes` principal ones. Coefficient 1 is the shape in
            full, and `arkit_shapes` finds ARKit's 52 among them.

    Raises:
        InputError: a file is missing, is not an OBJ file, or does not fit the neutral mesh; the file is
            named.
    """
    identity_modes = whole_number(identity_modes, "identity_modes", 0)
    expression_modes = whole_number(expression_modes, "expression_modes", 0)
    progress, blend_shapes = flag(progress, "progress"), flag(blend_shapes, "blend_shapes")
    shapes = _shapes_folder(path_of(folder, "a folder", "folder"))
    if shapes is None:
        raise InputError(f"{folder}: is not an ICT-FaceKit folder; expected FaceXModel/{NEUTRAL}")
    neutral_path = shapes / NEUTRAL
    neutral, triangles, skin = _read_mesh(neutral_path)
    landmarks = _landmarks(shapes, len(neutral))
    scale = measured_unit(neutral_path, neutral[landmarks])
    identities = sorted(shapes.glob("identity[0-9]*.obj"))[:identity_modes]
    expressions = sorted(path for path in shapes.glob("*.obj") if _is_expression(path, blend_shapes))
    if not identities or not expressions:
        raise InputError(
            f"{shapes}: holds {len(identities)} identity and {len(expressions)} expression shapes; "
            "expected at least one of each"
        )
    paths = [*identities, *expressions]
    moved = np.empty((len(paths), *neutral.shape), np.float32)
    bar = progress_bar(
        paths, description="reading ICT-FaceKit", unit="mesh", show=progress, announce_from=100
    )
    for row, path in enumerate(bar):
        moved[row] = (_read_vertices(path, len(neutral)) - neutral) * scale
    shape_modes, blend = moved[: len(identities)], moved[len(identities) :]
    names, modes, spread = [path.stem for path in expressions], blend, EXPRESSION_SPREAD
    if not blend_shapes:
        actions, names = merge_sides(blend, names)
        modes, names = reduce_expressions(actions, names, skin, expression_modes)
        spread = 1.0
    ears = EARS if len(neutral) == FULL_TOPOLOGY else {}
    return MorphableModel(
        name="ict-facekit",
        mean=(neutral * scale).astype(np.float32),
        shape_modes=shape_modes,
        expression_modes=modes,
        coefficient_std=np.repeat([1.0, spread], [len(shape_modes), len(modes)]).astype(np.float32),
        triangles=triangles,
        landmarks=landmarks,
        named_landmarks={**ears, "chin": int(landmarks[8])},
        mode_names=(*(path.stem for path in identities), *names),
    )


def merge_sides(shapes: NDArray[np.float32], names: list[str]) -> tuple[NDArray[np.float32], list[str]]:
    """Sum the left and right halves of each expression (`name_L`, `name_R`), except the lids.

    shapes: (M, N, 3) displacements. Returns (A, N, 3) and A names, A <= M, in order of first appearance.
    """
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name if name.startswith("eyeBlink") else re.sub("_[LR]$", "", name), []).append(row)
    return np.stack([shapes[members].sum(0) for members in rows.values()]), list(rows)


def reduce_expressions(
    shapes: NDArray[np.float32], names: list[str], skin: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.float32], list[str]]:
    """The principal directions of displacement fields over the skin, without removing their mean.

    Args:
        shapes: (M, N, 3) displacements at full strength.
        names: M names.
        skin: (N,) the vertices over which variance is measured.
        count: modes to keep; fewer are returned if the shapes span fewer dimensions.

    Returns:
        modes (count, N, 3), orthogonal over all vertices, each of one standard deviation, with the sign that
        makes its strongest shapes positive; and for each the names of the two shapes it resembles most.
    """
    size = np.sqrt(np.diag(_gram(shapes[:, skin])))
    spread = np.sqrt(np.median(size) / np.maximum(size, 1e-6 * size.max()))
    shapes = shapes * spread[:, None, None].astype(np.float32)
    on_skin = _gram(shapes[:, skin])
    values, vectors = np.linalg.eigh(on_skin)
    order = np.argsort(values)[::-1]
    weights = vectors[:, order[values[order] > 1e-9 * values.max()][:count]].T
    # Unit weights of the shapes give unit variance along each of these directions, and along any rotation of
    # them: the rotation that makes them orthogonal over the whole head loses nothing.
    kept = np.linalg.eigh(weights @ _gram(shapes) @ weights.T)[1][:, ::-1]
    weights = kept.T @ weights
    strength = weights * np.sqrt(np.diag(on_skin))
    weights *= np.where(strength.sum(1, keepdims=True) < 0, -1, 1)
    modes = np.tensordot((EXPRESSION_SPREAD * weights).astype(np.float32), shapes, 1)
    strongest = np.argsort(-np.abs(strength), axis=1)[:, :2]
    return modes, [
        " ".join(("" if row[shape] > 0 else "-") + names[shape] for shape in top)
        for row, top in zip(weights, strongest, strict=True)
    ]


def _gram(fields: NDArray[np.float32]) -> NDArray[np.float64]:
    flat = fields.reshape(len(fields), -1).astype(np.float64)
    return flat @ flat.T


def _shapes_folder(folder: Path) -> Path | None:
    return next((place for place in (folder / "FaceXModel", folder) if (place / NEUTRAL).is_file()), None)


def _is_expression(path: Path, every: bool) -> bool:
    return not re.match(r"identity\d|generic_neutral" + ("" if every else "|" + UNUSED), path.name)


def _lines(path: Path) -> list[bytes]:
    with reading(path, "an OBJ file"):
        return obj_lines(path, regular_file(path).read_bytes())


def _parse_vertices(path: Path, lines: list[bytes]) -> NDArray[np.float64]:
    rows = [line[2:] for line in lines if line.startswith((b"v ", b"v\t"))]
    words = b" ".join(rows).split()
    try:
        values = reals(words)
    except ValueError as error:
        raise InputError(
            f"{path}: is not an OBJ file (a vertex is not three numbers); copy it again"
        ) from error
    if not rows or values.size != 3 * len(rows) or not np.isfinite(values).all():
        raise InputError(f"{path}: is not an OBJ file with three finite numbers per vertex; copy it again")
    if np.abs(values).max() > FARTHEST:
        raise InputError(
            f"{path}: expected a face's coordinates, got {np.abs(values).max():g}; copy it again"
        )
    return values.reshape(-1, 3)


def _read_vertices(path: Path, count: int) -> NDArray[np.float64]:
    vertices = _parse_vertices(path, _lines(path))
    if len(vertices) != count:
        raise InputError(f"{path}: expected {count} vertices as in {NEUTRAL}, got {len(vertices)}")
    return vertices


def _read_mesh(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    """Vertices, triangles of the opaque parts (polygons split into fans), and which vertices are skin."""
    lines = _lines(path)
    vertices = _parse_vertices(path, lines)
    triangles: list[tuple[int, int, int]] = []
    faces: list[int] = []
    opaque, material = True, ""
    try:
        for line in lines:
            if line.startswith(b"usemtl"):
                material = line[6:].strip().decode(errors="replace").lower().removeprefix("m_")
                opaque = not material.startswith(TRANSPARENT)
            elif line.startswith((b"f ", b"f\t")) and opaque:
                first, *rest = (whole(corner.partition(b"/")[0]) - 1 for corner in line[2:].split())
                triangles += [(first, a, b) for a, b in pairwise(rest)]
                if material == "face":
                    faces.append(len(triangles) - 1)
    except ValueError as error:
        raise InputError(
            f"{path}: is not an OBJ file (a face has no vertex numbers); copy it again"
        ) from error
    result = np.array(triangles, np.int64).reshape(-1, 3)
    if not len(result) or result.min() < 0 or result.max() >= len(vertices):
        raise InputError(f"{path}: expected faces of vertices 1..{len(vertices)}; copy it again")
    # A mesh without ICT's material names is all skin.
    skin = np.zeros(len(vertices), bool)
    skin[result[faces] if faces else slice(None)] = True
    return vertices, result, skin


def _readme(path: Path) -> str:
    with reading(path, "ICT-FaceKit's README"), open(path, "rb") as stream:
        return stream.read(1 << 20).decode("utf-8", "replace")


def _landmarks(shapes: Path, count: int) -> NDArray[np.int64]:
    """The 68 indices listed in the README next to (or above) the shapes, or the published ones."""
    for folder in (shapes, shapes.parent):
        readme = folder / "README.md"
        text = _readme(readme) if readme.is_file() else ""
        found = re.search(r"68 point[^\n]*\s+((?:\d{1,9}\s*,\s*){67}\d{1,9})", text, re.ASCII)
        if found:
            indices = np.array([int(word) for word in found[1].split(",")], np.int64)
            if indices.max() >= count:
                raise InputError(f"{readme}: lists landmark vertex {indices.max()} of a mesh of {count}")
            return indices
    if count != FULL_TOPOLOGY:
        raise InputError(
            f"{shapes / NEUTRAL}: expected ICT-FaceKit's {FULL_TOPOLOGY} vertices, got {count}; put its "
            "README.md with the 68 landmark indices next to it"
        )
    return np.array(LANDMARKS, np.int64)
