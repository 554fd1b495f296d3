"""Values as JSON can hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any


def plain(value: Any) -> Any:
    """The value as JSON can hold it: instants as ISO text, missing and infinite numbers as null.

    >>> plain({"at": datetime(2025, 6, 1), "p": float("nan"), "n": [1, 2.5]})
    {'at': '2025-06-01T00:00:00', 'p': None, 'n': [1, 2.5]}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if value is None or isinstance(value, (str, int, bool)):
        return value
    for method in ("to_pylist", "tolist", "item"):  # Arrow tables and arrays, NumPy arrays and scalars
        if hasattr(value, method):
            return plain(getattr(value, method)())
    return str(value)
