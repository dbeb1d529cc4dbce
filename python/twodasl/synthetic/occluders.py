"""Occluders: glasses, hands, masks, microphones, boxes, strands of hair, lettering."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..geometry.crops import SIZE
from .backgrounds import Backgrounds
from .filters import blurred

Floats = NDArray[np.float32]

_SHIFT = 4  # cv2's fixed-point coordinates: sixteenths of a pixel


class Canvas:
    """A picture that is painted over, and what remains visible of the original."""

    def __init__(self, image: Floats) -> None:
        self.image = image
        """(SIZE, SIZE, 3) float32 BGR in [0, 1]."""
        self.covered = np.zeros((SIZE, SIZE), np.float32)
        """Fraction of each pixel that an occluder hides."""

    def paint(self, mask: Floats, color: Floats | NDArray[np.float64]) -> None:
        """Blend in a color (3,) or picture (SIZE, SIZE, 3) by a mask (SIZE, SIZE) in [0, 1]."""
        weight = mask[..., None]
        self.image += weight * (np.asarray(color, np.float32) - self.image)
        np.maximum(self.covered, mask, out=self.covered)


def glasses(
    rng: np.random.Generator,
    canvas: Canvas,
    landmarks: Floats,
    rotation: NDArray[np.floating],
    scale: float,
    depth: Floats,
) -> None:
    """Glasses in 3D in front of the eyes, with temples; parts behind the face are omitted.

    landmarks (68, 3) crop pixels (x, row, z); rotation (3, 3) with y up; scale in pixels per millimeter;
    depth (SIZE, SIZE) of the picture, -inf where there is only background.
    """
    flip = np.array([1.0, -1.0, 1.0])
    right, up, front = rotation[:, 0] * flip, rotation[:, 1] * flip, rotation[:, 2] * flip
    eyes = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    ears = landmarks[0], landmarks[16]
    width, height = rng.uniform(22, 30) * scale, rng.uniform(14, 24) * scale
    power = rng.uniform(1.6, 5.0)  # superellipse: from round to box
    angle = np.linspace(0, 2 * np.pi, 33)
    ring = np.stack(
        [np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power),
         np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power)], axis=1
    )  # fmt: skip
    drop = rng.uniform(-6, 4) * scale
    ahead = rng.uniform(14, 20) * scale
    rings = []
    for side, eye in zip((-1.0, 1.0), eyes, strict=True):
        middle = eye + ahead * front + drop * up + side * 2 * scale * right
        # Frames curve slightly around the face.
        outward = ring[:, :1] * side * width
        bend = -0.12 * outward.clip(0)
        rings.append(middle + ring[:, :1] * width * right + ring[:, 1:] * height * up + bend * front)
    dark = rng.random() < 0.35
    if dark or rng.random() < 0.2:  # sunglasses, or a tint
        lens = np.full(3, rng.uniform(0.02, 0.15)) + rng.uniform(0, 0.1, 3)
        strength = rng.uniform(0.8, 0.98) if dark else rng.uniform(0.1, 0.45)
        for points in rings:
            mask = _filled(points[:, :2]) * (depth < points[:, 2].max() + 3 * scale)
            canvas.paint(mask * np.float32(strength), lens)
            if rng.random() < 0.6:  # a reflection
                canvas.paint(
                    mask
                    * np.float32(rng.uniform(0.05, 0.35))
                    * _spot(rng, points[:, :2].mean(axis=0), width),
                    np.full(3, 0.95),
                )
    color = np.full(3, rng.uniform(0.02, 0.3)) if rng.random() < 0.85 else rng.uniform(0, 0.9, 3)
    thickness = rng.uniform(0.9, 4.5) * scale
    frame = np.zeros((SIZE, SIZE), np.float32)
    near = 2.0 * scale
    for points in rings:
        _visible_line(frame, points, thickness, depth, near)
    bridge = np.stack([rings[0][0], rings[1][16]])
    _visible_line(frame, _densified(bridge, 6), thickness, depth, near)
    for side, points, ear in ((-1.0, rings[0], ears[0]), (1.0, rings[1], ears[1])):
        hinge = points[16] if side < 0 else points[0]
        tip = ear + 12 * scale * up - 2 * scale * front + side * 5 * scale * right
        _visible_line(frame, _densified(np.stack([hinge, tip]), 16), 0.9 * thickness, depth, 4 * scale)
    canvas.paint(np.minimum(frame, 1), color)


def occluder(
    rng: np.random.Generator, canvas: Canvas, landmarks: Floats, skin: Floats, textures: Backgrounds
) -> None:
    """One random object in front of the face. skin: BGR (3,) of the person's skin in the picture."""
    kind = rng.random()
    if kind < 0.3:
        _hand(rng, canvas, landmarks, skin)
    elif kind < 0.55:
        _object(rng, canvas, textures)
    elif kind < 0.65:
        _face_mask(rng, canvas, landmarks)
    elif kind < 0.75:
        _microphone(rng, canvas, landmarks)
    elif kind < 0.92:
        _strands(rng, canvas, landmarks)
    else:
        _lettering(rng, canvas)


