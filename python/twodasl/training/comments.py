"""The comments of settings: the sentences below each field of a configuration's dataclasses."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache

_WIDTH = 100


@cache
def comments(record: type) -> dict[str, str]:
    """Field -> the text that stands below it in the class, as one line; a field without one is left out.

    Python keeps no such text, so it is read from the source file, which is installed with the package.
    """
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(record))).body
    assert isinstance(definition, ast.ClassDef)
    found = {}
    for field, below in zip(definition.body, definition.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        value = below.value if isinstance(below, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            found[field.target.id] = " ".join(value.value.split())
    return found


def comment_lines(record: type, field: str) -> list[str]:
    """The lines of a TOML file, each beginning with `#`, that explain a field."""
    text = comments(record).get(field, "")
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ")
