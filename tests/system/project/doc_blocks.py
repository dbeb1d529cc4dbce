"""The fenced blocks of the documentation's pages, and the commands of a shell block.

A block is run unless the line above it is a mark: with `<!-- read only: WHY -->` its commands are only read
by their own parsers, with `<!-- not run: WHY -->` nothing but Python's syntax is looked at.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
_MARK = re.compile(r"<!-- (read only|not run): (\S.*) -->")


@dataclass(frozen=True)
class Block:
    """page: its file's name. line: of the opening fence, from 1. mark: "", "read only" or "not run"."""

    page: str
    line: int
    language: str
    text: str
    mark: str

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def split_page(text: str) -> tuple[list[str], list[tuple[int, str, list[str], str]]]:
    """The lines outside of blocks, and of each block: line, language, lines, mark."""
    prose: list[str] = []
    blocks: list[tuple[int, str, list[str], str]] = []
    inside = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            if not inside:
                found = _MARK.fullmatch(prose[-1].strip()) if prose else None
                blocks.append((number, line.strip()[3:], [], found[1] if found else ""))
            inside = not inside
        elif inside:
            blocks[-1][2].append(line)
        else:
            prose.append(line)
    assert not inside, f"a block that begins at line {number} has no end"
    return prose, blocks


def read_blocks(page: Path) -> list[Block]:
    """A page's blocks, in order."""
    return [
        Block(page.name, line, language, "\n".join(lines) + "\n", mark)
        for line, language, lines, mark in split_page(page.read_text(encoding="utf-8"))[1]
    ]


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block as words: without comments, settings of the environment and `> FILE`.

    `NAME() { COMMAND "$@"; }` makes NAME an abbreviation.
    """
    short: dict[str, list[str]] = {}
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        if made := re.fullmatch(r'(\w+)\(\) \{ (.+) "\$@"; \}', line.strip()):
            short[made[1]] = shlex.split(made[2])
            continue
        words: list[str] = []
        for word in [*shlex.split(line, comments=True), "&&"]:
            if word != "&&":
                words.append(word)
            elif words:
                while re.fullmatch(r"[A-Z][A-Z0-9_]*=.*", words[0]):
                    del words[0]
                if ">" in words:
                    words = words[: words.index(">")]
                found.append([*short.get(words[0], words[:1]), *words[1:]])
                words = []
    return found
