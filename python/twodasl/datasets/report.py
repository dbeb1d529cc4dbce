"""The outcome of reading a data set's photos: how many are used, and why the others are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError

FIRST_NAMES = 5
"""Names on one line of the report."""

_MOST_REASONS = 40


@dataclass(frozen=True)
class Skipped:
    """Photos excluded for one reason, by name."""

    reason: str
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """Number of photos."""
        return len(self.names)

    def listed(self) -> str:
        """The first names."""
        more = ", ..." if self.count > FIRST_NAMES else ""
        return printable(", ".join(self.names[:FIRST_NAMES])) + more


@dataclass(frozen=True)
class DataReport:
    """kept: number of photos used. skipped: the others, the most frequent reason first."""

    kept: int
    skipped: tuple[Skipped, ...] = field(default_factory=tuple)

    @classmethod
    def of(cls, kept: int, failures: Sequence[tuple[str, str]]) -> DataReport:
        """Build a report from (name, reason) of each excluded photo."""
        groups: dict[str, list[str]] = {}
        for name, reason in failures:
            groups.setdefault(reason, []).append(name)
        ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
        return cls(kept, tuple(Skipped(reason, tuple(names)) for reason, names in ordered))

    @property
    def lost(self) -> int:
        """Number of excluded photos."""
        return sum(group.count for group in self.skipped)

    def without(self, names: Sequence[str], reason: str) -> DataReport:
        """The report with these photos excluded as well."""
        if not names:
            return self
        skipped = sorted((*self.skipped, Skipped(reason, tuple(names))), key=lambda entry: -entry.count)
        return DataReport(self.kept - len(names), tuple(skipped))

    def lines(self) -> list[str]:
        """The report as text: one line of counts, then one line per reason with the first names."""
        lines = [f"{self.kept:,} photos kept, {self.lost:,} left out" + (":" if self.lost else "")]
        shown, rest = self.skipped[:_MOST_REASONS], self.skipped[_MOST_REASONS:]
        lines += [f"  {group.count:,}  {printable(group.reason)}  ({group.listed()})" for group in shown]
        if rest:
            lines.append(f"  {sum(group.count for group in rest):,}  for {len(rest):,} other reasons")
        return lines

    def table(self) -> str:
        """One line per excluded photo: its name, a tab, and the reason."""
        lines = (f"{name}\t{group.reason}\n" for group in self.skipped for name in group.names)
        return printable("".join(lines))

    def refuse_if_broken(self, root: Path) -> None:
        """Raise MostlyBroken if more than half of the photos are excluded, or none is left."""
        total = self.kept + self.lost
        if self.kept and self.lost <= self.kept:
            return
        if not total:
            raise InputError(f"{root}: expected photos with landmarks, found none")
        worst = self.skipped[0]
        raise MostlyBroken(
            f"{root}: {self.lost:,} of {total:,} photos cannot be used, most often ({worst.count:,}) because:"
            f" {worst.reason} ({worst.listed()}); is it another kind of data set?",
            self,
        )

    def to_json(self) -> str:
        """JSON for the listing's file."""
        groups = [[group.reason, list(group.names)] for group in self.skipped]
        return json.dumps([self.kept, groups])

    @classmethod
    def from_json(cls, text: str) -> DataReport:
        """Parse the result of `to_json`; raises ValueError or TypeError otherwise."""
        kept, groups = json.loads(text)
        return cls(int(kept), tuple(Skipped(str(reason), tuple(map(str, names))) for reason, names in groups))


class MostlyBroken(InputError):
    """More than half of a data set is unusable; `report` says why."""

    def __init__(self, message: str, report: DataReport) -> None:
        super().__init__(message)
        self.report = report


def printable(text: str) -> str:
    """The text, with bytes of a file name that are not UTF-8 as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
