"""Fitting a face model to a 3D scan."""

from .fit import fit_scan
from .result import ScanFit

__all__ = ["ScanFit", "fit_scan"]
