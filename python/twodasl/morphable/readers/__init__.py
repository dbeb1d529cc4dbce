"""Readers of other projects' face models, one layout a file; `recognize` picks the one that fits."""
