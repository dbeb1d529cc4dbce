"""From a photo to a 3D face."""

MOST_REFINEMENTS = 100
"""Passes after the first: they settle in a few, and each takes as long as the first."""

DOUBTFUL = 0.5
"""Below this confidence `twodasl reconstruct` warns: the face is more likely wrong than right. By the table
in docs/reconstruction.md hardly any below it are good."""

FORMATS = ("obj", "ply", "glb", "json", "png", "html")
"""What can be written of a face, by the files' suffixes."""

DEFAULT_FORMATS = ("obj", "ply", "glb", "json", "png")

TEXTURE_SUFFIXES = ("-texture.png", ".mtl")
"""What an OBJ file with a texture needs beside it."""

PERSON_FORMATS = ("obj", "ply", "glb", "json")
"""What can be written of a person of several photos."""
