"""Frozen dataclasses to plain dictionaries and back, with errors that name the key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import Any, TypeVar, get_type_hints

from ..errors import InputError, did_you_mean

R = TypeVar("R", bound="Record")

# Characters of a text, numbers of a list; the longest path that systems know.
_LONGEST = 4096
# Characters of a value in a message.
_SHOWN = 80


class Record:
    """Base of the configuration's dataclasses: bool, int, float, str, tuples of int, and other records.

    NumPy's numbers, arrays and tensors become Python's: a checkpoint holds no others.
    """

    def __post_init__(self) -> None:
        for key, kind in get_type_hints(type(self)).items():
            value = _checked(kind, getattr(self, key), f"configuration: {key}")
            object.__setattr__(self, key, value)  # frozen

    def to_dict(self) -> dict[str, Any]:
        """Nested dictionaries of numbers, text and lists: what a checkpoint or a TOML file can hold."""
        return _plain(asdict(self))  # type: ignore[call-overload]

    @classmethod
    def from_dict(cls: type[R], values: Mapping[str, Any], *, where: str = "configuration") -> R:
        """The record with these values; a key that is left out keeps its default.

        Raises:
            InputError: an unknown key or a value of the wrong type, with the key's full name and `where`.
        """
        return _build(cls, values, where, "", None)

    def updated(self: R, values: Mapping[str, Any], *, where: str = "configuration") -> R:
        """A copy with these values, nested as in `from_dict`; what is left out keeps this record's value."""
        return _build(type(self), values, where, "", self)

    def with_settings(self: R, settings: Sequence[str]) -> R:
        """A copy changed by `key=value` texts, the key dotted: `stage1.steps=500`, `data.pool=false`.

        Raises:
            InputError: no `=`, an unknown key, or a value that does not fit the key.
        """
        record = self
        for setting in settings:
            key, equals, text = setting.partition("=")
            if not equals or not key.strip():
                raise InputError(f"--set {setting}: expected key=value, as in stage1.steps=500")
            path = key.strip().split(".")
            nested: Any = _from_text(_field_type(type(self), path, setting), text.strip(), setting)
            for name in reversed(path):
                nested = {name: nested}
            record = record.updated(nested, where=f"--set {setting}")
        return record

    def differences(self: R, other: R) -> list[str]:
        """Dotted keys in which two records differ, with both values, for messages."""
        mine, theirs = _flat(self.to_dict()), _flat(other.to_dict())
        return [f"{key} ({mine[key]!r} and {theirs[key]!r})" for key in mine if mine[key] != theirs[key]]


def expect(condition: bool, key: str, expected: str, got: object) -> None:
    """Raise InputError, naming a setting, where the condition on it does not hold."""
    if not condition:
        raise InputError(f"configuration: {key}: expected {expected}, got {shown(got)}")


def expect_within(record: Record, least: float, most: float, *keys: str) -> None:
    """Raise InputError where a setting is outside: such numbers crash, fill the memory, or take forever."""
    for key in keys:
        value = getattr(record, key)
        expect(least <= value <= most, key, f"a number from {least:,} to {most:,}", value)


def expect_share(record: Record, *keys: str) -> None:
    """Raise InputError where a setting is not from 0 to 1."""
    expect_within(record, 0, 1, *keys)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _build(cls: type[R], values: Any, where: str, prefix: str, base: R | None) -> R:
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: {prefix.rstrip('.')}: expected a table of settings, got {values!r}")
    types = get_type_hints(cls)
    known = [f.name for f in fields(cls)]  # type: ignore[arg-type]
    chosen: dict[str, Any] = {}
    if base is not None:
        chosen = {name: getattr(base, name) for name in known}
    for key, value in values.items():
        if key not in known:
            shown_key = f"{prefix}{str(key)[:_SHOWN]}"
            hint = did_you_mean(shown_key, [prefix + name for name in known])
            raise InputError(f"{where}: unknown key {shown_key}{hint}; known here: {', '.join(known)}")
        kind = types[key]
        if is_dataclass(kind):
            inner = None if base is None else getattr(base, key)
            chosen[key] = _build(kind, value, where, f"{prefix}{key}.", inner)  # type: ignore[arg-type]
        else:
            chosen[key] = value
    try:
        return cls(**chosen)
    except InputError as error:
        raise InputError(str(error).replace("configuration: ", f"{where}: {prefix}", 1)) from None


def _checked(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind) and isinstance(value, kind):  # type: ignore[arg-type]
        return value
    if hasattr(value, "tolist"):
        value = value.tolist()
    if kind is bool and isinstance(value, bool):
        return value
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:  # of an integer
            return math.inf if value > 0 else -math.inf
    if kind is str and isinstance(value, str) and len(value) <= _LONGEST and "\0" not in value:
        return value
    if kind == tuple[int, ...] and isinstance(value, list | tuple) and len(value) <= _LONGEST:
        return tuple(_checked(int, item, where) for item in value)
    raise InputError(f"{where}: expected {_kind_name(kind)}, got {shown(value)}")


def shown(value: object) -> str:
    """A value in a message; a long one is cut off, of a number with thousands of digits it says so."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a very long {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text):,} characters)"


def _kind_name(kind: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text without NUL"}
    return (
        f"a {kind.__name__}"
        if isinstance(kind, type) and issubclass(kind, Record)
        else names.get(kind, "a list of whole numbers")
    )


def _field_type(record: type, path: Sequence[str], setting: str) -> Any:
    """The type of a dotted key."""
    cls = record
    for depth, name in enumerate(path):
        types = get_type_hints(cls) if is_dataclass(cls) else {}
        if name not in types:
            inside = ", ".join(types) or "none"
            key = ".".join(path[: depth + 1])
            hint = _meant(record, ".".join(path))
            raise InputError(f"--set {setting}: unknown key {key}{hint}; known here: {inside}")
        cls = types[name]
    if is_dataclass(cls):
        inside = ", ".join(get_type_hints(cls))
        raise InputError(f"--set {setting}: expected a key inside {'.'.join(path)}: {inside}")
    return cls


def _meant(record: type, key: str) -> str:
    """What a dotted key that is none may stand for: the same name in other tables, or one that is alike."""
    known = _keys(record)
    same = [other for other in known if other.rpartition(".")[2] == key.rpartition(".")[2]]
    return f" (did you mean {' or '.join(map(repr, same))}?)" if same else did_you_mean(key, known)


def _keys(record: type, prefix: str = "") -> list[str]:
    """All dotted keys of a record."""
    keys: list[str] = []
    for name, kind in get_type_hints(record).items():
        keys += _keys(kind, f"{prefix}{name}.") if is_dataclass(kind) else [prefix + name]  # type: ignore[arg-type]
    return keys


def _from_text(kind: Any, text: str, setting: str) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind == tuple[int, ...]:
            return [int(item) for item in text.strip("[]()").split(",")]
        return kind(text)
    except (KeyError, ValueError):
        where = f"--set {setting if len(setting) <= _SHOWN else setting[:_SHOWN] + '...'}"
        raise InputError(f"{where}: expected {_kind_name(kind)}, got {shown(text)}") from None
