"""What became of a data set's photos: how many are used, and why the others are not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError

FIRST_NAMES = 5
"""Names kept for each reason."""

_MOST_REASONS = 40


@dataclass(frozen=True)
class Skipped:
    """Photos left out for one reason: how many, and the first names."""

    reason: str
    count: int
    names: tuple[str, ...]


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
        shown = [Skipped(reason, len(names), tuple(names[:FIRST_NAMES])) for reason, names in ordered]
        if len(shown) > _MOST_REASONS:
            rest = shown[_MOST_REASONS:]
            names = tuple(name for group in rest for name in group.names)[:FIRST_NAMES]
            shown[_MOST_REASONS:] = [Skipped("other reasons", sum(group.count for group in rest), names)]
        return cls(kept, tuple(shown))

    @property
    def lost(self) -> int:
        """Photos left out."""
        return sum(group.count for group in self.skipped)

    def without(self, names: Sequence[str], reason: str) -> DataReport:
        """The report after these photos were left out too."""
        if not names:
            return self
        group = Skipped(reason, len(names), tuple(names[:FIRST_NAMES]))
        skipped = sorted((*self.skipped, group), key=lambda entry: -entry.count)
        return DataReport(self.kept - len(names), tuple(skipped))

    def lines(self) -> list[str]:
        """The report in words: a line of counts, then a line a reason."""
        lines = [f"{self.kept:,} photos kept, {self.lost:,} left out" + (":" if self.lost else "")]
        for group in self.skipped:
            more = ", ..." if group.count > len(group.names) else ""
            lines.append(f"  {group.count:,}  {group.reason}  ({', '.join(group.names)}{more})")
        return lines

    def refuse_if_broken(self, root: Path) -> None:
        """Raise InputError when more than half of the photos are left out, or none is left."""
        total = self.kept + self.lost
        if self.kept and self.lost <= self.kept:
            return
        if not total:
            raise InputError(f"{root}: expected photos with landmarks, found none")
        worst = self.skipped[0]
        raise InputError(
            f"{root}: {self.lost:,} of {total:,} photos cannot be used, most often ({worst.count:,}) because:"
            f" {worst.reason} ({', '.join(worst.names)}); is it another kind of data set?"
        )

    def to_json(self) -> str:
        """For the listing's file."""
        groups = [[group.reason, group.count, list(group.names)] for group in self.skipped]
        return json.dumps([self.kept, groups])

    @classmethod
    def from_json(cls, text: str) -> DataReport:
        """What `to_json` wrote; ValueError or TypeError otherwise."""
        kept, groups = json.loads(text)
        return cls(int(kept), tuple(Skipped(str(r), int(c), tuple(map(str, n))) for r, c, n in groups))
