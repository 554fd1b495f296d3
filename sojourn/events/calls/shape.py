"""The shape of a tracking call: what of its JSON is decoded for a playbook, and functions that read paths into it.

Only what some path leads to is made into Python objects; the rest is checked and passed over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import msgspec

from sojourn.events.sources import explain_json, explain_utf8

Parts = tuple[str, ...]
Call = Any
"""A decoded call: a struct of the shape's own, whose fields only :func:`read_first` can name."""
Get = Callable[[Call], Any]
Column = Callable[[Sequence[Call]], list[Any]]

_NESTED = ("properties", "context")
_LONGEST_WHOLE = 400


@dataclass(frozen=True)
class Shape:
    """How calls are decoded. ``fields`` name what is read at the top, ``inner`` what is read inside some of these."""

    decode: Callable[[bytes], Call]
    kind: type
    fields: Mapping[str, str]
    inner: Mapping[str, tuple[type, Mapping[str, str]]]
    check: Get | None  # raises AttributeError where something is not the object that it should be


def make_shape(paths: Iterable[Parts]) -> Shape:
    """The shape for these paths from the top of a call.

    >>> shape = make_shape([("userId",), ("properties", "total")])
    >>> call = shape.decode(b'{"userId": "u1", "properties": {"total": 5, "other": 6}, "more": 7}')
    >>> read_first(shape, [("properties", "total")])(call), read_first(shape, [("userId",)])(call)
    (5, 'u1')
    """
    wanted = list(dict.fromkeys(paths))
    inner: dict[str, tuple[type, Mapping[str, str]]] = {}
    for name in _NESTED:
        below = list(dict.fromkeys(parts[1] for parts in wanted if parts[0] == name and len(parts) > 1))
        if below and (name,) not in wanted:
            fields = {key: f"f{i}" for i, key in enumerate(below)}
            inner[name] = (_make_struct(name.title(), fields, {}, is_frozen=True), fields)
    fields = {key: f"f{i}" for i, key in enumerate(dict.fromkeys(parts[0] for parts in wanted))}
    types = {key: kind for key, (kind, _) in inner.items()}
    kind = _make_struct("Call", fields, types, is_frozen=False)
    checks = [f"{fields[key]}.f0" for key in inner]
    return Shape(msgspec.json.Decoder(kind).decode, kind, fields, inner, attrgetter(*checks) if checks else None)


def _make_struct(name: str, fields: Mapping[str, str], types: Mapping[str, type], *, is_frozen: bool) -> type:
    """A struct of optional fields. One with a type holds that or whatever else came, but never a dict."""
    made: list[tuple[str, Any, Any]] = []
    for key, field in fields.items():
        if key in types:
            made.append((field, types[key] | list[Any] | str | float | int | bool | None, types[key]()))
        else:
            made.append((field, Any, None))
    names = {field: key for key, field in fields.items()}
    return msgspec.defstruct(name, made, rename=names, frozen=is_frozen, gc=False)


def decode_calls(shape: Shape, calls: Sequence[bytes]) -> tuple[list[Call], Sequence[int], list[tuple[int, str, str]]]:
    """The calls that are JSON objects, their positions, and of the others the position, the rule and what was found."""
    try:
        if all(map(bytes.isascii, calls)):
            decoded = list(map(shape.decode, calls))
            _settle(shape, decoded)
            return decoded, range(len(calls)), []
    except (msgspec.DecodeError, RecursionError):
        pass  # which one it is shows one by one
    decoded, place, rejected = [], [], []
    for i, raw in enumerate(calls):
        found = _decode_one(shape, raw)
        if isinstance(found, tuple):
            rejected.append((i, *found))
        else:
            decoded.append(found)
            place.append(i)
    _settle(shape, decoded)
    return decoded, place, rejected


