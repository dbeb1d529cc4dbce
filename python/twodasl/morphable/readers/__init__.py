"""Readers of other projects' face models, one layout a file; `recognise` picks the one that fits."""
