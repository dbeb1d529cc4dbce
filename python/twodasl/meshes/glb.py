"""Writing heads as GLB, the binary form of glTF 2.0, which Blender, game engines and browsers open.

Our own, because it is short: pygltflib holds the JSON but makes no accessors, and trimesh writes neither
morph targets nor skins. Format: the Khronos Group's glTF 2.0 specification.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.files import atomic_path
from .glb_buffer import INDEX_DATA, VERTEX_DATA, GlbBuffer
from .glb_head import GlbHead, HeadMotion, HeadPose

_JOINT, _MESH = 0, 1  # nodes


def write_glb(
    path: str | os.PathLike[str],
    vertices: ArrayLike,
    triangles: ArrayLike,
    *,
    uv: ArrayLike | None = None,
    texture: ArrayLike | None = None,
    colors: ArrayLike | None = None,
    normals: ArrayLike | None = None,
    morph_targets: Mapping[str, ArrayLike] | None = None,
    normal_targets: ArrayLike | None = None,
    weights: Mapping[str, float] | None = None,
    pose: HeadPose | None = None,
    animation: HeadMotion | None = None,
    name: str = "face",
) -> None:
    """Write a head that can move, as glTF 2.0 in one binary file.

    The mesh hangs on a skeleton of one joint, `head`, which has the pose. Morph targets that move only a part
    of the face are stored as sparse accessors. The names of the targets are in the mesh's
    `extras.targetNames`, where Blender, three.js and Unity look for them.

    Args:
        path: the file; written atomically.
        vertices: (N, 3) meters, +y up, the face toward +z, the origin in the head.
        triangles: (T, 3) integers, 0-based, counter-clockwise from outside.
        uv: (N, 2) places in the texture: u to the right, v up from the lower edge.
        texture: (H, W, 3) uint8 BGR; stored as PNG. With `uv` only.
        colors: (N, 3) sRGB, floats in [0, 1] or uint8; they multiply the texture where there is one.
        normals: (N, 3) of unit length; computed where not given. Give them for vertices that are split along
            the seams of a texture.
        morph_targets: for each name the moves (N, 3) in meters of all vertices at weight 1.
        normal_targets: (M, N, 3) changes of the normals, in the order of the targets; computed where not
            given.
        weights: those of the targets that the file opens with; others are 0.
        pose: of the head that the file opens with; default: none.
        animation: the pose, and the weights if it has some, over time.
        name: the mesh's name.

    Raises:
        ValueError: an argument does not fit; the message begins with its name. InputError: the file cannot
        be written.
    """
    head = GlbHead(
        vertices, triangles, uv, texture, colors, normals, morph_targets or {}, normal_targets,
        weights or {}, pose or HeadPose(), animation, name,
    )  # fmt: skip
    content = glb_bytes(head)
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        stream.write(content)


def glb_bytes(head: GlbHead) -> bytes:
    """The content of the GLB file of a head."""
    buffer = GlbBuffer()
    document: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": _generator()},
        "scene": 0,
        "scenes": [{"nodes": [_JOINT, _MESH]}],
        "nodes": [_joint(head.pose), {"name": head.name, "mesh": 0, "skin": 0}],
        "skins": [{"joints": [_JOINT]}],
        "meshes": [_mesh(head, buffer)],
        "materials": [_material(head, buffer)],
    }
    if head.texture is not None:
        picture = {"bufferView": buffer.view(_png(np.asarray(head.texture))), "mimeType": "image/png"}
        document["images"] = [picture]
        document["samplers"] = [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}]
        document["textures"] = [{"source": 0, "sampler": 0}]
    if head.motion is not None:
        document["animations"] = [_animation(head.motion, buffer)]
    content = buffer.content()
    document |= {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(content)}],
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(content)
    header = struct.pack("<4sII", b"glTF", 2, length)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(content), b"BIN\0")
    return header + chunks + content


def _generator() -> str:
    from .. import __version__

    return f"twodasl {__version__}"


def _joint(pose: HeadPose) -> dict[str, Any]:
    rotation, translation = (np.asarray(each).tolist() for each in (pose.rotation, pose.translation))
    return {"name": "head", "rotation": rotation, "translation": translation}


def _mesh(head: GlbHead, buffer: GlbBuffer) -> dict[str, Any]:
    points, faces = np.asarray(head.vertices), np.asarray(head.triangles)
    index = np.uint16 if len(points) <= 0xFFFF else np.uint32  # 0xFFFF itself is reserved
    attributes = {
        "POSITION": buffer.accessor(points, VERTEX_DATA, bounds=True),
        "NORMAL": buffer.accessor(np.asarray(head.normals), VERTEX_DATA),
    }
    if head.uv is not None:
        down = np.asarray(head.uv, np.float32).copy()
        down[:, 1] = 1 - down[:, 1]  # glTF's v goes down from the upper edge
        attributes["TEXCOORD_0"] = buffer.accessor(down, VERTEX_DATA)
    if head.colors is not None:
        linear = _linear(np.asarray(head.colors))
        attributes["COLOR_0"] = buffer.accessor(linear, VERTEX_DATA, normalized=True)
    # All of the head follows its one joint.
    joints, shares = np.zeros((len(points), 4), np.uint8), np.zeros((len(points), 4), np.uint8)
    shares[:, 0] = 255
    attributes["JOINTS_0"] = buffer.accessor(joints, VERTEX_DATA)
    attributes["WEIGHTS_0"] = buffer.accessor(shares, VERTEX_DATA, normalized=True)
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": buffer.accessor(faces.astype(index).ravel(), INDEX_DATA),
        "material": 0,
    }
    mesh: dict[str, Any] = {"name": head.name, "primitives": [primitive]}
    if head.targets:
        primitive["targets"] = _targets(head, buffer)
        mesh |= {"weights": list(head.weights.values()), "extras": {"targetNames": list(head.targets)}}
    return mesh


def _targets(head: GlbHead, buffer: GlbBuffer) -> list[dict[str, int]]:
    found = []
    for move, turn in zip(head.targets.values(), np.asarray(head.normal_targets), strict=True):
        places = buffer.moves(np.asarray(move), bounds=True)
        found.append({"POSITION": places, "NORMAL": buffer.moves(turn)})
    return found


def _material(head: GlbHead, buffer: GlbBuffer) -> dict[str, Any]:
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 0.85}
    if head.texture is not None:
        surface["baseColorTexture"] = {"index": 0}
    # The neck is open, and so is the mouth: their insides are seen.
    return {"name": "skin", "pbrMetallicRoughness": surface, "doubleSided": True}


def _animation(motion: HeadMotion, buffer: GlbBuffer) -> dict[str, Any]:
    moved = {"rotation": (_JOINT, motion.rotations), "translation": (_JOINT, motion.translations)}
    if motion.weights is not None and np.size(motion.weights):
        moved["weights"] = (_MESH, np.ravel(motion.weights))
    times = buffer.accessor(np.asarray(motion.seconds), bounds=True)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    for path, (node, values) in moved.items():
        if values is None:
            continue
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        output = buffer.accessor(np.asarray(values))
        samplers.append({"input": times, "output": output, "interpolation": "LINEAR"})
    return {"name": "video", "channels": channels, "samplers": samplers}


def _linear(colors: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The light of sRGB colors, which is what vertex colors are in glTF: 0 to 65,535."""
    share = np.arange(256) / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.rint(light * 0xFFFF).astype(np.uint16)[colors]


def _png(picture: NDArray[np.uint8]) -> bytes:
    import cv2

    _, content = cv2.imencode(".png", np.ascontiguousarray(picture))
    return bytes(content.tobytes())