def _hand(rng: np.random.Generator, canvas: Canvas, landmarks: Floats, skin: Floats) -> None:
    """Fingers: parallel thick strokes, shaded across, with a palm at their base."""
    size = float(np.ptp(landmarks[:, :2], axis=0).max()) / 85
    target = landmarks[rng.choice([3, 5, 8, 11, 13, 48, 54, 57, 1, 15]), :2] + rng.normal(0, 8, 2)
    away = target - landmarks[30, :2] + rng.normal(0, 10, 2)
    away /= max(float(np.linalg.norm(away)), 1e-3)
    across = np.array([-away[1], away[0]])
    width = rng.uniform(7, 11) * size
    color = np.clip(skin * rng.uniform(0.8, 1.15), 0, 1)
    count = int(rng.integers(1, 5))
    palm = target + away * rng.uniform(20, 32) * size
    layers = []
    for finger in range(count):
        offset = (finger - (count - 1) / 2) * width * rng.uniform(0.9, 1.1)
        root = palm + across * offset * 0.9
        end = target + across * offset - away * rng.uniform(0, 16) * size
        middle = (root + end) / 2 + across * rng.normal(0, 2) + away * rng.normal(0, 1)
        layers.append(np.stack([root, middle, end]))
    hand_end = palm + away * 60 * size
    layers.insert(0, np.stack([palm + away * width, hand_end]))
    for index, line in enumerate(layers):
        thick = width * (1.0 if index else count * 0.8 + 0.6)
        for shrink, light in ((1.0, 0.6), (0.8, 0.88), (0.45, 1.0)):
            mask = np.zeros((SIZE, SIZE), np.float32)
            _line(mask, line, thick * shrink)
            canvas.paint(blurred(mask, 0.7), color * light)


def _object(rng: np.random.Generator, canvas: Canvas, textures: Backgrounds) -> None:
    """A textured box, ellipse or scrap over part of the picture, rarely over its middle."""
    size = rng.uniform(12, 50, 2)
    angle = rng.uniform(0, 2 * np.pi)
    reach = rng.uniform(30, 62)
    center = 60 + reach * np.array([np.cos(angle), np.sin(angle)])
    turn = rng.uniform(0, np.pi)
    t = np.linspace(0, 2 * np.pi, 25)[:-1]
    kind = rng.integers(3)
    if kind == 0:
        shape = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    elif kind == 1:
        shape = np.stack([np.cos(t), np.sin(t)], axis=1) * size / 2
    else:
        shape = np.stack([np.cos(t), np.sin(t)], axis=1) * size / 2 * rng.uniform(0.5, 1.2, (24, 1))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    mask = _filled(shape @ rotation.T + center)
    if rng.random() < 0.4:
        mask = blurred(mask, rng.uniform(0.6, 3))
    canvas.paint(mask * np.float32(rng.choice([1.0, 1.0, 0.6])), textures.texture(rng))


def _face_mask(rng: np.random.Generator, canvas: Canvas, landmarks: Floats) -> None:
    """A medical mask or a scarf pulled up."""
    top = landmarks[rng.choice([28, 29, 30]), :2]
    outline = np.concatenate([landmarks[2:15, :2] + rng.normal(0, 0.8, (13, 2)), top[None]])
    hull = cv2.convexHull(outline.astype(np.float32))[:, 0]
    color = (
        np.array([0.9, 0.85, 0.75]) * rng.uniform(0.5, 1.1) if rng.random() < 0.5 else rng.uniform(0, 1, 3)
    )
    shade = np.linspace(1.1, 0.7, SIZE, dtype=np.float32)[:, None, None]
    folds = 1 + 0.1 * np.sin(np.arange(SIZE, dtype=np.float32) / rng.uniform(1, 3))[:, None, None]
    picture = np.clip(color.astype(np.float32) * shade * folds, 0, 1) * np.ones((1, SIZE, 1), np.float32)
    canvas.paint(_filled(np.asarray(hull, np.float32)), picture)


