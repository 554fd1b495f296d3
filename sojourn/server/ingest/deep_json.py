"""Calls that nest too deep for a reader that recurses, set aside so that they cost no other call of their batch."""

from __future__ import annotations

import re

MOST_LEVELS = 500
"""Levels of a call that is not set aside, once a body cannot be read as it is."""
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*\\?(?:"|\Z)|[\[\]{}]', re.DOTALL)
_OPENING = frozenset(b"[{")
_LIST = ord("[")


def set_deep_aside(body: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """The body with short texts for what nests too deep in a list at its top, and what each stands for.

    Elsewhere such a thing becomes null. What is no JSON stays what it is, and is none afterwards.

    >>> deep = b"[" * 600 + b"]" * 600
    >>> shallow, aside = set_deep_aside(b'{"batch": [{"a": 1}, {"b": ' + deep + b"}]}")
    >>> shallow, aside[b'"deep 0"'] == b'{"b": ' + deep + b"}"
    (b'{"batch": [{"a": 1}, "deep 0"]}', True)
    """
    if body.count(b"[") + body.count(b"{") <= MOST_LEVELS:
        return body, {}
    parts: list[bytes] = []
    aside: dict[bytes, bytes] = {}
    level = deepest = begin = end = 0
    is_in_list = False
    for token in _TOKEN.finditer(body):
        at = token.start()
        kind = body[at]
        if kind in _OPENING:
            level += 1
            deepest = max(deepest, level)
            if level == 2:
                is_in_list = kind == _LIST
            elif level == 3:
                begin, deepest = at, level
        elif kind != ord('"'):
            if level == 3 and deepest > MOST_LEVELS:
                name = b'"deep %d"' % len(aside) if is_in_list else b"null"
                if is_in_list:
                    aside[name] = body[begin : at + 1]
                parts += (body[end:begin], name)
                end = at + 1
            level -= 1
    return b"".join([*parts, body[end:]]), aside
