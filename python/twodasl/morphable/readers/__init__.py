"""Readers of other projects' face models, one layout per file; `recognize` selects the one that fits."""
