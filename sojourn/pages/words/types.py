"""Names for the types that pages and words share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]
Colors = Mapping[str, str]
Words = dict[str, Any]
