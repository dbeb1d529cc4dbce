"""Data sets of photos and their annotation."""
