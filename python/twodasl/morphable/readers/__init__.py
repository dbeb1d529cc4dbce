"""Readers of other projects' face models, one layout a file."""