def _decode_one(shape: Shape, raw: bytes) -> Call | tuple[str, str]:
    """The call, or the rule that it breaks and what was found."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        return "utf-8", explain_utf8(error)
    try:
        return shape.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:  # numbers beyond a float's range are no mistake of the call's, and NaN is one that files may make too
        value = json.loads(text, parse_float=_read_float, parse_int=_read_int, parse_constant=str)
        json.dumps(value, ensure_ascii=False).encode()  # fails for half of a surrogate pair
        if isinstance(value, dict):
            return msgspec.convert(value, shape.kind)
    except (ValueError, RecursionError):
        pass
    return "json", explain_json(raw)


def _read_float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _read_int(text: str) -> int | str:
    return int(text) if len(text) < _LONGEST_WHOLE else text


def _settle(shape: Shape, calls: Sequence[Call]) -> None:
    """Puts an object without fields where a path leads through something that is none.

    A list stands for an object whose keys are its positions.
    """
    if shape.check is None:
        return
    try:
        for call in calls:
            shape.check(call)
    except AttributeError:
        for call in calls:
            for key, (kind, _) in shape.inner.items():
                value = getattr(call, shape.fields[key])
                if not isinstance(value, kind):
                    of = {str(i): one for i, one in enumerate(value)} if isinstance(value, list) else {}
                    setattr(call, shape.fields[key], msgspec.convert(of, kind))


def read_first(shape: Shape, paths: Sequence[Parts]) -> Get:
    """A function from a call to what the first of these paths leads to that leads to anything but null; else None.

    The paths must be among those that the shape was made for.
    """
    found = [_find(shape, parts) for parts in paths]
    if len(found) == 1:
        return _follow(*found[0])
    if all(not rest for _, rest in found):
        return _read_first_plain([attribute for attribute, _ in found])
    readers = [_follow(attribute, rest) for attribute, rest in found]

    def read(call: Call) -> Any:
        for reader in readers:
            value = reader(call)
            if value is not None:
                return value
        return None

    return read


def read_column(shape: Shape, paths: Sequence[Parts]) -> Column:
    """The same as :func:`read_first` for many calls at once, which costs less of each.

    >>> shape = make_shape([("userId",), ("traits", "id")])
    >>> calls = [shape.decode(b'{"userId": 1}'), shape.decode(b'{"traits": {"id": 2}}'), shape.decode(b"{}")]
    >>> read_column(shape, [("userId",), ("traits", "id")])(calls)
    [1, 2, None]
    """
    columns = [_follow_all(*_find(shape, parts)) for parts in paths]

    def read(calls: Sequence[Call]) -> list[Any]:
        values = columns[0](calls)
        for column in columns[1:]:
            if None not in values:
                break
            others = column(calls)
            if others.count(None) < len(others):
                values = [b if a is None else a for a, b in zip(values, others, strict=True)]
        return values

    return read


def _follow_all(attribute: str, rest: Parts) -> Column:
    get = attrgetter(attribute)
    if not rest:
        return lambda calls: list(map(get, calls))
    return lambda calls: [value if value is None else _walk(value, rest) for value in map(get, calls)]


def _read_first_plain(attributes: Sequence[str]) -> Get:
    first, rest, is_pair = attrgetter(attributes[0]), attrgetter(*attributes[1:]), len(attributes) == 2

    def read(call: Call) -> Any:
        value = first(call)
        if value is not None:
            return value
        if is_pair:
            return rest(call)
        for value in rest(call):
            if value is not None:
                return value
        return None

    return read


def _find(shape: Shape, parts: Parts) -> tuple[str, Parts]:
    """The attribute that a path begins with, and what is left of it."""
    top = shape.fields[parts[0]]
    if parts[0] in shape.inner and len(parts) > 1:
        return f"{top}.{shape.inner[parts[0]][1][parts[1]]}", parts[2:]
    return top, parts[1:]


def _follow(attribute: str, rest: Parts) -> Get:
    get = attrgetter(attribute)
    if not rest:
        return get
    if len(rest) == 1:
        only = rest[0]

        def read_one(call: Call) -> Any:
            value = get(call)
            return value.get(only) if value.__class__ is dict else _walk(value, rest) if value is not None else None

        return read_one
    return lambda call: _walk(get(call), rest)


def _walk(value: Any, parts: Parts) -> Any:
    """What a path leads to inside a value, through objects and, by position, lists."""
    for part in parts:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and (part == "0" or part[0] != "0"):
            value = value[int(part)] if len(part) < 6 and int(part) < len(value) else None
        else:
            return None
    return value
