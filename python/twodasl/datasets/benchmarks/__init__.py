"""Test sets."""

NORMALIZERS = ("points68", "visible", "crop")
"""Whose box can normalize AFLW's errors: the 68 fitted points', the visible annotated points', the crop."""
