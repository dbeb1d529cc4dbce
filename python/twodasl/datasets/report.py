"""What became of a data set's photos: how many are used, and why the others are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError

FIRST_NAMES = 5
"""Names in one line of the report."""

_MOST_REASONS = 40


@dataclass(frozen=True)
class Skipped:
    """Photos left out for one reason, by name."""

    reason: str
    names: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many."""
        return len(self.names)

    def listed(self) -> str:
        """The first names."""
        more = ", ..." if self.count > FIRST_NAMES else ""
        return printable(", ".join(self.names[:FIRST_NAMES])) + more


@dataclass(frozen=True)
class DataReport:
    """kept: photos that are used. skipped: the others, the most frequent reason first."""

    kept: int
    skipped: tuple[Skipped, ...] = field(default_factory=tuple)

    @classmethod
    def of(cls, kept: int, failures: Sequence[tuple[str, str]]) -> DataReport:
        """From (name, reason) of every photo left out."""
        groups: dict[str, list[str]] = {}
        for name, reason in failures:
            groups.setdefault(reason, []).append(name)
        ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
        return cls(kept, tuple(Skipped(reason, tuple(names)) for reason, names in ordered))

    @property
    def lost(self) -> int:
        """Photos left out."""
        return sum(group.count for group in self.skipped)

    def without(self, names: Sequence[str], reason: str) -> DataReport:
        """The report after these photos were left out too."""
        if not names:
            return self
        skipped = sorted((*self.skipped, Skipped(reason, tuple(names))), key=lambda entry: -entry.count)
        return DataReport(self.kept - len(names), tuple(skipped))

    def lines(self) -> list[str]:
        """The report in words: a line of counts, then a line a reason, with the first names."""
        lines = [f"{self.kept:,} photos kept, {self.lost:,} left out" + (":" if self.lost else "")]
        shown, rest = self.skipped[:_MOST_REASONS], self.skipped[_MOST_REASONS:]
        lines += [f"  {group.count:,}  {printable(group.reason)}  ({group.listed()})" for group in shown]
        if rest:
            lines.append(f"  {sum(group.count for group in rest):,}  for {len(rest):,} other reasons")
        return lines

    def table(self) -> str:
        """Every photo left out: a line each, of its name, a tab, and the reason."""
        lines = (f"{name}\t{group.reason}\n" for group in self.skipped for name in group.names)
        return printable("".join(lines))

    def refuse_if_broken(self, root: Path) -> None:
        """Raise MostlyBroken when more than half of the photos are left out, or none is left."""
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
        """For the listing's file."""
        groups = [[group.reason, list(group.names)] for group in self.skipped]
        return json.dumps([self.kept, groups])

    @classmethod
    def from_json(cls, text: str) -> DataReport:
        """What `to_json` wrote; ValueError or TypeError otherwise."""
        kept, groups = json.loads(text)
        return cls(int(kept), tuple(Skipped(str(reason), tuple(map(str, names))) for reason, names in groups))


class MostlyBroken(InputError):
    """More than half of a data set cannot be used; `report` says why."""

    def __init__(self, message: str, report: DataReport) -> None:
        super().__init__(message)
        self.report = report


def printable(text: str) -> str:
    """The text, with what is no UTF-8 in a file's name as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
