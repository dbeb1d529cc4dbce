"""A measurement that is a table: what was measured, on what and how, as text, JSON and CSV.

For benchmarks whose numbers are not NMEs by yaw, which have `report.Report`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..io.terminal import shortened

Cell = float | int | str | None

_LONGEST_LABEL = 60  # characters of a row's label that are printed
_NARROWEST = 10
_LISTED = 20  # left out items that the text names; the JSON names all


@dataclass(frozen=True)
class Column:
    """A column of the table. key: its name in files. head: above it. decimals: printed of a float."""

    key: str
    head: str
    decimals: int = 3


@dataclass(frozen=True)
class Measurement:
    """Numbers in rows and columns.

    settings: words for each choice that changes a number, in the order in which they are printed. rows: label
    -> column key -> number, None where there is none. units: of the columns by key, in words. item: what
    `items` are, in the singular ("image"); items: each one's own numbers, which the files hold and the text
    does not. left_out: name -> sentence, for what is in no number. notes: sentences.
    """

    title: str
    settings: Mapping[str, str]
    columns: Sequence[Column]
    rows: Mapping[str, Mapping[str, Cell]]
    units: Mapping[str, str] = field(default_factory=dict)
    item: str = "image"
    items: Sequence[Mapping[str, Cell]] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def plural(item: str) -> str:
    """The plural of what a measurement's items are."""
    return f"{item}es" if item.endswith("sh") else f"{item}s"


def format_measurement(measured: Measurement) -> str:
    """The text that a command prints: title, settings, table, notes and what was left out."""
    width = max((len(name) for name in measured.settings), default=0)
    lines = [measured.title]
    lines += [f"  {name:<{width}}  {text}" for name, text in measured.settings.items()]
    labels = [shortened(label, _LONGEST_LABEL) for label in measured.rows]
    first = max([len(label) for label in labels], default=0)
    widths = [max(_NARROWEST, len(column.head) + 2) for column in measured.columns]
    heads = zip(measured.columns, widths, strict=True)
    lines += ["", " " * first + "".join(f"{column.head:>{wide}}" for column, wide in heads)]
    for label, row in zip(labels, measured.rows.values(), strict=True):
        cells = zip(measured.columns, widths, strict=True)
        lines.append(f"{label:<{first}}" + "".join(f"{_cell(row, column):>{wide}}" for column, wide in cells))
    lines += measured.notes
    if measured.left_out:
        count = len(measured.left_out)
        items = measured.item if count == 1 else plural(measured.item)
        lines += [
            "",
            f"Left out, and in no number above: {count} {items}",
        ]
        reasons = list(measured.left_out.values())
        lines += [f"  {' '.join(reason.split())}" for reason in reasons[:_LISTED]]
        if count > _LISTED:
            lines.append(f"  and {count - _LISTED} more")
    return "\n".join(lines)


def measurement_json(measured: Measurement) -> str:
    """Everything, as JSON text."""
    content: dict[str, Any] = {
        "title": measured.title,
        "settings": dict(measured.settings),
        "units": dict(measured.units),
        "results": {label: dict(row) for label, row in measured.rows.items()},
        plural(measured.item): [dict(item) for item in measured.items],
        "left_out": dict(measured.left_out),
        "notes": list(measured.notes),
    }
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def rows_csv(measured: Measurement) -> str:
    """The table: a line a row, its label first."""
    keys = [column.key for column in measured.columns]
    table = [[label, *(row.get(key) for key in keys)] for label, row in measured.rows.items()]
    return _csv(["row", *keys], table)


def items_csv(measured: Measurement) -> str:
    """A line an item, with the columns of the first."""
    keys = list(measured.items[0]) if measured.items else [measured.item]
    return _csv(keys, [[item.get(key) for key in keys] for item in measured.items])


def _csv(heads: Sequence[str], table: Sequence[Sequence[Cell]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(heads)
    for row in table:
        writer.writerow(
            ["" if cell is None else f"{cell:.6f}" if isinstance(cell, float) else cell for cell in row]
        )
    return stream.getvalue()


def _cell(row: Mapping[str, Cell], column: Column) -> str:
    value = row.get(column.key)
    if value is None:
        return "-"
    return f"{value:.{column.decimals}f}" if isinstance(value, float) else str(value)
