"""The lips: both together, the corners of the mouth, and either lip alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..expressions import pucker
from .brushes import Face

Array = NDArray[np.float64]

# Over how many millimeters to either side of the midline the left and the right half of a shape overlap.
BLEND = 11.0
# The coefficient of the head's smile that is a full one.
SMILE = 2.7


def mouth(f: Face) -> dict[str, Array]:
    """Fields (N, 3) of the mouth's shapes; of pairs only the subject's left."""
    return {
        "mouthFunnel": mouth_funnel(f),
        "mouthPucker": mouth_pucker(f),
        "mouthLeft": mouth_left(f),
        "mouthSmileLeft": f.left(mouth_smile(f), BLEND),
        "mouthFrownLeft": f.left(mouth_frown(f), BLEND),
        "mouthDimpleLeft": f.left(mouth_dimple(f), BLEND),
        "mouthStretchLeft": f.left(mouth_stretch(f), BLEND),
        "mouthRollLower": mouth_roll_lower(f),
        "mouthRollUpper": mouth_roll_upper(f),
        "mouthShrugLower": mouth_shrug_lower(f),
        "mouthShrugUpper": mouth_shrug_upper(f),
        "mouthPressLeft": f.left(mouth_press(f), BLEND),
        "mouthLowerDownLeft": f.left(mouth_lower_down(f), BLEND),
        "mouthUpperUpLeft": f.left(mouth_upper_up(f), BLEND),
    }


def mouth_funnel(f: Face) -> Array:
    """Lips open in a ring and pushed forward, as for "oh"."""
    a = f.a
    field = a.push(f.lips(12, 12, 9) * f.along, lateral=-8.5)
    field += a.push(f.lips(9, 9, 4) * (1 - 0.6 * f.along**2), forward=6.0)
    opened = 1 - 0.15 * f.along**2
    field += a.push(f.upper * f.lips(11, 99, 4) * opened, up=4.8)
    field += a.push(f.lower * f.lips(99, 14, 4) * opened, up=-6.4)
    # The vermilion turns outward.
    field += a.push(f.lips(8, 9, 4) * f.on_lip * (1 - f.along**2), forward=1.5)
    return f.soft(field, 1)


def mouth_pucker(f: Face) -> Array:
    """Lips shut, drawn together and forward, as for a kiss."""
    a = f.a
    field = f.soft(3.3 * pucker(a), 1)
    # Together, the lips become taller: the borders move away from where they touch.
    tall = f.on_lip * f.lips(9, 9, 3) * (1 - f.along**2)
    field += a.push(tall, up=1.4) * np.where(f.below[:, None] > 0, -1, 1)
    return (field + a.mirrored(field)) / 2


def mouth_left(f: Face) -> Array:
    """Both lips to the subject's left."""
    a = f.a
    weight = f.lips(11, 13, 15, 30)
    field = f.slide(weight, (9.5, 0, 0))
    # The face is round: what goes left goes back there, and comes forward on the right.
    field += f.slide(weight * np.clip(a.x / 26, -1.3, 1.3), (0, 0.8, -2.2))
    return a.smooth(field, 2)


def mouth_smile(f: Face) -> Array:
    """The corners out and up, with all that photographs say a smile does."""
    field = SMILE * f.modes["smile"]
    return (field + f.a.mirrored(field)) / 2


def mouth_frown(f: Face) -> Array:
    """The corners down."""
    a = f.a
    corner = a.mark(54)
    field = a.push(f.lips(9, 13, 9) * f.along**1.6, up=-6.8, lateral=0.8)
    field += a.push(a.bump((corner[0] + 2, corner[1] - 11, corner[2]), (8, 8, 18)), up=-1.5, forward=0.8)
    return f.soft(field)


def mouth_dimple(f: Face) -> Array:
    """The corners back into the cheek, which folds in front of them."""
    a = f.a
    corner = a.mark(54)
    field = a.push(f.lips(8, 8, 7) * f.along**1.5, lateral=5.5, up=1.0, forward=-5.5)
    field += a.push(a.bump((corner[0] + 4, corner[1], corner[2] - 4), (3, 6, 12)), lateral=-0.6, forward=-2.0)
    fold = a.bump((corner[0] + 13, corner[1] + 2, corner[2] - 14), (5, 11, 14))
    field += a.push(fold, lateral=2.2, forward=1.4)
    return f.soft(field)


def mouth_stretch(f: Face) -> Array:
    """The corners straight out to the side, and slightly down."""
    a = f.a
    field = a.push(f.lips(11, 14, 13) * f.along**1.3, lateral=8.5, up=-1.6, forward=-2.6)
    # Drawn out, the lips become thinner.
    thin = f.on_lip * f.lips(8, 9, 6)
    field += a.push(thin, up=-1.2, forward=-0.5) * np.where(f.below[:, None] > 0, [1, -1, 1], 1)
    return f.soft(field)


