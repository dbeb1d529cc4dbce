"""The training step's report as a Markdown page."""

from __future__ import annotations

from typing import Any

from ..machine import heading

BAR = 0.03
"""The losses are cheap when they take less than this share of the ResNet-50's forward and backward pass."""


def markdown(report: dict[str, Any]) -> str:
    """Machine, verdict, and the table of all parts."""
    parts, share = report["parts"], report["shares"]["all losses"]
    network = sum(parts[f"ResNet-50 {way}"]["median_ms"] for way in ("forward", "backward"))
    verdict = "below" if share < BAR else "above"
    lines = [
        "# The cost of the losses in a training step",
        "",
        *heading(report["machine"]),
        "",
        f"Batch {report['batch']}, N = 53,215, K = 50, 68 landmarks, float32. All losses of both stages with",
        f"the landmarks of both passes, forward and backward, take **{100 * share:.2f} %** of one forward",
        f"and backward pass of the ResNet-50 ({verdict} the bar of {100 * BAR:.0f} %). With",
        "the paper's second pass a step runs that network twice.",
        "",
        "| part | median ms | minimum ms | share of the ResNet-50 |",
        "|---|---:|---:|---:|",
    ]
    for name, times in parts.items():
        ratio = f"{100 * times['median_ms'] / network:.3f} %"
        lines.append(f"| {name} | {times['median_ms']:.3f} | {times['minimum_ms']:.3f} | {ratio} |")
    return "\n".join(lines) + "\n"