def _microphone(rng: np.random.Generator, canvas: Canvas, landmarks: Floats) -> None:
    """A ball on a stick near the mouth."""
    place = landmarks[57, :2] + rng.normal(0, [14, 9])
    radius = rng.uniform(5, 11)
    end = place + np.array([rng.normal(0, 30), rng.uniform(30, 80)])
    gray = rng.uniform(0.03, 0.5)
    for thick, light in ((radius * 1.1, 0.6), (radius * 0.6, 1.0)):
        mask = np.zeros((SIZE, SIZE), np.float32)
        _line(mask, np.stack([place, end]), thick)
        canvas.paint(mask, np.full(3, gray * light))
    for shrink, light in ((1.0, 0.7), (0.7, 1.0), (0.35, 1.5)):
        mask = np.zeros((SIZE, SIZE), np.float32)
        center = tuple(round(float(v) * 16) for v in place - radius * (1 - shrink) * 0.4)
        cv2.circle(mask, center, int(radius * shrink * 16), 1.0, -1, cv2.LINE_AA, _SHIFT)
        canvas.paint(np.clip(mask, 0, 1), np.full(3, min(gray * light, 1)))


def _strands(rng: np.random.Generator, canvas: Canvas, landmarks: Floats) -> None:
    """Locks of hair across the forehead and cheeks."""
    root = landmarks[27, :2] + np.array([rng.normal(0, 25), rng.uniform(-55, -35)])
    color = np.full(3, rng.uniform(0.03, 0.6)) * np.array([0.75, 0.88, 1.0])
    sweep = rng.normal(0, 18)
    for _ in range(rng.integers(3, 14)):
        start = root + rng.normal(0, [10, 4])
        end = start + np.array([sweep + rng.normal(0, 9), rng.uniform(25, 75)])
        bend = (start + end) / 2 + rng.normal(0, 7, 2)
        t = np.linspace(0, 1, 12)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end
        mask = np.zeros((SIZE, SIZE), np.float32)
        _line(mask, curve, rng.uniform(0.7, 2.6))
        canvas.paint(mask * np.float32(rng.uniform(0.5, 1.0)), color * rng.uniform(0.6, 1.5))


def _lettering(rng: np.random.Generator, canvas: Canvas) -> None:
    """A watermark or a caption."""
    letters = "".join(chr(65 + int(k)) for k in rng.integers(0, 26, rng.integers(3, 12)))
    mask = np.zeros((SIZE, SIZE), np.uint8)
    place = (int(rng.integers(-10, 60)), int(rng.integers(15, SIZE)))
    font = int(rng.choice([cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX]))
    cv2.putText(mask, letters, place, font, rng.uniform(0.3, 1.1), 255, int(rng.integers(1, 3)), cv2.LINE_AA)
    canvas.paint(mask.astype(np.float32) * np.float32(rng.uniform(0.3, 1.0) / 255), rng.uniform(0, 1, 3))


def _fixed(points: NDArray[np.floating]) -> NDArray[np.int32]:
    return np.rint(np.clip(points, -500, 500) * (1 << _SHIFT)).astype(np.int32)


def _line(mask: Floats, points: NDArray[np.floating], thickness: float) -> None:
    """An antialiased polyline; one thinner than a pixel is drawn fainter."""
    strength = float(min(max(thickness, 0.3), 1.0))
    width = max(round(float(thickness)), 1)
    cv2.polylines(mask, [_fixed(points)], False, strength, width, cv2.LINE_AA, _SHIFT)


def _filled(points: NDArray[np.floating]) -> Floats:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [_fixed(points)], 255, cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) * np.float32(1 / 255)


def _densified(line: NDArray[np.floating], count: int) -> NDArray[np.floating]:
    t = np.linspace(0, 1, count + 1)[:, None]
    return line[0] * (1 - t) + line[1] * t


def _visible_line(
    mask: Floats, points: NDArray[np.floating], thickness: float, depth: Floats, slack: float
) -> None:
    """The visible parts of a line in space."""
    column = np.clip(np.rint(points[:, 0]).astype(int), 0, SIZE - 1)
    row = np.clip(np.rint(points[:, 1]).astype(int), 0, SIZE - 1)
    seen = depth[row, column] < points[:, 2] + slack
    # Runs of visible points, each drawn in one stroke.
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(np.int8)))
    for start, end in edges.reshape(-1, 2):
        if end - start > 1:
            _line(mask, points[start:end, :2], thickness)


def _spot(rng: np.random.Generator, center: NDArray[np.floating], radius: float) -> Floats:
    row, column = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    x, y = center + rng.normal(0, 0.4 * radius, 2)
    return np.exp(-((column - x) ** 2 + (row - y) ** 2) / (0.4 * radius) ** 2).astype(np.float32)
