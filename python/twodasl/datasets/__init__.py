"""Data sets of photos with annotations."""
