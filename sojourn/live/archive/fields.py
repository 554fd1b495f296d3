"""What calls say at their top, as the columns that rows in Segment's format have."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pyarrow as pa

from sojourn.events.calls import KINDS

_NOTHING = msgspec.Raw(b"")


class _Call(msgspec.Struct):
    type: msgspec.Raw = _NOTHING
    event: msgspec.Raw = _NOTHING
    userId: msgspec.Raw = _NOTHING
    anonymousId: msgspec.Raw = _NOTHING
    previousId: msgspec.Raw = _NOTHING
    messageId: msgspec.Raw = _NOTHING
    timestamp: msgspec.Raw = _NOTHING
    originalTimestamp: msgspec.Raw = _NOTHING
    properties: msgspec.Raw = _NOTHING
    traits: msgspec.Raw = _NOTHING
    context: msgspec.Raw = _NOTHING


FIELDS = _Call.__struct_fields__
"""The names of what is read, as calls and the archive have them."""

_decode = msgspec.json.Decoder(_Call).decode
_decode_text = msgspec.json.Decoder(str).decode


def read_fields(calls: Sequence[bytes | None], kinds: Sequence[int]) -> dict[str, pa.Array]:
    """Columns of text: strings as they are, all else as its JSON, null where there is nothing, or no readable call.

    ``type`` is that of the call's kind, where this does not leave it to the call.

    >>> found = read_fields([b'{"userId": 7, "properties": {"a": 1}}', b"{", None], [1, 0, 0])
    >>> [found[name].to_pylist() for name in ("type", "userId", "properties")]
    [['track', None, None], ['7', None, None], ['{"a": 1}', None, None]]
    """
    rows = [_read_call(raw, kind) for raw, kind in zip(calls, kinds, strict=True)]
    columns = zip(*rows, strict=True) if rows else [()] * len(FIELDS)
    return {name: pa.array(column, pa.string()) for name, column in zip(FIELDS, columns, strict=True)}


_EMPTY = (None,) * len(FIELDS)


def _read_call(raw: bytes | None, kind: int) -> tuple[str | None, ...]:
    if raw is None:
        return _EMPTY
    try:
        raw.decode()  # msgspec does not look at bytes that it hands on
        call = _decode(raw)
        found = [_read_text(bytes(getattr(call, name))) for name in FIELDS]
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _EMPTY
    if 0 < kind < len(KINDS):
        found[0] = KINDS[kind]
    return tuple(found)


def _read_text(value: bytes) -> str | None:
    if not value or value == b"null":
        return None
    if not value.startswith(b'"'):
        return value.decode()
    text = _decode_text(value)
    if not text.isascii():
        text.encode()  # a half of a surrogate pair is no text
    return text
