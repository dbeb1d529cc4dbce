"""The names of ARKit's 52 blend shapes, and what each is called in ICT-FaceKit."""

from __future__ import annotations

ARKIT_NAMES = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft",
    "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight",
    "mouthStretchLeft", "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower",
    "mouthShrugUpper", "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight",
    "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight", "tongueOut",
)  # fmt: skip
"""The 52 of Apple's `ARFaceAnchor.BlendShapeLocation`, in the order of its documentation. Left and right are
the subject's: `Left` moves vertices at +x."""

_WHOLE = {"jawLeft", "jawRight", "mouthLeft", "mouthRight"}
# One shape here, two there.
_SPLIT = {"browInnerUp", "cheekPuff"}


def mirror_name(name: str) -> str:
    """The name of a shape's mirror image: its own, where both sides move alike."""
    for side, other in (("Left", "Right"), ("Right", "Left")):
        if name.endswith(side):
            return name.removesuffix(side) + other
    return name


def ict_names(name: str) -> tuple[str, ...]:
    """The shapes of ICT-FaceKit whose sum is ARKit's shape `name`; none for tongueOut, which ICT lacks."""
    if name == "tongueOut":
        return ()
    if name in _SPLIT:
        return f"{name}_L", f"{name}_R"
    if name in _WHOLE:
        return (name,)
    for side, short in (("Left", "_L"), ("Right", "_R")):
        if name.endswith(side):
            return (name.removesuffix(side) + short,)
    return (name,)
