"""From a photo to a 3D face."""

MOST_REFINEMENTS = 100
"""Passes after the first: they settle in a few, and each takes as long as the first."""