def mouth_roll_lower(f: Face) -> Array:
    """The lower lip rolled in over the teeth: its border goes up to the upper lip, its red disappears."""
    a = f.a
    shape = 1 - f.along**4
    fade = np.exp(-0.5 * (np.maximum(f.below - f.lip_height, 0) / 9) ** 2)
    near = f.lower * fade * shape * a.ramp(a.z, a.mouth[2] - 40, a.mouth[2] - 14)
    field = a.push(near * f.on_lip, up=6.6, forward=-2.8)
    field += a.push(near * (1 - f.on_lip), forward=-8.0, up=1.5)
    return f.soft(field, 1)


def mouth_roll_upper(f: Face) -> Array:
    """The upper lip rolled in over the teeth."""
    a = f.a
    shape = 1 - f.along**4
    fade = np.exp(-0.5 * (np.maximum(-f.below - f.lip_height, 0) / 7) ** 2)
    near = f.upper * fade * shape * a.ramp(a.z, a.mouth[2] - 40, a.mouth[2] - 14)
    field = a.push(near * f.on_lip, up=-4.8, forward=-2.8)
    field += a.push(near * (1 - f.on_lip), forward=-7.5, up=-0.5)
    return f.soft(field, 1)


def mouth_shrug_lower(f: Face) -> Array:
    """The chin pushes the lower lip up and out over the upper one's edge."""
    a = f.a
    chin = a.mark(8)
    field = a.push(a.bump((0, chin[1] + 14, chin[2] + 9), (15, 10, 20)), up=5.5, forward=2.5)
    middle = f.lips(7, 12, 5) * (1 - 0.8 * f.along**2)
    field += a.push(middle, up=5.0, forward=0.6)
    field += a.push(middle * f.lower * (0.5 + 0.5 * f.on_lip), forward=6.4)
    field += a.push(middle * f.lower * f.on_lip, up=-1.5)
    field += a.push(f.lips(7, 9, 6) * f.along**2, up=-2.0)
    # The fold under the lip deepens where the chin's muscle bulges under it.
    field += a.push(a.bump((0, a.mouth[1] - 17, a.mouth[2] - 6), (14, 3, 14)), forward=-2.0)
    return f.soft(field, 1)


def mouth_shrug_upper(f: Face) -> Array:
    """The upper lip up toward the nose and out; the lower one follows without parting from it."""
    a = f.a
    middle = f.lips(11, 9, 5) * (1 - 0.7 * f.along**2)
    field = a.push(middle * np.where(f.below < 0, 1.0, 1 - f.on_lip), up=2.6)
    field += a.push(middle * f.upper * (0.3 + 0.7 * f.on_lip), up=1.8, forward=4.2)
    return f.soft(field, 1)


def mouth_press(f: Face) -> Array:
    """The lips pressed on each other: less of their red shows, the lower one goes up."""
    a = f.a
    near = f.lips(8, 10, 5) * (1 - f.along**4)
    low = f.below > 0
    field = a.push(near * f.on_lip * low, up=4.4, forward=-1.2)
    field += a.push(near * f.on_lip * ~low, up=-2.4, forward=-1.2)
    field += a.push(near * (1 - f.on_lip), forward=-2.6, up=0.6)
    field += a.push(f.lips(8, 9, 6) * f.along**2, lateral=0.6, forward=-1.0)
    # Muscle bulges over the chin beside the middle.
    field += a.push(a.bump((13, a.mouth[1] - 17, a.mouth[2] - 8), (9, 6, 16)), up=1.2, forward=1.6)
    return f.soft(field, 1)


def mouth_lower_down(f: Face) -> Array:
    """The lower lip drawn down from the upper one."""
    a = f.a
    place = np.exp(-0.5 * (np.maximum(a.across - 10, 0) / 8) ** 2)
    field = a.push(f.lower * f.lips(99, 15, 6) * place, up=-7.5, lateral=1.0, forward=-0.4)
    return f.soft(field, 1)


def mouth_upper_up(f: Face) -> Array:
    """The upper lip drawn up from the lower one, and the fold beside the nose with it."""
    a = f.a
    place = np.exp(-0.5 * (np.maximum(a.across - 10, 0) / 8) ** 2)
    field = a.push(f.upper * f.lips(13, 99, 6) * place, up=6.5, lateral=0.4, forward=0.5)
    field += a.push(a.bump((24, a.mouth[1] + 20, 84), (7, 9, 16)), up=2.0, forward=1.6)
    return f.soft(field, 1)
