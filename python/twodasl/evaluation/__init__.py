"""Measuring how well faces are aligned: NME, and reports that say what they measured."""

from .nme import BIN_NAMES, NmeSummary, normalized_mean_error, summarize, yaw_bins
from .report import Report, format_report, format_table
from .report_files import report_json, write_json

__all__ = [
    "BIN_NAMES",
    "NmeSummary",
    "Report",
    "format_report",
    "format_table",
    "normalized_mean_error",
    "report_json",
    "summarize",
    "write_json",
    "yaw_bins",
]
