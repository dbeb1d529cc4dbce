"""A hook of MkDocs: files of the repository that the pages link to become part of the site.

The pages live in docs/ and link to outputs and programs elsewhere in the repository, so that they can be
read there as they are. On the site those files lie under `repository/`, and a folder is a page that lists its
files.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

_LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(\))")
_PREFIX = "repository"
# Shown as they are; other texts are wrapped in a page, because browsers offer them for download.
_AS_THEY_ARE = (".png", ".jpg", ".svg", ".json", ".csv", ".md")


def on_files(files: Files, config: Any) -> Files:
    """Add what pages link to, and what those pages link to."""
    root = Path(config.config_file_path).parent
    waiting = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    seen = set(waiting)
    while waiting:
        page = waiting.pop()
        targets = [_target(page, link) for link in _links(page)]
        for target in targets:
            if target in seen or not target.exists() or not target.is_relative_to(root):
                continue
            seen.add(target)
            if target.is_dir() or target.suffix == ".md":
                waiting.append(target)
            if files.get_file_from_path(_name(target, root)) is None:
                files.append(_file(target, root, config))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Point the links to the copies."""
    root = Path(config.config_file_path).parent
    here = page.file.src_uri
    copied = here.startswith(f"{_PREFIX}/")
    source = root / here.removeprefix(f"{_PREFIX}/") if copied else root / "docs" / here
    if here.endswith("/index.md") and not source.exists():  # the list of a folder, whose links fit
        return markdown

    def moved(match: re.Match[str]) -> str:
        target = _target(source, match[2])
        if not target.exists() or not target.is_relative_to(root):
            return match[0]
        link = os.path.relpath(_name(target, root), os.path.dirname(here))
        return f"{match[1]}{link}{match[3] or ''}{match[4]}"

    return _LINK.sub(moved, markdown)


def _links(page: Path) -> list[str]:
    if page.is_dir():
        return [f"{page.name}/{name}" for name in sorted(os.listdir(page)) if not name.startswith(".")]
    return [match[2] for match in _LINK.finditer(page.read_text(encoding="utf-8"))]


def _target(page: Path, link: str) -> Path:
    return Path(os.path.normpath(page.parent / link))


def _name(target: Path, root: Path) -> str:
    """The file's place among the site's sources."""
    if target.is_relative_to(root / "docs"):
        return target.relative_to(root / "docs").as_posix()
    name = f"{_PREFIX}/{target.relative_to(root).as_posix()}"
    if target.is_dir():
        return f"{name}/index.md"
    return name if target.suffix in _AS_THEY_ARE else f"{name}.md"


def _file(target: Path, root: Path, config: Any) -> File:
    name = _name(target, root)
    if target.is_dir():
        names = sorted(os.listdir(target))
        lines = [
            f"- [{entry}]({os.path.relpath(_name(target / entry, root), os.path.dirname(name))})"
            for entry in names
            if not entry.startswith((".", "__"))
        ]
        title = target.relative_to(root).as_posix()
        return File.generated(config, name, content=f"# {title}\n\n" + "\n".join(lines) + "\n")
    if target.suffix in _AS_THEY_ARE:
        return File.generated(config, name, abs_src_path=str(target))
    title = target.relative_to(root).as_posix()
    text = target.read_text(encoding="utf-8")
    language = {".py": "python", ".sh": "bash"}.get(target.suffix, "text")
    return File.generated(config, name, content=f"# {title}\n\n````{language}\n{text}\n````\n")
