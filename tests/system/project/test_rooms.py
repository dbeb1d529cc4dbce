"""The packages of `twodasl` in their order: what a module imports comes from above it in the list."""

import ast
from pathlib import Path

import pytest
import twodasl

ROOT = Path(twodasl.__file__).parent
ORDER = (
    "errors",
    "arguments",
    "weights",
    "progress",
    "devices",
    "workers",
    "distributed",
    "io",
    "geometry",
    "landmarks",
    "meshes",
    "morphable",
    "networks",
    "synthetic",
    "datasets",
    "pictures",
    "scans",
    "training",
    "reconstruction",
    "video",
    "evaluation",
    "commands",
    "cli",
)
# The package imports its public names on demand; the modules below may ask it for its version alone.
OUTSIDE = ("__init__", "__main__", "py.typed", "resources")


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The rooms that a module imports, also inside functions and for types alone."""
    package = ("twodasl", *path.relative_to(ROOT).parent.parts)
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("twodasl.")}
    return rooms - {"__version__"}


def test_every_room_has_its_place():
    assert {room(path) for path in ROOT.iterdir() if path.name != "__pycache__"} == {*ORDER, *OUTSIDE}


@pytest.mark.parametrize("name", ORDER)
def test_no_import_points_upward(name):
    allowed = ORDER[: ORDER.index(name) + 1]
    files = [path for path in ROOT.rglob("*.py") if room(path) == name]
    assert files
    for path in files:
        assert imported(path) <= set(allowed), f"{path.relative_to(ROOT)}: imports from below"
