"""From a photo to a 3D face."""

MOST_REFINEMENTS = 100
"""Passes after the first: they settle in a few, and each takes as long as the first."""

DOUBTFUL = 0.5
"""Below this confidence `twodasl reconstruct` warns: the face is more likely wrong than right. By the table
in docs/reconstruction.md hardly any below it are good."""
